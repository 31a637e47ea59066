"""Damaged annotation files are read, or refused in one line."""

import math

import pytest

from data_prep.annotations.event import Event
from data_prep.annotations.formats import FORMATS, read_events, write_events
from tests.fuzz import mutations

EVENTS = [
    Event(0.5, 1.25, "cry", 0.75, "night.wav", "Anna", 2),
    Event(1.0, 2.125, 'said "b\xe9b\xe9"', None, "night.wav", "Ben"),
    Event(2.0, 2.0, "click", None, "night.wav", "Ben"),
]


@pytest.mark.parametrize("n", [40, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mutate", [mutations.of_bytes, mutations.of_table])
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_annotations(tmp_path, name, mutate, n):
    path = tmp_path / f"night{FORMATS[name].suffix}"
    write_events(path, EVENTS, name, "night.wav", 10.0)

    def check(events, _):
        for event in events:
            times = event.onset_s, event.offset_s
            if not all(map(math.isfinite, times)) or event.duration_s < 0:
                return f"an event of the times {times}"
        return None

    def read(path):
        read_events(path)
        return read_events(path, name)

    _, faults = mutations.trial(read, path, mutate, n, check)
    assert not faults, "\n".join(faults)
