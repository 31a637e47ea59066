"""Pictures with a row for each encoder or comparison: its value, the interval
over patients, and the seeds.
"""

import textwrap
from contextlib import contextmanager
from typing import Collection, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from cry_modules.figures import style
from cry_modules.figures.page import WIDTH, Picture, drawing
from cry_modules.metrics.words import interval_in_words
from recipes.study.report.hypotheses import Tested
from recipes.study.report.results import Cell

#: A single seed, and an interval.
SEED = {
    "marker": "o", "linestyle": "", "markersize": 3.5,
    "markerfacecolor": "none", "markeredgewidth": 0.8,
}  # fmt: skip
_INTERVAL = {"linewidth": 1.6, "solid_capstyle": "butt"}
SEEDS_AND_PATIENTS = (
    ("one seed", {**SEED, "color": style.INK}),
    ("95 % over patients", {**_INTERVAL, "color": style.INK}),
)
_DOT = {"linestyle": "", "markersize": 6, "marker": "o"}
_BEFORE = {**_DOT, "marker": "D", "color": style.SERIES[1]}
_AFTER = {**_DOT, "color": style.SERIES[0]}
#: Verdict of a comparison, and its look.
_VERDICTS = {
    "supported": {**_DOT, "color": style.SERIES[0]},
    "contradicted": {**_DOT, "color": style.SERIES[1], "marker": "s"},
    "not separable": {
        **_DOT, "color": style.GREY, "marker": "D", "markerfacecolor": "none",
    },
    "undecided": {**_DOT, "color": style.GREY, "marker": "x"},
}  # fmt: skip
_EXPECTED = {"color": style.INK, "alpha": 0.15, "linewidth": 8}


@contextmanager
def _rows(frame, names, row_height, xlabel, entries, width=26):
    """Give axes with a row for each name, from above, and the picture with
    this frame (name, title and description); names have lines of this width,
    and the legend these entries."""
    longest = round(1.85 * width)
    labels = [
        textwrap.fill(style.shortened(text, longest), width) for text in names
    ]
    height = 90 + sum(row_height + 11 * text.count("\n") for text in labels)
    name, *texts = frame
    with drawing(name, (WIDTH, height), *texts) as (figure, picture):
        axes = figure.subplots()
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(False, axis="y")
        axes.set_xlabel(xlabel)
        yield axes, picture
        style.add_legend(figure, entries)


def auc_by_encoder(
    name: str,
    title: str,
    rows: Dict[str, Dict[str, Cell]],
    modes: Sequence[str],
    controls: Collection[str],
) -> Picture:
    """Picture of AUC with a row for each encoder and a mark for each
    fine-tuning mode; a control that has no encoder is of the mode ``""``."""
    looks = [{**_DOT, **style.look(j)} for j in range(len(modes))]
    entries = list(zip(modes, looks))
    if set(controls) & set(rows):
        entries.append(("control", {**_DOT, "color": style.GREY}))
    entries += [*SEEDS_AND_PATIENTS, ("chance", style.CHANCE)]
    frame, height = (
        (name, title, _describe_encoders(rows)),
        13 + 15 * len(modes),
    )
    place = _rows(frame, rows, height, "test AUC", entries, width=30)
    with place as (axes, picture):
        axes.axvline(0.5, **style.CHANCE)
        for i, (encoder, cells) in enumerate(rows.items()):
            grey = {"color": style.GREY} if encoder in controls else {}
            for mode, (mean, by_seed, _, ci95) in cells.items():
                look, y = _DOT, float(i)
                if mode in modes:
                    j = list(modes).index(mode)
                    look = looks[j]
                    y += 0.7 * ((j + 0.5) / len(modes) - 0.5)
                _draw_mark(axes, y, {**look, **grey}, mean, by_seed, ci95)
    return picture


def _draw_mark(axes, y, properties, mean, by_seed=(), ci95=None) -> None:
    """Draw a value, its interval and its seeds in a row."""
    if mean is None:
        _write_beside(axes, 0.99, y, "not defined", ha="right")
        return
    if ci95:
        axes.plot(ci95, [y, y], color=properties["color"], **_INTERVAL)
    axes.plot(mean, y, **properties)
    seeds = defined(by_seed)
    if len(seeds) > 1:  # below the mean, which would hide them
        axes.plot(seeds, [y + 0.1] * len(seeds), color=style.INK, **SEED)


def _write_beside(axes, x, y, text, **options) -> None:
    """Write in a row; x is a share of the axes' width."""
    axes.text(
        x, y, text, va="center", fontsize="small",
        transform=axes.get_yaxis_transform(), **options,
    )  # fmt: skip


