"""Figures of detected events against annotated ones, with intervals.

Each kind of figures has a function that counts in a recording, and one that
computes the figures of sums of these counts ``[draws, ...]``.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cry_modules.metrics.sound_events import agreement
from cry_modules.metrics.sound_events.alarms import alarm_counts
from cry_modules.metrics.sound_events.event_based import Collar, matched
from cry_modules.metrics.sound_events.intersection import (
    Criteria,
    intersection_counts,
)
from cry_modules.metrics.sound_events.intervals import merged, seconds, spans
from cry_modules.metrics.sound_events.psds import SCENARIOS, psds
from cry_modules.metrics.sound_events.resampling import (
    Figures,
    Resampling,
    by_class,
    divide,
    known,
    with_intervals,
)
from cry_modules.metrics.sound_events.segment_based import (
    activity,
    segment_counts,
)
from data_prep.annotations.event import Event

HOUR_S = 3600.0
NIGHT_HOURS = 8
MOST_THRESHOLDS = 50
_SIDES = ("annotated", "detected")


@dataclass
class Recording:
    """A recording's length, and its annotated and detected events."""

    name: str
    duration_s: float
    annotated: List[Event] = field(default_factory=list)
    detected: List[Event] = field(default_factory=list)
    group: str = ""  #: infant, or the recording itself

    def spans(self, labels: Sequence[str]) -> List[List[np.ndarray]]:
        """Onset and offset of annotated and of detected events by label."""
        sides = self.annotated, self.detected
        return [[spans(side, label) for label in labels] for side in sides]


class Settings(NamedTuple):
    """Labels that are judged, sounds that are not, and tolerances."""

    labels: Sequence[str]
    confusers: Sequence[str] = ()  #: annotated, and not to be detected
    collar: Collar = Collar()
    segment_s: float = 1.0
    criteria: Criteria = Criteria()


def compare(
    recordings: Sequence[Recording], settings: Settings, resampling: Resampling
) -> Dict:
    """Compute all figures: the numbers of ``metrics.json`` on one pair of
    lists of events. Zero-length events are left out and counted."""
    n_points = {side: _drop_points(recordings, side) for side in _SIDES}
    labels = settings.labels
    counts, results = {}, {}
    for name, (count, figures) in _KINDS.items():
        counts[name] = np.array([count(r, settings) for r in recordings], float)
        results[name] = with_intervals(
            partial(figures, settings=settings), counts[name], resampling
        )
    alarms, hours = results["alarms"], _hours(recordings)
    for block in alarms.get("confusers", {}).values():
        del block["n_events_ci95"], block["false_alarms_ci95"]
    if resampling.no_interval is None:
        for block in (alarms["micro"], *alarms["per_class"].values()):
            _add_limit(block, hours)
    n_of = counts["event_based"].sum(axis=0).astype(int)
    return {
        "n_recordings": len(recordings),
        "hours": hours,
        f"n_{resampling.unit}s_drawn": len(set(resampling.groups)),
        "no_interval": resampling.no_interval,
        "left_out_of_zero_length": n_points,
        "n_annotated": dict(zip(labels, n_of[:, 1].tolist())),
        "n_detected": dict(zip(labels, n_of[:, 2].tolist())),
        **results,
        "psds": _psds(recordings, labels, resampling),
        "agreement": _agreement(recordings, labels, resampling),
        "thresholds": curve(recordings, settings),
        "by_recording": _by_recording(recordings, counts, settings),
    }


def _drop_points(recordings: Sequence[Recording], side: str) -> int:
    """Leave out events without duration; return their number."""
    n_points = 0
    for recording in recordings:
        events = getattr(recording, side)
        long = [event for event in events if event.duration_s > 0]
        n_points += len(events) - len(long)
        setattr(recording, side, long)
    return n_points


def _hours(recordings: Sequence[Recording]) -> float:
    return sum(recording.duration_s for recording in recordings) / HOUR_S


def _by_recording(recordings, counts: Dict, settings: Settings) -> List[Dict]:
    """Figures of all labels of each recording alone."""
    figures = {
        name: of_sums(counts[name], settings=settings)
        for name, (_, of_sums) in _KINDS.items()
    }
    n_of = counts["event_based"].sum(axis=1).astype(int)
    names = {
        "event_f1": ("event_based", "f1"),
        "segment_f1": ("segment_based", "f1"),
        "intersection_f1": ("intersection_based", "f1"),
        "false_alarms_per_hour": ("alarms", "false_alarms_per_hour"),
        "missed_per_hour": ("alarms", "missed_per_hour"),
        "missed_share": ("alarms", "missed_share"),
    }
    return [
        {
            "recording": recording.name,
            "group": recording.group,
            "duration_s": recording.duration_s,
            "n_annotated": int(n_of[i, 1]),
            "n_detected": int(n_of[i, 2]),
            **{
                name: known(figures[kind]["micro", figure][i])
                for name, (kind, figure) in names.items()
            },
        }
        for i, recording in enumerate(recordings)
    ]


