"""ROC curves, and curves of precision over recall."""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes

from cry_modules.figures.sheet import (
    COLUMN,
    sheet,
    threshold_in_words,
    with_ci95,
)
from cry_modules.figures.style import (
    CHANCE,
    DASHES,
    INK,
    SERIES,
    add_legend,
    line,
    look,
    write_in,
)
from cry_modules.metrics.curves import GRID, ROC, CurveKind, mean_and_band
from cry_modules.metrics.ranking import OPERATING_SHARE, ranked_classes

#: With more classes, only the mean of their curves is drawn.
MOST_CURVES = 8
AT_SPECIFICITY = f"for {100 * OPERATING_SHARE:.0f} % specificity"

_DIAMOND = {
    "marker": "D", "markersize": 5.5, "linestyle": "", "color": SERIES[1],
    "markeredgecolor": INK, "markeredgewidth": 0.7, "clip_on": False,
    "zorder": 5,
}  # fmt: skip


def draw_curve(
    axes: Axes,
    kind: CurveKind,
    x: np.ndarray,
    y: np.ndarray,
    properties: Dict,
    band: Optional[np.ndarray] = None,
):
    """Draw a curve and the band of its draws, ``[2, 201]``; return the line
    for the legend."""
    if band is not None:
        axes.fill_between(
            GRID, *band, color=properties["color"], alpha=0.16, linewidth=0
        )
    return axes.plot(x, y, drawstyle=kind.drawstyle, **properties)[0]


def draw_chance(
    axes: Axes, kind: CurveKind, shares: Sequence[Tuple[str, float]]
) -> None:
    """Draw what guessing gives: the diagonal for ROC, else the share of
    positives of each curve, in its colour."""
    if kind is ROC:
        axes.plot([0, 1], [0, 1], **CHANCE)
        return
    for colour, share in shares:
        axes.axhline(share, **{**CHANCE, "color": colour})


def set_axes(axes: Axes, kind: CurveKind) -> None:
    """Name the axes of a ranking and give them equal limits."""
    axes.set(xlabel=kind.x, ylabel=kind.y)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def draw_ranking(run, kind: CurveKind, folder) -> None:
    """Write the sheet of a classifier's ROC curve or precision and recall."""
    caption = f"{run.caption}{_caption(run, kind)}"
    n_lines = 4  # curve, two of the operating point, chance
    if len(run.classes) > 2:
        n_lines = 1 + min(MOST_CURVES, len(np.unique(run.test.labels)))
    size = COLUMN, 3.3 + 0.17 * n_lines
    with sheet(folder, kind.name, size, caption) as figure:
        axes = figure.subplots()
        axes.set_title(_title(run, kind))
        if run.only_class:
            axes.set(xlabel=kind.x, ylabel=kind.y)
            write_in(
                axes, f"no curve: all test recordings are {run.only_class}"
            )
            return
        set_axes(axes, kind)
        draw = _draw_classes
        if len(run.classes) == 2:
            draw = _draw_positive_class
        elif len(run.classes) > MOST_CURVES:
            draw = _draw_mean
        entries = draw(axes, run, kind)
        if kind is ROC:
            entries[-1] = ("chance", CHANCE)
        add_legend(figure, entries, ncols=1)


def _draw_positive_class(axes, run, kind) -> List[Tuple]:
    """Draw the curve with its band, and the operating point; return entries
    of the legend."""
    block, test = run.blocks["recording"], run.test
    band = None
    if block[f"{kind.measure}_ci95"] is not None:
        n_draws = block["bootstrap_draws"]
        _, band = mean_and_band(kind, [test], n_draws, run.seed)
    (x,), (y,) = _points(kind, test, 1)
    label = f"{kind.words} {with_ci95(block, kind.measure)}"
    entries = [(label, draw_curve(axes, kind, x, y, line(0), band))]
    point = operating_point(kind, block, test.classes)
    if point:
        x, y, text = point
        label = f"at {threshold_in_words(run.choices['recording'])}:\n{text}"
        entries += [(label, axes.plot(x, y, **_DIAMOND)[0])]
    share = np.mean(test.labels == 1)
    draw_chance(axes, kind, [(CHANCE["color"], share)])
    return [*entries, (f"chance: share of positives {share:.3f}", CHANCE)]


def _points(kind, test, k):
    ones = np.ones((1, len(test.labels)))
    return kind.points(test.labels == k, test.scores[:, k], ones)


def operating_point(
    kind: CurveKind, block: Dict, classes: Sequence[str]
) -> Optional[Tuple[float, float, str]]:
    """x, y and words of the threshold chosen on validation; None without a
    threshold, and where the precision at it is not defined."""
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
    for k in ranked_classes(run.test.labels, len(run.classes)):
        block = run.blocks["recording"]["per_class"][run.test.classes[k]]
        (x,), (y,) = _points(kind, run.test, k)
        style = {
            **look(k), "linestyle": DASHES[k % len(DASHES)], "markersize": 4,
            "linewidth": 1.2, "markevery": (0.02 * k, 0.15),
        }  # fmt: skip
        share = np.mean(run.test.labels == k)
        label = f"{run.classes[k]}: {block[kind.measure]:.3f}"
        curve = draw_curve(axes, kind, x, y, style)
        entries.append((f"{label}, share {share:.3f}", curve))
        shares.append((style["color"], share))
    draw_chance(axes, kind, shares)
    return [*entries, ("chance: share of the class", CHANCE)]


def _draw_mean(axes, run, kind) -> List[Tuple]:
    """Draw the mean of the curves of all classes."""
    ranked = ranked_classes(run.test.labels, len(run.classes))
    mean, _ = mean_and_band(kind, [run.test], 0)
    curve = draw_curve(axes, kind, GRID, mean, line(0))
    share = np.mean([np.mean(run.test.labels == k) for k in ranked])
    draw_chance(axes, kind, [(CHANCE["color"], share)])
    return [
        (f"mean of {len(ranked)} classes", curve),
        (f"chance: mean share of a class {share:.3f}", CHANCE),
    ]


def _title(run, kind) -> str:
    if len(run.classes) == 2:
        return f"{kind.title} of {run.classes[1]}"
    macro = run.blocks["recording"][kind.measure]
    value = "not defined" if macro is None else f"{macro:.3f}"
    return f"{kind.title}\nmacro {kind.words} {value}"


def _caption(run, kind) -> str:
    block, n_classes = run.blocks["recording"], len(run.classes)
    if run.only_class:
        return ""
    text = " Each class against the rest."
    if n_classes == 2:
        text = _caption_of_point(run, kind)
        if block[f"{kind.measure}_ci95"] is not None:
            text += (
                f" Band: 95 % of {block['bootstrap_draws']} draws of patients "
                "with replacement, pointwise."
            )
    else:
        if n_classes > MOST_CURVES:
            text = " Mean over the classes, each against the rest."
        missing = n_classes - len(np.unique(run.test.labels))
        if missing:
            text += f" Classes without test recordings: {missing}."
        value = with_ci95(block, kind.measure)
        text += f" Macro {kind.words} {value}."
    if block[kind.measure] is None or block[f"{kind.measure}_ci95"]:
        return text
    why = block["no_interval"] or "the draws of patients give none"
    return f"{text} No interval: {why}."


def _caption_of_point(run, kind) -> str:
    if operating_point(kind, run.blocks["recording"], run.test.classes):
        return f" Diamond: threshold chosen on validation {AT_SPECIFICITY}."
    if run.choices["recording"].at_specificity is None:
        return " Validation gives no threshold."
    return " No recording is predicted positive at the validation threshold."
