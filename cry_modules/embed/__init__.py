"""Embeddings and acoustic measures of recordings as a table for other programs."""
