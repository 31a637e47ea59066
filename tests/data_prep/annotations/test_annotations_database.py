"""Annotations of long recordings become a database of clips."""

import csv
import logging
import sys
import zlib
from collections import Counter

import numpy as np
import pytest
import soundfile

from data_prep.annotations import __main__ as command
from data_prep.annotations.event import Event
from data_prep.annotations.formats import write_events
from data_prep.annotations.negatives import drawn_negatives, free_spans
from data_prep.annotations.pairing import Recordings
from data_prep.files.tables import read_table
from data_prep.manifest import read

RATE = 4000


def tone(path, seconds=60, channels=1, rate=RATE):
    """A recording whose channel c holds a level of c tenths and some noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.as_posix()[-16:].encode()))
    noise = 0.02 * rng.standard_normal((seconds * rate, channels))
    soundfile.write(path, noise + 0.1 * np.arange(1, channels + 1), rate)


@pytest.fixture
def places(tmp_path):
    """Six babies with a recording each, annotated with two cries and a word."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "found").mkdir()
    for i in range(6):
        tone(tmp_path / f"audio/p{i}/night{i}.wav")
        write_events(
            tmp_path / f"labels/night{i}.txt",
            [Event(5, 7, "cry"), Event(20, 21, "fuss"), Event(40, 44, "talk")],
            "audacity",
        )
    return tmp_path


@pytest.fixture
def run(places, monkeypatch, capsys):
    """Run the command; the exit status, and what it prints and logs."""

    def run(*options, audio="audio", labels="labels"):
        words = [str(places / audio), str(places / labels), "--out"]
        words += [str(places / "out"), *map(str, options)]
        monkeypatch.setattr(sys, "argv", ["annotations", *words])
        status = 0
        try:
            command.main()
        except SystemExit as stop:
            status = stop.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def rows(folder, name="recordings.csv"):
    return [cells for _, cells in read_table(folder / "out" / name, [])]


CRIES = ("--labels", "cry=cry,fuss", "--patient", "folder")


def test_a_database_and_its_manifests(run, places):
    status, out, _ = run(*CRIES)
    assert status == 0
    assert out.splitlines()[-1] == (
        "6 recordings of 6 patients, 0.10 hours; 0.01 hours are cut: 12 cry, "
        "12 other; events: 6 of other labels or tiers (talk)"
    )
    table = rows(places)
    assert Counter(row["label"] for row in table) == {"cry": 12, "other": 12}
    assert {row["patient_id"] for row in table} == {f"p{i}" for i in range(6)}
    for row in table:
        info = soundfile.info(places / "out" / row["path"])
        seconds = float(row["stop_s"]) - float(row["start_s"])
        assert info.frames == pytest.approx(seconds * RATE, abs=1)
        assert (info.samplerate, info.channels) == (RATE, 1)
    splits = {
        name: {
            rec.patient_id for rec in read(places / f"out/manifest/{name}.csv")
        }
        for name in ("train", "valid", "test")
    }
    assert sum(map(len, splits.values())) == 6
    assert all(splits.values())


def test_negatives_are_away_from_all_events_and_as_long(run, places):
    run(*CRIES, "--margin_s", "2", "--negatives", "2")
    for path in {row["recording"] for row in rows(places)}:
        part = [row for row in rows(places) if row["recording"] == path]
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


