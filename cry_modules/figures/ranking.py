"""ROC curves, and curves of precision over recall."""

from typing import Dict, List, Optional, Tuple

import numpy as np
from matplotlib.axes import Axes

from cry_modules.figures import style
from cry_modules.figures.sheet import (
    COLUMN,
    sheet,
    threshold_in_words,
    with_ci95,
)
from cry_modules.metrics.curves import GRID, ROC, CurveKind, mean_and_band
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import OPERATING_SHARE, ranked_classes
from cry_modules.metrics.within_folds import ranked_in_folds

#: With more classes, only the mean of their curves is drawn.
MOST_CURVES = 8
AT_SPECIFICITY = f"for {100 * OPERATING_SHARE:.0f} % specificity"

_DIAMOND = {
    "marker": "D", "markersize": 5.5, "linestyle": "",
    "color": style.SERIES[1], "markeredgecolor": style.INK,
    "markeredgewidth": 0.7, "clip_on": False, "zorder": 5,
}  # fmt: skip


def no_curve(test: Predictions, which: str = "") -> Optional[str]:
    """Reason why recordings (`which`) have no curve, or None."""
    present = np.unique(test.labels)
    if len(present) == 1:
        name = style.shortened(test.classes[present[0]], 20)
        return f"no curve: all{which} are {name}"
    if not len(test.with_pairs().ids):
        return "no curve: no fold has two classes"
    return None


def draw_curve(axes: Axes, kind: CurveKind, x, y, properties: Dict, band=None):
    """Draw a curve and its bootstrap band, ``[2, 201]`` (lower and upper
    limits); return the line for the legend."""
    if band is not None:
        axes.fill_between(
            GRID, *band, color=properties["color"], alpha=0.16, linewidth=0
        )
    return axes.plot(x, y, drawstyle=kind.drawstyle, **properties)[0]


def draw_chance(axes: Axes, kind: CurveKind, test: Predictions) -> Tuple:
    """Draw what guessing gives: the diagonal for ROC, else the share of
    positives (mean share of a class); return its entry of the legend."""
    if kind is ROC:
        axes.plot([0, 1], [0, 1], **style.CHANCE)
        return "chance", style.CHANCE
    test = test.with_pairs()  # the recordings that the curve is about
    ranked = ranked_classes(test.labels, len(test.classes))
    share = np.mean([np.mean(test.labels == k) for k in ranked])
    axes.axhline(share, **style.CHANCE)
    is_binary = len(test.classes) == 2
    name = "share of positives" if is_binary else "mean share of a class"
    return f"chance: {name} {share:.3f}", style.CHANCE


def set_axes(axes: Axes, kind: CurveKind) -> None:
    """Label the axes of a ROC or precision-recall curve, and give both the
    range from 0 to 1."""
    axes.set(xlabel=kind.x, ylabel=kind.y)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def draw_ranking(run, kind: CurveKind, folder) -> None:
    """Write a classifier's ROC or precision-recall curve as png and svg."""
    n_lines, draw = 4, _draw_positive_class  # two of the operating point
    if len(run.classes) > 2:
        is_mean = len(run.classes) > MOST_CURVES
        draw = _draw_mean if is_mean else _draw_classes
        n_lines = 1 + min(MOST_CURVES, len(np.unique(run.test.labels)))
    size = COLUMN, 3.3 + 0.17 * n_lines
    why_none = no_curve(run.test, " test recordings")
    caption = run.caption + ("" if why_none else _caption(run, kind))
    with sheet(folder, kind.name, size, caption) as figure:
        axes = figure.subplots()
        axes.set_title(_title(run, kind))
        if why_none:
            axes.set(xlabel=kind.x, ylabel=kind.y)
            style.write_in(axes, why_none)
            return
        set_axes(axes, kind)
        style.add_legend(figure, draw(axes, run, kind), ncols=1)


def _draw_positive_class(axes, run, kind) -> List[Tuple]:
    """Draw the curve with its band, and the operating point; return entries
    of the legend."""
    block, test = run.blocks["recording"], run.test
    band = None
    if block[f"{kind.measure}_ci95"] is not None:
        n_draws = block["bootstrap_draws"]
        _, band = mean_and_band(kind, [test], n_draws, run.seed)
    label = f"{kind.words} {with_ci95(block, kind.measure)}"
    curve = draw_curve(axes, kind, *_points(kind, test, 1), style.line(0), band)
    entries = [(label, curve)]
    point = operating_point(kind, block, test.classes)
    if point:
        x, y, text = point
        label = f"at {threshold_in_words(run.choices['recording'])}:\n{text}"
        entries += [(label, axes.plot(x, y, **_DIAMOND)[0])]
    return [*entries, draw_chance(axes, kind, test)]


