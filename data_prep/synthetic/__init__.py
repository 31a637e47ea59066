"""Synthetic cries and sounds that stand in for the real corpora."""
