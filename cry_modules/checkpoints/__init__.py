"""Checkpoints: saving, finding, describing and loading them."""
