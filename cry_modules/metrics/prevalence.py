"""Predictions of two classes where the positive class has another share.

Sensitivity and specificity at a threshold do not depend on the prevalence if
only the share of the classes differs; predictive values, net benefit and
calibration do. Scores are corrected by Bayes' rule (Saerens et al. 2002,
https://doi.org/10.1162/089976602753284446, equation 2.4): the odds of a class
are multiplied by its share there over its share in training. The correction
keeps the order of the scores, so the threshold moves with them.
"""

from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from cry_modules.metrics.bootstrap import (
    N_DRAWS,
    interval,
    patient_weights,
    why_no_interval,
)
from cry_modules.metrics.calibration import calibration_intercept
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.figures import rarest_class_interval, share
from cry_modules.metrics.net_benefit import decision_curve, treat_all
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import ratio
from cry_modules.metrics.saved import METRICS_FILE, read_metrics
from cry_modules.metrics.words import interval_in_words, markdown_table
from data_prep.files.errors import require

#: Shares of the positive class that every run reports.
PREVALENCES = (0.01, 0.05, 0.1)


def check_prevalences(prevalences: Sequence[float]) -> None:
    """Refuse a share of the positive class that is not one."""
    for value in prevalences:
        require(
            0 < value < 1,
            f"--prevalence is {value:g}",
            "pass shares of the positive class between 0 and 1, as 0.05",
        )


