"""Synthetic corpora of cries and of generic sounds."""
