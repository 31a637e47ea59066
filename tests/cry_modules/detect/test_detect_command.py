"""The command: tables, pictures and annotation files, resumed and refused."""

import csv
import json
import shutil
from datetime import datetime

import numpy as np
import pytest
import soundfile

from cry_modules.detect import scoring
from cry_modules.detect.__main__ import main
from cry_modules.detect.events import Rule, cell_edges, find_events
from cry_modules.detect.tables import EVENT_COLUMNS, SUMMARY_COLUMNS, Found
from cry_modules.inference.classifier import CryClassifier
from data_prep.annotations.formats import read_events
from tests.classifiers import changing, random_model, write_model

RATE = 16000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Scores of changing sounds are on both sides of a half."""
    folder = tmp_path_factory.mktemp("models") / "model"
    return write_model(folder, random_model(log_prior=[0.0, 0.0]))


@pytest.fixture
def audio(tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    for i, rate in enumerate([16000, 8000, 44100]):
        sound = changing(6.0, seed=i)[:: RATE // rate or 1]
        name = f"2026032{7 + i}_22150{i}.wav"
        soundfile.write(folder / name, sound, rate)
    return folder


def command(*arguments):
    """Run the command in this process; return its exit status."""
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return stop.code
    return 0


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


COARSE = ("--threshold=0.5", "--low_threshold=0.4")
HOW = (*COARSE, "--hop_s=0.25", "--edge_s=0.25")


def test_a_folder_gives_events(model, audio, tmp_path, capsys):
    (audio / "bad.wav").write_bytes(b"")
    out = tmp_path / "out"
    options = ("--formats=csv", "--time_zone=Europe/Oslo", "--bridge_s=0")
    assert command(model, audio, "--out", out, *HOW, *options) == 1
    classifier = CryClassifier.from_hparams(str(model))
    events = rows(out / "events.csv")
    assert tuple(events[0]) == EVENT_COLUMNS
    summary = rows(out / "summary.csv")
    assert tuple(summary[0]) == SUMMARY_COLUMNS and len(summary) == 3
    for row in summary:
        track = classifier.score_over_time(row["recording"], 0.5, 0.25)
        edges = cell_edges(track.starts, track.stops, track.stops[-1])
        expected = find_events(edges, track.scores[:, 1], Rule(0.5, 0.4))
        found = [e for e in events if e["recording"] == row["recording"]]
        numbers = [[float(e["onset_s"]), float(e["offset_s"])] for e in found]
        np.testing.assert_allclose(numbers, expected[:, :2], atol=1e-3)
        seconds = (expected[:, 1] - expected[:, 0]).sum()
        assert float(row["minutes"]) == pytest.approx(seconds / 60, abs=1e-3)
        assert int(row["events"]) == len(expected)
        name = row["recording"].rpartition("/")[2][:-4]
        assert (out / f"pictures/{name}.png").read_bytes()[:4] == b"\x89PNG"
        annotated = read_events(out / f"csv/{name}.csv")
        assert len(annotated) == len(expected)
    assert len(events) >= 3
    assert events[0]["onset_time"].startswith("2026-03-27T22:15:0")
    assert events[0]["onset_time"].endswith("+01:00")
    assert [row["recording"] for row in rows(out / "failures.csv")] == [
        str(audio / "bad.wav")
    ]
    minutes = [float(r["recorded_minutes"]) for r in rows(out / "hours.csv")]
    expected = 60 * sum(float(row["hours"]) for row in summary)
    assert sum(minutes) == pytest.approx(expected, abs=0.02)
    assert (out / "hours.png").is_file()
    said = capsys.readouterr()
    assert "done: 3 recordings" in said.out and "bad.wav (empty" in said.out
    assert "Not a medical device" in said.err
    assert "off by 0.375 s" in said.err
    assert "3 of 3 from names" in said.err


@pytest.mark.parametrize("threshold, is_doubtful", [("0", True), ("1", False)])
def test_events_that_cover_most_of_the_audio_are_doubtful(
    model, audio, tmp_path, capsys, threshold, is_doubtful
):
    options = (f"--threshold={threshold}", f"--low_threshold={threshold}")
    options += ("--no_pictures", "--window_s=0.5", "--hop_s=0.5")
    command(model, audio, "--out", tmp_path / "out", *options)
    said = capsys.readouterr().err
    assert ("cover 100% of the audio" in said) == is_doubtful
    assert ("warning: events of" in said) == is_doubtful
    assert ("an event opens at 1; look at the scores" in said) != is_doubtful


def test_without_an_event_the_highest_score_is_said(
    model, audio, tmp_path, capsys
):
    """A stranger saw "0 events" and nothing that helped."""
    classifier = CryClassifier.from_hparams(str(model))
    tracks = [classifier.score_over_time(p, 0.5) for p in audio.iterdir()]
    highest = max(np.nanmax(track.scores[:, 1]) for track in tracks)
    options = (f"--threshold={highest + 1e-4}", "--edge_s=0.5")
    command(model, audio, "--out", tmp_path / "out", *options)
    said = capsys.readouterr().err
    assert f"no event of yes: the highest score is {highest:.3g}, and" in said


def test_the_time_of_an_event_is_that_of_its_seconds():
    """One was rounded to milliseconds, the other cut."""
    start, events = datetime(2026, 3, 27, 22, 15), np.array([[0.1875, 2, 0.5]])
    (row,) = Found("a.wav", None, "cry", events, start).rows()
    cells = dict(zip(EVENT_COLUMNS, row))
    assert cells["onset_s"] == "0.188"
    assert cells["onset_time"] == "2026-03-27T22:15:00.188"
    assert cells["offset_time"] == "2026-03-27T22:15:02.000"
    assert cells["score"] == "0.5000000"


def test_swapped_arguments_are_told_from_others(model, audio, tmp_path, capsys):
    options = ("--out", tmp_path / "out")
    sound = sorted(audio.iterdir())[0]
    for first, what in ((audio, "holds recordings"), (sound, "is a recording")):
        assert command(first, model, *options) == 2
        words = f"{first} {what}, not a model; the order is MODEL AUDIO"
        assert words in capsys.readouterr().err
    assert command(audio, *options) == 2
    assert "required: AUDIO; the order is MODEL AUDIO" in (
        capsys.readouterr().err
    )
    shutil.copy(sound, shutil.copytree(model, tmp_path / "with_examples"))
    coarse = (*HOW, "--no_pictures")
    assert command(tmp_path / "with_examples", sound, *options, *coarse) == 0


def test_an_interrupted_run_resumes_to_the_same_files(
    model, audio, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(scoring, "PART_S", 1.0)
    whole, n_calls = CryClassifier.windows, []
    assert command(model, audio, "--out", tmp_path / "a", *HOW) == 0

    def windows(self, audit, spans):
        n_calls.append(audit.path)
        if len(n_calls) == 9:
            raise KeyboardInterrupt
        return whole(self, audit, spans)

    monkeypatch.setattr(CryClassifier, "windows", windows)
    again = (model, audio, "--out", tmp_path / "b", *HOW)
    capsys.readouterr()
    assert command(*again) == 1
    assert "Run the same command again to resume" in capsys.readouterr().err
    assert not (tmp_path / "b/events.csv").exists()
    assert command(*again) == 0
    assert len(n_calls) == 9 + 14 - 8  # of 14 parts, 8 were kept
    for name in ("events.csv", "summary.csv", "hours.csv", "hours.png"):
        expected = (tmp_path / "a" / name).read_bytes()
        assert (tmp_path / "b" / name).read_bytes() == expected
    monkeypatch.setattr(
        CryClassifier, "windows", lambda *_: pytest.fail("scored again")
    )
    assert command(*again[:4], "--threshold=0.7", *HOW[2:]) == 0


def test_edges_are_those_of_the_fine_grid(model, audio, tmp_path, capsys):
    """By default: windows side by side, then around what may be an event."""
    out = tmp_path / "out"
    assert command(model, audio, "--out", out, *COARSE, "--bridge_s=0") == 0
    assert "each may be off by 0.28125 s" in capsys.readouterr().err
    classifier = CryClassifier.from_hparams(str(model))
    events, n_events = rows(out / "events.csv"), 0
    for row in rows(out / "summary.csv"):
        track = classifier.score_over_time(row["recording"], 0.5, 0.0625)
        edges = cell_edges(track.starts, track.stops, track.stops[-1])
        expected = find_events(edges, track.scores[:, 1], Rule(0.5, 0.4))
        found = [
            [float(e["onset_s"]), float(e["offset_s"])]
            for e in events
            if e["recording"] == row["recording"]
        ]
        hits = edges[:-1][::8][track.scores[::8, 1] >= 0.4]
        for onset, offset, _ in expected:
            if ((onset <= hits) & (hits < offset)).any():
                n_events += 1
                assert [round(onset, 3), round(offset, 3)] in found
    assert 3 <= n_events <= len(events)


def test_each_channel_is_searched(model, tmp_path):
    sound = np.stack([changing(4.0), changing(4.0, seed=3)], axis=1)
    path = tmp_path / "two.wav"
    soundfile.write(path, sound, RATE)
    options = ("--channels=each", "--formats=csv")
    assert command(model, path, "--out", tmp_path / "o", *HOW, *options) == 0
    events = rows(tmp_path / "o/events.csv")
    assert {event["channel"] for event in events} == {"1", "2"}
    assert len(rows(tmp_path / "o/summary.csv")) == 2
    annotated = read_events(tmp_path / "o/csv/two.csv")
    assert {event.channel for event in annotated} == {1, 2}
    assert (tmp_path / "o/pictures/two.channel2.png").is_file()


def test_a_threshold_is_chosen_and_taken_again(model, audio, tmp_path, capsys):
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    for path in audio.iterdir():
        (annotations / f"{path.stem}.csv").write_text(
            f"recording,onset,offset,label\n{path.name},1.0,2.0,Crying\n"
        )
    out = tmp_path / "out"
    chosen = ("--target_false_alarms_per_hour=900", "--hop_s=0.25")
    how = (f"--annotations={annotations}", "--no_pictures")
    assert command(model, audio, "--out", out, *how, *chosen) == 2
    assert "has no label yes, but Crying" in capsys.readouterr().err
    how = (*how, "--annotated_label=crying")
    assert command(model, audio, "--out", out, *how, *chosen) == 0
    facts = json.loads((out / "threshold.json").read_text())
    assert facts["false_alarms_per_hour"] <= 900
    assert facts["annotated_events"] == 3 and facts["recordings"] == 3
    assert "how sure is unknown" in capsys.readouterr().err
    events = rows(out / "events.csv")
    next_run = (model, audio, "--out", tmp_path / "next", "--no_pictures")
    threshold = f"--threshold={out / 'threshold.json'}"
    assert command(*next_run, threshold) == 0
    # Other batches of windows: the last digits of a score may differ.
    again = rows(tmp_path / "next/events.csv")
    for row, other in zip(again, events, strict=True):
        score = float(row.pop("score"))
        assert score == pytest.approx(float(other.pop("score")), abs=1e-6)
        assert row == other
    assert not (tmp_path / "next/pictures").exists()
    for option, words in (
        ("--hop_s=0.5", "--hop_s is 0.5, and"),
        ("--detected=no", "is a threshold of yes, not of no"),
    ):
        assert command(*next_run, threshold, option) == 2
        assert words in capsys.readouterr().err
    other = write_model(tmp_path / "other", random_model())
    assert command(other, *next_run[1:], threshold) == 2
    assert "chosen with another model" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, words",
    [
        (["--threshold=2"], "--threshold is 2; it must be 0 to 1"),
        (["--threshold=no.json"], "the file is missing"),
        (["--low_threshold=0.9", "--threshold=0.5"], "pass a lower one"),
        (["--detected=crying"], "its classes are no, yes"),
        (["--detected=yes,yes"], "name each once"),
        (["--hop_s=9"], "would not be scored; pass 0.5 or less"),
        (["--hop_s=0"], "hop_s is 0"),
        (["--edge_s=0"], "--edge_s is 0; it must be 0.01 or more"),
        (["--edge_s=0.4", "--hop_s=0.3"], "pass 0.3 or less"),
        (["--window_s=0.01"], "window_s is 0.01"),
        (["--least_s=-1"], "--least_s is -1"),
        (["--channels=left"], "invalid choice: 'left'"),
        (["--formats=csv,midi"], "--formats is 'midi'"),
        (["--time_zone=Oslo"], "--time_zone is Oslo"),
        (["--recorder_time_zone=UTC"], "pass --time_zone too"),
        (["--starts=no.csv"], "--starts: no.csv does not exist"),
        (["--annotations=no"], "need each other"),
        (
            ["--annotations=no", "--target_false_alarms_per_hour=1"],
            "--annotations: no does not exist",
        ),
        (
            ["--annotations=.", "--target_false_alarms_per_hour=1"]
            + ["--threshold=0.5"],
            "a threshold is passed and is to be chosen too",
        ),
        (["--annotated_label=cry"], "applies to --annotations"),
    ],
)
def test_wrong_usage_is_one_line(model, tmp_path, capsys, options, words):
    sound = tmp_path / "a.wav"
    soundfile.write(sound, changing(1.0), RATE)
    out = tmp_path / "out"
    assert command(model, sound, "--out", out, *options) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not out.exists()


def test_unlike_training_is_said(trained, clinic, tmp_path, capsys):
    """As by inference, of windows: the length of a night is not unlike."""
    run = trained(lr=0.05, readout="block3")
    path = tmp_path / "night.wav"
    rng = np.random.default_rng(0)
    soundfile.write(path, 1e-3 * rng.normal(size=30 * RATE), RATE)
    files = sorted(clinic.glob("*.wav"))[:3]
    out = tmp_path / "out"
    how = ("--out", out, "--no_pictures", "--window_s=1")
    assert command(run, path, *files, *how) == 0
    summary = rows(out / "summary.csv")
    assert summary[0]["unlike_training"] == "bandwidth; level"
    assert summary[1]["unlike_training"] == ""
    assert float(summary[0]["training_distance"]) > 0
    said = capsys.readouterr().err
    assert "recordings are unlike those of training" in said
    assert "of the model's validation" in said
