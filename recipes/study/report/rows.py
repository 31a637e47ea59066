"""Pictures with a row for each encoder or comparison: its value, the interval
over patients, and the seeds.
"""

import textwrap
from contextlib import contextmanager
from itertools import groupby
from typing import (
    Collection,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from cry_modules.figures.page import WIDTH, Picture, drawing, words
from cry_modules.figures.style import (
    CHANCE,
    GREY,
    INK,
    SERIES,
    add_legend,
    look,
    shortened,
)
from cry_modules.metrics.words import count, interval_in_words
from recipes.study.report.results import Cell

#: Ends of an interval, if it has one.
Ends = Optional[Sequence[float]]

#: A single seed, and an interval.
SEED = {
    "marker": "o", "linestyle": "", "markersize": 3.5,
    "markerfacecolor": "none", "markeredgewidth": 0.8,
}  # fmt: skip
_INTERVAL = {"linewidth": 1.6, "solid_capstyle": "butt"}
SEEDS_AND_PATIENTS = (
    ("one seed", {**SEED, "color": INK}),
    ("95 % over patients", {**_INTERVAL, "color": INK}),
)
_DOT = {"linestyle": "", "markersize": 6}
_BEFORE = {**_DOT, "marker": "D", "color": SERIES[1]}
_AFTER = {**_DOT, "marker": "o", "color": SERIES[0]}


@contextmanager
def _rows(name, title, alt, names, row_height, xlabel, entries, width=26):
    """Give axes with a row for each name, from above, and the picture; names
    have lines of this width, and the legend these entries."""
    longest = round(1.85 * width)
    labels = [textwrap.fill(shortened(text, longest), width) for text in names]
    height = 90 + sum(row_height + 11 * text.count("\n") for text in labels)
    with drawing(name, (WIDTH, height), title, alt) as (figure, picture):
        axes = figure.subplots()
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(False, axis="y")
        axes.set_xlabel(xlabel)
        yield axes, picture
        add_legend(figure, entries)


def auc_by_encoder(
    name: str,
    title: str,
    rows: Dict[str, Dict[str, Cell]],
    modes: Sequence[str],
    controls: Collection[str] = (),
) -> Picture:
    """A row for each encoder, a mark for each fine-tuning mode."""
    if not any(rows.values()):
        return words(name, title, "No test AUC is there yet.")
    entries = [(mode, {**look(j), **_DOT}) for j, mode in enumerate(modes)]
    if set(controls) & set(rows):
        entries.append(("control", {**_DOT, "color": GREY, "marker": "o"}))
    entries += [*SEEDS_AND_PATIENTS, ("chance", CHANCE)]
    alt, height = _describe_encoders(rows, modes), 13 + 15 * len(modes)
    with _rows(name, title, alt, rows, height, "test AUC", entries) as (
        axes,
        picture,
    ):
        axes.axvline(0.5, **CHANCE)
        for i, (encoder, cells) in enumerate(rows.items()):
            for j, mode in enumerate(modes):
                properties = {**look(j), **_DOT}
                if encoder in controls:
                    properties["color"] = GREY
                y = i + 0.7 * ((j + 0.5) / len(modes) - 0.5)
                if mode in cells:
                    cell = cells[mode]
                    _draw_mark(
                        axes, y, properties, cell.mean, cell.ci95, cell.by_seed
                    )
    return picture


def _draw_mark(axes, y, properties, mean, ci95=None, by_seed=()) -> None:
    """Draw a value, its interval and its seeds in a row."""
    if mean is None:
        _write_beside(axes, 0.99, y, "not defined", ha="right")
        return
    if ci95:
        axes.plot(ci95, [y, y], color=properties["color"], **_INTERVAL)
    axes.plot(mean, y, **properties)
    seeds = defined(by_seed)
    if len(seeds) > 1:  # below the mean, which would hide them
        axes.plot(seeds, [y + 0.1] * len(seeds), color=INK, **SEED)


def _write_beside(axes, x, y, text, **options) -> None:
    """Write in a row; x is a share of the axes' width."""
    axes.text(
        x, y, text, va="center", fontsize="small",
        transform=axes.get_yaxis_transform(), **options,
    )  # fmt: skip


def defined(values: Iterable[Optional[float]]) -> List[float]:
    """Values that are not None."""
    return [value for value in values if value is not None]


def _describe_encoders(rows, modes) -> str:
    cells = [
        (cells[mode], f"{encoder}, {mode}")
        for encoder, cells in rows.items()
        for mode in modes
        if mode in cells
    ]
    known = [pair for pair in cells if pair[0].mean is not None]
    text = f"Test AUC of {count(len(rows), 'encoder')} by mode."
    for word, choose in (("Highest", max), ("Lowest", min)):
        if known:
            cell, label = choose(known, key=lambda pair: pair[0].mean)
            ends = " (no interval)"
            if cell.ci95:
                ends = f" (95 % {interval_in_words(cell.ci95)})"
            text += f" {word}: {label}, {cell.mean:.3f}{ends}."
    return text + undefined_in_words(
        label for cell, label in cells if cell.mean is None
    )


def undefined_in_words(names: Iterable[str]) -> str:
    """Sentence that names undefined values.

    Example
    -------
    >>> undefined_in_words(["random, linear"])
    ' Not defined: random, linear.'
    """
    names = list(names)
    return f" Not defined: {'; '.join(names)}." if names else ""


class ForestRow(NamedTuple):
    """A comparison for or against a hypothesis (``group``): difference of two
    AUC with its interval, the side of 0 that the hypothesis expects (1 or
    -1), and one of ``VERDICTS``.
    """

    group: str
    text: str
    difference: Optional[float]
    ci95: Ends
    expected: int
    verdict: str


#: Verdict of a comparison, and its look.
VERDICTS = {
    "supported": {**_DOT, "color": SERIES[0], "marker": "o"},
    "contradicted": {**_DOT, "color": SERIES[1], "marker": "s"},
    "not separable": {
        **_DOT, "color": GREY, "marker": "D", "markerfacecolor": "none",
    },
}  # fmt: skip


def forest(name: str, title: str, rows: Sequence[ForestRow]) -> Picture:
    """Differences with their intervals by hypothesis, the expected side
    shaded.
    """
    if not rows:
        return words(name, title, "No comparison is complete yet.")
    lines = []  # a line for each hypothesis, then one for each comparison
    for group, members in groupby(rows, key=lambda row: row.group):
        lines += [(group, None), *((row.text, row) for row in members)]
    ends = [
        abs(value)
        for row in rows
        for value in defined([row.difference, *(row.ci95 or [])])
    ]
    limit = 105 * max(ends, default=0) or 1.0
    expected = {"color": INK, "alpha": 0.15, "linewidth": 8}
    entries = [*VERDICTS.items(), ("expected side", expected)]
    names, xlabel = (
        [text for text, _ in lines],
        "difference in AUC, points of 0.01",
    )
    alt = _describe_forest(rows)
    with _rows(name, title, alt, names, 27, xlabel, entries, width=48) as (
        axes,
        picture,
    ):
        for y, (_, row) in enumerate(lines):
            if row:
                _draw_difference(axes, y, row, limit)
            else:
                axes.get_yticklabels()[y].set_fontweight("bold")
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_xlim(-limit, limit)
    return picture


def _draw_difference(axes, y, row, limit) -> None:
    side = 0, row.expected * limit
    axes.fill_betweenx([y - 0.5, y + 0.5], *side, color=INK, alpha=0.07, lw=0)
    if row.difference is not None:
        ends = row.ci95 and [100 * end for end in row.ci95]
        properties = VERDICTS[row.verdict]
        _draw_mark(axes, y, properties, 100 * row.difference, ends)
    _write_beside(axes, 1.02, y, f"{_points(row)}, {row.verdict}")


def _points(row) -> str:
    """Difference and interval in words."""
    if row.difference is None:
        return "not defined"
    text = f"{100 * row.difference:+.1f}"
    if not row.ci95:
        return text
    ends = [100 * end for end in row.ci95]
    return f"{text} ({interval_in_words(ends, '+.1f')})"


def _describe_forest(rows) -> str:
    text = "Differences in AUC, in points of 0.01, with 95 % intervals."
    for group, members in groupby(rows, key=lambda row: row.group):
        parts = [f"{m.text} {_points(m)}, {m.verdict}" for m in members]
        text += f" {group}: {'; '.join(parts)}."
    return text


def forgetting(
    name: str,
    title: str,
    rows: Sequence[Tuple[str, Optional[float], Sequence[Optional[float]]]],
    measure: str,
) -> Picture:
    """A measure of generic audio before adaptation, and after it by seed."""
    rows = [
        (encoder, before, defined(after)) for encoder, before, after in rows
    ]
    if not any(before is not None or after for _, before, after in rows):
        return words(name, title, f"No {measure} is there yet.")
    entries = [("before", _BEFORE), ("after", _AFTER)]
    entries.append(("one seed after", {**SEED, "color": INK}))
    alt, names = _describe_forgetting(rows, measure), [row[0] for row in rows]
    with _rows(name, title, alt, names, 32, measure, entries) as (
        axes,
        picture,
    ):
        for y, (_, before, after) in enumerate(rows):
            mean = np.mean(after) if after else None
            if before is not None and after:
                axes.plot([before, mean], [y, y], color=GREY, linewidth=1.2)
            if before is not None:
                axes.plot(before, y, **_BEFORE)
            if after:
                _draw_mark(axes, y, _AFTER, mean, by_seed=after)
            ends = (("before", before is None), ("after", not after))
            missing = " and ".join(word for word, is_none in ends if is_none)
            if missing:
                _write_beside(axes, 1.01, y, f"{missing}: not defined")
    return picture


def _describe_forgetting(rows, measure) -> str:
    parts = []
    for encoder, before, after in rows:
        first = "not defined" if before is None else f"{before:.3f}"
        last = f"{np.mean(after):.3f}" if after else "not defined"
        seeds = f" (mean of {len(after)} seeds)" if len(after) > 1 else ""
        parts.append(f"{encoder} {first} to {last}{seeds}")
    text = f"{measure} before and after adaptation: {'; '.join(parts)}."
    return text[0].upper() + text[1:]
