"""Pictures with a row for each encoder or comparison: its figure, the
interval over patients, the seeds.
"""

import textwrap
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

from cry_modules.figures.views import shortened
from recipes.study.report.svg import (
    COLOURS,
    GREY,
    INK,
    WIDTH,
    Picture,
    drawing,
    legend,
    look,
    words,
)

#: Of an interval; None where there is none.
Ends = Optional[Sequence[float]]

_CHANCE = {"color": GREY, "linestyle": (0, (4, 3)), "linewidth": 1}
_DOT = {"linestyle": "", "markersize": 6}
#: How a seed looks.
SEED = {
    "marker": "o", "linestyle": "", "markersize": 3.5,
    "markerfacecolor": "none", "markeredgewidth": 0.8,
}  # fmt: skip
#: Of a row: seeds are below the mean, which would hide them.
_BELOW = 0.1
_INTERVAL = {"linewidth": 1.6, "solid_capstyle": "butt"}
#: Of a legend.
SEEDS_AND_PATIENTS = {
    "one seed": {**SEED, "color": INK},
    "95 % over patients": {**_INTERVAL, "color": INK},
}


# AUC by encoder.


def auc_by_encoder(
    name: str,
    title: str,
    rows: Dict[str, Dict[str, Dict]],
    modes: Sequence[str],
    controls: Collection[str] = (),
    measure: str = "test AUC",
) -> Picture:
    """A row an encoder, a mark a fine-tuning mode."""
    if not any(rows.values()):
        return words(name, title, f"No {measure} is there yet.")
    height = 90 + len(rows) * (12 + 14 * len(modes))
    alt = _about_encoders(rows, modes, measure)
    with drawing(name, (WIDTH, height), title, alt) as (figure, picture):
        axes = figure.subplots()
        axes.axvline(0.5, **_CHANCE)
        for i, (encoder, figures) in enumerate(rows.items()):
            for j, mode in enumerate(modes):
                style = look(j)
                if encoder in controls:
                    style["color"] = GREY
                y = i + 0.7 * ((j + 0.5) / len(modes) - 0.5)
                if mode in figures:
                    _draw_dot(axes, y, figures[mode], style)
        _name_rows(axes, rows)
        axes.set_xlabel(measure)
        entries = {mode: {**look(j), **_DOT} for j, mode in enumerate(modes)}
        if set(controls) & set(rows):
            entries["control"] = {**_DOT, "color": GREY, "marker": "o"}
        legend(figure, {**entries, **SEEDS_AND_PATIENTS, "chance": _CHANCE})
    return picture


