"""Metrics of classification, their intervals and comparisons."""
