"""Annotations of long recordings become a database of clips."""

import logging
from collections import Counter

import numpy as np
import pytest
import soundfile

from data_prep.annotations.event import Event
from data_prep.annotations.formats import write_events
from data_prep.annotations.negatives import Negatives, free_spans
from data_prep.manifest import read
from tests.data_prep.annotations.annotated import CRIES, RATE, rows, tone


def test_a_database_and_its_manifests(annotate, nights):
    status, out, _ = annotate(*CRIES)
    assert status == 0
    cut = sum(float(r["stop_s"]) - float(r["start_s"]) for r in rows(nights))
    assert out.splitlines() == [
        f"6 recordings of 6 patients, 6 minutes; {cut:.0f} seconds of clips: "
        "12 cry, 12 other; events: 6 of other labels or tiers (talk)",
        "to train on it: python train_cls.py hparams/small_linear.yaml "
        f"--data_folder {nights / 'out'} --label_column label "
        "--classes other,cry --encoder_source ENCODER",
    ]
    table = rows(nights)
    assert Counter(row["label"] for row in table) == {"cry": 12, "other": 12}
    assert {row["patient_id"] for row in table} == {f"p{i}" for i in range(6)}
    for row in table:
        info = soundfile.info(nights / "out" / row["path"])
        seconds = float(row["stop_s"]) - float(row["start_s"])
        assert info.frames == pytest.approx(seconds * RATE, abs=1)
        assert (info.samplerate, info.channels) == (RATE, 1)
    splits = {
        name: {
            rec.patient_id for rec in read(nights / f"out/manifest/{name}.csv")
        }
        for name in ("train", "valid", "test")
    }
    assert sum(map(len, splits.values())) == 6
    assert all(splits.values())


def test_negatives_are_away_from_all_events_and_as_long(annotate, nights):
    annotate(*CRIES, "--margin_s", "2", "--negatives", "2")
    for path in {row["recording"] for row in rows(nights)}:
        part = [row for row in rows(nights) if row["recording"] == path]
        spans = sorted(
            (float(row["start_s"]), float(row["stop_s"]))
            for row in part
            if row["kind"] == "negative"
        )
        assert len(spans) == 4
        assert {round(b - a, 3) for a, b in spans} <= {1.0, 2.0}
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:]))
        for onset, offset in ((5, 7), (20, 21), (40, 44)):
            far = [b <= onset - 2 or a >= offset + 2 for a, b in spans]
            assert all(far)


