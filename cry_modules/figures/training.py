"""Training curves of one or more runs, from their ``history.json``.

A panel for each measure. Colours show runs (of a single run, corpora), dashes
training against validation, and markers corpora. Measures before the first
step (``before.json``) are a hollow point at epoch 0.
"""

import os
import re
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from matplotlib.figure import FigureBase

from cry_modules.checkpoints.encoders import run_name
from cry_modules.figures import style
from cry_modules.training.history import (
    BEFORE,
    BEFORE_FILE,
    HISTORY_FILE,
    ROW,
    taken_epoch,
)
from data_prep.files.errors import require
from data_prep.files.shapes import read_json

_CURE = "train again into another folder"

#: Panels in their order: keys begin with, title, axis.
_PANELS = (
    (("train_loss", "valid_loss"), "loss", "lower is better"),
    (
        ("train_accuracy", "valid_accuracy"),
        "contrastive accuracy",
        "share of views matched",
    ),
    (
        ("train_explained", "valid_explained"),
        "hidden variance explained",
        "0: means of the bands, 1: all",
    ),
    (("valid_auc",), "validation AUC", "0.5: guessing, 1: all right"),
    (("valid_alignment",), "alignment", "lower: views of a recording closer"),
    (("valid_uniformity",), "uniformity", "lower: recordings more spread out"),
    (("valid_effective_rank",), "effective rank", "dimensions in use"),
    (("train_grad_norm",), "gradient norm", "before any clipping"),
    (("lr",), "learning rate", "at the end of the epoch"),
    (("clips_per_s",), "speed", "recordings per second"),
)
#: Keys whose changes mean little except relative to their size.
_FROM_ZERO = ("valid_effective_rank", "train_grad_norm", "clips_per_s")
_AUC = re.compile("valid_auc|probe_.*_auc$")
_PROBE_MEASURES = {
    "knn": "accuracy of nearest neighbours",
    "map": "mean average precision",
    "auc": "AUC",
}
_TAKEN = {"color": style.INK, "linestyle": "-", "linewidth": 0.8, "zorder": 0}
_BEFORE = {"linestyle": ":", "markersize": 7, "markerfacecolor": style.PAGE}


class Curve(NamedTuple):
    """A line of a panel: its key in the history's rows, whether it is dashed
    (training next to validation), and its corpus (empty for all recordings).
    """

    key: str
    dashed: bool = False
    corpus: str = ""


class Panel(NamedTuple):
    """A panel: its title, the label of its axis, and the lines of each run."""

    title: str
    axis: str
    curves: List[Curve]

    @property
    def is_auc(self) -> bool:
        """True if the panel shows an AUC, for which guessing gives 0.5."""
        return _AUC.match(self.curves[0].key) is not None


def panels(keys: Iterable[str]) -> List[Panel]:
    """Panels for the keys of a history. A key that ends in the name of a
    corpus is a line of its own in the panel of the key without it.
    """
    keys, shown = sorted(keys), []
    for names, title, axis in _PANELS:
        curves = [
            Curve(key, name.startswith("train") and len(names) > 1, corpus)
            for name in names
            for key, corpus in _with_corpora(name, keys)
        ]
        if curves:
            shown.append(Panel(title, axis, curves))
    for key in keys:
        if key.startswith("probe_"):
            column, measure = key[len("probe_") :].rsplit("_", 1)
            axis = _PROBE_MEASURES[measure]
            shown.append(Panel(f"probe: {column}", axis, [Curve(key)]))
    return shown


def _with_corpora(name, keys) -> List[Tuple[str, str]]:
    """Keys of one measure, each with its corpus."""
    pattern = re.compile(re.escape(name) + "(?:_(.+))?")
    matches = [(key, pattern.fullmatch(key)) for key in keys]
    return [(key, match.group(1) or "") for key, match in matches if match]


def shown_panels(
    histories: Dict[str, List[dict]],
) -> Tuple[Dict[str, List[dict]], List[Panel], int]:
    """Select the curves to draw: histories without averages of measures that
    are drawn by corpus, their panels, and the number of panels in a row."""
    result, every = {}, set()
    for run, rows in histories.items():
        keys = {key for row in rows for key in row}
        averages = {
            name
            for names, _, _ in _PANELS
            for name in names
            if any(corpus for _, corpus in _with_corpora(name, keys))
        }
        every |= keys - averages
        result[run] = [
            {key: value for key, value in row.items() if key not in averages}
            for row in rows
        ]
    shown = panels(every)
    return result, shown, 2 if len(shown) in (2, 4) else min(3, len(shown))


