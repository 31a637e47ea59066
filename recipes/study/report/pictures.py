"""Pictures of a study's report, all as ``svg.Picture``.

What is None is left out, and the words of the picture say so.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from matplotlib.lines import Line2D

from cry_modules.figures.training import draw_panels, panels, without_averages
from recipes.study.report.picture_curves import calibration, ranking
from recipes.study.report.picture_rows import (
    SEED,
    SEEDS_AND_PATIENTS,
    Ends,
    ForestRow,
    auc_by_encoder,
    defined,
    forest,
    forgetting,
    missing_in_words,
)
from recipes.study.report.picture_sounds import embedding_maps, views
from recipes.study.report.svg import Picture, drawing, legend, look, words

__all__ = [
    "ForestRow", "FractionCurve", "auc_by_encoder", "calibration",
    "embedding_maps", "forest", "forgetting", "label_fractions", "ranking",
    "training", "views",
]  # fmt: skip

# Fractions of the labels.


class FractionCurve(NamedTuple):
    """An encoder with ever more labels.

    Arguments
    ---------
    name : str
        Of the encoder.
    fractions : sequence of float
        Of the labels, above 0 to 1, rising.
    means : sequence of float or None
        At each fraction, over seeds.
    ci95 : sequence of (float, float) or None
        At each fraction; None for the sequence where none has any.
    by_seed : sequence of sequences of float
        At each fraction.
    """

    name: str
    fractions: Sequence[float]
    means: Sequence[Optional[float]]
    ci95: Optional[Sequence[Ends]]
    by_seed: Sequence[Sequence[Optional[float]]]


def label_fractions(
    name: str,
    title: str,
    curves: Sequence[FractionCurve],
    measure: str = "test AUC",
) -> Picture:
    """A figure over the share of the labels, with patient bands and seeds."""
    if not any(defined(curve.means) for curve in curves):
        return words(name, title, f"No {measure} by share of labels is there.")
    alt = _about_fractions(curves, measure)
    with drawing(name, (620, 380), title, alt) as (figure, picture):
        axes = figure.subplots()
        axes.set_xscale("log")
        for i, curve in enumerate(curves):
            _draw_fractions(axes, curve, look(i))
        ticks = sorted({x for curve in curves for x in curve.fractions})
        axes.set_xticks(ticks, [f"{100 * x:g} %" for x in ticks])
        axes.minorticks_off()
        axes.set(xlabel="share of the training labels", ylabel=measure)
        entries = {
            curve.name: {**look(i), "markersize": 5}
            for i, curve in enumerate(curves)
        }
        legend(figure, {**entries, **SEEDS_AND_PATIENTS})
    return picture


def _draw_fractions(axes, curve, style) -> None:
    kept = [i for i, mean in enumerate(curve.means) if mean is not None]
    x, y = ([part[i] for i in kept] for part in (curve.fractions, curve.means))
    axes.plot(x, y, **style, markersize=5, linewidth=1.5)
    ends = curve.ci95 or [None] * len(curve.means)
    ends = [ends[i] or (np.nan, np.nan) for i in kept]
    low, high = np.reshape(ends, (-1, 2)).T
    axes.fill_between(x, low, high, color=style["color"], alpha=0.13, lw=0)
    # A band alone would not show a point that has no neighbour.
    axes.vlines(x, low, high, style["color"], linewidth=1, alpha=0.7)
    for fraction, values in zip(curve.fractions, curve.by_seed):
        values = defined(values)
        if len(values) > 1:
            at = [fraction] * len(values)
            axes.plot(at, values, color=style["color"], **SEED)


def _about_fractions(curves, measure) -> str:
    about = f"{measure} over the share of the training labels."
    about = about[0].upper() + about[1:]
    missing = []
    for curve in curves:
        found = []
        for fraction, mean in zip(curve.fractions, curve.means):
            if mean is None:
                missing.append(f"{curve.name} at {100 * fraction:g} %")
            else:
                found.append(f"{mean:.3f} at {100 * fraction:g} %")
        if found:
            about += f" {curve.name}: {', '.join(found)}."
    return about + missing_in_words(missing)


# Training.


def training(
    name: str, title: str, histories: Dict[str, List[Dict]]
) -> Picture:
    """What was measured in trainings, a panel each."""
    about = histories
    histories = {n: without_averages(rows) for n, rows in histories.items()}
    keys = {key for rows in histories.values() for row in rows for key in row}
    shown = panels(sorted(keys))
    if not shown:
        return words(name, title, "Nothing was measured in training.")
    n_columns = 2 if len(shown) in (2, 4) else min(3, len(shown))
    n_rows = -(-len(shown) // n_columns)
    size = 300 * max(n_columns, 2), 215 * n_rows + 30 + 14 * len(histories)
    alt = _about_training(shown, about)
    with drawing(name, size, title, alt) as (figure, picture):
        draw_panels(figure, shown, histories, n_columns)
        for line in figure.findobj(_is_white_marker):
            line.set_markerfacecolor("none")  # the page may be dark
    return picture


def _is_white_marker(artist) -> bool:
    return (
        isinstance(artist, Line2D) and artist.get_markerfacecolor() == "white"
    )


def _about_training(shown, histories) -> str:
    about = f"By epoch: {', '.join(panel.title for panel in shown)}."
    for run, rows in histories.items():
        n_epochs = max((row["epoch"] for row in rows), default=0)
        last = [
            f"{key.replace('_', ' ')} {rows[-1][key]:.4g}"
            for key in ("train_loss", "valid_loss", "valid_auc")
            if rows and rows[-1].get(key) is not None
        ]
        ends = f", at the end {', '.join(last)}" if last else ""
        plural = "" if n_epochs == 1 else "s"
        about += f" {run}: {n_epochs} epoch{plural}{ends}."
    return about
