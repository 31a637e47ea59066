"""Picture of detected events against annotated ones: thresholds and amounts."""

from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np

from cry_modules.figures import style
from cry_modules.metrics.sound_events.agreement import BINS_S

#: Fewer thresholds than this are points, not a curve.
_LEAST_FOR_LINE = 2


def draw(comparisons: Sequence[Dict], rows: List[List], path: Path) -> None:
    """Write the picture of the detector's comparisons.

    Left precision over recall of events at each threshold on the scores, in
    the middle missed events over false alarms an hour, right the amount in
    each bin of five minutes. `rows` are those of ``bins.csv``.
    """
    with style.picture(path, (13, 4.6)) as figure:
        ranking, alarms, amounts = figure.subplots(1, 3)
        names = _names(comparisons)
        entries = []
        for i, (comparison, name) in enumerate(zip(comparisons, names)):
            curve = comparison["thresholds"]
            is_line = len(curve) >= _LEAST_FOR_LINE
            look = {**style.look(i), "markersize": 3.5}
            look["linestyle"] = "-" if is_line else ""
            _plot(ranking, curve, "recall", "precision", look)
            _plot(alarms, curve, "false_alarms_per_hour", "missed_share", look)
            _plot_whole(ranking, alarms, comparison, style.look(i))
            pair = comparison["annotated"], comparison["detected"]
            points = [row[-2:] for row in rows if tuple(row[:2]) == pair]
            scatter = {**look, "linestyle": "", "alpha": 0.6, "markersize": 4}
            amounts.plot(*np.array(points).reshape(-1, 2).T, **scatter)
            entries.append((name, look))
        _label(ranking, alarms, amounts)
        style.add_legend(figure, entries)


def _names(comparisons) -> List[str]:
    names = [f"{c['detected']} against {c['annotated']}" for c in comparisons]
    if any(len(c["thresholds"]) for c in comparisons):
        names = [f"{name}; large: all events" for name in names]
    return names


def _plot(axes, curve: List[Dict], x: str, y: str, look: Dict) -> None:
    """Draw the thresholds at which both figures are defined."""
    points = [(row[x], row[y]) for row in curve]
    known = [p for p in points if None not in p]
    axes.plot(*np.array(known, float).reshape(-1, 2).T, **look)


def _plot_whole(ranking, alarms, comparison: Dict, look: Dict) -> None:
    """Draw the figures of all events as a large marker."""
    large = {**look, "markersize": 9, "linestyle": "", "clip_on": False}
    large["markeredgecolor"] = style.INK
    micro = comparison["event_based"]["micro"]
    _plot(ranking, [micro], "recall", "precision", large)
    of_alarms = [comparison["alarms"]["micro"]]
    names = ("false_alarms_per_hour", "missed_share")
    _plot(alarms, of_alarms, *names, large)


def _label(ranking, alarms, amounts) -> None:
    ranking.set(
        title="Events within the collar",
        xlabel="recall",
        ylabel="precision",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
    )
    alarms.set(
        title="Alarms",
        xlabel="false alarms an hour",
        ylabel="share of events missed",
        ylim=(-0.02, 1.02),
    )
    alarms.set_xlim(left=-0.02 * alarms.get_xlim()[1])
    minutes = min(BINS_S.values()) / 60
    amounts.set(
        title=f"Amount in bins of {minutes:g} minutes",
        xlabel="annotated, minutes an hour",
        ylabel="detected, minutes an hour",
    )
    top = max(1.0, amounts.get_xlim()[1], amounts.get_ylim()[1])
    amounts.plot([0, top], [0, top], **style.CHANCE)
    amounts.set_aspect("equal", adjustable="datalim")
