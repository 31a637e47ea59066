"""False alarms and missed events, as a monitor's user counts them.

Any shared time counts: the any-overlap method of seizure detection (Ziyabari,
Shah, Golmohammadi, Obeid and Picone, "Objective evaluation metrics for
automatic classification of EEG events", 2017, arXiv:1712.10107), where it does
not matter by how many milliseconds an onset is wrong.
"""

from typing import Sequence

import numpy as np

from cry_modules.metrics.sound_events.intervals import (
    ROUNDING_S,
    covered_s,
    merged,
)


def touches(events: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Flag the events that share time with any of the others, ``[n]``."""
    return covered_s(merged(others), events) > ROUNDING_S


def alarm_counts(
    annotated: Sequence[np.ndarray],
    detected: Sequence[np.ndarray],
    confusers: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Count missed events and false alarms of a recording.

    A detection is a false alarm if it shares no time with an annotated event of
    its label; an annotated event is missed if no detection of its label shares
    time with it.

    Events are onsets and offsets in seconds ``[n, 2]`` by label; confusers are
    annotated sounds that are not to be detected. Returns ``[n_labels, 4 + 2 *
    n_confusers]``: annotated, missed, detected, false alarms; for each confuser
    the false alarms that share time with it, and its events that set off a
    false alarm.

    Example
    -------
    >>> cry, music = np.array([[0.0, 2.0]]), np.array([[4.0, 6.0]])
    >>> found = np.array([[1.9, 3.0], [5.0, 5.5], [8.0, 9.0]])
    >>> alarm_counts([cry], [found], [music]).tolist()
    [[1, 0, 3, 2, 1, 1]]
    """
    rows = []
    for events, detections in zip(annotated, detected):
        false = detections[~touches(detections, events)]
        missed = (~touches(events, detections)).sum()
        row = [len(events), missed, len(detections), len(false)]
        for confuser in confusers:
            row.append(touches(false, confuser).sum())
            row.append(touches(confuser, false).sum())
        rows.append(row)
    return np.array(rows, dtype=int).reshape(-1, 4 + 2 * len(confusers))
