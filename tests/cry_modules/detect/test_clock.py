"""Starts of recordings and hours of the day, where clocks change too."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import (
    given,
    strategies as st,
)
from zoneinfo import ZoneInfo

from cry_modules.detect.clock import (
    Clock,
    Starts,
    hours_of_day,
    moment,
    start_in_name,
    written,
    zone,
)
from data_prep.files.errors import InputError

OSLO = ZoneInfo("Europe/Oslo")
EVENING = datetime(2026, 3, 12, 23, 15)


@pytest.mark.parametrize(
    "name",
    [
        *("20260312_231500.WAV", "20260312_231500T.WAV", "20260312231500.mp3"),
        *("SMU0123_20260312_231500.wav", "e20260312_231500_012345.wav"),
        *("260312-231500.wav", "2026-03-12T23:15:00.wav", "a 20260312-231500"),
        *("2026-03-12 23.15.00.flac", "Recording 2026-03-12 at 23.15.00.ogg"),
        *("2026-03-12_23h15m00.wav", "2026_03_12_23_15_00.wav"),
        *("2026-03-12 23-15.wav", "P07_20260312_231500_20260313_071500.wav"),
    ],
)
def test_recorders_write_the_start_into_the_name(name):
    assert start_in_name(f"some/20200101_000000/{name}") == EVENING


@pytest.mark.parametrize(
    "name",
    [
        *("night.wav", "20260312.wav", "260312_0001.MP3", "20260312_0001.wav"),
        *("20261312_231500.wav", "20260312_251500.wav", "120260312_231500.wav"),
        *("20260312_2315001.wav", "baby_12345678.wav", "ZOOM0001.wav"),
        *("20260230_231500.wav", "", "18260312_231500.wav"),
    ],
)
def test_other_digits_are_not_a_start(name):
    assert start_in_name(name) is None


def test_the_zone_of_the_recorder_may_be_another():
    """AudioMoth counts in UTC."""
    clock = Clock(zone("UTC", "--recorder_time_zone"), OSLO)
    assert written(clock.start(EVENING)) == "2026-03-13T00:15:00.000+01:00"
    assert written(Clock().start(EVENING)) == "2026-03-12T23:15:00.000"
    aware = EVENING.replace(tzinfo=timezone.utc)
    assert clock.start(aware) == aware and not clock.doubt(aware)


def test_elapsed_time_counts_where_clocks_change():
    for day, expected in (("2026-03-29", "07"), ("2026-10-25", "05")):
        late = datetime.fromisoformat(day) - timedelta(hours=2)
        start = Clock(OSLO, OSLO).start(late)
        assert moment(start, 8 * 3600).strftime("%H") == expected
        hours = hours_of_day(start, 0, 8 * 3600)
        assert sum(hours.values()) == 8 * 3600
        by_hour = {hour: seconds for (_, hour), seconds in hours.items()}
        assert by_hour.get(2, 0) == (0 if expected == "07" else 7200)


@pytest.mark.parametrize(
    "local, words, offset",
    [
        ("2026-10-25 02:30", "comes twice", "+02:00"),
        ("2026-03-29 02:30", "does not exist", "+02:00"),
        ("2026-03-29 03:30", "", "+02:00"),
    ],
)
def test_a_doubtful_start_is_said(local, words, offset):
    clock = Clock(OSLO, OSLO)
    time = datetime.fromisoformat(local)
    assert clock.doubt(time).startswith(words) and bool(clock.doubt(time)) == (
        bool(words)
    )
    assert written(clock.start(time)).endswith(offset)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
    st.floats(0, 90000),
    st.floats(0, 40000),
    st.sampled_from(["Europe/Oslo", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_hours_add_up(time, onset, seconds, name):
    start = Clock(zone(name, ""), zone(name, "")).start(time)
    hours = hours_of_day(start, onset, onset + seconds)
    assert sum(hours.values()) == pytest.approx(seconds, abs=1e-3)
    assert all(0 <= hour < 24 for _, hour in hours)
    assert len(hours) <= seconds / 3600 + 3


def test_a_table_comes_before_names(tmp_path):
    table = tmp_path / "starts.csv"
    table.write_text(
        "recording;start\n20200101_000000.wav;2026-03-12 23:15\n"
        "b/x.wav;2026-03-12T22:15:00Z\n"
    )
    starts = Starts(Clock(OSLO, OSLO), str(table))
    assert starts("in/20200101_000000.wav") == EVENING.replace(tzinfo=OSLO)
    assert starts("b/x.wav") == EVENING.replace(tzinfo=OSLO)
    assert starts("c/20200101_000000_b.wav").year == 2020
    assert starts("y.wav") is None
    assert [path for path, _ in starts.from_names] == [
        "c/20200101_000000_b.wav"
    ]


@pytest.mark.parametrize(
    "text, words",
    [
        (
            "recording,start\na,12/03/2026 23:15\n",
            "row 2: start is '12/03/2026",
        ),
        ("recording,start\na,2026-03-12\na,2026-03-13\n", "is listed twice"),
        ("file,start\na,2026-03-12\n", "no column 'recording'"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, text, words):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        Starts(Clock(), str(tmp_path / "s.csv"))


def test_an_unknown_zone_is_refused():
    for name in ("Oslo", "../etc", "Europe/Nowhere", ""):
        with pytest.raises(InputError, match="--time_zone is .*Europe/Oslo"):
            zone(name, "--time_zone")
