"""Pictures of curves, training, views and embeddings in a study's report.

Undefined values are left out, and the descriptions name them.
"""

from contextlib import contextmanager
from typing import Callable, Dict, List

import numpy as np

from cry_modules.figures import (
    calibration as reliability_diagrams,
    ranking as curves_of_scores,
    style,
)
from cry_modules.figures.page import WIDTH, Picture, drawing
from cry_modules.figures.training import draw_panels, shown_panels
from cry_modules.figures.views import Pair, draw_pair, in_words, limit_of
from cry_modules.metrics.bootstrap import why_no_interval
from cry_modules.metrics.calibration import (
    calibration_error,
    event_probabilities,
)
from cry_modules.metrics.compare import RunSet
from cry_modules.metrics.curves import (
    GRID,
    CurveKind,
    mean_and_band,
    reliability,
)
from data_prep.files.words import count
from recipes.study.report.results import Cell
from recipes.study.report.rows import (
    SEED,
    SEEDS_AND_PATIENTS,
    defined,
    undefined_in_words,
)

#: Sets of runs, at least one, by the title of their panel.
Panels = Dict[str, List[RunSet]]

#: Draws of patients; a band at each point needs fewer than an interval.
N_DRAWS = 500
#: Patients with few recordings: grey, below the others.
OTHERS = "others"

_NOT_GIVEN = "not given"
_MOST_NAMES = 8  # values in a legend
_CELL = 255, 240  # px, of a map
#: More lines than this have no bands; factor between neighbours' shares.
_BANDS, _APART = 2, 1.03
_POINTS = {"markersize": 4, "linewidth": 1.2}


# A panel for each fine-tuning mode.


def ranking(name: str, title: str, kind: CurveKind, panels: Panels) -> Picture:
    """ROC curves, or precision and recall: mean over seeds and classes, with
    the band of the draws of patients.
    """
    names, chance = _names(panels), ("chance", style.CHANCE)
    alt = _describe_ranking(kind, panels)
    with _grid(name, title, alt, panels) as (figure, picture, cells):
        for axes, (mode, sets) in zip(cells, panels.items()):
            curves_of_scores.set_axes(axes, kind)
            axes.set_title(style.shortened(mode))
            test = sets[0].predictions[0]  # all sets have the same recordings
            why_none = curves_of_scores.no_curve(test)
            if why_none:
                style.write_in(axes, why_none)
                continue
            for runs in sets:
                mean, band = mean_and_band(kind, runs.predictions, N_DRAWS)
                look = style.line(names.index(runs.name))
                curves_of_scores.draw_curve(axes, kind, GRID, mean, look, band)
            chance = curves_of_scores.draw_chance(axes, kind, test)
        entries = [(label, style.line(i)) for i, label in enumerate(names)]
        style.add_legend(figure, [*entries, chance])
    return picture


def _describe_ranking(kind, panels) -> str:
    text = (
        f"{kind.title}: {kind.y} by {kind.x}, the mean over seeds, with the "
        f"band of 95 % of {N_DRAWS} draws of patients at each point. Mean "
        f"{kind.words} over seeds by panel. {_by_panel(panels, kind.value)}"
    )
    first = next(iter(panels.values()))[0].predictions[0]
    why = why_no_interval(first.labels, first.patients, first.classes)
    return f"{text} No band: {why}." if why else text


def _by_panel(panels, value) -> str:
    """Mean over seeds of a value of predictions, for each set of a panel."""
    parts = []
    for mode, sets in panels.items():
        texts = []
        for runs in sets:
            mean = np.mean([value(p) for p in runs.predictions])
            number = f"{mean:.3f}" if np.isfinite(mean) else "not defined"
            texts.append(f"{runs.name} {number}")
        parts.append(f"{mode}: {', '.join(texts)}.")
    return " ".join(parts)


def calibration(name: str, title: str, panels: Panels) -> Picture:
    """Reliability diagrams; a point is a group of recordings of all seeds,
    whose interval counts each patient once.
    """

    def error(p):
        ones = np.ones((1, len(p.labels)))
        both = event_probabilities(p.labels, p.scores)
        return calibration_error(*both, ones)[0]

    names = _names(panels)
    groups = {
        mode: {runs.name: reliability(runs.predictions) for runs in sets}
        for mode, sets in panels.items()
    }
    every = [
        g for of in groups.values() for points in of.values() for g in points
    ]
    alt = (
        "Predicted probability and share that is true, in up to ten equally "
        "large groups of recordings, all seeds pooled; bars are 95 % Wilson "
        "intervals that count patients. On the diagonal probabilities are "
        "right. Expected calibration error, mean over seeds. "
        f"{_by_panel(panels, error)}"
    )
    looks = {n: {**style.look(i), **_POINTS} for i, n in enumerate(names)}
    with _grid(name, title, alt, panels) as (figure, picture, cells):
        for axes, (mode, sets) in zip(cells, groups.items()):
            title = style.shortened(mode)
            axes.set(title=title, xlabel="predicted probability")
            axes.set_ylabel("share that is true")
            reliability_diagrams.set_axes(axes, every)
            for which, points in sets.items():
                reliability_diagrams.draw_groups(axes, points, looks[which])
        entries = [*looks.items(), ("well calibrated", style.CHANCE)]
        style.add_legend(figure, entries)
    return picture


