"""Pictures of curves, training, views and embeddings in a study's report.

Undefined values are left out, and the descriptions name them.
"""

from contextlib import contextmanager
from typing import Dict, List, Optional

import numpy as np

from cry_modules.figures import calibration as reliability_diagrams
from cry_modules.figures.page import WIDTH, Picture, drawing, words
from cry_modules.figures.ranking import draw_chance, draw_curve, set_axes
from cry_modules.figures.style import (
    CHANCE,
    GREY,
    add_legend,
    line,
    look,
    shortened,
    write_in,
)
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
    ROC,
    CurveKind,
    mean_and_band,
    reliability,
)
from cry_modules.metrics.ranking import ranked_classes
from cry_modules.metrics.words import count
from recipes.study.report.results import Cell
from recipes.study.report.rows import (
    SEED,
    SEEDS_AND_PATIENTS,
    defined,
    undefined_in_words,
)

#: Sets of runs by the title of their panel.
Panels = Dict[str, List[RunSet]]

#: Draws of patients; a band at each point needs fewer than an interval.
N_DRAWS = 500
#: Patients with few recordings: grey, below the others.
OTHERS = "others"

_NOT_GIVEN = "not given"
_MOST_NAMES = 8  # values in a legend
_CELL = 255, 240  # px, of a map
_POINTS = {"markersize": 4, "linewidth": 1.2}


# A panel for each fine-tuning mode.


