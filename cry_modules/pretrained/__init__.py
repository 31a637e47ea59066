"""Encoders that others have trained: built with their weights, or, from SpeechBrain,
from a configuration alone."""