def _draw_dot(axes, y, figure, style) -> None:
    """Mean, interval and seeds on a line; words where there is no mean."""
    if figure["mean"] is None:
        axes.text(
            0.99, y, "not defined", ha="right", va="center", fontsize=9,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        return
    if figure["ci95"]:
        axes.plot(figure["ci95"], [y, y], color=style["color"], **_INTERVAL)
    axes.plot(figure["mean"], y, **style, **_DOT)
    _draw_seeds(axes, y + _BELOW, figure["by_seed"])


def _draw_seeds(axes, y, by_seed) -> None:
    """Of one seed, the mean shows it."""
    seeds = defined(by_seed)
    if len(seeds) > 1:
        axes.plot(seeds, [y] * len(seeds), color=INK, **SEED)


def defined(values: Iterable[Optional[float]]) -> List[float]:
    """Those that are not None.

    Example
    -------
    >>> defined([0.5, None])
    [0.5]
    """
    return [value for value in values if value is not None]


def _name_rows(axes, names) -> None:
    labels = [textwrap.fill(shortened(name, 48), 26) for name in names]
    _set_rows(axes, labels)


def _set_rows(axes, labels) -> None:
    """The first above."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y")


def _about_encoders(rows, modes, measure) -> str:
    found = [
        (figures[mode]["mean"], f"{encoder}, {mode}", figures[mode]["ci95"])
        for encoder, figures in rows.items()
        for mode in modes
        if mode in figures
    ]
    known = [one for one in found if one[0] is not None]
    about = f"{measure} of {_count(len(rows), 'encoder')} by mode."
    about = about[0].upper() + about[1:]
    if known:
        high, low = (f(known, key=lambda one: one[0]) for f in (max, min))
        about += f" Highest: {_in_words(high)}. Lowest: {_in_words(low)}."
    return about + missing_in_words(
        text for mean, text, _ in found if mean is None
    )


def _in_words(one) -> str:
    value, text, ends = one
    return f"{text}, {value:.3f}{_range(ends)}"


def _range(ends) -> str:
    if not ends:
        return " (no interval)"
    return f" (95 % {ends[0]:.3f} to {ends[1]:.3f})"


def missing_in_words(names: Iterable[str]) -> str:
    """What to say of figures that are None.

    Example
    -------
    >>> missing_in_words(["random, linear"])
    ' Not defined: random, linear.'
    """
    missing = list(names)
    return f" Not defined: {'; '.join(missing)}." if missing else ""


def _count(n, what) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


# Hypotheses.


class ForestRow(NamedTuple):
    """A comparison that speaks for or against a hypothesis.

    Arguments
    ---------
    group : str
        The hypothesis.
    text : str
        What is compared.
    difference : float or None
        Of two AUC, -1 to 1.
    ci95 : (float, float) or None
        Its interval.
    expected : int
        Side of 0 that the hypothesis expects, 1 or -1.
    verdict : str
        One of ``VERDICTS``.
    """

    group: str
    text: str
    difference: Optional[float]
    ci95: Ends
    expected: int
    verdict: str


#: What a comparison says of its hypothesis, and the look of that.
VERDICTS = {
    "supported": {"color": COLOURS[0], "marker": "o"},
    "contradicted": {"color": COLOURS[1], "marker": "s"},
    "not separable": {
        "color": GREY, "marker": "D", "markerfacecolor": "none",
    },
}  # fmt: skip


def forest(name: str, title: str, rows: Sequence[ForestRow]) -> Picture:
    """Differences with their intervals by hypothesis, the expected side
    shaded.
    """
    if not rows:
        return words(name, title, "No comparison is done yet.")
    lines = _lines_of_forest(rows)
    limit = _limit_of_forest(rows)
    alt = _about_forest(rows)
    height = 70 + sum(25 + 9 * text.count("\n") for text, _ in lines)
    with drawing(name, (WIDTH, height), title, alt) as (figure, picture):
        axes = figure.subplots()
        for y, (_, row) in enumerate(lines):
            if row:
                _draw_difference(axes, y, row, limit)
        axes.axvline(0, color=INK, linewidth=1)
        _set_rows(axes, [text for text, _ in lines])
        for tick, (_, row) in zip(axes.get_yticklabels(), lines):
            tick.set_fontweight("normal" if row else "bold")
        axes.set_xlim(-limit, limit)
        axes.set_xlabel("difference in AUC, points of 0.01")
        expected = {"color": INK, "alpha": 0.15, "linewidth": 8}
        looks = {v: {**style, **_DOT} for v, style in VERDICTS.items()}
        legend(figure, {**looks, "expected side": expected})
    return picture


def _lines_of_forest(rows) -> List[Tuple[str, Optional[ForestRow]]]:
    """A line a hypothesis, in bold, and below it one a comparison."""
    lines = []
    for group, members in groupby(rows, key=lambda row: row.group):
        lines.append((_in_two_lines(group), None))
        lines += [(_in_two_lines(row.text), row) for row in members]
    return lines


def _in_two_lines(text) -> str:
    return textwrap.fill(shortened(text, 90), 48)


def _limit_of_forest(rows) -> float:
    """End of the axis on both sides, points."""
    ends = [
        abs(value)
        for row in rows
        for value in defined([row.difference, *(row.ci95 or [])])
    ]
    return 105 * max(ends, default=0) or 1.0


def _draw_difference(axes, y, row, limit) -> None:
    axes.fill_betweenx(
        [y - 0.5, y + 0.5], 0, row.expected * limit, color=INK, alpha=0.07, lw=0
    )
    style = VERDICTS[row.verdict]
    if row.ci95:
        ends = [100 * end for end in row.ci95]
        axes.plot(ends, [y, y], color=style["color"], **_INTERVAL)
    if row.difference is not None:
        axes.plot(100 * row.difference, y, **style, **_DOT)
    axes.text(
        1.02, y, f"{_points(row)}, {row.verdict}", va="center", fontsize=10,
        transform=axes.get_yaxis_transform(),
    )  # fmt: skip


def _points(row) -> str:
    """Difference and interval, in words."""
    if row.difference is None:
        return "not defined"
    found = f"{100 * row.difference:+.1f}"
    if not row.ci95:
        return found
    return f"{found} ({100 * row.ci95[0]:+.1f} to {100 * row.ci95[1]:+.1f})"


def _about_forest(rows) -> str:
    about = "Differences in AUC, in points of 0.01, with 95 % intervals."
    for group, members in groupby(rows, key=lambda row: row.group):
        found = [f"{m.text} {_points(m)}, {m.verdict}" for m in members]
        about += f" {group}: {'; '.join(found)}."
    return about


# Forgetting.


def forgetting(
    name: str,
    title: str,
    rows: Sequence[Tuple[str, Optional[float], Sequence[Optional[float]]]],
    measure: str = "accuracy on generic audio",
) -> Picture:
    """What encoders know of generic audio before and after adaptation."""
    known = [row for row in rows if defined([row[1], *row[2]])]
    if not known:
        return words(name, title, f"No {measure} is there yet.")
    alt = _about_forgetting(rows, measure)
    height = 85 + 30 * len(rows)
    with drawing(name, (WIDTH, height), title, alt) as (figure, picture):
        axes = figure.subplots()
        for y, (_, before, after) in enumerate(rows):
            _draw_change(axes, y, before, defined(after))
        _name_rows(axes, [encoder for encoder, _, _ in rows])
        axes.set_xlabel(measure)
        seed = {"one seed after": {**SEED, "color": INK}}
        legend(figure, {"before": _BEFORE, "after": _AFTER, **seed})
    return picture


_BEFORE = {**_DOT, "marker": "D", "color": COLOURS[1]}
_AFTER = {**_DOT, "marker": "o", "color": COLOURS[0]}


def _draw_change(axes, y, before, after) -> None:
    """From the figure before to the mean of those after."""
    mean = np.mean(after) if after else None
    if before is not None and after:
        axes.plot([before, mean], [y, y], color=GREY, linewidth=1.2)
    if before is not None:
        axes.plot(before, y, **_BEFORE)
    if after:
        axes.plot(mean, y, **_AFTER)
    _draw_seeds(axes, y + 2 * _BELOW, after)
    missing = [
        word for word, there in (("before", before is not None), ("after", after))
        if not there
    ]  # fmt: skip
    if missing:
        axes.text(
            1.01, y, f"{' and '.join(missing)}: not defined", va="center",
            fontsize=9, transform=axes.get_yaxis_transform(),
        )  # fmt: skip


def _about_forgetting(rows, measure) -> str:
    found = []
    for encoder, before, after in rows:
        after = defined(after)
        first = "not defined" if before is None else f"{before:.3f}"
        last = f"{np.mean(after):.3f}" if after else "not defined"
        seeds = f" (mean of {len(after)} seeds)" if len(after) > 1 else ""
        found.append(f"{encoder} {first} to {last}{seeds}")
    about = f"{measure} before and after adaptation: {'; '.join(found)}."
    return about[0].upper() + about[1:]
