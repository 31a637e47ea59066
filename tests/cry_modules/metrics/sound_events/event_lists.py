"""Random event lists, and their forms for sed_eval and psds_eval."""

import numpy as np
from hypothesis import strategies as st

from data_prep.annotations.event import Event

LABELS = ["cry", "laugh", "speech"]
DURATION_S = 60.0


def numpy_lists(seed, labels=LABELS, n=8, jitter=0.3):
    """Annotated events of a minute, and detections near some of them."""
    rng = np.random.default_rng(seed)
    annotated, detected = [], []
    for label in labels:
        edges = np.sort(rng.uniform(0, DURATION_S, 2 * n)).reshape(-1, 2)
        for onset, offset in edges:
            annotated.append(Event(onset, offset, label))
            draw = rng.uniform()
            if draw < 0.7:  # else missed
                shift = rng.normal(0, jitter, 2)
                low, high = np.sort(np.clip([onset, offset] + shift, 0, 60))
                name = label if draw < 0.6 else str(rng.choice(labels))
                score = float(rng.uniform())
                detected.append(Event(low, high + 1e-3, name, score))
    for _ in range(n // 2):
        onset = rng.uniform(0, 58)
        event = onset, onset + rng.uniform(0.1, 2), str(rng.choice(labels))
        detected.append(Event(*event, float(rng.uniform())))
    return annotated, detected


def any_lists():
    """Strategy of lists of events with overlaps, repetitions and round times."""
    times = st.floats(0, DURATION_S - 1, width=32)
    lengths = st.floats(0.015625, 8, width=32)
    event = st.builds(
        lambda onset, length, label: Event(
            onset, min(onset + length, DURATION_S), label
        ),
        times,
        lengths,
        st.sampled_from(LABELS[:2]),
    )
    lists = st.lists(event, max_size=7)
    return st.tuples(lists, lists)


def rows(events, name="a"):
    """Events as dictionaries of dcase_util."""
    return [
        {
            "filename": name,
            "event_label": e.label,
            "event_onset": e.onset_s,
            "event_offset": e.offset_s,
        }
        for e in events
    ]


def apart(events):
    """Events without overlaps of one label: psds_eval
    refuses others."""
    kept = []
    for event in sorted(events, key=lambda e: e.onset_s):
        if all(
            event.onset_s > other.offset_s
            for other in kept
            if other.label == event.label
        ):
            kept.append(event)
    return kept
