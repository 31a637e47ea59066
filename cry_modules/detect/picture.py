"""Pictures of detection: scores and events of a recording, and the hours of the
day."""

from datetime import datetime
from itertools import cycle
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from cry_modules.detect.clock import moment
from cry_modules.detect.events import Rule, runs
from cry_modules.figures.style import GREY, INK, SERIES, add_legend
from data_prep.files.words import count

#: Inches.
WIDTH, _ROW, _MARGIN = 8.0, 0.55, 1.3
HOURS_SIZE = (8.0, 4.0)
_MOST_ROWS = 24
#: Seconds from one tick of a row of at most an hour to the next.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900)
#: Scores nearer to 0 or 1 are drawn at this distance.
_SMALLEST = 1e-3
#: More points of a row are drawn as the largest of those at one place.
_MOST_POINTS = 1500


class Shown(NamedTuple):
    """Scores and events of one class of a recording."""

    label: str
    scores: np.ndarray  #: ``[n]``; NaN in silent windows
    events: np.ndarray  #: ``[m, 3]``: onset, offset in seconds, score
    rule: Rule


def rows_of(seconds: float) -> Tuple[int, float]:
    """Number of rows of a picture, and seconds of each: an hour, or as many
    hours as make 24 rows.

    Example
    -------
    >>> rows_of(90.0), rows_of(5400.0), rows_of(48 * 3600.0)
    ((1, 90.0), (2, 3600.0), (24, 7200.0))
    """
    if seconds <= 3600:
        return 1, seconds
    hours = -(-seconds // 3600)
    row_s = 3600.0 * (-(-hours // _MOST_ROWS))
    return int(-(-seconds // row_s)), row_s


def size_of(seconds: float) -> Tuple[float, float]:
    """Size of a recording's picture, inches."""
    n = rows_of(seconds)[0]
    return WIDTH, 3.0 if n == 1 else _MARGIN + _ROW * n


def draw_events(
    figure: Figure,
    edges: np.ndarray,
    shown: Sequence[Shown],
    title: str,
    start: Optional[datetime] = None,
) -> None:
    """Draw the scores of cells between `edges` and the events of each class,
    an hour a row."""
    end = float(edges[-1])
    n_rows, row_s = rows_of(end)
    rows = figure.subplots(n_rows, 1, sharex=True, squeeze=False)[:, 0]
    in_minutes = row_s >= 600
    unit_s = 60.0 if in_minutes else 1.0
    for i, axes in enumerate(rows):
        first = i * row_s
        for part, colour in zip(shown, cycle(SERIES)):
            line = colour if len(shown) > 1 else INK
            _draw_row(axes, edges, part, first, row_s, unit_s, colour, line)
        _shade_silence(axes, edges, shown[0].scores, first, row_s, unit_s)
        axes.set_xlim(0, row_s / unit_s)
        axes.set_ylim(-7.2, 7.2)
        ticks = [0.01, 0.1, 0.5, 0.9, 0.99]
        if n_rows > 1:
            ticks = sorted({part.rule.high for part in shown})
        axes.yaxis.set_major_locator(FixedLocator(_log_odds(np.array(ticks))))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_yticklabels([f"{tick:.2g}" for tick in ticks])
        axes.grid(False, axis="y")
        if n_rows > 1:
            axes.set_ylabel(
                _row_name(first, start), rotation=0, ha="right", va="center",
                labelpad=4,
            )  # fmt: skip
    rows[0].set_title(title, loc="left")
    rows[-1].set_xlabel("minutes" if in_minutes else "seconds")
    if n_rows == 1:
        rows[0].set_ylabel("score (log-odds scale)")
        if start is not None:
            places, texts = clock_ticks(start, end)
            rows[0].set_xticks(places / unit_s, texts)
            rows[0].set_xlabel(f"time of day, {start:%Y-%m-%d}")
    _add_legend(figure, shown, bool(np.isnan(shown[0].scores).any()))


def _row_name(first: float, start: Optional[datetime]) -> str:
    if start is None:
        return f"{first / 3600:.0f} h"
    return f"{moment(start, first):%H:%M}"


def clock_ticks(start: datetime, end: float) -> Tuple[np.ndarray, List[str]]:
    """Seconds of at most six round times of day after the start, and these
    times.

    Example
    -------
    >>> clock_ticks(datetime(2026, 3, 12, 23, 59, 50), 95.0)
    (array([10., 40., 70.]), ['00:00:00', '00:00:30', '00:01:00'])
    """
    step = next(step for step in _STEPS if end < 6 * step)
    into = start.minute * 60 + start.second + start.microsecond / 1e6
    places = np.arange(-into % step, end + 1e-9, step)
    form = "%H:%M" if step >= 60 else "%H:%M:%S"
    return places, [f"{moment(start, place):{form}}" for place in places]


def _draw_row(
    axes: Axes, edges, part: Shown, first, row_s, unit_s, colour, line
):
    """Draw a part of the scores and of the events, and lines at thresholds."""
    last = first + row_s
    inside = (edges[1:] > first) & (edges[:-1] < last)
    middles = (edges[1:] + edges[:-1])[inside] / 2
    times, values = _thinned(middles, part.scores[inside])
    marks = {"marker": "o", "markersize": 3} if len(times) <= 100 else {}
    axes.plot(
        (times - first) / unit_s, _log_odds(values), color=colour,
        linewidth=0.9, **marks,
    )  # fmt: skip
    for limit, dashes in ((part.rule.high, (4, 3)), (part.rule.low, (1, 2))):
        axes.axhline(
            _log_odds(np.array(limit)), color=line, linewidth=0.7,
            linestyle=(0, dashes),
        )  # fmt: skip
    spans = part.events[
        (part.events[:, 1] > first) & (part.events[:, 0] < last)
    ]
    if len(spans):
        begins = np.maximum(spans[:, 0], first)
        lengths = np.minimum(spans[:, 1], last) - begins
        # At least as wide as a hair, or an event of a night is invisible.
        lengths = np.maximum(lengths, row_s / 600)
        axes.broken_barh(
            list(zip((begins - first) / unit_s, lengths / unit_s)), (0, 1),
            facecolors=colour, alpha=0.3, linewidth=0,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def _thinned(times: np.ndarray, scores: np.ndarray):
    """The largest of neighbouring scores where there are many."""
    step = -(-len(scores) // _MOST_POINTS)
    if step <= 1:
        return times, scores
    firsts = np.arange(0, len(scores), step)
    largest = np.fmax.reduceat(scores, firsts)
    return times[firsts], largest


def _shade_silence(axes: Axes, edges, scores, first, row_s, unit_s):
    """Shade the windows that are silent, which have no score."""
    times = edges[runs(np.isnan(scores))].reshape(-1, 2)
    times = times[(times[:, 1] > first) & (times[:, 0] < first + row_s)]
    spans = [((a - first) / unit_s, (b - a) / unit_s) for a, b in times]
    axes.broken_barh(
        spans, (0, 1), facecolors="0.88", zorder=0, linewidth=0,
        transform=axes.get_xaxis_transform(),
    )  # fmt: skip


def _log_odds(scores: np.ndarray) -> np.ndarray:
    scores = np.clip(scores, _SMALLEST, 1 - _SMALLEST)
    return np.log(scores / (1 - scores))


def _add_legend(figure: Figure, shown: Sequence[Shown], is_silent: bool):
    entries: List = []
    for part, colour in zip(shown, cycle(SERIES)):
        n = len(part.events)
        minutes = float((part.events[:, 1] - part.events[:, 0]).sum()) / 60
        text = f"{part.label}: {count(n, 'event')}, {minutes:.1f} min"
        entries.append((text, {"color": colour, "linewidth": 4, "alpha": 0.5}))
    for part, colour in zip(shown, cycle(SERIES)):
        several = len(shown) > 1
        line = {"color": colour if several else INK, "linewidth": 0.9}
        for words, limit, dashes in (
            ("opens at", part.rule.high, (4, 3)),
            ("ends below", part.rule.low, (1, 2)),
        ):
            text = f"{part.label} " * several + f"{words} {limit:.3g}"
            entries.append((text, {**line, "linestyle": (0, dashes)}))
    if is_silent:
        entries.append(("silence", {"color": "0.88", "linewidth": 6}))
    add_legend(figure, entries)


def draw_hours(
    figure: Figure,
    recorded: Mapping[int, float],
    events: Dict[str, Mapping[int, float]],
) -> None:
    """Draw the minutes of each class in an hour of recording, by hour of the
    day, above the hours that were recorded; all in seconds by hour."""
    above, below = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)}
    )
    hours = np.arange(24)
    seconds = np.array([recorded.get(hour, 0.0) for hour in hours])
    width = 0.8 / len(events)
    for k, (label, of_label) in enumerate(events.items()):
        found = np.array([of_label.get(hour, 0.0) for hour in hours])
        share = np.divide(60 * found, seconds, np.zeros(24), where=seconds > 0)
        place = hours + 0.1 + width * (k + 0.5)
        above.bar(
            place, share, width, color=SERIES[k % len(SERIES)], label=label
        )
    above.set_ylabel("minutes in an\nhour of recording")
    above.set_title(f"{', '.join(events)} by hour of the day", loc="left")
    below.bar(hours + 0.5, seconds / 3600, 0.8, color=GREY)
    below.set_ylabel("hours\nrecorded")
    below.set_xlim(0, 24)
    below.set_xticks(
        range(0, 25, 3), [f"{h % 24:02}:00" for h in range(0, 25, 3)]
    )
    if len(events) > 1:
        entries = [
            (n, {"color": SERIES[k % len(SERIES)], "linewidth": 6})
            for k, n in enumerate(events)
        ]
        add_legend(figure, entries)