def _event_counts(recording: Recording, settings: Settings) -> List:
    return [
        [matched(annotated, detected, settings.collar)]
        + [len(annotated), len(detected)]
        for annotated, detected in zip(*recording.spans(settings.labels))
    ]


def _share_figures(sums: np.ndarray, settings: Settings) -> Figures:
    return by_class(settings.labels, sums)


def _segment_counts(recording: Recording, settings: Settings) -> np.ndarray:
    size = recording.duration_s, settings.segment_s
    rolls = [
        np.array([activity(merged(events), *size) for events in side])
        for side in recording.spans(settings.labels)
    ]
    return segment_counts(*rolls)


def _segment_figures(sums: np.ndarray, settings: Settings) -> Figures:
    columns, errors = sums[:, :-1], sums[:, -1]
    result = by_class(settings.labels, columns)
    n = columns[..., 1].sum(axis=1)
    names = ("substitution_rate", "deletion_rate", "insertion_rate")
    for name, column in zip(names, errors.T):
        result["micro", name] = divide(column, n)
    result["micro", "error_rate"] = divide(errors.sum(axis=1), n)
    for k, label in enumerate(settings.labels):
        right, n, m = columns[:, k].T
        rate = divide(n + m - 2 * right, n)
        result["per_class", label, "error_rate"] = rate
    return result


def _intersection_counts(
    recording: Recording, settings: Settings
) -> np.ndarray:
    annotated, detected = (
        [*map(merged, side)] for side in recording.spans(settings.labels)
    )
    counts = intersection_counts(annotated, detected, settings.criteria)
    n = [*map(len, annotated)]
    # F1 = 2 TP / (2 TP + FP + FN): TP + FP are the detections that count.
    return np.stack([counts[:, 0], n, counts[:, :2].sum(axis=1)], axis=1)


def _alarm_counts(recording: Recording, settings: Settings) -> np.ndarray:
    """Counts by label; then the length of the recording, and of each confuser
    its seconds and its number of events."""
    others = [spans(recording.annotated, name) for name in settings.confusers]
    counts = alarm_counts(*recording.spans(settings.labels), others)
    facts = [fact for x in others for fact in (seconds(merged(x)), len(x))]
    return np.array([*counts.ravel(), recording.duration_s, *facts])


def _alarm_figures(sums: np.ndarray, settings: Settings) -> Figures:
    labels, confusers = settings.labels, settings.confusers
    size = len(labels) * (4 + 2 * len(confusers))
    counts = sums[:, :size].reshape(len(sums), len(labels), -1)
    hours, total = sums[:, size] / HOUR_S, counts.sum(axis=1)
    result = _alarm_rates(("micro",), total, hours)
    for k, label in enumerate(labels):
        result |= _alarm_rates(("per_class", label), counts[:, k], hours)
    for k, name in enumerate(confusers):
        false, set_off = total[:, 4 + 2 * k : 6 + 2 * k].T
        length, n = sums[:, size + 1 + 2 * k : size + 3 + 2 * k].T
        place = ("confusers", name)
        result[(*place, "n_events")] = n
        result[(*place, "false_alarms")] = false
        per_hour = divide(false, length / HOUR_S)
        result[(*place, "false_alarms_per_hour_of_it")] = per_hour
        result[(*place, "share_with_false_alarm")] = divide(set_off, n)
    return result


def _alarm_rates(place, counts: np.ndarray, hours: np.ndarray) -> Figures:
    n, missed, n_detected, false = counts[:, :4].T
    per_hour = divide(false, hours)
    return {
        (*place, "false_alarms_per_hour"): per_hour,
        (*place, "false_alarms_per_night"): per_hour * NIGHT_HOURS,
        (*place, "missed_per_hour"): divide(missed, hours),
        (*place, "missed_share"): divide(missed, n),
        (*place, "false_share"): divide(false, n_detected),
    }


def _add_limit(block: Dict, hours: float) -> None:
    """Add an interval where no false alarm occurred, which no draw changes: up
    to the rate at which none would have a probability of 2.5 %, if they come
    independently of each other (Poisson)."""
    if block["false_alarms_per_hour"] == 0:
        limit = -float(np.log(0.025)) / hours
        block["false_alarms_per_hour_ci95"] = [0.0, limit]
        block["false_alarms_per_night_ci95"] = [0.0, NIGHT_HOURS * limit]