def at_prevalences(
    p: Predictions,
    choices: Choices,
    trained: Optional[float],
    prevalences: Sequence[float] = PREVALENCES,
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> List[Dict]:
    """Predictive values, net benefit and calibration of two classes at each
    prevalence, a row each.

    Decisions are those at the threshold chosen on validation for 80 %
    specificity. `trained` is the share of the positive class that the scores
    assume; None: it is not known, and there is no corrected threshold and no
    net benefit.
    """
    rates = {"value": _rates(p, choices, np.ones((1, len(p.labels))))}
    if why_no_interval(p.labels, p.patients, p.classes) is None:
        blocks = [
            _rates(p, choices, weights)
            for weights in patient_weights(p.patients, seed, n_draws)
        ]
        if blocks:
            rates["draws"] = np.concatenate(blocks, axis=1)
    return [_row(p, choices, trained, rates, x) for x in prevalences]


def _rates(p, choices, weights) -> np.ndarray:
    """Sensitivity and 1 - specificity, ``[2, draws]``."""
    if choices.at_specificity is None:
        return np.full((2, len(weights)), np.nan)
    called = p.scores[:, 1] >= choices.at_specificity
    return np.stack([share(called, p.labels == k, weights) for k in (1, 0)])


def _row(p, choices, trained, rates, prevalence) -> Dict:
    threshold = corrected = None
    if trained is not None:
        corrected = bayes(p.scores[:, 1], trained, prevalence)
        if choices.at_specificity is not None:
            threshold = bayes(choices.at_specificity, trained, prevalence)
    row = {"prevalence": float(prevalence), "threshold": None}
    if threshold is not None and np.ndim(threshold) == 0:
        row["threshold"] = float(threshold)
    of_values, of_draws = (
        _figures(rates.get(name), prevalence, threshold)
        for name in ("value", "draws")
    )
    for name, value in of_values.items():
        known = np.isfinite(value[0])
        row[name] = float(value[0]) if known else None
        row[f"{name}_ci95"] = None
        if known and of_draws:
            is_share = name in ("ppv", "npv")
            row[f"{name}_ci95"] = (
                rarest_class_interval(value[0], of_draws[name], p)
                if is_share
                else interval(of_draws[name])
            )
    row["intercept"] = _intercept(p, p.scores[:, 1], prevalence)
    row["intercept_corrected"] = (
        None if corrected is None else _intercept(p, corrected, prevalence)
    )
    return row


def _figures(rates, prevalence, threshold) -> Dict[str, np.ndarray]:
    """Predictive values, and the net benefit with the threshold's odds."""
    if rates is None:
        return {}
    true, false = rates[0] * prevalence, rates[1] * (1 - prevalence)
    missed, spared = prevalence - true, 1 - prevalence - false
    figures = {
        "ppv": ratio(true, true + false),
        "npv": ratio(spared, spared + missed),
    }
    if np.ndim(threshold) == 0 and threshold is not None and threshold < 1:
        gain = true - false * threshold / (1 - threshold)
        everyone = treat_all([prevalence], [threshold])[0, 0]
        figures["net_benefit"] = gain
        figures["net_benefit_gain"] = gain - max(everyone, 0)
    return figures


def bayes(probability, before: float, after: float):
    """Correct the probability of the positive class from one prevalence to
    another.

    Example
    -------
    >>> (
    ...     round(bayes(0.5, 0.5, 0.1), 3),
    ...     round(bayes(bayes(0.3, 0.4, 0.1), 0.1, 0.4), 3),
    ... )
    (0.1, 0.3)
    """
    positive = probability * after / before
    negative = (1 - probability) * (1 - after) / (1 - before)
    return positive / (positive + negative)


def _intercept(p, probability, prevalence) -> Optional[float]:
    """Calibration intercept with the classes weighted to a prevalence."""
    positive = p.labels == 1
    n_pos = positive.sum()
    if n_pos in (0, len(positive)):
        return None
    weights = np.where(
        positive, prevalence / n_pos, (1 - prevalence) / (~positive).sum()
    )
    weights *= len(positive)
    return float(calibration_intercept(probability, positive, weights[None])[0])


def prevalence_table(rows: Sequence[Dict]) -> List[str]:
    """Markdown table of the rows of ``at_prevalences``."""
    head = [
        "prevalence",
        "threshold",
        "positive predictive value",
        "negative predictive value",
        "net benefit above treating all or none",
        "calibration intercept before, after correction",
    ]
    return markdown_table(head, map(_cells, rows))


def _cells(row) -> List[str]:
    intercepts = [row["intercept"], row["intercept_corrected"]]
    before, after = ("none" if x is None else f"{x:+.2f}" for x in intercepts)
    threshold = row["threshold"]
    return [
        f"{row['prevalence']:g}",
        "none" if threshold is None else f"{threshold:.3g}",
        *(_with_ci95(row, name) for name in ("ppv", "npv")),
        _with_ci95(row, "net_benefit_gain", "+.4f"),
        f"{before}, {after}",
    ]


def _with_ci95(row, name, form=".3f") -> str:
    if row.get(name) is None:
        return "not defined"
    ci95 = row[f"{name}_ci95"]
    words = "no interval" if ci95 is None else interval_in_words(ci95, form)
    return f"{row[name]:{form}} ({words})"


def of_run(
    p: Predictions,
    file: Path,
    prevalences: Sequence[float],
    unit: str = "recording",
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> List[Dict]:
    """Rows of ``at_prevalences`` for a run's predictions file, each with its
    decision curve there; threshold and training's shares are those of the
    run's ``metrics.json``."""
    require(
        len(p.classes) == 2,
        f"{file} has the classes {', '.join(p.classes)}, and --prevalence is "
        "for two",
        "leave it out",
    )
    folder = file.parent
    require(
        (folder / METRICS_FILE).is_file(),
        f"{folder} holds no {METRICS_FILE}, which says the threshold and the "
        "share of the positive class in training",
        "pass the folder of a run, or leave out --prevalence",
    )
    metrics = read_metrics(folder, required=("prevalence", "test"))
    shares = metrics["prevalence"]
    trained = None if shares is None else shares[1]
    threshold = metrics["test"][unit]["threshold"]
    if metrics.get("folds") and unit == "recording":
        threshold = _of_folds(p, file, metrics["folds"], trained)
    rows = at_prevalences(
        p, Choices(None, threshold), trained, prevalences, seed, n_draws
    )
    for row, value in zip(rows, prevalences):
        row["decision_curve"] = None
        if trained is not None:
            corrected = p.at_prevalence(
                np.array([1 - trained, trained]), np.array([1 - value, value])
            )
            row["decision_curve"] = decision_curve(
                corrected, seed, n_draws, prevalence=value
            )
    return rows


def _of_folds(p, file, folds, trained) -> Optional[np.ndarray]:
    """Threshold of each recording: that of its fold, brought from the fold's
    prevalence to the pooled one."""
    threshold_of = {}
    for fold in folds:
        metrics = read_metrics(file.parent / fold, ("prevalence", "test"))
        threshold = metrics["test"]["recording"]["threshold"]
        if threshold is None or metrics["prevalence"] is None:
            return None
        threshold = bayes(threshold, metrics["prevalence"][1], trained)
        IDs = Predictions.read(file.parent / fold / file.name).ids
        threshold_of.update(dict.fromkeys(IDs, threshold))
    if not set(p.ids) <= set(threshold_of):
        return None
    return np.array([threshold_of[ID] for ID in p.ids])
