"""Encoders of samples that others have trained, built with their weights."""
