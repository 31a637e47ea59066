"""Recordings that are unlike those of training, and a detector that comes
first."""

import csv

import numpy as np
import pytest
import soundfile

from cry_modules.inference import score as command
from cry_modules.inference.__main__ import main
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.detector import Detector
from cry_modules.inference.recordings import covering_spans, window_outputs
from data_prep.audio.measure import audit_file
from data_prep.files.errors import InputError
from tests.classifiers import changing, random_model

RATE = 16000
KNOWN = {
    "length_s": [0.9, 2.0],
    "bandwidth_hz": [7000.0, 8000.0],
    "level_dbfs": None,
    "distance": [1.0, 1.2],
}


class Silences(Detector):
    """A detector that finds something in loud windows alone."""

    def finds(self, audit, spans):
        sig, rate = soundfile.read(audit.path)
        parts = [sig[round(a * rate) : round(b * rate)] for a, b in spans]
        return [bool(np.abs(part).max() > 0.2) for part in parts]


@pytest.fixture(scope="module")
def classifier():
    model = random_model()
    model.facts = {"training_recordings": KNOWN}
    return CryClassifier.from_model(model)


@pytest.fixture
def sounds(tmp_path):
    """A short recording, one of a narrow band, and one that is loud at its
    ends alone."""
    sigs = {"a.wav": changing(1.2, 1), "long.wav": changing(30.0, 2)}
    sigs["long.wav"][8000:-16000] *= 0.1
    for name, sig in sigs.items():
        soundfile.write(tmp_path / name, sig, RATE)
    soundfile.write(tmp_path / "narrow.wav", changing(1.2, 1)[:4800], 4000)
    return [str(tmp_path / n) for n in ("a.wav", "narrow.wav", "long.wav")]


@pytest.fixture
def score(classifier, monkeypatch, capsys, tmp_path):
    """Run the command with options: rows of the table, and stderr."""

    def load(source, **_):
        return classifier

    def score(*arguments):
        out = tmp_path / "scores.csv"
        main(["M", *arguments, "--csv", str(out)])
        with open(out, newline="") as file:
            return list(csv.DictReader(file)), capsys.readouterr().err

    monkeypatch.setattr(CryClassifier, "from_hparams", load)
    return score


def test_a_recording_has_the_same_numbers_in_any_batch(classifier, sounds):
    together = classifier.classify_files(sounds)
    for path, score in zip(sounds, together):
        (alone,) = classifier.classify_files([path])
        assert alone.unlike == score.unlike
        assert alone.distance == pytest.approx(score.distance, rel=1e-4)
    assert "bandwidth" in together[1].unlike
    assert "length" in together[2].unlike


def test_the_command_warns_and_fills_two_columns(score, sounds):
    rows, err = score(*sounds)
    assert "length" in rows[2]["unlike_training"]
    assert float(rows[2]["training_distance"]) > 0
    assert "recordings are unlike those of training" in err
    (line,) = [row for row in err.splitlines() if "any other sound" in row]
    assert "long.wav has 30 s" in line and "0.9 to 2 s" in line
    assert "knows only no, yes" in line and "--detector MODEL2" in line


def test_a_tape_without_a_detector_says_so_in_its_row(score, sounds):
    """Its call is that of its score: a script sees in the same row that other
    sounds than cries were scored, too."""
    rows, _ = score(*sounds)
    (tape,) = [row for row in rows if row["path"].endswith("long.wav")]
    assert tape["call"] and tape["unlike_training"].endswith("; no detector")
    assert "no detector" not in rows[0]["unlike_training"]


def test_windows_of_scores_over_time_are_said_too(score, sounds):
    _, err = score(sounds[0], "--plot", "--window_s", "0.5")
    assert "windows of 0.5 s are scored" in err and "knows only" in err
    (line,) = [
        row for row in err.splitlines() if row.startswith("scores over time")
    ]
    assert "windows of 0.5 s every 0.25 s" in line
    assert "n_windows" in line and "do not overlap" in line


def test_windows_far_from_training_are_marked(classifier, sounds, monkeypatch):
    path, reference = sounds[-1], classifier.reference
    for far, expected in ((1e-9, True), (1e9, False)):
        training = reference.training._replace(distance=[far / 2, far])
        changed = reference._replace(training=training)
        monkeypatch.setattr(classifier, "reference", changed)
        track = classifier.score_over_time(path)
        loud = ~np.isnan(track.scores).any(axis=1)
        assert (track.is_far[loud] == expected).all() and loud.any()


def test_a_model_without_numbers_is_said_in_one_line(
    score, classifier, sounds, monkeypatch
):
    monkeypatch.setattr(classifier, "reference", None)
    rows, err = score(sounds[0])
    assert rows[0]["unlike_training"] == rows[0]["training_distance"] == ""
    assert err.count("warning") == 1
    assert "not compared with them" in err


def test_windows_without_detection_have_no_score(
    classifier, sounds, score, monkeypatch
):
    monkeypatch.setattr(command, "Detector", Silences)
    rows, err = score(*sounds, "--detector", "D", "--plot")
    long = rows[2]
    audit = audit_file(sounds[2])
    spans = covering_spans(audit.duration, classifier.hparams)
    kept = Silences(classifier).finds(audit, spans)
    assert 0 < sum(kept) < len(spans)
    assert int(long["n_windows"]) == sum(kept)
    assert int(long["windows_left_out"]) == len(spans) - sum(kept)
    logits = window_outputs(classifier, audit, spans).logits[kept].mean(axis=0)
    expected = 1 / (1 + np.exp(logits[0] - logits[1]))
    assert float(long["yes"]) == pytest.approx(expected, abs=1e-5)
    assert "windows that it predicts to be yes are scored" in err
    assert "any other sound" not in err
    track = sounds[2].replace("long.wav", "scores_over_time/long.csv")
    with open(track, newline="") as file:
        windows = list(csv.DictReader(file))
    empty = [row["start"] for row in windows if row["yes"] == ""]
    assert 0 < len(empty) < len(windows)


def test_a_recording_without_detection_is_no_failure(
    classifier, sounds, score, monkeypatch
):
    monkeypatch.setattr(
        Detector, "finds", lambda _, a, spans: [False] * len(spans)
    )
    rows, _ = score(*sounds, "--detector", "D", "--plot")
    for row in rows:
        assert (
            row["call"] == row["yes"] == row["n_windows"] == row["error"] == ""
        )
        assert int(row["windows_left_out"]) > 0


def test_the_class_that_is_kept_can_be_named(classifier, sounds):
    audit, spans = audit_file(sounds[0]), [(0.0, 0.5), (0.5, 1.0)]
    found = [Detector(classifier, c).finds(audit, spans) for c in ("no", "yes")]
    assert [a != b for a, b in zip(*found)] == [True, True]
    assert Detector(classifier).detected == "yes"
    with pytest.raises(InputError, match="--detected is cry, .* no, yes"):
        Detector(classifier, "cry")


def test_a_class_without_a_detector_is_refused(score, sounds, capsys):
    with pytest.raises(SystemExit):
        score(sounds[0], "--detected", "cry")
    assert "pass --detector MODEL2 too" in capsys.readouterr().err
