"""Curves of one or more trainings, from their ``history.json``.

> python -m cry_modules.figures.training results/small_adapt/2022 \\
>     results/small_adapt_replay/2022 --out curves.png

A panel for each thing that was measured. Colour tells runs apart, dashes
training from validation, and marks corpora. Where a run folder holds
``before.json`` (the figures before the first step), these are drawn as a
hollow point at epoch 0.
"""

import argparse
import json
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import matplotlib

matplotlib.use("Agg")  # no screen needed
from matplotlib import pyplot as plt
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from data_prep.files.atomic import complete_or_absent
from data_prep.files.errors import InputError, one_line_errors

#: Okabe and Ito's, less yellow: told apart by colour-blind readers.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "black",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v")
#: What pictures can be written as, and how to leave out the date: the same
#: picture is the same file.
_UNDATED = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
SUFFIXES = tuple(_UNDATED)
#: Words of an svg file stay words, and its names do not change.
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "cry-ssl"}

#: Panels in their order: keys begin with, title, axis.
_PANELS = (
    (("train_loss", "valid_loss"), "loss", "lower is better"),
    (
        ("train_accuracy", "valid_accuracy"),
        "contrastive accuracy",
        "share of views that find their other half",
    ),
    (("valid_auc",), "validation AUC", "0.5: guessing, 1: all right"),
    (
        ("valid_alignment",),
        "alignment",
        "lower: views of a recording closer",
    ),
    (("valid_uniformity",), "uniformity", "lower: recordings more spread out"),
    (("valid_effective_rank",), "effective rank", "dimensions in use"),
    (("train_grad_norm",), "gradient norm", "before any clipping"),
    (("lr",), "learning rate", "at the end of the epoch"),
    (("clips_per_s",), "speed", "recordings per second"),
)
#: Keys whose changes mean little but beside their size.
_FROM_ZERO = ("valid_effective_rank", "train_grad_norm", "clips_per_s")
#: Panels of an AUC, whose chance is known.
_AUC = re.compile("valid_auc|probe_.*_auc$")
_CHANCE = {"color": "black", "linestyle": (0, (1, 3)), "linewidth": 1}
_PROBE_MEASURES = {
    "knn": "accuracy of nearest neighbours",
    "map": "mean average precision",
    "auc": "AUC",
}


class Curve(NamedTuple):
    """A line of a panel: the key of the rows, and how it differs from the
    others.

    Arguments
    ---------
    key : str
        Of the history's rows.
    dashed : bool
        Training, in a panel that shows validation too.
    corpus : str
        Empty for all recordings together.
    """

    key: str
    dashed: bool
    corpus: str


class Panel(NamedTuple):
    """A panel: what it shows, the words on its axis, its lines.

    Arguments
    ---------
    title : str
        What was measured.
    axis : str
        Unit, or how to read it.
    curves : list of Curve
        Of every run.
    """

    title: str
    axis: str
    curves: List[Curve]


def panels(keys: Sequence[str]) -> List[Panel]:
    """Panels for the keys there are. A key that ends in the name of a corpus
    is a line of its own in the panel of the key without.

    Example
    -------
    >>> for panel in panels(["lr", "valid_loss", "valid_loss_cry"]):
    ...     print(panel.title, [curve.key for curve in panel.curves])
    loss ['valid_loss', 'valid_loss_cry']
    learning rate ['lr']
    """
    found = []
    for names, title, axis in _PANELS:
        curves = []
        for name in names:
            dashed = name.startswith("train") and len(names) > 1
            curves += [
                Curve(key, dashed, corpus) for key, corpus in _keys(name, keys)
            ]
        if curves:
            found.append(Panel(title, axis, curves))
    for key in sorted(key for key in keys if key.startswith("probe_")):
        column, _, measure = key[len("probe_") :].rpartition("_")
        axis = _PROBE_MEASURES.get(measure, measure)
        found.append(Panel(f"probe: {column}", axis, [Curve(key, False, "")]))
    return found


def _keys(name, keys) -> List[Tuple[str, str]]:
    """Keys of one measure, each with its corpus."""
    pattern = re.compile(re.escape(name) + "(?:_(.+))?")
    matches = [(key, pattern.fullmatch(key)) for key in sorted(keys)]
    return [(key, match.group(1) or "") for key, match in matches if match]


