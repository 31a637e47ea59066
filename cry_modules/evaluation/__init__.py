"""Evaluation of a model: metrics by group, controls, baselines, confounds."""
