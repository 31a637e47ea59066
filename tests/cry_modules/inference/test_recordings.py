"""Scores of recordings of any length, and of files that cannot be used."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

from cry_modules.inference import recordings
from cry_modules.inference.classifier import CryClassifier
from data_prep.audio import decode
from data_prep.audio.measure import audit_file
from data_prep.files.errors import InputError
from tests.classifiers import changing, random_model

RATE = 16000


@pytest.fixture(scope="module")
def classifier():
    return CryClassifier.from_model(random_model())


@pytest.fixture
def write_sound(tmp_path):
    """Write samples: ``write_sound("a.wav", samples)``; returns the path."""

    def write_sound(name, samples):
        path = tmp_path / name
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        return str(path)

    return write_sound


def odds_of(classifier, window):
    """Log-odds of samples as they are."""
    log_posteriors = classifier.classify_batch(torch.from_numpy(window))[0][0]
    return (log_posteriors[1] - log_posteriors[0]).item()


def sigmoid(odds):
    return 1 / (1 + np.exp(-odds))


def test_a_short_recording_is_repeated(classifier, write_sound):
    """The encoder needs 4960 samples; the recording has 2400."""
    sound = changing(0.15)
    path = write_sound("short.wav", sound)
    loud = sound * (0.9 / np.abs(sound).max())
    (score,) = classifier.classify_files([path])
    expected = odds_of(classifier, np.tile(loud, 3)[:4960])
    assert abs(score.scores[1] - sigmoid(expected)) < 1e-5
    padded = odds_of(classifier, np.pad(loud, (0, 2560)))
    assert abs(padded - expected) > 0.1  # zeros would change the score


def test_a_long_recording_has_the_mean_log_odds_of_its_windows(
    classifier, write_sound
):
    sound = changing(2.3)
    path = write_sound("long.wav", sound)
    sound *= 0.9 / np.abs(sound).max()
    starts = np.linspace(0, len(sound) - 8000, 5).round().astype(int)
    odds = np.array([odds_of(classifier, sound[s : s + 8000]) for s in starts])
    (score,) = classifier.classify_files([path], longest_s=2.0)
    assert score.n_windows == 5
    expected = sigmoid(odds.mean())
    assert abs(score.scores[1] - expected) < 1e-5
    # It is neither the score of one window nor their mean score.
    assert np.abs(sigmoid(odds) - expected).min() > 1e-3
    assert abs(sigmoid(odds).mean() - expected) > 1e-3


def test_scores_over_time_are_those_of_the_windows(classifier, write_sound):
    sound = np.concatenate(
        [changing(1.0), np.zeros(16000, np.float32), changing(0.75, seed=1)]
    )
    path = write_sound("a.wav", sound)
    track = classifier.score_over_time(path, window_s=0.5, hop_s=0.25)
    assert track.starts.tolist() == np.arange(0, 2.26, 0.25).tolist()
    assert track.stops[-1] == 2.75
    silent = np.isnan(track.scores).any(axis=1)
    assert silent.tolist() == [False] * 4 + [True] * 3 + [False] * 3
    scores = np.sort(track.scores[~silent, 1])
    assert np.diff(scores).min() > 1e-4  # windows cannot be confused
    sound *= 0.9 / np.abs(sound).max()
    for i in np.flatnonzero(~silent):
        first = round(track.starts[i] * 16000)
        expected = odds_of(classifier, sound[first : first + 8000])
        assert abs(track.scores[i, 1] - sigmoid(expected)) < 1e-5


def test_silence_is_relative_to_the_peak_of_the_recording(
    classifier, write_sound
):
    """-66 dBFS is not silent where the gain raises it by 25 dB, from a peak
    of 0.05 to 0.9; it is silent next to full scale."""
    quiet = changing(0.5)
    quiet *= 10 ** (-66 / 20) / np.sqrt(np.mean(quiet**2))
    for peak, is_silent in ((0.05, False), (0.9, True)):
        loud = changing(0.5, seed=1)
        sound = np.concatenate([quiet, peak / np.abs(loud).max() * loud])
        path = write_sound("a.wav", sound)
        track = classifier.score_over_time(path, window_s=0.5, hop_s=0.5)
        assert np.isnan(track.scores[:, 1]).tolist() == [is_silent, False]
        (score,) = classifier.classify_files([path], longest_s=0.9)
        assert score.n_windows == 2 - is_silent


def test_many_channels_are_mixed_block_by_block(
    classifier, write_sound, monkeypatch
):
    """Decoded, the file has 16 MB; mixed, 2 MB."""
    monkeypatch.setattr(decode, "_BLOCK", 10000)
    rng = np.random.default_rng(0)
    path = write_sound("a.wav", rng.normal(0, 0.1, (RATE * 30, 8)))
    audit = audit_file(path)
    monkeypatch.setattr(recordings, "audit_file", lambda path: audit)
    tracemalloc.start()
    classifier.load_audio(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_unusable_files_have_errors_and_others_have_scores(
    classifier, noise, write_sound, tmp_path
):
    good = str(noise("good.wav", seconds=0.7))
    contents = {"unreadable": b"no audio", "empty": b""}
    contents["truncated"] = (tmp_path / "good.wav").read_bytes()[:9000]
    for name, content in contents.items():
        (tmp_path / f"{name}.wav").write_bytes(content)
    write_sound("silent.wav", np.zeros(16000))
    write_sound("finite.wav", np.full(16000, np.nan))
    bad = [*contents, "silent", "finite", "no such"]
    short = str(noise("short.wav", seconds=0.15))
    paths = [*(str(tmp_path / f"{name}.wav") for name in bad), good, short]
    scores = classifier.classify_files(paths)
    assert [score.path for score in scores] == paths
    for score, word in zip(scores, bad):
        assert word in score.error and score.scores is None
    assert scores[-2].error == scores[-1].error == ""
    alone = classifier.classify_files([good])[0]
    np.testing.assert_allclose(scores[-2].scores, alone.scores, atol=1e-6)


def test_files_that_change_after_the_audit_have_errors(
    classifier, noise, monkeypatch
):
    """Short and long ones; deleted, or without samples."""
    names = ("gone.wav", "emptied.wav", "good.wav")
    paths = [noise(name) for name in names]
    paths.insert(0, noise("gone_long.wav", seconds=3.0))

    def audit_and_change(path, **how):
        audit = audit_file(path, **how)
        if "gone" in path:
            os.unlink(path)
        if "emptied" in path:
            soundfile.write(path, np.zeros(0), RATE)
        return audit

    monkeypatch.setattr(recordings, "audit_file", audit_and_change)
    scores = classifier.classify_files(paths, longest_s=2.0)
    assert ["unreadable: " in s.error for s in scores[:3]] == [True] * 3
    assert scores[3].error == ""
    assert scores[3].scores.sum() == pytest.approx(1)
    for method in (classifier.score_over_time, classifier.load_audio):
        with pytest.raises(InputError, match="gone.wav: unreadable: "):
            method(noise("gone.wav"))


def test_progress_of_reading_then_of_scoring(classifier, noise, capsys):
    paths = [noise("a.wav"), noise("b.wav"), "no.wav"]
    classifier.classify_files(paths, progressbar=True)
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    reading = [i for i, line in enumerate(lines) if line.startswith("reading")]
    scoring = [i for i, line in enumerate(lines) if line.startswith("scoring")]
    assert max(reading) < min(scoring)
    # A file is no terminal: a line for each bar, when it is done.
    assert len(reading) == len(scoring) == 1
    assert "3/3" in lines[reading[0]]
    assert "2/2" in lines[scoring[0]]


@pytest.mark.slow
def test_memory_is_bounded_for_a_recording_of_hours(tmp_path):
    """Decoded, 5 hours at 16 kHz have 1.15 GB: they may need more memory than
    10 minutes by a fraction of that."""
    code = (
        "import resource, sys, torch\n"
        "torch.set_num_threads(1)\n"
        "from cry_modules.inference.classifier import CryClassifier\n"
        "from tests.classifiers import new_model\n"
        "c = CryClassifier.from_model(new_model(chunk_s=60.0))\n"
        "for path in sys.argv[1:]:\n"
        "    print(c.classify_files([path])[0].n_windows)\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    rng = np.random.default_rng(0)
    block = (rng.normal(0, 0.1, 8000 * 60) * 32767).astype(np.int16)
    paths = [tmp_path / "short.flac", tmp_path / "long.flac"]
    for path, minutes in zip(paths, (10, 300)):
        with soundfile.SoundFile(path, "w", 8000, 1) as file:
            for minute in range(minutes):
                # One loud minute; the others hold a converter's noise.
                file.write(block if minute == 5 else block // 20000)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    n_short, short, n_long, long = map(int, done.stdout.split())
    assert (n_short, n_long) == (1, 1)  # the rest is silent
    assert long - short < 300_000  # kilobytes