def _names(panels) -> List[str]:
    """Names of all sets: each has the same look in every panel."""
    return list(
        dict.fromkeys(runs.name for sets in panels.values() for runs in sets)
    )


@contextmanager
def _grid(name, title, alt, panels):
    """Give a figure with square panels, up to three in a row."""
    n_columns = min(3, len(panels))
    n_rows = -(-len(panels) // n_columns)
    size = max(420, 275 * n_columns), 285 * n_rows + 65
    with drawing(name, size, title, alt) as (figure, picture):
        cells = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for axes in cells[len(panels) :]:
            axes.set_visible(False)
        for axes in cells:
            axes.set_box_aspect(1)
        yield figure, picture, cells
        for axes in cells[1:]:
            axes.set_ylabel("")


def decisions(name: str, title: str, alt: str, draw: Callable, data) -> Picture:
    """A picture of one model's decisions, drawn by `draw`, which takes axes and
    data and gives the legend's entries."""
    with drawing(name, (420, 340), title, alt) as (figure, picture):
        style.add_legend(figure, draw(figure.subplots(), data))
    return picture


# Fractions of the labels.


def label_fractions(
    name: str, title: str, panels: Dict[str, Dict[str, Dict[float, Cell]]]
) -> Picture:
    """Test AUC over the share of the labels: a panel for each mode, a line for
    each encoder with its interval over patients and its seeds. Of many lines,
    bands would hide each other: intervals stand side by side."""
    labels = dict.fromkeys(
        label for curves in panels.values() for label in curves
    )
    looks = {
        label: {**style.look(i), "markersize": 5}
        for i, label in enumerate(labels)
    }
    alt = _describe_fractions(panels)
    n_columns = min(2, len(panels))
    n_rows = -(-len(panels) // n_columns)
    size = max(620, 400 * n_columns), 300 * n_rows + 60 + 9 * len(looks)
    with drawing(name, size, title, alt) as (figure, picture):
        cells = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
        for axes in cells.ravel()[len(panels) :]:
            axes.set_visible(False)
        for axes, (mode, curves) in zip(cells.ravel(), panels.items()):
            axes.set_xscale("log")
            axes.set_title(style.shortened(mode))
            band = len(curves) <= _BANDS
            for i, (label, points) in enumerate(curves.items()):
                shift = 1 if band else _APART ** (i - (len(curves) - 1) / 2)
                _draw_fractions(axes, points, looks[label], shift, band)
            ticks = sorted({x for points in curves.values() for x in points})
            axes.set_xticks(ticks, [f"{100 * x:g} %" for x in ticks])
            axes.minorticks_off()
            axes.set(xlabel="share of the training labels", ylabel="test AUC")
        style.add_legend(figure, [*looks.items(), *SEEDS_AND_PATIENTS])
    return picture


def _draw_fractions(axes, cells, properties, shift, band) -> None:
    colour = properties["color"]
    cells = {
        x * shift: cell for x, cell in cells.items() if cell.mean is not None
    }
    ends = [cell.ci95 or (np.nan, np.nan) for cell in cells.values()]
    x, (low, high) = list(cells), np.reshape(ends, (-1, 2)).T
    means = [cell.mean for cell in cells.values()]
    axes.plot(x, means, **properties, linewidth=1.5)
    if band:
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
    # A band alone would not show a point that has no neighbour.
    axes.vlines(x, low, high, colour, linewidth=1, alpha=0.7)
    for fraction, cell in cells.items():
        seeds = defined(cell.by_seed)
        if len(seeds) > 1:
            axes.plot([fraction] * len(seeds), seeds, color=colour, **SEED)


def _describe_fractions(panels) -> str:
    text, missing = "Test AUC over the share of the training labels.", []
    rows = [
        (f"{label}, {mode}", cells)
        for mode, curves in panels.items()
        for label, cells in curves.items()
    ]
    for label, cells in rows:
        parts = []
        for x, cell in cells.items():
            if cell.mean is None:
                missing.append(f"{label} at {100 * x:g} %")
            else:
                parts.append(f"{cell.mean:.3f} at {100 * x:g} %")
        text += f" {label}: {', '.join(parts)}." if parts else ""
    return text + undefined_in_words(missing)


# Training and its views.


def training(
    name: str, title: str, histories: Dict[str, List[Dict]]
) -> Picture:
    """Training curves: a panel for each measure, a line for each run."""
    drawn, shown, n_columns = shown_panels(histories)
    n_rows = -(-len(shown) // n_columns)
    size = 300 * max(n_columns, 2), 230 * n_rows + 30 + 14 * len(histories)
    alt = f"By epoch: {', '.join(panel.title for panel in shown)}."
    for run, rows in histories.items():
        last = [
            f"{key.replace('_', ' ')} {rows[-1][key]:.4g}"
            for key in ("train_loss", "valid_loss", "valid_auc")
            if rows[-1].get(key) is not None
        ]
        ends = f", at the end {', '.join(last)}" if last else ""
        alt += f" {run}: {count(rows[-1]['epoch'], 'epoch')}{ends}."
    with drawing(name, size, title, alt) as (figure, picture):
        draw_panels(figure, shown, drawn, n_columns)
    return picture


def views(name: str, title: str, pair: Pair, hparams: Dict) -> Picture:
    """A recording with both chunks marked, and the two views of it."""
    length = in_words(pair, hparams)
    masked = [f"{100 * float(m.double().mean()):.0f} %" for m in pair.masked]
    alt = (
        f"A recording of {length}. Above its spectrogram with both chunks "
        "marked, below the two views of it that the encoder gets: red is "
        "louder than the mean of its frequency, blue quieter, and bars next "
        f"to a view are masks. Masked: {masked[0]} of view 1, {masked[1]} of "
        "view 2."
    )
    with drawing(name, (WIDTH, 420), title, alt) as (figure, picture):
        mosaic = [["whole", "whole"], ["view 1", "view 2"]]
        places = list(figure.subplot_mosaic(mosaic).values())
        draw_pair(places, pair, hparams, limit_of([pair]), length)
    return picture


# Embeddings.


def embedding_maps(
    name: str,
    title: str,
    maps: Dict[str, np.ndarray],
    colourings: Dict[str, List[str]],
) -> Picture:
    """Maps ``[n, 2]`` of embeddings, coloured by a value of each recording."""
    n = len(next(iter(maps.values())))
    values_of = {
        column: np.array([v or _NOT_GIVEN for v in values], dtype=object)
        for column, values in colourings.items()
    }
    size = _CELL[0] * len(colourings), _CELL[1] * len(maps) + 130
    numbers = ", ".join(
        f"{column} ({len(set(values))} values)"
        for column, values in values_of.items()
    )
    alt = (
        f"Embeddings of {n} recordings in two dimensions by "
        f"{' and '.join(maps)}, coloured by {numbers}. Axes have no unit."
    )
    with drawing(name, size, title, alt) as (figure, picture):
        grid = figure.subplots(len(maps), len(colourings), squeeze=False)
        for row, (method, points) in zip(grid, maps.items()):
            row[0].set_ylabel(method)
            for axes, values in zip(row, values_of.values()):
                _draw_map(axes, points, values)
        for above, below, column in zip(grid[0], grid[-1], values_of):
            _name_values(above, below, column, sorted(set(values_of[column])))
    return picture


def _draw_map(axes, points, values) -> None:
    for i, value in enumerate(sorted(set(values))):
        x, y = points[values == value].T
        axes.plot(x, y, **_look(i, value), markeredgewidth=0)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, alpha=0.4)


def _look(i, value) -> Dict:
    look = {**style.look(i), "linestyle": ""}
    if value in (_NOT_GIVEN, OTHERS):
        return {**look, "markersize": 2.5, "zorder": 1, "color": style.GREY}
    return {**look, "markersize": 3.5, "zorder": 2}


def _name_values(above, below, column, values) -> None:
    """Title of a column of maps, and its legend, or the number of values."""
    if len(values) > _MOST_NAMES:
        text = f"{column}: {len(values)} values"
        if OTHERS in values:
            text = f"{column}: {len(values) - 1}, others grey"
        above.set_title(text)
        return
    above.set_title(column)
    style.add_legend(
        below, [(value, _look(i, value)) for i, value in enumerate(values)],
        loc="upper center", bbox_to_anchor=(0.5, -0.01),
        ncols=1 if len(values) <= 4 else 2, markerscale=1.6,
        handletextpad=0.2, columnspacing=0.8,
    )  # fmt: skip
