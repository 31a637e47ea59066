"""Reliability diagrams: predicted probability and observed share."""

from typing import Dict, Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from cry_modules.figures.sheet import COLUMN, SMALLEST, sheet, with_ci95
from cry_modules.figures.style import CHANCE, GREY, look
from cry_modules.metrics.calibration import N_BINS, bin_of, event_probabilities
from cry_modules.metrics.curves import ReliabilityBin, reliability


def draw_groups(
    axes: Axes, groups: Sequence[ReliabilityBin], properties: Dict
) -> None:
    """Draw a point for each group of similar predictions, observed share over
    mean predicted probability, and its interval as a bar."""
    predicted, observed, low, high = zip(*groups)
    colour = properties["color"]
    axes.vlines(predicted, low, high, colour, linewidth=1.1, alpha=0.6)
    axes.plot(predicted, observed, **properties)


def set_axes(axes: Axes, groups: Iterable[ReliabilityBin]) -> None:
    """Draw the diagonal of perfect calibration, and end both axes at 1, or
    earlier if all points of a rare class are near 0."""
    top = max(max(group.predicted, group.high) for group in groups)
    limit = 1.0 if top > 0.4 else 1.05 * top
    axes.plot([0, limit], [0, limit], **CHANCE)
    ends = (-0.02 * limit, 1.02 * limit)
    axes.set(xlim=ends, ylim=ends)


def draw_calibration(run, folder) -> None:
    """Write a classifier's reliability diagram, with a histogram of its
    predictions, as png and svg."""
    predicted, _ = event_probabilities(run.test.labels, run.test.scores)
    n_of = np.bincount(bin_of(predicted), minlength=N_BINS)
    groups = reliability([run.test])
    whose, observed = "of the predicted class", "share that is right"
    if len(run.classes) == 2:
        whose = f"of {run.classes[1]}"
        observed = f"share that is {run.classes[1]}"
    caption = f"{run.caption} {_caption(run.blocks['recording'])}"
    with sheet(folder, "calibration", (COLUMN, 4.4), caption) as figure:
        upper, lower = figure.subplots(2, height_ratios=[5, 1])
        upper.set_title("Calibration")
        upper.set(xlabel="predicted probability, mean of a group")
        upper.set_ylabel(observed)
        set_axes(upper, groups)
        points = {**look(0), "linestyle": "", "markersize": 5}
        draw_groups(upper, groups, points)
        lower.set(xlabel=f"predicted probability {whose}", ylabel="n")
        lower.set(xlim=(-0.02, 1.02), ylim=(0, 1.7 * n_of.max()), yticks=[])
        lower.grid(False)
        bars = lower.bar(
            (np.arange(N_BINS) + 0.5) / N_BINS, n_of, 0.9 / N_BINS,
            color=GREY, alpha=0.6,
        )  # fmt: skip
        texts = [f"{n}" if n < 10000 else f"{n / 1000:.0f}k" for n in n_of]
        lower.bar_label(bars, texts, fontsize=SMALLEST)


def _caption(block) -> str:
    text = f"Expected calibration error {with_ci95(block, 'ece')}."
    if len(block["per_class"]) == 2:
        text += (
            f" Slope {with_ci95(block, 'calibration_slope')}, 1 is right. "
            f"Intercept {with_ci95(block, 'calibration_intercept')}, 0 is "
            "right."
        )
    return (
        f"{text} Points: equally large groups of recordings by predicted "
        "probability; bars: 95 % Wilson intervals that count patients; n: "
        "recordings in the error's bins, which are equally wide."
    )
