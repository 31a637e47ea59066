"""Scores of patients and of their recordings, a strip for each class."""

import textwrap
from typing import Dict

import numpy as np
from matplotlib.ticker import NullLocator

from cry_modules.figures import sheet
from cry_modules.figures.confusion import MOST_NAMES, at_threshold
from cry_modules.figures.ranking import (
    AT_SPECIFICITY,
    MOST_CURVES,
    operating_point,
)
from cry_modules.figures.style import (
    GREY,
    INK,
    PAGE,
    add_legend,
    look,
    shortened,
)
from cry_modules.metrics.curves import ROC

#: Scores nearer to 0 or 1 are drawn at this distance.
_SMALLEST = 1e-4
_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_TICKS_OF_A_WIDE_RANGE = (0.0001, 0.01, 0.5, 0.99, 0.9999)
_RECORDING = {
    "marker": "|", "linestyle": "", "color": GREY, "markeredgewidth": 0.6,
}  # fmt: skip
#: Height of a patient's name, inches.
_NAME = 0.12
_DOT = {"color": INK, "marker": "o", "markersize": 4, "linestyle": ""}
_ENTRIES = [
    ("patient, correctly classified", _DOT),
    ("misclassified", {**_DOT, "markerfacecolor": PAGE}),
    ("recording", {**_RECORDING, "markersize": 5}),
]
_THRESHOLD = {"color": INK, "linestyle": "--", "linewidth": 0.9}


def draw_patients(run, folder, names: bool = False) -> None:
    """Write a classifier's scores of patients and their recordings as png and
    svg; with the names of the patients on request."""
    threshold = run.choices["patient"].at_specificity
    shown = np.unique(run.patients.labels).tolist()  # from below
    if len(run.classes) > 2:
        shown = shown[::-1]
    height = float(np.clip(0.17 * len(shown), 3.2, 9))
    if names:
        height = max(height, _NAME * len(run.patients.labels) + 0.2)
    strip = 72 * 0.9 * height / len(shown)  # pt
    size = sheet.COLUMN, height + 1.1
    caption, entries = f"{run.caption} {_caption(run)}", list(_ENTRIES)
    with sheet.sheet(folder, "patients", size, caption) as figure:
        axes = figure.subplots()
        macro = "macro " if len(run.classes) > 2 else ""
        auc = sheet.with_ci95(run.blocks["patient"], "auc")
        figure.suptitle(f"Scores by patient\n{macro}AUC {auc}")
        for place, k in enumerate(shown):
            rows = _draw_strip(axes, run, k, place, strip)
            for patient, y in rows.items() if names else ():
                _write_name(axes, patient, y)
        if isinstance(threshold, float):  # not one of each fold
            axes.axvline(_clipped(threshold), **_THRESHOLD)
            entries.append(("threshold", _THRESHOLD))
        _name_strips(axes, run, shown)
        _scale(axes, run)
        add_legend(figure, entries, ncols=2)


def _draw_strip(axes, run, k, place, strip) -> Dict[str, float]:
    """Draw the patients of a class, a row each from the lowest score on; return
    their places."""
    units, x = run.patients, _clipped(_scores(run.patients))
    rows = np.flatnonzero(units.labels == k)
    rows = rows[np.argsort(x[rows], kind="stable")]
    y = place + 0.05 + 0.9 * (np.arange(len(rows)) + 0.5) / len(rows)
    row_of = {units.patients[i]: at for i, at in zip(rows, y)}
    recordings = np.flatnonzero(run.test.labels == k)
    axes.plot(
        _clipped(_scores(run.test))[recordings],
        [row_of[run.test.patients[i]] for i in recordings],
        **_RECORDING, markersize=np.clip(strip / len(rows), 2.5, 5),
    )  # fmt: skip
    choices = run.choices["patient"]
    predicted = at_threshold(units, choices)
    if predicted is None:
        predicted = choices.balanced_predictions(units.scores)
    wrong = predicted[rows] != k
    style = {**look(k), "markersize": np.clip(strip / len(rows), 2, 5)}
    for which, face in ((~wrong, style["color"]), (wrong, PAGE)):
        axes.plot(
            x[rows][which], y[which], **style, linestyle="",
            markeredgewidth=0.7, markerfacecolor=face,
        )  # fmt: skip
    if strip > 5:
        axes.axhline(place, color=GREY, linewidth=0.5)
    return row_of


def _write_name(axes, patient, y) -> None:
    axes.text(
        1.01, y, shortened(patient, 20), transform=axes.get_yaxis_transform(),
        fontsize=sheet.SMALLEST, va="center",
    )  # fmt: skip


def _scores(units) -> np.ndarray:
    """Probability of the positive class; with more than two, of the true one."""
    if len(units.classes) == 2:
        return units.scores[:, 1]
    return units.scores[np.arange(len(units.labels)), units.labels]


def _clipped(scores):
    return np.clip(scores, _SMALLEST, 1 - _SMALLEST)


def _name_strips(axes, run, shown) -> None:
    n_of = np.bincount(run.patients.labels)
    names = [run.classes[k] for k in shown]
    if len(shown) <= MOST_CURVES:
        names = [
            f"{textwrap.fill(name, 12)}\nn = {n_of[k]}"
            for k, name in zip(shown, names)
        ]
    if len(shown) > MOST_NAMES:
        names = [""] * len(names)
    axes.set_ylim(0, len(shown))
    axes.set_yticks(np.arange(len(shown)) + 0.5, names)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")


def _scale(axes, run) -> None:
    """Show probabilities on an axis of log-odds, 0.1 to 0.9 at least."""
    both = [0.09, 0.91, *_scores(run.patients), *_scores(run.test)]
    low, high = _clipped([min(both), max(both)])
    ends = 0.75 * low, 1 - 0.75 * (1 - high)
    axes.set_xscale("logit")
    axes.set_xlim(ends)
    is_wide = high / (1 - high) * (1 - low) / low > 1e6
    ticks = _TICKS_OF_A_WIDE_RANGE if is_wide else _TICKS
    ticks = [p for p in ticks if ends[0] <= p <= ends[1]]
    axes.set_xticks(ticks, [f"{p:g}" for p in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    whose = "the true class" if len(run.classes) > 2 else run.classes[1]
    axes.set_xlabel(f"predicted probability of {whose}")


def _caption(run) -> str:
    choices = run.choices["patient"]
    how = "Classified with balanced class priors"
    if choices.at_specificity is not None:
        how = (
            f"Classified at {sheet.threshold_in_words(choices)}, chosen on "
            f"validation {AT_SPECIFICITY}"
        )
        block, classes = run.blocks["patient"], run.test.classes
        point = operating_point(ROC, block, classes)
        how += f": {point[2]}" if point else ""
    text = (
        "A row for each patient, from the lowest score on; patient's score: "
        f"{run.patient_score.replace('_', ' ')} of the recordings. {how}."
    )
    scores = np.concatenate([_scores(run.patients), _scores(run.test)])
    if np.any(scores != _clipped(scores)):
        text += (
            f" Scores below {_SMALLEST:g} or above {1 - _SMALLEST:g} are drawn "
            "there."
        )
    return text
