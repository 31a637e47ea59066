"""Figures of runs, results and views."""
