"""Decisions by the best method of a study's first task: net benefit, abstention,
other prevalences, variance by source, and each left-out fold.

One model decides, so figures are those of the first finished seed, as its
``metrics.json`` has them, with intervals over patients; ``ends`` are the least
and the largest of all seeds. Folds are numbered: a name may reveal a place.
"""

from copy import deepcopy
from typing import Any, Callable, Dict, List, Optional, Sequence

from cry_modules.evaluation.clinical import net_benefit_sentence
from cry_modules.metrics.abstention import SHOWN
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.variance import add_folds, variance_sentence
from cry_modules.metrics.words import interval_in_words, with_interval
from data_prep.files.words import count
from recipes.study.report.doubtful import best_method
from recipes.study.stages import method_in_words

#: Thresholds of the page's table: those at which a rare condition is treated.
_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5)
#: Share of recordings that are decided, in the sentence on abstention.
_COVERAGE = 0.8


def decisions(results) -> Optional[Dict[str, Any]]:
    """Figures and sentences of the section; None if no classifier of the first
    task is done. What is unavailable is None, and ``missing`` says why."""
    task = results.settings.tasks[0]
    method = best_method(results, task.name)
    if method is None:
        return None
    runs = results.of(task.name, *method)
    compared = deepcopy(results.compared(task.name, *method))
    add_folds(compared)
    entry = {
        "task": task.label_column,
        "method": method_in_words(*method),
        "event": task.classes[-1],
        "seed": runs[0].get("seed"),
        "n_seeds": len(runs),
        "net_benefit": None,
        "curve": None,
        "abstention": None,
        "prevalences": None,
        "folds": _folds(runs) if results.settings.folds_have_names else None,
        "components": compared["sets"][0]["variance"],
        "variance": None,
    }
    by_source = variance_sentence(compared["sets"][0])
    if by_source:
        entry["variance"] = f"Variance of the AUC. {by_source}"
    clinical = [run["clinical"] for run in runs if run.get("clinical")]
    if len(clinical) == len(runs):
        entry["abstention"] = _rows(
            [c["abstention"] for c in clinical], SHOWN[0]
        )
        if "decision_curve" in clinical[0]:
            entry["curve"] = clinical[0]["decision_curve"]
            entry["net_benefit"] = _net_benefit(clinical)
            entry["prevalences"] = _rows(
                [c["prevalences"] for c in clinical], "ppv"
            )
    entry["missing"] = _missing(results, entry, compared["no_interval"])
    entry["sentences"] = _sentences(entry)
    return entry


def _net_benefit(clinical: Sequence[Dict]) -> List[Dict]:
    """Rows of the decision curves, one for each threshold that is shown."""
    curves = []
    for curve in (c["decision_curve"] for c in clinical):
        n = len(curve["thresholds"])
        columns = {
            name: curve[name] or [None] * n
            for name in (
                "model",
                "model_ci95",
                "treat_all",
                "gain",
                "gain_ci95",
            )
        }
        columns["threshold"] = curve["thresholds"]
        rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
        curves.append([r for r in rows if r["threshold"] in _THRESHOLDS])
    return _rows(curves, "gain")


def _rows(by_seed: Sequence[List[Dict]], name: str) -> List[Dict]:
    """The first seed's rows, with the ends of a figure over all seeds."""
    return [
        {**rows[0], "ends": _ends([row.get(name) for row in rows])}
        for rows in zip(*by_seed)
    ]


def _ends(values: Sequence[Optional[float]]) -> Optional[List[float]]:
    known = [value for value in values if value is not None]
    return [min(known), max(known)] if len(known) > 1 else None


def _folds(runs: Sequence[Dict]) -> Optional[List[Dict]]:
    """A row for each left-out fold, in the order of the runs."""
    by_seed = [run["by_fold"]["each"] for run in runs if run.get("by_fold")]
    if len(by_seed) < len(runs):
        return None
    names = "n", "n_patients", "auc", "auc_ci95", "no_interval"
    names += "sensitivity_at_spec80", "specificity_at_threshold"
    return [
        {
            "number": i,
            **{name: row.get(name) for name in names},
            "ends": row["ends"],
        }
        for i, row in enumerate(_rows(by_seed, "auc"), start=1)
    ]


def _missing(results, entry, no_interval) -> List[str]:
    """A sentence for each part that this study cannot have."""
    lines, n_classes = [], len(results.settings.tasks[0].classes)
    if entry["abstention"] is None:
        lines.append(
            "Net benefit, abstention and other prevalences: its runs are older "
            "than these figures; train them again."
        )
    elif entry["net_benefit"] is None:
        lines.append(
            "Net benefit and other prevalences are defined for two classes; "
            f"{entry['task']} has {n_classes}."
        )
    if no_interval:
        lines.append(f"Intervals over patients: none, {no_interval}.")
    if entry["variance"] is None:
        lines.append(
            "Variance by source: patients are the only source that this study "
            "can estimate."
            if entry["components"]
            else "Variance by source: there are too few patients to estimate it."
        )
    if not entry["folds"]:
        why = "the study has no folds by a column"
        if results.settings.folds:
            why = "its folds were made of patients, not of places"
            if results.settings.folds_have_names:
                why = "its runs do not have results by fold"
        lines.append(f"Left-out sites: none; {why}.")
    return lines


# Sentences of the paper.


def _sentences(entry) -> List[str]:
    """Sentences on what is available."""
    parts: Dict[str, Callable] = {
        "curve": net_benefit_sentence,
        "abstention": _abstention_sentence,
        "prevalences": _prevalence_sentence,
        "variance": str,
        "folds": _folds_sentence,
    }
    written = (write(entry[x]) for x, write in parts.items() if entry[x])
    known = list(filter(None, written))
    if known and entry["abstention"]:
        model = f"Decisions of {entry['method']} (seed {entry['seed']}):"
        known[0] = f"{model} {known[0][0].lower()}{known[0][1:]}"
    return known


def _abstention_sentence(rows) -> Optional[str]:
    part = next((row for row in rows if row["coverage"] == _COVERAGE), None)
    if part is None:
        return None
    name = SHOWN[0]
    return (
        f"If the least certain {100 * (1 - _COVERAGE):.0f} % of recordings are "
        f"left to a person, {METRICS[name].words} of the others is "
        f"{with_interval(part, name)}, of all {with_interval(rows[0], name)}."
    )


def _prevalence_sentence(rows) -> Optional[str]:
    known = [row for row in rows if row.get("ppv") is not None]
    if not known:
        return None
    row = known[0]
    text = (
        f"At a prevalence of {row['prevalence']:g}, the positive predictive "
        f"value at 80 % specificity is {with_interval(row, 'ppv')}"
    )
    before, after = row["intercept"], row["intercept_corrected"]
    if before is not None and after is not None:
        text += (
            f", and the calibration intercept {before:+.2f} before and "
            f"{after:+.2f} after correction for it (0 is right)"
        )
    return f"{text}."


def _folds_sentence(rows) -> Optional[str]:
    known = [row for row in rows if row["auc"] is not None]
    if not known:
        return None
    ends = [pick(row["auc"] for row in known) for pick in (min, max)]
    return (
        f"AUC of {count(len(known), 'left-out fold')}, each by the model "
        f"trained without it: {interval_in_words(ends)}."
    )