def test_the_same_seed_draws_the_same_negatives(run, places):
    contents = []
    for seed in ("1", "1", "2"):
        run(*CRIES, "--seed", seed)
        contents.append((places / "out/recordings.csv").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_places_of_negatives_are_equally_likely():
    spans = free_spans([Event(10, 12, "cry")], 40.0, 1.0)
    assert spans == [(0.0, 9.0), (13.0, 40.0)]
    starts = [
        part.start
        for seed in range(2000)
        for part in drawn_negatives(
            [1.0], 1, spans, "other", [None], np.random.default_rng(seed)
        )
    ]
    assert len(starts) == 2000
    # 8 of 34 s at which one can start are in front of the event.
    before = np.mean(np.array(starts) < 9)
    assert before == pytest.approx(8 / 34, abs=4 * np.sqrt(0.18 / 2000))


def test_no_room_for_negatives_is_said(run, places, caplog):
    for i in range(6):
        write_events(
            places / f"labels/night{i}.txt", [Event(0, 58, "cry")], "audacity"
        )
    status, out, _ = run("--patient", "folder")
    assert status == 0
    assert "6 cry, 6 negatives found no place" in out
    assert "Not split into train, valid and test: all labels" in caplog.text
    assert not list(places.glob("out/manifest/*.csv"))


def test_hard_negatives_come_first(run, places):
    for i in range(6):
        events = [Event(30, 31.5, "cry", 0.9), Event(5.5, 6, "cry", 0.99)]
        events += [Event(50, 51, "cry", 0.4)]
        write_events(places / f"found/night{i}.csv", events)
    out = run(*CRIES, "--hard_negatives", places / "found")[1]
    assert "(6 hard negatives)" in out
    hard = [row for row in rows(places) if row["kind"] == "hard negative"]
    assert {(row["start_s"], row["stop_s"]) for row in hard} == {
        ("30.0", "31.5")
    }
    assert Counter(row["label"] for row in rows(places))["other"] == 12


def test_hard_negatives_of_scores_over_time(run, places):
    for i in range(6):
        lines = ["start,stop,other,cry", "5,6,0.1,0.9", "30,31,0.2,0.8"]
        lines += ["30.5,31.5,0.3,0.7", "31,32,0.9,0.1", "33,34,,"]
        path = places / f"scores/night{i}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines))
    run(*CRIES, "--hard_negatives", places / "scores")
    hard = [row for row in rows(places) if row["kind"] == "hard negative"]
    assert {(row["start_s"], row["stop_s"]) for row in hard} == {
        ("30.0", "31.5")
    }


def test_a_table_gives_patients_and_its_columns(run, places, caplog):
    caplog.set_level(logging.INFO)
    lines = ["Baby;File;site;recorded_at;recording_id"]
    for i in range(6):
        lines.append(f"b{i // 2};night{i};north;2026-10-24 22:00;r{i}")
    (places / "nights.csv").write_text("\n".join(lines))
    status, out, err = run(
        "--labels", "cry", "--recordings_csv", places / "nights.csv",
        "--patient_column", "Baby", "--path_column", "File",
    )  # fmt: skip
    assert status == 0, err
    assert "6 recordings of 3 patients" in out
    assert "recorded_at has no time zone" in caplog.text
    first = rows(places)[0]
    assert first["patient_id"] == "b0" and first["site"] == "north"
    # Of the recording, not computed for the clip: clocks may have changed.
    assert {row["recorded_at"] for row in rows(places)} == {"2026-10-24 22:00"}
    assert "recording_id" not in first


def test_channels_of_two_microphones(run, places):
    tone(places / "audio/p0/night0.wav", channels=2)
    events = [Event(5, 7, "cry", channel=2), Event(20, 21, "cry", channel=1)]
    (places / "labels/night0.txt").unlink()
    write_events(places / "labels/night0.csv", events)
    levels = {}
    for mode in ("annotated", "mix"):
        run(*CRIES, "--channels", mode, "--negatives", "0")
        for row in rows(places):
            if row["recording"] == "p0/night0.wav":
                clip = soundfile.read(places / "out" / row["path"])[0]
                levels[mode, row["start_s"]] = clip.mean()
    assert levels == {
        ("annotated", "5.0"): pytest.approx(0.2, abs=0.005),
        ("annotated", "20.0"): pytest.approx(0.1, abs=0.005),
        ("mix", "5.0"): pytest.approx(0.15, abs=0.005),
        ("mix", "20.0"): pytest.approx(0.15, abs=0.005),
    }


def test_ends_overlaps_and_points(run, places):
    events = [Event(5, 7, "cry"), Event(6, 8, "cry"), Event(7.5, 9, "fuss")]
    events += [Event(30, 30, "cry"), Event(59, 63, "cry"), Event(61, 62, "cry")]
    (places / "labels/night0.txt").unlink()
    write_events(places / "labels/night0.csv", events)
    out = run("--patient", "folder", "--negatives", "0")[1]
    spans = [
        (row["start_s"], row["stop_s"], row["label"])
        for row in rows(places)
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
    reasons = {row["reason"] for row in rows(places, "left_out.csv")}
    assert reasons == {"past the end of the audio", "shorter than --least_s"}


def test_one_sound_has_one_label(run, places):
    write_events(
        places / "labels/night0.txt",
        [Event(5, 7, "cry"), Event(5, 7, "talk"), Event(20, 21, "talk")],
        "audacity",
    )
    out = run("--labels", "talk", "cry", "--patient", "folder")[1]
    labels = {
        row["start_s"]: row["label"]
        for row in rows(places)
        if row["recording"] == "p0/night0.wav"
    }
    assert labels["5.0"] == "talk"
    assert "1 with the times of another" in out


def test_an_interrupted_run_resumes(run, places, monkeypatch):
    from data_prep.annotations import clips

    cut, done = clips._write, []

    def interrupted(*args):
        if len(done) == 9:
            raise KeyboardInterrupt
        done.append(args)
        cut(*args)

    monkeypatch.setattr(clips, "_write", interrupted)
    status, _, err = run(*CRIES)
    assert status == 1 and "same command" in err
    assert not (places / "out/recordings.csv").exists()
    assert not list((places / "out").rglob("*partial*"))
    whole = {p: p.stat().st_mtime_ns for p in places.glob("out/clips/p0/*/*")}
    monkeypatch.setattr(clips, "_write", cut)
    assert run(*CRIES)[0] == 0
    assert len(rows(places)) == 24
    assert whole == {p: p.stat().st_mtime_ns for p in whole}


def test_clips_of_other_options_are_removed(run, places):
    run(*CRIES)
    run(*CRIES, "--negatives", "0", "--least_s", "1.5")
    clips = {p.relative_to(places / "out") for p in places.rglob("clips/*/*/*")}
    assert {str(path) for path in clips} == {
        row["path"] for row in rows(places)
    }
    assert len(clips) == 6


def test_what_is_not_there_is_counted(run, places):
    (places / "labels/ghost.txt").write_text("1\t2\tcry\n")
    (places / "labels/night5.txt").unlink()
    (places / "audio/p4/night4.wav").write_bytes(b"RIFF")
    status, out, _ = run(*CRIES)
    assert status == 0
    assert "recordings of annotations that are not there: 1" in out
    assert "recordings without annotations: 1" in out
    assert "recordings that cannot be opened (try data_prep.convert): 1" in out
    with open(places / "out/left_out.csv", encoding="utf-8") as file:
        names = [row["recording"] for row in csv.DictReader(file)]
    assert str(places / "labels/ghost.txt") in names
    assert {"p5/night5.wav", "p4/night4.wav"} <= {*names}


def test_an_empty_file_is_a_night_without_events(run, places):
    (places / "labels/night0.txt").write_text("")
    run(*CRIES)
    part = [r for r in rows(places) if r["recording"] == "p0/night0.wav"]
    assert [row["label"] for row in part] == ["other", "other"]


def test_one_name_in_two_folders(run, places):
    tone(places / "audio/p1/night0.wav")
    status, _, err = run(*CRIES)
    assert status == 2
    assert "night0.txt may be of p0/night0.wav or of p1/night0.wav" in err
    for i in (0, 1):
        (places / f"labels/p{i}").mkdir()
        text = f"{5 + i}\t7\tcry\n"
        (places / f"labels/p{i}/night0.txt").write_text(text)
    (places / "labels/night0.txt").unlink()
    run(*CRIES)
    starts = {
        row["recording"]: row["start_s"]
        for row in rows(places)
        if "night0" in row["recording"] and row["label"] == "cry"
    }
    assert starts == {"p0/night0.wav": "5.0", "p1/night0.wav": "6.0"}


def test_a_tier_that_some_recordings_lack(run, places):
    """Where Anna has marked nothing, and Ben a cry, is not an empty night."""
    for i, tier in enumerate(("Anna", "Anna", "Anna", "Ben")):
        events = [Event(5, 7, "cry", tier=tier), Event(9, 11, "cry", tier="C")]
        (places / f"labels/night{i}.txt").unlink()
        write_events(places / f"labels/night{i}.csv", events)
    out = run("--tiers", "Anna", "--patient", "folder")[1]
    assert "3 recordings of 3 patients" in out
    assert "recordings without those --tiers: 3" in out
    assert {row["recording"][:2] for row in rows(places)} == {"p0", "p1", "p2"}


def test_few_patients_are_not_split(run, places, caplog):
    run("--patient", "(night)", "--labels", "cry")
    assert "1 patients are too few for 3 splits" in caplog.text
    assert rows(places) and not (places / "out/manifest").exists()


@pytest.mark.parametrize(
    "name",
    ["night0.Table.1.selections.txt", "Night0.WAV.txt", "night0.labels.txt"],
)
def test_names_that_programs_give(run, places, name):
    (places / "labels/night0.txt").rename(places / "labels" / name)
    assert "6 recordings" in run(*CRIES)[1]


def test_annotations_beside_the_audio(run, places):
    for path in places.glob("labels/*"):
        path.rename(places / "audio" / path.name)
    assert "6 recordings" in run(*CRIES, labels="audio")[1]


@pytest.mark.parametrize(
    "options, words",
    [
        (
            ["--labels", "cri"],
            "no event has the label 'cri' (did you mean 'cry'",
        ),
        (["--labels", "cry=cry,fus"], "(did you mean 'fuss'?)"),
        (["--labels", "cry="], "--labels holds 'cry='; write NEW=OLD"),
        (["--labels", "a=cry", "b=cry"], "makes 'cry' both 'a' and 'b'"),
        (["--tiers", "Anna"], "no event has the tier 'Anna'"),
        (["--negatives", "-1"], "--negatives is -1"),
        (["--negatives", "1e6"], "it must be 100 or less"),
        (["--least_s", "0"], "--least_s is 0"),
        (["--encoding", "latin9x"], "--encoding is 'latin9x'"),
        (["--labels", "cry", "--least_s", "9"], "no event is left (12 of oth"),
        (["--patient", "("], "is not a regular expression"),
        (["--recordings_csv", "x.csv"], "x.csv does not exist"),
        (["--patient", "folder", "--recordings_csv", "x"], "leave out one"),
        (["--hard_negatives", "x", "--negatives", "0"], "pass --negatives 1"),
        (["--hard_negatives", "nowhere"], "--hard_negatives nowhere does not"),
        (["--label", "cry"], "--label is not an option (did you mean --labels"),
    ],
)
def test_refusals_of_options(run, options, words):
    status, _, err = run(*options)
    assert status == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ") and words in last


def test_refusals_of_annotations(run, places):
    for path in places.glob("labels/*"):
        path.write_text("5000\t7000\tcry\n")  # milliseconds
    status, _, err = run("--labels", "cry")
    assert status == 2
    assert "6 of 6 events are past the end" in err
    assert "check that times are in seconds" in err
    for path in places.glob("labels/*"):
        path.rename(path.with_name(path.name.replace("night", "nacht")))
    err = run("--labels", "cry")[2]
    assert "so for all 6 annotation files" in err
    assert "did you mean night" in err


def test_other_files_of_the_folder(run, places, caplog):
    (places / "labels/recordings.csv").write_text("patient_id,path\na,b.wav\n")
    assert "6 recordings" in run(*CRIES)[1]
    assert "pass it with --recordings_csv" in caplog.text
    (places / "labels/README.txt").write_text("Labels of Anna\n")
    err = run(*CRIES)[2]
    assert "README.txt is in none of the formats" in err


def test_output_inside_the_input_is_refused(run, places):
    for inside in ("audio/x", "labels/x"):
        status, _, err = run("--out", places / inside)
        assert status == 2
    assert "--out is given twice" in err


@pytest.mark.parametrize(
    "name, folder, expected",
    [
        ("C:\\rec\\p2\\night.wav", ".", "p2/night.wav"),
        ("/home/anna/p1/night.wav", ".", "p1/night.wav"),
        ("night", "p2", "p2/night.wav"),
        ("night.wav", "anna/p1", "p1/night.wav"),
        ("NIGHT.mp3", "p1", "p1/night.wav"),
        ("day.flac", ".", "day.flac"),
        ("other", ".", None),
    ],
)
def test_recordings_by_the_names_in_annotations(name, folder, expected):
    recordings = Recordings(["p1/night.wav", "p2/night.wav", "day.flac"])
    assert recordings.find(name, folder, "a.csv") == expected