_KINDS: Dict[str, Tuple[Callable, Callable]] = {
    "event_based": (_event_counts, _share_figures),
    "segment_based": (_segment_counts, _segment_figures),
    "intersection_based": (_intersection_counts, _share_figures),
    "alarms": (_alarm_counts, _alarm_figures),
}


def thresholds_of(
    recordings: Sequence[Recording], labels: Sequence[str]
) -> List[Optional[float]]:
    """Thresholds at which detections are judged, highest first: their scores,
    or 50 quantiles of them; None alone if any has no score."""
    scores = [
        e.score for r in recordings for e in r.detected if e.label in labels
    ]
    if not scores or None in scores:
        return [None]
    distinct = np.unique(scores)
    if len(distinct) > MOST_THRESHOLDS:
        share = np.linspace(0, 1, MOST_THRESHOLDS)
        distinct = np.unique(np.quantile(scores, share, method="lower"))
    return [float(score) for score in distinct[::-1]]


def at_threshold(events: Sequence[Event], threshold) -> List[Event]:
    """Events whose score reaches a threshold; all for None."""
    if threshold is None:
        return list(events)
    return [e for e in events if e.score is not None and e.score >= threshold]


def _psds(recordings, labels: Sequence[str], resampling: Resampling) -> Dict:
    """PSDS in each scenario."""
    n_labels, thresholds = len(labels), thresholds_of(recordings, labels)
    shape = (len(SCENARIOS), len(thresholds), n_labels, 2 + n_labels)

    def count(recording):
        annotated = [merged(x) for x in recording.spans(labels)[0]]
        detected = [
            [merged(spans(events, label)) for label in labels]
            for events in (
                at_threshold(recording.detected, t) for t in thresholds
            )
        ]
        counts = [
            intersection_counts(annotated, at, scenario.criteria)
            for scenario in SCENARIOS.values()
            for at in detected
        ]
        lengths = [*map(seconds, annotated), recording.duration_s]
        n = [*map(len, annotated)]
        return np.concatenate([np.ravel(counts), n, np.array(lengths) / HOUR_S])

    def figures(sums):
        n_counts = np.prod(shape)
        values = [
            [
                psds(counts, *np.split(row[n_counts:], [n_labels]), scenario)
                for counts, scenario in zip(
                    row[:n_counts].reshape(shape), SCENARIOS.values()
                )
            ]
            for row in sums
        ]
        return {(name,): x for name, x in zip(SCENARIOS, np.array(values).T)}

    result = with_intervals(
        figures, np.array([*map(count, recordings)], float), resampling
    )
    return {**result, "n_thresholds": len(thresholds)}


def bin_amounts(
    recording: Recording, label: str, bin_s: float
) -> List[np.ndarray]:
    """Annotated and detected minutes an hour in the bins of a recording."""
    windows = agreement.bins(recording.duration_s, bin_s)
    return [
        agreement.minutes_per_hour(events, windows)
        for (events,) in recording.spans([label])
    ]


def _agreement(recordings, labels: Sequence[str], resampling) -> Dict:
    """Agreement by label and length of bins."""
    result: Dict = {}
    for label in labels:
        for name, bin_s in agreement.BINS_S.items():
            pairs = [bin_amounts(r, label, bin_s) for r in recordings]
            counts = np.array([agreement.moments(*pair) for pair in pairs])
            block = with_intervals(_agreement_figures, counts, resampling)
            block["n_bins"] = int(counts[:, 0].sum())
            block["n_recordings_shorter_than_a_bin"] = sum(
                r.duration_s < bin_s for r in recordings
            )
            result.setdefault(label, {})[name] = block
    return result


def _agreement_figures(sums: np.ndarray) -> Figures:
    return {(name,): x for name, x in agreement.agreement(sums).items()}


def curve(recordings: Sequence[Recording], settings: Settings) -> List[Dict]:
    """Figures of all labels at each threshold on the scores, highest first;
    empty if detections have no scores."""
    rows = []
    for threshold in thresholds_of(recordings, settings.labels):
        if threshold is None:
            return []
        figures: Figures = {}
        at = [
            replace(r, detected=at_threshold(r.detected, threshold))
            for r in recordings
        ]
        for name in ("event_based", "alarms"):
            count, of_sums = _KINDS[name]
            counts = np.array([count(r, settings) for r in at], float)
            figures |= of_sums(counts.sum(axis=0)[None], settings=settings)
        names = ("precision", "recall", "f1", "missed_share")
        row = {"threshold": threshold}
        for name in (*names, "false_alarms_per_hour"):
            row[name] = known(figures["micro", name][0])
        rows.append(row)
    return rows
