"""Figures of detected events against annotated ones, with intervals."""

from dataclasses import dataclass, field
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cry_modules.metrics.sound_events import agreement as amounts
from cry_modules.metrics.sound_events.alarms import alarm_counts
from cry_modules.metrics.sound_events.event_based import Collar, matched
from cry_modules.metrics.sound_events.intersection import (
    Criteria,
    intersection_counts,
)
from cry_modules.metrics.sound_events.intervals import merged, spans
from cry_modules.metrics.sound_events.psds import SCENARIOS, psds
from cry_modules.metrics.sound_events.resampling import (
    Figures,
    Resampling,
    divide,
    shares,
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


@dataclass
class Recording:
    """A recording's length, and its annotated and detected events."""

    name: str
    duration_s: float
    annotated: List[Event] = field(default_factory=list)
    detected: List[Event] = field(default_factory=list)
    group: str = ""  #: infant, or the recording itself


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
    n_points = [_drop_points(recordings, side) for side in _SIDES]
    hours = sum(r.duration_s for r in recordings) / HOUR_S
    labels = settings.labels
    arguments = recordings, settings, resampling
    return {
        "n_recordings": len(recordings),
        "hours": hours,
        f"n_{resampling.unit}s_drawn": len(set(resampling.groups)),
        "no_interval": resampling.no_interval,
        "left_out_of_zero_length": dict(zip(_SIDES, n_points)),
        "n_annotated": _numbers(recordings, "annotated", labels),
        "n_detected": _numbers(recordings, "detected", labels),
        "event_based": _event_based(*arguments),
        "segment_based": _segment_based(*arguments),
        "intersection_based": _intersection_based(*arguments),
        "psds": _psds(*arguments),
        "alarms": _alarms(*arguments),
        "agreement": _agreement(*arguments),
        "thresholds": curve(recordings, settings),
        "by_recording": by_recording(recordings, settings),
    }


_SIDES = ("annotated", "detected")


def _drop_points(recordings, side: str) -> int:
    """Leave out events without duration; return their number."""
    n_points = 0
    for recording in recordings:
        events = getattr(recording, side)
        long = [e for e in events if e.offset_s > e.onset_s]
        n_points += len(events) - len(long)
        setattr(recording, side, long)
    return n_points


def _numbers(recordings, side: str, labels) -> Dict[str, int]:
    return {
        label: sum(
            e.label == label for r in recordings for e in getattr(r, side)
        )
        for label in labels
    }


def _counts(recordings, labels, count: Callable) -> np.ndarray:
    """Counts of each recording, ``[n_recordings, ...]``."""
    rows = []
    for recording in recordings:
        sides = (
            [spans(getattr(recording, side), label) for label in labels]
            for side in _SIDES
        )
        rows.append(count(recording, *sides))
    return np.array(rows, dtype=np.float64)


def _by_class(labels, columns: np.ndarray) -> Figures:
    """Precision, recall and F1, micro, macro and by class, of right, annotated
    and detected ones ``[draws, n_labels, 3]``."""
    figures = shares(("micro",), *np.moveaxis(columns.sum(axis=1), -1, 0))
    of_labels: Figures = {}
    for k, label in enumerate(labels):
        of_labels |= shares(("per_class", label), *columns[:, k].T)
    f1 = np.array([of_labels["per_class", label, "f1"] for label in labels])
    is_annotated = columns[..., 1].T > 0
    figures["macro", "f1"] = divide(
        np.where(is_annotated, f1, 0).sum(axis=0), is_annotated.sum(axis=0)
    )
    return figures | of_labels


def by_recording(
    recordings: Sequence[Recording], settings: Settings
) -> List[Dict]:
    """Figures of all labels of each recording alone."""
    rows = []
    for recording in recordings:
        arguments = [recording], settings, Resampling([recording.group])
        micro = {
            "event_f1": _event_based(*arguments)["micro"]["f1"],
            "segment_f1": _segment_based(*arguments)["micro"]["f1"],
            "intersection_f1": _intersection_based(*arguments)["micro"]["f1"],
        }
        alarms = _alarms(*arguments)["micro"]
        names = ("false_alarms_per_hour", "missed_per_hour", "missed_share")
        rows.append(
            {
                "recording": recording.name,
                "group": recording.group,
                "duration_s": recording.duration_s,
                "n_annotated": len(_judged(recording.annotated, settings)),
                "n_detected": len(_judged(recording.detected, settings)),
                **micro,
                **{name: alarms[name] for name in names},
            }
        )
    return rows


def _judged(events: Sequence[Event], settings: Settings) -> List[Event]:
    return [event for event in events if event.label in settings.labels]


def _event_based(recordings, settings, resampling) -> Dict:
    def count(recording, annotated, detected):
        return [
            [matched(a, d, settings.collar), len(a), len(d)]
            for a, d in zip(annotated, detected)
        ]

    return with_intervals(
        lambda sums: _by_class(settings.labels, sums),
        _counts(recordings, settings.labels, count),
        resampling,
    )


def _segment_based(recordings, settings, resampling) -> Dict:
    def count(recording, *sides):
        span = recording.duration_s, settings.segment_s
        rolls = [
            np.array([activity(merged(x), *span) for x in side])
            for side in sides
        ]
        return segment_counts(*rolls)

    def figures(sums):
        columns, errors = sums[:, :-1], sums[:, -1]
        result = _by_class(settings.labels, columns)
        n = columns[..., 1].sum(axis=1)
        names = ("substitution_rate", "deletion_rate", "insertion_rate")
        for name, column in zip(names, errors.T):
            result["micro", name] = divide(column, n)
        result["micro", "error_rate"] = divide(errors.sum(axis=1), n)
        for label, (right, n, m) in zip(
            settings.labels, np.moveaxis(columns, 0, -1)
        ):
            rate = divide(n + m - 2 * right, n)
            result["per_class", label, "error_rate"] = rate
        return result

    counts = _counts(recordings, settings.labels, count)
    return with_intervals(figures, counts, resampling)


def _intersection_based(recordings, settings, resampling) -> Dict:
    def count(recording, annotated, detected):
        annotated = [*map(merged, annotated)]
        counts = intersection_counts(
            annotated, [*map(merged, detected)], settings.criteria
        )
        n = [len(events) for events in annotated]
        # F1 = 2 TP / (2 TP + FP + FN): TP + FP are the detections that count.
        return np.stack([counts[:, 0], n, counts[:, :2].sum(axis=1)], axis=1)

    return with_intervals(
        lambda sums: _by_class(settings.labels, sums),
        _counts(recordings, settings.labels, count),
        resampling,
    )


def thresholds_of(
    recordings: Sequence[Recording], labels: Sequence[str]
) -> List[Optional[float]]:
    """Thresholds at which detections are judged, highest first: their scores,
    or 50 quantiles of them; None alone if any has no score."""
    scores = [
        e.score for r in recordings for e in r.detected if e.label in labels
    ]
    if not scores or any(score is None for score in scores):
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


def _psds(recordings, settings, resampling) -> Dict:
    """PSDS in each scenario."""
    labels = settings.labels
    shape = (
        len(SCENARIOS),
        len(thresholds := thresholds_of(recordings, labels)),
        len(labels),
        2 + len(labels),
    )

    def count(recording, annotated, _):
        annotated = [*map(merged, annotated)]
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
        seconds = [(a[:, 1] - a[:, 0]).sum() for a in annotated]
        hours = np.array([*seconds, recording.duration_s]) / HOUR_S
        n = [len(a) for a in annotated]
        return np.concatenate([np.ravel(counts), n, hours])

    def figures(sums):
        size, n_labels = np.prod(shape), len(labels)
        values = [
            [
                psds(of_scenario, *np.split(row[size:], [n_labels]), scenario)
                for of_scenario, scenario in zip(
                    row[:size].reshape(shape), SCENARIOS.values()
                )
            ]
            for row in sums
        ]
        return {(name,): x for name, x in zip(SCENARIOS, np.array(values).T)}

    counts = _counts(recordings, labels, count)
    result = with_intervals(figures, counts, resampling)
    return {**result, "n_thresholds": len(thresholds)}


def _alarms(recordings, settings, resampling) -> Dict:
    confusers, labels = settings.confusers, settings.labels

    def count(recording, annotated, detected):
        others = [spans(recording.annotated, name) for name in confusers]
        counts = alarm_counts(annotated, detected, others)
        lengths = [(merged(x)[:, 1] - merged(x)[:, 0]).sum() for x in others]
        facts = [recording.duration_s, *lengths, *map(len, others)]
        return np.append(counts.ravel(), facts)

    def figures(sums):
        size = len(labels) * (4 + 2 * len(confusers))
        counts = sums[:, :size].reshape(len(sums), len(labels), -1)
        hours = sums[:, size] / HOUR_S
        result = _alarm_rates(("micro",), counts.sum(axis=1), hours)
        for k, label in enumerate(labels):
            place = ("per_class", label)
            result |= _alarm_rates(place, counts[:, k], hours)
        facts = sums[:, size + 1 :].T
        for k, name in enumerate(confusers):
            false, set_off = counts.sum(axis=1)[:, 4 + 2 * k : 6 + 2 * k].T
            seconds, n = facts[k], facts[len(confusers) + k]
            place = ("confusers", name)
            result[(*place, "n_events")] = n
            result[(*place, "false_alarms")] = false
            per_hour = divide(false, seconds / HOUR_S)
            result[(*place, "false_alarms_per_hour_of_it")] = per_hour
            result[(*place, "share_with_false_alarm")] = divide(set_off, n)
        return result

    counts = _counts(recordings, labels, count)
    result = with_intervals(figures, counts, resampling)
    for block in result.get("confusers", {}).values():
        del block["n_events_ci95"], block["false_alarms_ci95"]
    if resampling.no_interval is None:
        hours = counts[:, len(labels) * (4 + 2 * len(confusers))].sum() / HOUR_S
        for block in (result["micro"], *result["per_class"].values()):
            _add_limit(block, hours)
    return result


def _add_limit(block: Dict, hours: float) -> None:
    """Add an interval where no false alarm occurred, which no draw changes: up
    to the rate at which none would have a probability of 2.5 %, if they come
    independently of each other (Poisson)."""
    if block["false_alarms_per_hour"] == 0:
        limit = -float(np.log(0.025)) / hours
        block["false_alarms_per_hour_ci95"] = [0.0, limit]
        block["false_alarms_per_night_ci95"] = [0.0, NIGHT_HOURS * limit]


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


def bin_amounts(
    recording: Recording, label: str, bin_s: float
) -> Tuple[np.ndarray, np.ndarray]:
    """Annotated and detected minutes an hour in the bins of a recording."""
    windows = amounts.bins(recording.duration_s, bin_s)
    x, y = (
        amounts.minutes_per_hour(
            spans(getattr(recording, side), label), windows
        )
        for side in _SIDES
    )
    return x, y


def _agreement(recordings, settings, resampling) -> Dict:
    """Agreement by label and length of bins."""
    result: Dict = {}
    for label in settings.labels:
        for name, bin_s in amounts.BINS_S.items():
            pairs = [bin_amounts(r, label, bin_s) for r in recordings]
            counts = np.array([amounts.moments(*pair) for pair in pairs])
            block = with_intervals(_agreement_figures, counts, resampling)
            block["n_bins"] = int(counts[:, 0].sum())
            block["n_recordings_shorter_than_a_bin"] = sum(
                r.duration_s < bin_s for r in recordings
            )
            result.setdefault(label, {})[name] = block
    return result


def _agreement_figures(sums: np.ndarray) -> Figures:
    return {(name,): x for name, x in amounts.agreement(sums).items()}


def curve(recordings: Sequence[Recording], settings: Settings) -> List[Dict]:
    """Figures of all labels at each threshold on the scores, highest first;
    empty if detections have no scores."""
    rows, labels = [], settings.labels
    hours = sum(r.duration_s for r in recordings) / HOUR_S
    annotated = [[spans(r.annotated, k) for k in labels] for r in recordings]
    for threshold in thresholds_of(recordings, labels):
        if threshold is None:
            return []
        n_right, alarms = 0, np.zeros(4, dtype=int)
        for recording, events in zip(recordings, annotated):
            kept = at_threshold(recording.detected, threshold)
            detected = [spans(kept, label) for label in labels]
            alarms += alarm_counts(events, detected).sum(axis=0)
            pairs = zip(events, detected)
            n_right += sum(matched(*pair, settings.collar) for pair in pairs)
        n, missed, n_detected, false = map(int, alarms)
        rows.append(
            {
                "threshold": threshold,
                "precision": n_right / n_detected if n_detected else None,
                "recall": n_right / n if n else None,
                "f1": 2 * n_right / (n + n_detected)
                if n + n_detected
                else None,
                "missed_share": missed / n if n else None,
                "false_alarms_per_hour": false / hours,
            }
        )
    return rows
