"""Curves of test scores, a panel a fine-tuning mode: how they rank, and
whether they are probabilities.
"""

from contextlib import contextmanager
from typing import Dict, List, Optional, Tuple

import numpy as np

from cry_modules.figures.results import (
    PRECISION_RECALL,
    ROC,
    Group,
    Ranking,
    groups,
)
from cry_modules.figures.views import shortened
from cry_modules.metrics.bootstrap import patient_weights, why_no_interval
from cry_modules.metrics.calibration import (
    calibration_error,
    event_probabilities,
)
from cry_modules.metrics.compare import RunSet
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import (
    macro,
    ranked_classes,
    weighted_auc,
    weighted_average_precision,
)
from recipes.study.report.svg import GREY, Picture, drawing, legend, look, words

#: Sets of runs by the title of their panel.
Panels = Dict[str, List[RunSet]]

#: Draws of patients; a band at each point needs fewer than a printed figure.
N_DRAWS = 500

_FIGURES = {ROC: weighted_auc, PRECISION_RECALL: weighted_average_precision}
#: Where ``Ranking.at`` gives heights: those of the diagonal.
GRID = ROC.at(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
_DASHES = ("-", "--", "-.", (0, (1, 1)))
_CHANCE = {"color": GREY, "linestyle": (0, (4, 3)), "linewidth": 1}
_POINT = {"markersize": 4, "linewidth": 1.2}
_MOST_IN_A_ROW = 3


def ranking(
    name: str,
    title: str,
    kind: Ranking,
    panels: Panels,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Picture:
    """ROC curves, or precision and recall: the mean height over seeds (and
    over classes, where there are more than two), with the band of 95 % of
    the draws of patients.
    """
    if not any(panels.values()):
        return words(name, title, "No run is there to draw a curve of.")
    names = _names(panels)
    alt = _about_ranking(kind, panels, n_draws)
    with _grid(name, title, alt, panels) as (figure, picture, cells):
        chance = {}
        for axes, (mode, sets) in zip(cells, panels.items()):
            axes.set_title(shortened(mode))
            axes.set(xlabel=kind.x, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            for one in sets:
                _draw_set(axes, kind, one, names.index(one.name), n_draws, seed)
            chance.update(_draw_chance(axes, kind, sets))
        cells[0].set_ylabel(kind.y)
        entries = {n: _line(i) for i, n in enumerate(names)}
        legend(figure, {**entries, **chance})
    return picture


def mean_and_band(
    kind: Ranking, one: RunSet, n_draws: int = N_DRAWS, seed: int = 0
) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Height of the curve of a set of runs.

    Shapes: band ``[2, len(GRID)]``.
    """
    mean = _heights(kind, one, np.ones((1, len(one.predictions[0].labels))))[0]
    first = one.predictions[0]
    if why_no_interval(first.labels, first.patients, first.classes):
        return mean, None
    drawn = np.concatenate(
        [
            _heights(kind, one, weights)
            for weights in patient_weights(first.patients, seed, n_draws)
        ]
    )
    drawn = drawn[np.isfinite(drawn[:, 0])]
    if len(drawn) < max(1, n_draws / 2):
        return mean, None
    return mean, np.quantile(drawn, [0.025, 0.975], axis=0)


def _heights(kind, one, weights) -> np.ndarray:
    """Mean over seeds and classes in each draw, [draws, grid]; NaN where a
    class is not drawn."""
    return np.mean(
        [
            _heights_of_class(kind, p.labels == k, p.scores[:, k], weights)
            for p in one.predictions
            for k in ranked_classes(p.labels, len(p.classes))
        ],
        axis=0,
    )


def _heights_of_class(kind, positive, scores, weights) -> np.ndarray:
    found = np.full((len(weights), len(GRID)), np.nan)
    # The draws that `points` does not leave out.
    known = (weights @ positive > 0) & (weights @ ~positive > 0)
    curves = zip(*kind.points(positive, scores, weights))
    for row, curve in zip(np.flatnonzero(known), curves):
        found[row] = kind.at(*curve)
    return found


def _draw_set(axes, kind, one, i, n_draws, seed) -> None:
    if _only_class(one):
        return
    mean, band = mean_and_band(kind, one, n_draws, seed)
    if band is not None:
        low, high = band[:, ::2]  # fewer points, smaller file
        colour = _line(i)["color"]
        axes.fill_between(GRID[::2], low, high, color=colour, alpha=0.15, lw=0)
    axes.plot(GRID, mean, **_line(i))


def _draw_chance(axes, kind, sets) -> Dict[str, Dict]:
    """A line for chance, and its entry of the legend; words where there is
    no curve."""
    ranked = [one.predictions[0] for one in sets if not _only_class(one)]
    if not ranked:
        axes.text(
            0.5, 0.5, _why_no_curve(sets), ha="center", va="center",
            transform=axes.transAxes,
        )  # fmt: skip
        return {}
    if kind is ROC:
        axes.plot([0, 1], [0, 1], **_CHANCE)
        return {"chance": _CHANCE}
    share = _share(ranked[0])
    axes.axhline(share, **_CHANCE)
    return {f"chance: share of positives {share:.3f}": _CHANCE}


def _share(test: Predictions) -> float:
    """Of the positives; of more than two classes, the mean share of one."""
    ranked = ranked_classes(test.labels, len(test.classes))
    return float(np.mean([np.mean(test.labels == k) for k in ranked]))


def _only_class(one) -> Optional[str]:
    """What all test recordings are, where they are of one class."""
    test = one.predictions[0]
    found = np.unique(test.labels)
    return test.classes[found[0]] if len(found) == 1 else None


def _why_no_curve(sets) -> str:
    if not sets:
        return "no runs"
    return f"no curve: all are {shortened(_only_class(sets[0]), 24)}"


def _about_ranking(kind, panels, n_draws) -> str:
    found = [
        f"{mode}: {', '.join(_figure(kind, one) for one in sets)}."
        if sets
        else f"{mode}: no runs."
        for mode, sets in panels.items()
    ]
    bands = [_why_no_band(sets) for sets in panels.values() if sets]
    about = (
        f"{kind.title}: {kind.y} by {kind.x}, the mean over seeds, with the "
        f"band of 95 % of {n_draws} draws of patients at each point. Mean "
        f"{kind.short} over seeds by panel. {' '.join(found)}"
    )
    return " ".join([about, *dict.fromkeys(filter(None, bands))])


def _figure(kind, one) -> str:
    """AUC or average precision of a set, in words."""
    values = [
        macro(_FIGURES[kind], p.labels, p.scores, np.ones((1, len(p.labels))))
        for p in one.predictions
    ]
    mean = float(np.mean(values))
    found = f"{mean:.3f}" if np.isfinite(mean) else "not defined"
    return f"{one.name} {found}"


def _why_no_band(sets) -> Optional[str]:
    first = sets[0].predictions[0]
    why = why_no_interval(first.labels, first.patients, first.classes)
    return why and f"No band: {why}."


# Calibration.


def calibration(name: str, title: str, panels: Panels) -> Picture:
    """What was claimed and how often it was true, in groups of as many
    recordings each; all seeds together.
    """
    if not any(panels.values()):
        return words(name, title, "No run is there whose claims can be drawn.")
    names = _names(panels)
    found = {
        mode: {one.name: reliability(one) for one in sets}
        for mode, sets in panels.items()
    }
    limit = _end_of_axes(found)
    about = _about_calibration(panels)
    with _grid(name, title, about, panels) as (figure, picture, cells):
        for axes, (mode, sets) in zip(cells, found.items()):
            axes.set_title(shortened(mode))
            axes.set(xlabel="claimed probability")
            axes.set(xlim=(-0.02 * limit, limit), ylim=(-0.02 * limit, limit))
            axes.plot([0, limit], [0, limit], **_CHANCE)
            for which, points in sets.items():
                _draw_groups(axes, points, names.index(which))
        cells[0].set_ylabel("share that is true")
        entries = {n: {**look(i), **_POINT} for i, n in enumerate(names)}
        legend(figure, {**entries, "claimed is true": _CHANCE})
    return picture


def reliability(one: RunSet) -> List[Group]:
    """Groups of the recordings of all seeds together; the interval of a group
    still counts each patient once.
    """
    both = [event_probabilities(p.labels, p.scores) for p in one.predictions]
    claimed, happened = (np.concatenate(part) for part in zip(*both))
    patients = [who for p in one.predictions for who in p.patients]
    return groups(claimed, happened, patients)


def _draw_groups(axes, points, i) -> None:
    claimed, share, low, high = zip(*points)
    colour = look(i)["color"]
    axes.vlines(claimed, low, high, colour, linewidth=1, alpha=0.4)
    axes.plot(claimed, share, **look(i), **_POINT)


def _end_of_axes(found) -> float:
    """1.02, or less where nothing would be seen of a rare class."""
    top = max(
        max(group.claimed, group.high)
        for sets in found.values()
        for points in sets.values()
        for group in points
    )
    return 1.02 if top > 0.4 else 1.05 * top


def _about_calibration(panels) -> str:
    errors = " ".join(
        f"{mode}: {', '.join(map(_error, sets)) or 'no runs'}."
        for mode, sets in panels.items()
    )
    return (
        "Claimed probability and share that is true, in up to ten groups of "
        "as many recordings each, all seeds pooled; bars are 95 % Wilson "
        "intervals that count patients. On the diagonal claims are right. "
        f"Expected calibration error, mean over seeds. {errors}"
    )


def _error(one) -> str:
    """Expected calibration error of a set, in words."""
    values = []
    for p in one.predictions:
        ones = np.ones((1, len(p.labels)))
        claimed, happened = event_probabilities(p.labels, p.scores)
        values.append(calibration_error(claimed, happened, ones)[0])
    return f"{one.name} {np.mean(values):.3f}"


# What both share.


def _names(panels) -> List[str]:
    """Of all sets: one has the same look in each panel."""
    return list(
        dict.fromkeys(one.name for sets in panels.values() for one in sets)
    )


def _line(i) -> Dict:
    return {
        "color": look(i)["color"],
        "linestyle": _DASHES[i % len(_DASHES)],
        "linewidth": 1.5,
    }


@contextmanager
def _grid(name, title, alt, panels):
    """A figure with square panels, up to three in a row."""
    n_columns = min(_MOST_IN_A_ROW, len(panels))
    n_rows = -(-len(panels) // n_columns)
    size = max(420, 265 * n_columns), 275 * n_rows + 65
    with drawing(name, size, title, alt) as (figure, picture):
        cells = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for axes in cells[len(panels) :]:
            axes.set_visible(False)
        for axes in cells:
            axes.set_box_aspect(1)
        yield figure, picture, cells[: len(panels)]
