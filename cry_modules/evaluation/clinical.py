"""Value of a model's decisions: net benefit, other prevalences and
abstention, by recording. The entry ``clinical`` of ``metrics.json``."""

from typing import Dict, List, Optional

import numpy as np

from cry_modules.metrics.abstention import coverage_table, risk_coverage
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.net_benefit import decision_curve
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.prevalence import at_prevalences, prevalence_table


def clinical(
    p: Predictions,
    choices: Choices,
    trained: Optional[np.ndarray],
    seed: int,
    n_draws: int,
) -> Dict:
    """Evaluate decisions on test recordings; `trained` are the class
    frequencies that the scores assume, ``[n_classes]``.

    Net benefit and prevalences are for two classes.
    """
    entry: Dict = {"abstention": risk_coverage(p, seed, n_draws)}
    if len(p.classes) == 2:
        share = None if trained is None else float(trained[1])
        entry["decision_curve"] = decision_curve(p, seed, n_draws)
        entry["prevalences"] = at_prevalences(
            p, choices, share, seed=seed, n_draws=n_draws
        )
    return entry


_PREVALENCES = (
    "Scores are corrected by Bayes' rule from training's prevalence to each; "
    "the threshold for 80 % specificity moves with them, so sensitivity and "
    "specificity stay. `python -m cry_modules.metrics RUN --prevalence ...` "
    "for others."
)


def decision_lines(entry: Dict) -> List[str]:
    """Lines of ``report.md`` on net benefit and prevalences."""
    if "decision_curve" not in entry:
        return []
    return [
        net_benefit_sentence(entry["decision_curve"]),
        "",
        *prevalence_table(entry["prevalences"]),
        "",
        _PREVALENCES,
    ]


def abstention_lines(entry: Dict) -> List[str]:
    """Lines of ``report.md`` on abstention."""
    return [
        *coverage_table(entry["abstention"]),
        "",
        "`python -m cry_modules.metrics RUN --coverage ...` for other shares.",
    ]


def net_benefit_sentence(curve: Dict) -> str:
    """Say at which threshold probabilities the model is of use."""
    ends = curve["gain_ci95"] or [None] * len(curve["thresholds"])
    shown = [
        f"{t:g}"
        for t, ci95 in zip(curve["thresholds"], ends)
        if ci95 is not None and ci95[0] > 0
    ]
    text = (
        "Net benefit (decision curve, prevalence "
        f"{curve['prevalence']:.3f} as in the test recordings): "
    )
    if not shown:
        return (
            f"{text}not shown to be above treating all and treating none at "
            "any threshold probability."
        )
    return (
        f"{text}above treating all and treating none at the threshold "
        f"probabilities {', '.join(shown)} (95 % intervals, each by itself)."
    )