def draw_curves(
    histories: Dict[str, List[dict]], path: Path, title: str
) -> None:
    """Write a picture of all measures, a panel each, with one legend; of one
    run, the epoch whose checkpoint is used is marked."""
    given = histories
    histories, shown, n_columns = shown_panels(histories)
    require(
        bool(shown),
        f"{', '.join(histories)}: history.json has no measures to draw",
        "pass the output_folder of a training",
    )
    n_rows = -(-len(shown) // n_columns)
    taken = None
    if len(given) == 1:
        taken = taken_epoch(*given.values())
    with style.picture(path, (4.2 * n_columns, 2.9 * n_rows + 1)) as figure:
        figure.suptitle(title)
        draw_panels(figure, shown, histories, n_columns, taken)


def draw_panels(
    figure: FigureBase,
    shown: Sequence[Panel],
    histories: Dict[str, List[dict]],
    n_columns: int,
    taken: Optional[int] = None,
) -> None:
    """Fill a figure with panels, and a legend below them; mark the epoch that
    was taken, if it is given."""
    n_rows = -(-len(shown) // n_columns)
    # Of all panels, so that a corpus looks the same in each.
    corpora = sorted({c.corpus for p in shown for c in p.curves} - {""})
    for i, panel in enumerate(shown, start=1):
        axes = figure.add_subplot(n_rows, n_columns, i)
        _draw_panel(axes, panel, histories, corpora)
        if taken is not None:
            whole = axes.get_xaxis_transform()
            axes.vlines(taken, 0, 1, transform=whole, **_TAKEN)
            axes.set_xlabel(f"epoch (line: {taken} is used)")
    entries = _entries(shown, histories, corpora)
    if entries:
        style.add_legend(figure, entries)


def _draw_panel(axes, panel, histories, corpora) -> None:
    for run, rows in enumerate(histories.values()):
        for curve in panel.curves:
            points = [
                (row["epoch"], row[curve.key])
                for row in rows
                if row.get(curve.key) is not None
            ]
            if points:
                look = _look(curve, run, len(histories), corpora)
                _draw_curve(axes, points, look)
    if panel.is_auc:
        axes.axhline(0.5, **style.CHANCE)
    axes.set(title=panel.title, ylabel=panel.axis, xlabel="epoch")
    if panel.curves[0].key.startswith(_FROM_ZERO):
        axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _draw_curve(axes, points, look) -> None:
    """Draw a line; dots lead to it from the point before training."""
    before = [point for point in points if point[0] == 0]
    after = [point for point in points if point[0] > 0]
    axes.plot(*zip(*after), **look, markevery=max(1, len(after) // 8))
    if before:
        marker = "o" if look["marker"] == "." else look["marker"]
        hollow = {**look, **_BEFORE, "marker": marker, "markevery": [0]}
        axes.plot(*zip(*before, *after[:1]), **hollow)


def _look(curve, run, n_runs, corpora) -> Dict:
    dashes = "--" if curve.dashed else "-"
    look = {"linestyle": dashes, "markersize": 5, "linewidth": 1.4}
    look.update(style.look(run), marker=".")
    if curve.corpus in corpora:
        of_corpus = style.look(corpora.index(curve.corpus))
        look["marker"] = of_corpus["marker"]
        if n_runs == 1:
            look["color"] = of_corpus["color"]
    elif n_runs == 1 and corpora:
        look["color"] = style.INK
    return look


def _entries(shown, histories, corpora) -> List[Tuple[str, Dict]]:
    """Meaning of colours, dashes and markers, as far as they are used."""
    n_runs, entries = len(histories), []
    if n_runs > 1:
        for run, name in enumerate(histories):
            look = _look(Curve(""), run, n_runs, [])
            entries.append((name, {**look, "marker": ""}))
    for corpus in corpora:
        look = _look(Curve("", corpus=corpus), 0, n_runs, corpora)
        look["color"] = style.GREY if n_runs > 1 else look["color"]
        entries.append((corpus, look))
    grey = {"color": style.GREY}
    if any(curve.dashed for panel in shown for curve in panel.curves):
        entries.append(("training", {**grey, "linestyle": "--"}))
        entries.append(("validation", grey))
    if any(panel.is_auc for panel in shown):
        entries.append(("chance", style.CHANCE))
    if any(row["epoch"] == 0 for rows in histories.values() for row in rows):
        entries.append(("before training", {**grey, **_BEFORE, "marker": "o"}))
    return entries


def read_run(folder: str) -> List[dict]:
    """Rows of a run's history; measures before training are epoch 0."""
    path = Path(folder) / HISTORY_FILE
    require(
        path.is_file(),
        f"{folder} holds no history.json",
        "pass the output_folder of a training that has completed an epoch",
    )
    rows = _read(path, [ROW])
    require(bool(rows), f"{path} was not written by a training", _CURE)
    before = path.with_name(BEFORE_FILE)
    if before.is_file():
        rows = [{**_read(before, BEFORE), "epoch": 0}, *rows]
    return [
        {k: v for k, v in row.items() if isinstance(v, (int, float))}
        for row in rows
    ]


def _read(path, shape):
    title = f"{path} was not written by a training"
    return read_json(path, shape, _CURE, title)


def names_of(folders: Sequence[str]) -> List[str]:
    """Short names of folders: their paths without the part that they share;
    of one folder, the name of the run."""
    names = [os.path.normpath(folder) for folder in folders]
    for name in names:
        is_single = names.count(name) == 1
        require(is_single, f"{name} is given twice", "keep one of them")
    full = [os.path.abspath(name) for name in names]
    shared = os.path.commonpath(full)
    if len(names) == 1:
        return [run_name(names[0])]
    if shared in full:
        shared = os.path.dirname(shared)
    return [os.path.relpath(name, shared) for name in full]