def test_the_same_seed_draws_the_same_negatives(annotate, nights):
    contents = []
    for seed in ("1", "1", "2"):
        annotate(*CRIES, "--seed", seed)
        contents.append((nights / "out/recordings.csv").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_places_of_negatives_are_equally_likely():
    spans = free_spans([Event(10, 12, "cry")], 40.0, 1.0)
    assert spans == [(0.0, 9.0), (13.0, 40.0)]
    starts = []
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        negatives = Negatives(spans, [1.0], [None], "other", rng)
        negatives.add_drawn(1)
        starts += [part.start for part in negatives.segments]
    assert len(starts) == 2000
    # 8 of 34 s at which one can start are in front of the event.
    before = np.mean(np.array(starts) < 9)
    assert before == pytest.approx(8 / 34, abs=4 * np.sqrt(0.18 / 2000))


def silence(nights, begin, end):
    for path in nights.glob("audio/*/*.wav"):
        sound, rate = soundfile.read(path)
        sound[begin * rate : end * rate] = 0
        soundfile.write(path, sound, rate)


def test_negatives_are_not_silent(annotate, nights):
    """The audit would reject them: a gap of the recorder, a quiet room."""
    silence(nights, 12, 55)
    status, out, _ = annotate("--patient", "folder", "--labels", "cry")
    assert status == 0 and "found no place" not in out
    assert "to train on it: " in out
    drawn = [row for row in rows(nights) if row["kind"] == "negative"]
    assert len(drawn) == 6
    for row in drawn:
        sound, _ = soundfile.read(nights / "out" / row["path"])
        assert np.sqrt(np.mean(sound**2)) > 1e-3


def test_silence_between_events_is_said(annotate, nights):
    for i in range(6):
        path = nights / f"labels/night{i}.txt"
        write_events(path, [Event(10, 11, "cry")], "audacity")
    silence(nights, 0, 9)
    silence(nights, 12, 60)
    status, out, _ = annotate("--patient", "folder")
    assert status == 0
    assert "6 cry, 6 negatives found no place (the rest is silent)" in out


def test_no_room_for_negatives_is_said(annotate, nights):
    for i in range(6):
        write_events(
            nights / f"labels/night{i}.txt", [Event(0, 58, "cry")], "audacity"
        )
    status, out, _ = annotate("--patient", "folder")
    assert status == 0
    assert "6 cry, 6 negatives found no place" in out
    assert out.splitlines()[-1].startswith(
        "train_cls.py cannot train on it yet: all labels are 'cry'"
    )
    assert not list(nights.glob("out/manifest/*.csv"))


def assert_around(hard, middle):
    """Hard negatives are as long as the cries of 1 or 2 s, not as detections:
    the length must not tell the classes apart."""
    for row in hard:
        start, stop = float(row["start_s"]), float(row["stop_s"])
        assert (start + stop) / 2 == pytest.approx(middle)
        assert stop - start in (1.0, 2.0)


def test_hard_negatives_come_first(annotate, nights):
    for i in range(6):
        events = [Event(30, 31.5, "cry", 0.9), Event(5.5, 6, "cry", 0.99)]
        events += [Event(50, 51, "cry", 0.4)]
        write_events(nights / f"found/night{i}.csv", events)
    marks = ("--hard_negatives", nights / "found", "--hard_threshold", "0.5")
    out = annotate(*CRIES, *marks)[1]
    assert "(6 hard negatives)" in out
    hard = [row for row in rows(nights) if row["kind"] == "hard negative"]
    assert_around(hard, 30.75)
    assert Counter(row["label"] for row in rows(nights))["other"] == 12


def test_hard_negatives_of_the_output_of_a_detector(annotate, nights):
    lines = ["recording,channel,onset_s,offset_s,label,score,onset_time"]
    lines += ["/x/p1/night1.wav,,30,31,cry,0.2,2026-01-01T00:00:30"]
    lines += ["/x/p1/night1.wav,,50,51,speech,0.9,"]
    (nights / "found/events.csv").write_text("\n".join(lines))
    (nights / "found/summary.csv").write_text("recording,hours\na,1\n")
    out = annotate(*CRIES, "--hard_negatives", nights / "found")[1]
    assert "(1 hard negative)" in out
    hard = [row for row in rows(nights) if row["kind"] == "hard negative"]
    assert [row["recording"] for row in hard] == ["p1/night1.wav"]
    assert_around(hard, 30.5)


def test_another_table_is_not_replaced(annotate, nights):
    (nights / "out").mkdir()
    (nights / "out/recordings.csv").write_text("mine")
    status, _, err = annotate(*CRIES)
    assert status == 2 and "pass another --out" in err
    assert (nights / "out/recordings.csv").read_text() == "mine"


def test_hard_negatives_of_scores_over_time(annotate, nights):
    for i in range(6):
        lines = ["start,stop,other,cry", "5,6,0.1,0.9", "30,31,0.2,0.8"]
        lines += ["30.5,31.5,0.3,0.7", "31,32,0.9,0.1", "33,34,,"]
        path = nights / f"scores/night{i}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines))
    annotate(*CRIES, "--hard_negatives", nights / "scores")
    hard = [row for row in rows(nights) if row["kind"] == "hard negative"]
    assert_around(hard, 30.75)


def test_a_table_gives_patients_and_its_columns(annotate, nights, caplog):
    caplog.set_level(logging.INFO)
    lines = ["Baby;File;site;recorded_at;recording_id"]
    for i in range(6):
        lines.append(f"b{i // 2};night{i};north;2026-10-24 22:00;r{i}")
    (nights / "nights.csv").write_text("\n".join(lines))
    status, out, err = annotate(
        "--labels", "cry", "--recordings_csv", nights / "nights.csv",
        "--patient_column", "Baby", "--path_column", "File",
    )  # fmt: skip
    assert status == 0, err
    assert "6 recordings of 3 patients" in out
    assert "recorded_at has no time zone" in caplog.text
    first = rows(nights)[0]
    assert first["patient_id"] == "b0" and first["site"] == "north"
    # Of the recording, not computed for the clip: clocks may have changed.
    assert {row["recorded_at"] for row in rows(nights)} == {"2026-10-24 22:00"}
    assert "recording_id" not in first


def test_channels_of_two_microphones(annotate, nights):
    tone(nights / "audio/p0/night0.wav", channels=2)
    events = [Event(5, 7, "cry", channel=2), Event(20, 21, "cry", channel=1)]
    events.append(Event(30, 31, "cry"))  # of no channel: the mean of all
    (nights / "labels/night0.txt").unlink()
    write_events(nights / "labels/night0.csv", events)
    levels = {}
    annotate(*CRIES, "--negatives", "0")
    for row in rows(nights):
        if row["recording"] == "p0/night0.wav":
            clip = soundfile.read(nights / "out" / row["path"])[0]
            levels[row["start_s"]] = clip.mean()
    assert levels == {
        "5.0": pytest.approx(0.2, abs=0.005),
        "20.0": pytest.approx(0.1, abs=0.005),
        "30.0": pytest.approx(0.15, abs=0.005),
    }


def test_ends_overlaps_and_points(annotate, nights):
    events = [Event(5, 7, "cry"), Event(6, 8, "cry"), Event(7.5, 9, "fuss")]
    events += [Event(30, 30, "cry"), Event(59, 63, "cry"), Event(61, 62, "cry")]
    (nights / "labels/night0.txt").unlink()
    write_events(nights / "labels/night0.csv", events)
    out = annotate("--patient", "folder", "--negatives", "0")[1]
    spans = [
        (row["start_s"], row["stop_s"], row["label"])
        for row in rows(nights)
        if row["recording"] == "p0/night0.wav"
    ]
    assert spans == [
        ("5.0", "8.0", "cry"),
        ("7.5", "9.0", "fuss"),
        ("59.0", "60.0", "cry"),
    ]
    for words in (
        "1 past the end of the audio",
        "1 cut off at the end",
        "1 merged",
        "1 kept that overlap another",
        "1 shorter than --least_s",
    ):
        assert words in out
    reasons = {row["reason"] for row in rows(nights, "left_out.csv")}
    assert reasons == {"past the end of the audio", "shorter than --least_s"}


def test_events_without_a_label(nights, annotate):
    """A mark of a missing value would be no label in the database."""
    events = [Event(5, 7, ""), Event(10, 12, "?"), Event(20, 21, "cry\n loud")]
    (nights / "labels/night0.txt").unlink()
    write_events(nights / "labels/night0.TextGrid", events[1:])
    write_events(nights / "labels/night0.csv", events[:1])
    out = annotate("--patient", "folder", "--negatives", "0")[1]
    assert "2 without a label" in out
    labels = [row["label"] for row in rows(nights)]
    assert labels.count("cry loud") == 1
    options = ("--empty_label", "cry", "--labels", "cry", "unsure=?")
    out = annotate("--patient", "folder", *options)[1]
    first = [r for r in rows(nights) if r["recording"] == "p0/night0.wav"]
    labels = {row["start_s"]: row["label"] for row in first}
    assert (labels["5.0"], labels["10.0"]) == ("cry", "unsure")


def test_one_sound_has_one_label(annotate, nights):
    write_events(
        nights / "labels/night0.txt",
        [Event(5, 7, "cry"), Event(5, 7, "talk"), Event(20, 21, "talk")],
        "audacity",
    )
    out = annotate("--labels", "talk", "cry", "--patient", "folder")[1]
    labels = {
        row["start_s"]: row["label"]
        for row in rows(nights)
        if row["recording"] == "p0/night0.wav"
    }
    assert labels["5.0"] == "talk"
    assert "1 with the times of another" in out


def test_an_interrupted_run_resumes(annotate, nights, monkeypatch):
    from data_prep.annotations import clips

    cut, done = clips._write, []

    def interrupted(*args):
        if len(done) == 9:
            raise KeyboardInterrupt
        done.append(args)
        return cut(*args)

    monkeypatch.setattr(clips, "_write", interrupted)
    status, _, err = annotate(*CRIES)
    assert status == 1 and "same command" in err
    assert not (nights / "out/recordings.csv").exists()
    assert not list((nights / "out").rglob("*partial*"))
    whole = {p: p.stat().st_mtime_ns for p in nights.glob("out/clips/p0/*/*")}
    monkeypatch.setattr(clips, "_write", cut)
    assert annotate(*CRIES)[0] == 0
    assert len(rows(nights)) == 24
    assert whole == {p: p.stat().st_mtime_ns for p in whole}


def test_clips_of_other_options_are_removed(annotate, nights):
    annotate(*CRIES)
    annotate(*CRIES, "--negatives", "0", "--least_s", "1.5")
    clips = {p.relative_to(nights / "out") for p in nights.rglob("clips/*/*/*")}
    assert {str(path) for path in clips} == {
        row["path"] for row in rows(nights)
    }
    assert len(clips) == 6


def test_events_of_the_label_of_the_negatives(annotate, nights):
    """What is annotated as other is a negative, for which none is drawn."""
    options = ("--labels", "cry=cry,fuss", "other=talk", "--patient", "folder")
    assert annotate(*options)[0] == 0
    kinds = Counter((row["label"], row["kind"]) for row in rows(nights))
    assert kinds == {
        ("cry", "annotated"): 12,
        ("other", "annotated"): 6,
        ("other", "negative"): 12,
    }
    lengths = {
        round(float(row["stop_s"]) - float(row["start_s"]), 3)
        for row in rows(nights)
        if row["kind"] == "negative"
    }
    assert lengths <= {1.0, 2.0}  # of cries, not of the 4 s of talk
    err = annotate("--labels", "other=talk")[2]
    assert "all events have the label of the negatives, 'other'" in err