def defined(values: Iterable[Optional[float]]) -> List[float]:
    """Values that are not None."""
    return [value for value in values if value is not None]


def _describe_encoders(rows) -> str:
    cells = {
        f"{encoder}, {mode}".rstrip(", "): cell
        for encoder, cells in rows.items()
        for mode, cell in cells.items()
    }
    known = [n for n, cell in cells.items() if cell.mean is not None]
    text = f"Test AUC by encoder or control, {len(rows)} of them, and by mode."
    for word, choose in (("Highest", max), ("Lowest", min)):
        if known:
            label = choose(known, key=lambda name: cells[name].mean)
            cell, ends = cells[label], " (no interval)"
            if cell.ci95:
                ends = f" (95 % {interval_in_words(cell.ci95)})"
            text += f" {word}: {label}, {cell.mean:.3f}{ends}."
    return text + undefined_in_words([n for n in cells if n not in known])


def undefined_in_words(names: List[str]) -> str:
    """Sentence that names undefined values, if there are any."""
    return f" Not defined: {'; '.join(names)}." if names else ""


def forest(
    name: str, title: str, groups: Dict[str, Dict[str, Tested]]
) -> Picture:
    """Forest plot of differences in AUC and their intervals, by claim and
    inequality; the expected side, above 0, is shaded."""
    lines, alt = (
        [],
        "Differences in AUC, in points of 0.01, with 95 % intervals.",
    )
    for group, members in groups.items():
        lines += [(group, None), *members.items()]
        parts = [f"{text} {_in_words(row)}" for text, row in members.items()]
        alt += f" {group}: {'; '.join(parts)}."
    ends = [
        abs(value)
        for members in groups.values()
        for row in members.values()
        for value in defined(
            [row.result["difference"], *(row.result["ci95"] or [])]
        )
    ]
    limit = 105 * max(ends, default=0) or 1.0
    entries = [*_VERDICTS.items(), ("expected side", _EXPECTED)]
    xlabel = "difference in AUC, points of 0.01"
    frame, names = (name, title, alt), [text for text, _ in lines]
    place = _rows(frame, names, 27, xlabel, entries, width=48)
    with place as (axes, picture):
        for y, (_, row) in enumerate(lines):
            if row:
                _draw_difference(axes, y, row, limit)
            else:
                axes.get_yticklabels()[y].set_fontweight("bold")
        axes.axvline(0, color=style.INK, linewidth=1)
        axes.set_xlim(-limit, limit)
    return picture


def _draw_difference(axes, y, row, limit) -> None:
    axes.fill_betweenx(
        [y - 0.5, y + 0.5], 0, limit, color=style.INK, alpha=0.07, lw=0
    )
    difference, ci95 = row.result["difference"], row.result["ci95"]
    if difference is not None:
        ends = ci95 and [100 * end for end in ci95]
        properties = _VERDICTS[row.verdict]
        _draw_mark(axes, y, properties, 100 * difference, ci95=ends)
    _write_beside(axes, 1.02, y, _in_words(row))


def _in_words(row) -> str:
    """Difference in points, its interval, and the verdict."""
    difference, ci95 = row.result["difference"], row.result["ci95"]
    if difference is None:
        return f"not defined, {row.verdict}"
    text = f"{100 * difference:+.1f}"
    if ci95:
        ends = [100 * end for end in ci95]
        text += f" ({interval_in_words(ends, '+.1f')})"
    return f"{text}, {row.verdict}"


def forgetting(
    name: str,
    title: str,
    rows: Dict[str, Tuple[float, List[float]]],
    measure: str,
) -> Picture:
    """Picture of a measure on generic audio, before adaptation and after it by
    seed, a row for each encoder."""
    parts = []
    for encoder, (before, after) in rows.items():
        seeds = f" (mean of {len(after)} seeds)" if len(after) > 1 else ""
        values = f"{before:.3f} to {np.mean(after):.3f}{seeds}"
        parts.append(f"{encoder} {values}")
    alt = f"{measure} before and after adaptation: {'; '.join(parts)}."
    entries = [("before", _BEFORE), ("after", _AFTER)]
    entries.append(("one seed after", {**SEED, "color": style.INK}))
    frame = name, title, alt[0].upper() + alt[1:]
    with _rows(frame, rows, 32, measure, entries) as (axes, picture):
        for y, (before, after) in enumerate(rows.values()):
            mean = np.mean(after)
            axes.plot([before, mean], [y, y], color=style.GREY, linewidth=1.2)
            axes.plot(before, y, **_BEFORE)
            _draw_mark(axes, y, _AFTER, mean, after)
    return picture
