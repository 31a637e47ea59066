"""Evaluate predictions as a run does, for the tests of metrics."""

from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from cry_modules.metrics.choices import Choices

#: Class whose patients limit the width of an interval; None: the rarest.
LIMITING_CLASS = {
    "auc": None,
    "average_precision": None,
    "balanced_accuracy": None,
    "sensitivity_at_spec80": 1,
    "sensitivity_at_threshold_sens80": 1,
    "specificity_at_threshold": 0,
    "specificity_at_sens80": 0,
}
AT_THRESHOLDS = [name for name, k in LIMITING_CLASS.items() if k is not None]
CALIBRATION = ["calibration_slope", "calibration_intercept"]


def evaluate_run(valid, test, prevalence=None, n_draws=0, **options):
    """The blocks of one run, by recording and by patient."""
    blocks = evaluate_outcomes(
        [Outcome(valid, test, prevalence)],
        {},
        EvaluationOptions(n_draws=n_draws, **options),
    )
    return {split: blocks[split] for split in ("valid", "test")}


def with_points(p, prevalence=None):
    """Thresholds in the middle of the scores."""
    if len(p.classes) > 2:
        return Choices(prevalence)
    return Choices(prevalence, 0.55, 0.35)
