"""Random predictions for the tests of metrics and evaluation."""

import numpy as np

from cry_modules.metrics.predictions import Predictions


def random_predictions(n=60, n_patients=25, n_classes=2, seed=0):
    """Scores with ties that rank better than chance; patients have recordings
    of several classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    logits = rng.normal(size=(n, n_classes)) + np.eye(n_classes)[labels]
    scores = np.exp(logits.round(1))
    return Predictions(
        [f"r{i}" for i in range(n)],
        [f"p{i}" for i in rng.integers(n_patients, size=n)],
        labels,
        scores / scores.sum(axis=1, keepdims=True),
        ["healthy", "injury", "other"][:n_classes],
    )


def own_patients(p):
    """The same recordings, each of another patient."""
    return Predictions(p.ids, p.ids, p.labels, p.scores, p.classes)