def ranking(
    name: str,
    title: str,
    kind: CurveKind,
    panels: Panels,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Picture:
    """ROC curves, or precision and recall: mean over seeds and classes, with
    the band of the draws of patients.
    """
    if not any(panels.values()):
        return words(name, title, "No run is there to draw a curve of.")
    names, chance = _names(panels), "chance"
    alt = _describe_ranking(kind, panels, n_draws)
    with _grid(name, title, alt, panels) as (figure, picture, cells):
        for axes, (mode, sets) in zip(cells, panels.items()):
            ranked = [runs for runs in sets if not _only_class(runs)]
            set_axes(axes, kind)
            axes.set_title(shortened(mode))
            if not ranked:
                class_of_all = _only_class(sets[0]) if sets else None
                why = f"no curve: all are {class_of_all}" if sets else "no runs"
                write_in(axes, why)
                continue
            for runs in ranked:
                curve = mean_and_band(kind, runs.predictions, n_draws, seed)
                properties = line(names.index(runs.name))
                draw_curve(axes, kind, GRID, curve[0], properties, curve[1])
            share = _share(ranked[0].predictions[0])
            draw_chance(axes, kind, [(CHANCE["color"], share)])
            if kind is not ROC:
                chance = f"chance: share of positives {share:.3f}"
        entries = [(label, line(i)) for i, label in enumerate(names)]
        add_legend(figure, [*entries, (chance, CHANCE)])
    return picture


def _share(test) -> float:
    """Share of positives; with more than two classes, mean share of a class."""
    ranked = ranked_classes(test.labels, len(test.classes))
    return float(np.mean([np.mean(test.labels == k) for k in ranked]))


def _only_class(runs) -> Optional[str]:
    """Class of all test recordings, if it is the same."""
    test = runs.predictions[0]
    present = np.unique(test.labels)
    return shortened(test.classes[present[0]], 24) if len(present) < 2 else None


def _describe_ranking(kind, panels, n_draws) -> str:
    text = (
        f"{kind.title}: {kind.y} by {kind.x}, the mean over seeds, with the "
        f"band of 95 % of {n_draws} draws of patients at each point. Mean "
        f"{kind.words} over seeds by panel. {_by_panel(panels, kind.value)}"
    )
    first = next(sets[0] for sets in panels.values() if sets).predictions[0]
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
        parts.append(f"{mode}: {', '.join(texts) or 'no runs'}.")
    return " ".join(parts)


def calibration(name: str, title: str, panels: Panels) -> Picture:
    """Reliability diagrams; a point is a group of recordings of all seeds,
    whose interval counts each patient once.
    """
    if not any(panels.values()):
        return words(name, title, "No run is there to draw a point of.")

    def error(p):
        ones = np.ones((1, len(p.labels)))
        return calibration_error(
            *event_probabilities(p.labels, p.scores), ones
        )[0]

    names = _names(panels)
    groups = {
        mode: [(runs.name, reliability(runs.predictions)) for runs in sets]
        for mode, sets in panels.items()
    }
    every = [
        g for sets in groups.values() for _, points in sets for g in points
    ]
    alt = (
        "Predicted probability and share that is true, in up to ten equally "
        "large groups of recordings, all seeds pooled; bars are 95 % Wilson "
        "intervals that count patients. On the diagonal probabilities are "
        "right. Expected calibration error, mean over seeds. "
        f"{_by_panel(panels, error)}"
    )
    with _grid(name, title, alt, panels) as (figure, picture, cells):
        for axes, (mode, sets) in zip(cells, groups.items()):
            axes.set(title=shortened(mode), xlabel="predicted probability")
            axes.set_ylabel("share that is true")
            reliability_diagrams.set_axes(axes, every)
            for which, points in sets:
                properties = {**look(names.index(which)), **_POINTS}
                reliability_diagrams.draw_groups(axes, points, properties)
        entries = [(n, {**look(i), **_POINTS}) for i, n in enumerate(names)]
        add_legend(figure, [*entries, ("well calibrated", CHANCE)])
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


# Fractions of the labels.


def label_fractions(
    name: str, title: str, curves: Dict[str, Dict[float, Cell]]
) -> Picture:
    """Test AUC over the share of the labels, with patient bands and seeds."""
    curves = {label: cells for label, cells in curves.items() if cells}
    means = [cell.mean for cells in curves.values() for cell in cells.values()]
    if not defined(means):
        return words(name, title, "No test AUC by share of labels is there.")
    looks = {
        label: {**look(i), "markersize": 5} for i, label in enumerate(curves)
    }
    alt = _describe_fractions(curves)
    with drawing(name, (620, 400), title, alt) as (figure, picture):
        axes = figure.subplots()
        axes.set_xscale("log")
        for label, cells in curves.items():
            _draw_fractions(axes, cells, looks[label])
        ticks = sorted({x for cells in curves.values() for x in cells})
        axes.set_xticks(ticks, [f"{100 * x:g} %" for x in ticks])
        axes.minorticks_off()
        axes.set(xlabel="share of the training labels", ylabel="test AUC")
        add_legend(figure, [*looks.items(), *SEEDS_AND_PATIENTS])
    return picture


def _draw_fractions(axes, cells, properties) -> None:
    colour = properties["color"]
    cells = {x: cell for x, cell in cells.items() if cell.mean is not None}
    ends = [cell.ci95 or (np.nan, np.nan) for cell in cells.values()]
    x, (low, high) = list(cells), np.reshape(ends, (-1, 2)).T
    means = [cell.mean for cell in cells.values()]
    axes.plot(x, means, **properties, linewidth=1.5)
    axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
    # A band alone would not show a point that has no neighbour.
    axes.vlines(x, low, high, colour, linewidth=1, alpha=0.7)
    for fraction, cell in cells.items():
        seeds = defined(cell.by_seed)
        if len(seeds) > 1:
            axes.plot([fraction] * len(seeds), seeds, color=colour, **SEED)


def _describe_fractions(curves) -> str:
    text, missing = "Test AUC over the share of the training labels.", []
    for label, cells in curves.items():
        parts = [
            f"{cell.mean:.3f} at {100 * x:g} %"
            for x, cell in cells.items()
            if cell.mean is not None
        ]
        text += f" {label}: {', '.join(parts)}." if parts else ""
        missing += [
            f"{label} at {100 * x:g} %"
            for x, cell in cells.items()
            if cell.mean is None
        ]
    return text + undefined_in_words(missing)


# Training and its views.


def training(
    name: str, title: str, histories: Dict[str, List[Dict]]
) -> Picture:
    """All measures of trainings, a panel each."""
    drawn, shown, n_columns = shown_panels(histories)
    if not shown:
        return words(name, title, "No measure of a training is there.")
    n_rows = -(-len(shown) // n_columns)
    size = 300 * max(n_columns, 2), 230 * n_rows + 30 + 14 * len(histories)
    alt = _describe_training(shown, histories)
    with drawing(name, size, title, alt) as (figure, picture):
        draw_panels(figure, shown, drawn, n_columns)
    return picture


def _describe_training(shown, histories) -> str:
    text = f"By epoch: {', '.join(panel.title for panel in shown)}."
    for run, rows in histories.items():
        n_epochs = max((row["epoch"] for row in rows), default=0)
        last = [
            f"{key.replace('_', ' ')} {rows[-1][key]:.4g}"
            for key in ("train_loss", "valid_loss", "valid_auc")
            if rows and rows[-1].get(key) is not None
        ]
        ends = f", at the end {', '.join(last)}" if last else ""
        text += f" {run}: {count(n_epochs, 'epoch')}{ends}."
    return text


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
        places = figure.subplot_mosaic(
            [["whole", "whole"], ["view 1", "view 2"]]
        )
        draw_pair(
            list(places.values()), pair, hparams, limit_of([pair]), length
        )
    return picture


# Embeddings.


def embedding_maps(
    name: str,
    title: str,
    maps: Dict[str, np.ndarray],
    colourings: Dict[str, List[str]],
) -> Picture:
    """Maps ``[n, 2]`` of embeddings, coloured by a value of each recording."""
    n = len(next(iter(maps.values()), []))
    if n == 0 or not colourings:
        return words(name, title, "No embeddings are there to draw.")
    values_of = {
        column: np.array(
            [value or _NOT_GIVEN for value in values], dtype=object
        )
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
                _draw_map(axes, np.asarray(points), values)
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
    if value in (_NOT_GIVEN, OTHERS):
        size = {"markersize": 2.5, "zorder": 1}
        return {**look(i), **size, "color": GREY, "linestyle": ""}
    return {**look(i), "markersize": 3.5, "zorder": 2, "linestyle": ""}


def _name_values(above, below, column, values) -> None:
    """Title of a column of maps, and its legend, or the number of values."""
    if len(values) > _MOST_NAMES:
        above.set_title(f"{column}: {len(values)} values")
        return
    above.set_title(column)
    add_legend(
        below, [(value, _look(i, value)) for i, value in enumerate(values)],
        loc="upper center", bbox_to_anchor=(0.5, -0.01),
        ncols=1 if len(values) <= 4 else 2, markerscale=1.6,
        handletextpad=0.2, columnspacing=0.8,
    )  # fmt: skip
