"""A metric as a user adds it: one row of the table of metrics."""

import numpy as np

from cry_modules.metrics.figures import Metric, percentile_interval


def weighted_f1(p, choices, weights):
    """F1 score of the last class, if the most probable class is predicted."""
    true, predicted = p.labels == 1, p.scores.argmax(axis=1) == 1
    hits = weights @ (true & predicted)
    total = weights @ true.astype(float) + weights @ predicted.astype(float)
    return np.divide(
        2 * hits, total, out=np.full(len(weights), np.nan), where=total > 0
    )


ROW = Metric(
    "F1 score",
    weighted_f1,
    "higher",
    percentile_interval,
    ("report", "controls", "folds", "subgroups", "compare", "card"),
)