def draw_curves(
    histories: Dict[str, List[dict]], path: Path, title: str
) -> None:
    """Small multiples of what was measured, with one legend. Where a run has
    figures of corpora, their average is left out.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "curves.png"
    >>> rows = [{"epoch": 1, "valid_loss": 2}, {"epoch": 2, "valid_loss": 1}]
    >>> draw_curves({"run": rows}, path, "an example")
    >>> path.is_file()
    True
    """
    histories = {n: without_averages(rows) for n, rows in histories.items()}
    keys = {key for rows in histories.values() for row in rows for key in row}
    shown = panels(sorted(keys))
    if not shown:
        raise InputError(
            f"{', '.join(histories)}: nothing was measured; pass the "
            "output_folder of a training"
        )
    n_columns = 2 if len(shown) in (2, 4) else min(3, len(shown))
    n_rows = -(-len(shown) // n_columns)
    with picture(path, (4.2 * n_columns, 2.9 * n_rows + 1)) as figure:
        figure.suptitle(title, parse_math=False)
        draw_panels(figure, shown, histories, n_columns)


def draw_panels(
    figure: FigureBase,
    shown: Sequence[Panel],
    histories: Dict[str, List[dict]],
    n_columns: int,
) -> None:
    """Fill a figure with panels, and a legend below them.

    Example
    -------
    >>> rows = [{"epoch": 1, "valid_auc": 0.7}]
    >>> path = Path(getfixture("tmpdir")) / "auc.png"
    >>> with picture(path, (4, 3)) as figure:
    ...     draw_panels(figure, panels(["valid_auc"]), {"run": rows}, 1)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['chance']
    """
    n_rows = -(-len(shown) // n_columns)
    # Of all, so that a corpus looks the same in each panel.
    corpora = sorted({c.corpus for p in shown for c in p.curves} - {""})
    for i, panel in enumerate(shown, start=1):
        axes = figure.add_subplot(n_rows, n_columns, i)
        _draw_panel(axes, panel, histories, corpora)
    legend = figure.legend(
        handles=_legend(shown, histories, corpora),
        loc="outside lower center",
        ncols=4 if len(histories) == 1 else 3,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def without_averages(rows: List[dict]) -> List[dict]:
    """Rows without the keys whose parts by corpus are there.

    Example
    -------
    >>> without_averages([{"epoch": 1, "valid_loss": 2, "valid_loss_cry": 3}])
    [{'epoch': 1, 'valid_loss_cry': 3}]
    """
    keys = {key for row in rows for key in row}
    names = [name for names, _, _ in _PANELS for name in names]
    averages = {n for n in names if any(c for _, c in _keys(n, keys))}
    return [
        {key: value for key, value in row.items() if key not in averages}
        for row in rows
    ]


@contextmanager
def picture(
    path: Path,
    size: Tuple[float, float],
    copies: Sequence[Path] = (),
    dpi: int = 150,
) -> Iterator[Figure]:
    """Hand out a figure to draw in, then write it.

    Example
    -------
    >>> with picture("picture.doc", (4, 3)) as figure:
    ...     pass
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: picture.doc is no picture's name; let it end in .png, .pdf or .svg
    """
    paths = [Path(path), *copies]
    for path in paths:
        if path.suffix not in SUFFIXES:
            raise InputError(
                f"{path} is no picture's name; let it end in "
                f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
            )
    with plt.rc_context(_SVG):
        figure = plt.figure(figsize=size, layout="constrained")
        try:
            yield figure
            for path in paths:
                with complete_or_absent(path) as partial:
                    undated = _UNDATED[path.suffix]
                    figure.savefig(partial, dpi=dpi, metadata=undated)
                # Copies keep this layout, and need not find it again.
                figure.set_layout_engine("none")
        finally:
            plt.close(figure)


def _draw_panel(axes, panel, histories, corpora):
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
    if _is_auc(panel):
        axes.axhline(0.5, **_CHANCE)
    axes.set_title(panel.title, fontsize="medium", parse_math=False)
    axes.set_ylabel(panel.axis, fontsize="small")
    axes.set_xlabel("epoch", fontsize="small")
    if panel.curves[0].key.startswith(_FROM_ZERO):
        axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(labelsize="small")
    axes.grid(alpha=0.3)


def _is_auc(panel) -> bool:
    return _AUC.match(panel.curves[0].key) is not None


def _draw_curve(axes, points, look):
    """A line; what was before training hangs on it by dots."""
    before = [point for point in points if point[0] == 0]
    after = [point for point in points if point[0] > 0]
    axes.plot(*zip(*after), **look, markevery=max(1, len(after) // 8))
    if before:
        hollow = {
            "linestyle": ":",
            "marker": "o" if look["marker"] == "." else look["marker"],
            "markersize": 7,
            "markerfacecolor": "white",
            "markevery": [0],
        }
        axes.plot(*zip(*before, *after[:1]), **{**look, **hollow})


def _look(curve, run, n_runs, corpora):
    """Colour and marker: of one run, the corpora have the colours."""
    mark = corpora.index(curve.corpus) if curve.corpus in corpora else None
    colour = COLOURS[run % len(COLOURS)]
    if n_runs == 1 and corpora:
        colour = "black" if mark is None else COLOURS[mark % len(COLOURS)]
    return {
        "color": colour,
        "linestyle": "--" if curve.dashed else "-",
        "marker": "." if mark is None else MARKERS[mark % len(MARKERS)],
        "markersize": 5,
        "linewidth": 1.5,
    }


def _legend(shown, histories, corpora) -> List[Line2D]:
    """What colours, dashes and marks mean, as far as there are any."""
    curves = [curve for panel in shown for curve in panel.curves]
    entries = []
    if len(histories) > 1:
        for run, name in enumerate(histories):
            look = _look(Curve("", False, ""), run, len(histories), [])
            entries.append(Line2D([], [], **{**look, "marker": ""}, label=name))
    for corpus in corpora:
        look = _look(Curve("", False, corpus), 0, len(histories), corpora)
        look["color"] = "grey" if len(histories) > 1 else look["color"]
        entries.append(Line2D([], [], **look, label=corpus))
    if any(curve.dashed for curve in curves):
        for style, label in (("--", "training"), ("-", "validation")):
            entries.append(
                Line2D([], [], color="grey", linestyle=style, label=label)
            )
    if any(map(_is_auc, shown)):
        entries.append(Line2D([], [], **_CHANCE, label="chance"))
    if any(row["epoch"] == 0 for rows in histories.values() for row in rows):
        entries.append(
            Line2D(
                [],
                [],
                color="grey",
                linestyle=":",
                marker="o",
                markersize=7,
                markerfacecolor="white",
                label="before training",
            )  # fmt: skip
        )
    return entries


def read_run(folder: str) -> List[dict]:
    """Rows of a run folder; what was measured before training is epoch 0.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> folder.join("history.json").write('[{"epoch": 1, "valid_loss": 1}]')
    >>> folder.join("before.json").write('{"valid_loss": 2}')
    >>> read_run(folder)
    [{'epoch': 0, 'valid_loss': 2}, {'epoch': 1, 'valid_loss': 1}]
    """
    path = Path(folder) / "history.json"
    if not path.is_file():
        raise InputError(
            f"{folder} holds no history.json; pass the output_folder of a "
            "training, one of whose epochs is done"
        )
    rows = _read(path, list)
    if not rows or not all(
        isinstance(row, dict) and isinstance(row.get("epoch"), int)
        for row in rows
    ):
        raise InputError(
            f"{path} is no list of epochs; train again into another folder"
        )
    before = path.with_name("before.json")
    if before.is_file():
        rows = [{**_read(before, dict), "epoch": 0}, *rows]
    return [{"epoch": row["epoch"], **_numbers(row)} for row in rows]


def _read(path, kind):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, kind):
        raise InputError(
            f"{path} is not as a training leaves it; train again into "
            "another folder"
        )
    return content


def _numbers(row) -> dict:
    return {
        key: value
        for key, value in row.items()
        if isinstance(value, (int, float))
    }


def names_of(folders: Sequence[str]) -> List[str]:
    """Folders without the part of their paths that they share.

    Example
    -------
    >>> names_of(["results/a/2022", "results/b/2022/"])
    ['a/2022', 'b/2022']
    >>> names_of(["results/a/2022"])
    ['results/a/2022']
    """
    names = [os.path.normpath(folder) for folder in folders]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name} is given twice; keep one of them")
    full = [os.path.abspath(name) for name in names]
    shared = os.path.commonpath(full)
    if len(names) == 1 or shared in full:
        return names
    return [os.path.relpath(name, shared) for name in full]


def curves(folders: Sequence[str], out: str) -> None:
    """Draw the curves of run folders."""
    names = names_of(folders)
    histories = {name: read_run(folder) for name, folder in zip(names, folders)}
    title = names[0] if len(names) == 1 else f"{len(names)} trainings"
    draw_curves(histories, Path(out), title)


def main(argv: Optional[Sequence[str]] = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument(
        "run_folders",
        nargs="+",
        metavar="RUN_FOLDER",
        help="output_folder of a training",
    )
    parser.add_argument("--out", default="curves.png", help="the picture")
    args = parser.parse_args(argv)
    with one_line_errors():
        curves(args.run_folders, args.out)
        print(f"picture in {args.out}")


if __name__ == "__main__":
    main()