def _points(kind, test, k):
    return next(iter(kind.curves(test, k, np.ones((1, len(test.labels))))))


def operating_point(kind: CurveKind, block: Dict, classes) -> Optional[Tuple]:
    """Position and description of the threshold chosen on validation, ``(x, y,
    text)``; None without a threshold, and where the precision at it is not
    defined."""
    sensitivity = block["sensitivity_at_spec80"]
    specificity = block["specificity_at_threshold"]
    if sensitivity is None or specificity is None:
        return None
    if kind is ROC:
        text = f"sensitivity {sensitivity:.3f}, specificity {specificity:.3f}"
        return 1 - specificity, sensitivity, text
    n_neg, n_pos = (block["per_class"][name]["n"] for name in classes)
    predicted = n_pos * sensitivity + n_neg * (1 - specificity)
    if not predicted:
        return None
    precision = n_pos * sensitivity / predicted
    text = f"recall {sensitivity:.3f}, precision {precision:.3f}"
    return sensitivity, precision, text


def _draw_classes(axes, run, kind) -> List[Tuple]:
    """Draw a curve for each class against the rest."""
    entries, shares = [], []
    for k in ranked_in_folds(run.test.labels, len(run.classes), run.test.folds):
        block = run.blocks["recording"]["per_class"][run.test.classes[k]]
        properties = {
            **style.line(k), **style.look(k), "markersize": 4,
            "linewidth": 1.2, "markevery": (0.02 * k, 0.15),
        }  # fmt: skip
        share = np.mean(run.test.labels == k)
        label = f"{run.classes[k]}: {block[kind.measure]:.3f}"
        points = _points(kind, run.test, k)
        curve = draw_curve(axes, kind, *points, properties)
        entries.append((f"{label}, share {share:.3f}", curve))
        shares.append((properties["color"], share))
    if kind is ROC:
        return [*entries, draw_chance(axes, kind, run.test)]
    for colour, share in shares:
        axes.axhline(share, **{**style.CHANCE, "color": colour})
    return [*entries, ("chance: share of the class", style.CHANCE)]


def _draw_mean(axes, run, kind) -> List[Tuple]:
    """Draw the mean of the curves of all classes."""
    ranked = ranked_in_folds(run.test.labels, len(run.classes), run.test.folds)
    mean, _ = mean_and_band(kind, [run.test], 0)
    curve = draw_curve(axes, kind, GRID, mean, style.line(0))
    label = f"mean of {len(ranked)} classes"
    return [(label, curve), draw_chance(axes, kind, run.test)]


def _title(run, kind) -> str:
    if len(run.classes) == 2:
        return f"{kind.title} of {run.classes[1]}"
    macro = run.blocks["recording"][kind.measure]
    value = "not defined" if macro is None else f"{macro:.3f}"
    return f"{kind.title}\nmacro {kind.words} {value}"


def _caption(run, kind) -> str:
    block, n_classes = run.blocks["recording"], len(run.classes)
    has_band = block[f"{kind.measure}_ci95"] is not None
    text = _caption_of_folds(run.test, kind)
    if n_classes == 2:
        text += _caption_of_point(run, kind)
        if has_band:
            text += (
                f" Band: 95 % of {block['bootstrap_draws']} draws of patients "
                "with replacement, pointwise."
            )
    else:
        each = " Each class against the rest."
        if n_classes > MOST_CURVES:
            each = " Mean over the classes, each against the rest."
        text += each
        missing = n_classes - len(np.unique(run.test.labels))
        if missing:
            text += f" Classes without test recordings: {missing}."
        value = with_ci95(block, kind.measure)
        text += f" Macro {kind.words} {value}."
    if has_band or block[kind.measure] is None:
        return text
    why = block["no_interval"] or "the draws of patients give none"
    return f"{text} No interval: {why}."


def _caption_of_folds(test, kind) -> str:
    if test.folds is None:
        return ""
    if kind is ROC:
        return " Each positive among the negatives of its fold."
    return " Scores standardised within folds."


def _caption_of_point(run, kind) -> str:
    if operating_point(kind, run.blocks["recording"], run.test.classes):
        return f" Diamond: threshold chosen on validation {AT_SPECIFICITY}."
    if run.choices["recording"].at_specificity is None:
        return " Validation gives no threshold."
    return " No recording is predicted positive at the validation threshold."
