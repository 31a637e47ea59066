"""A classifier in use: the run's own numbers, any length, any file."""

import _thread
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from cry_modules.audio import RecordingReader
from cry_modules.checkpoints.description import CAUTION, Blueprint, build
from cry_modules.inference import (
    classifier as inference,
    windows,
)
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.scores import header_of, main, rows_of, write_track
from cry_modules.inference.windows import (
    WindowReader,
    level_dbfs,
    read_mixed,
    sliding,
)
from cry_modules.lengths import covering
from cry_modules.metrics.predictions import Predictions
from data_prep.audio.measure import Audit, audit_file
from data_prep.audio.packs import PACK_FILE
from data_prep.files.errors import InputError

RATE = 16000
#: Fast enough that some recordings are called.
LEARNT = {"lr": 0.05}
VARIANTS = {
    "whole": LEARNT,
    "chunks": {
        "tested_on": "chunks",
        "chunk_s": 0.5,
        "readout": "encoder+logmel",
        "balance": "none",
    },
}


def changing(seconds, seed=0):
    """Every tenth of a second another tone in another noise, so that no two
    windows sound alike."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(int(np.ceil(10 * seconds))):
        tone = np.sin(np.arange(1600) * rng.uniform(0.05, 2))
        noise = rng.normal(0, rng.uniform(0.01, 1), 1600)
        parts.append(tone + (noise.cumsum() / 20 if seed % 2 else noise))
    sound = np.concatenate(parts)[: round(seconds * RATE)]
    return (sound / np.abs(sound).max() / 2).astype(np.float32)


def classifier_blueprint():
    return Blueprint(
        1, chunk_s=0.5, classes=["no", "yes"], log_prior=[0.0, -1.0]
    )


@torch.no_grad()
def hearing_model():
    """Random weights, and the statistics of BatchNorm that go with them: as
    it is made, a model says the same of all sounds."""
    torch.manual_seed(0)
    model = build(classifier_blueprint())
    for module in model.embedder.encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
    wavs = torch.stack([torch.from_numpy(changing(1.0, n)) for n in range(16)])
    model.embedder.train()(wavs)
    model.embedder.eval()
    embs = torch.cat([model.embedder(wavs), model.embedder(wavs[:, :8000])])
    head = model.posterior.head
    head.norm.running_mean.copy_(embs.mean(dim=0))
    head.norm.running_var.copy_(embs.var(dim=0) + embs.var(dim=0).mean())
    head.linear.weight.mul_(3)
    return model


@pytest.fixture(scope="module")
def classifier():
    return CryClassifier.from_model(hearing_model())


@pytest.fixture
def run(trained):
    return trained(**LEARNT)


@pytest.fixture
def write_sound(tmp_path):
    """Write samples: ``write_sound("a.wav", samples)``; its path."""

    def write_sound(name, samples, rate=RATE, **how):
        path = tmp_path / name
        soundfile.write(path, samples, rate, **how)
        return str(path)

    return write_sound


def odds_of(classifier, window):
    """Log-odds of samples that the model hears as they are."""
    log_posteriors = classifier.classify_batch(torch.from_numpy(window))[0][0]
    return (log_posteriors[1] - log_posteriors[0]).item()


def paths_of(predictions, clinic):
    return [str(clinic / f"{name}.wav") for name in predictions.ids]


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_those_of_the_training_run(
    variant, trained, clinic, tmp_path
):
    """Files of three lengths in one batch; 8 kHz."""
    run = trained(**VARIANTS[variant])
    expected = Predictions.read(run / "predictions_test.csv")
    ours = CryClassifier.from_hparams(source=str(run))
    paths = paths_of(expected, clinic)
    found = ours.classify_files(paths)
    scores = np.stack([score.scores for score in found])
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    assert [score.n_windows for score in found] == [1] * len(found)
    log_posteriors, score, index, labels = ours.classify_file(paths[0])
    np.testing.assert_allclose(
        log_posteriors.exp().numpy()[0], expected.scores[0], atol=1e-5
    )
    assert labels == [expected.classes[expected.scores[0].argmax()]]
    assert score.item() == log_posteriors[0, index].item()

    # They are of what is heard: another sound under the name, other scores.
    other = tmp_path / Path(paths[0]).name
    soundfile.write(other, changing(1.0), RATE)
    (moved,) = ours.classify_files([other])
    assert abs(moved.scores[1] - scores[0, 1]) > 1e-2


def test_the_classifier_of_these_tests_tells_sounds_apart(
    classifier, write_sound
):
    rng = np.random.default_rng(0)
    paths = [
        write_sound("noise.wav", rng.normal(0, 0.1, RATE)),
        write_sound("tone.wav", 0.3 * np.sin(np.arange(RATE) * 0.2)),
    ]
    noise, tone = classifier.classify_files(paths)
    assert abs(noise.scores[1] - tone.scores[1]) > 0.05


def test_a_batch_says_what_each_says_alone(classifier):
    wavs = [0.3 * torch.randn(n) for n in (16000, 9000, 5000)]
    padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    lengths = torch.tensor([len(wav) for wav in wavs]) / padded.shape[1]
    together = classifier.classify_batch(padded, lengths)[0]
    for wav, row in zip(wavs, together):
        alone = classifier.classify_batch(wav)[0][0]
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=0)


def test_a_short_recording_is_repeated(classifier, write_sound):
    """Until the encoder hears it: 4960 samples, for which 2400 are too few."""
    sound = changing(0.15)
    path = write_sound("short.wav", sound, subtype="FLOAT")
    loud = sound * (0.9 / np.abs(sound).max())
    (found,) = classifier.classify_files([path])
    expected = odds_of(classifier, np.tile(loud, 3)[:4960])
    assert abs(found.scores[1] - 1 / (1 + np.exp(-expected))) < 1e-5
    padded = odds_of(classifier, np.pad(loud, (0, 2560)))
    assert abs(padded - expected) > 0.1  # zeros would be heard


def test_long_recordings_are_the_mean_of_windows_log_odds(
    classifier, write_sound
):
    sound = changing(2.3)
    path = write_sound("long.wav", sound, subtype="FLOAT")
    sound *= 0.9 / np.abs(sound).max()
    odds = np.array(
        [
            odds_of(classifier, sound[start : start + 8000])
            for start in np.linspace(0, len(sound) - 8000, 5)
            .round()
            .astype(int)
        ]
    )
    (found,) = classifier.classify_files([path], longest_s=2.0)
    assert found.n_windows == 5
    expected = 1 / (1 + np.exp(-odds.mean()))
    assert abs(found.scores[1] - expected) < 1e-5
    # What it could be mistaken for.
    each = 1 / (1 + np.exp(-odds))
    assert np.abs(each - expected).min() > 1e-3
    assert abs(each.mean() - expected) > 1e-3


def test_scores_over_time_are_those_of_the_windows(classifier, write_sound):
    sound = np.concatenate(
        [changing(1.0), np.zeros(16000, np.float32), changing(0.75, seed=1)]
    )
    path = write_sound("a.wav", sound, subtype="FLOAT")
    track = classifier.score_over_time(path, window_s=0.5, hop_s=0.25)
    assert track.starts.tolist() == np.arange(0, 2.26, 0.25).tolist()
    assert track.stops[-1] == 2.75
    # Silence has no score.
    silent = np.isnan(track.scores).any(axis=1)
    assert silent.tolist() == [False] * 4 + [True] * 3 + [False] * 3
    heard = np.sort(track.scores[~silent, 1])
    assert np.diff(heard).min() > 1e-4  # no window could be another
    sound *= 0.9 / np.abs(sound).max()
    for i in np.flatnonzero(~silent):
        first = round(track.starts[i] * 16000)
        expected = odds_of(classifier, sound[first : first + 8000])
        expected = 1 / (1 + np.exp(-expected))
        assert abs(track.scores[i, 1] - expected) < 1e-5


def test_a_part_is_silent_beside_the_peak_of_the_whole(classifier, write_sound):
    """-66 dBFS is heard where the loudest is brought from 0.05 to 0.9, by
    25 dB; -66 dBFS beside full scale is not."""
    quiet = changing(0.5)
    quiet *= 10 ** (-66 / 20) / np.sqrt(np.mean(quiet**2))
    for peak, is_silent in ((0.05, False), (0.9, True)):
        loud = changing(0.5, seed=1)
        sound = np.concatenate([quiet, peak / np.abs(loud).max() * loud])
        path = write_sound("a.wav", sound, subtype="FLOAT")
        track = classifier.score_over_time(path, window_s=0.5, hop_s=0.5)
        assert np.isnan(track.scores[:, 1]).tolist() == [is_silent, False]
        (found,) = classifier.classify_files([path], longest_s=0.9)
        assert found.n_windows == 2 - is_silent


def test_windows_cover_a_recording():
    for length, size, hop in ((100, 7, 3), (7, 7, 7), (5, 7, 1), (99, 7, 50)):
        for starts in (covering(length, size), sliding(length, size, hop)):
            assert starts[0] == 0
            assert starts[-1] == max(0, length - size)
            assert starts == sorted(set(starts))
        steps = np.diff(covering(length, size))
        assert (steps <= size).all()  # no gap
        assert np.ptp(steps) <= 1 if len(steps) else True


def test_reading_windows_is_reading_the_file(noise):
    path = noise("a.flac", seconds=1.0, rate=8000, channels=2)
    whole = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    reader = WindowReader(str(path), 8000)
    spans = [(0.0, 0.4), (0.2, 0.6), (0.9, 1.3)]
    for (start, stop), window in zip(spans, reader(spans)):
        part = whole[round(8000 * start) : round(8000 * stop)]
        np.testing.assert_array_equal(window.numpy(), part)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_a_recording_is_heard_as_training_hears_it(
    rate, classifier, noise, monkeypatch
):
    """Mixed block by block, resampled whole."""
    monkeypatch.setattr(windows, "_BLOCK", 1000)
    path = str(noise("a.flac", seconds=0.71, rate=rate, channels=2))
    seconds = soundfile.info(path).frames / rate
    expected = RecordingReader(RATE)(path, 0.0, seconds)
    found = classifier.load_audio(path)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_blocks_end_where_the_file_does(noise, monkeypatch):
    monkeypatch.setattr(windows, "_BLOCK", 1000)
    path = noise("a.wav", seconds=0.5, rate=8000, channels=3)
    whole = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    with soundfile.SoundFile(path) as file:
        parts = [read_mixed(file, n).numpy() for n in (2500, 1000, 9999, 9)]
    assert [len(part) for part in parts] == [2500, 1000, 500, 0]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_many_channels_are_not_in_memory_at_once(
    classifier, write_sound, monkeypatch
):
    """Decoded, they are 16 MB; mixed, 2."""
    monkeypatch.setattr(windows, "_BLOCK", 10000)
    rng = np.random.default_rng(0)
    path = write_sound("a.wav", rng.normal(0, 0.1, (RATE * 30, 8)))
    audit = audit_file(path)
    monkeypatch.setattr(inference, "audit_file", lambda path: audit)
    tracemalloc.start()
    classifier.load_audio(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_level():
    sine = torch.sin(torch.arange(16000) * 0.1)
    assert abs(level_dbfs(sine) - 10 * np.log10(0.5)) < 0.01


def test_what_cannot_be_used_stops_nothing(classifier, noise, tmp_path):
    good = str(noise("good.wav", seconds=0.7))
    short = str(noise("short.wav", seconds=0.15))  # is repeated
    text = tmp_path / "a.wav"
    text.write_text("no audio")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(16000), 16000)
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, np.full(16000, np.nan), 16000, subtype="FLOAT")
    cut = tmp_path / "cut.wav"
    cut.write_bytes((tmp_path / "good.wav").read_bytes()[:9000])
    bad = [str(p) for p in (text, silent, empty, nan, cut, tmp_path / "no")]
    found = classifier.classify_files([bad[0], good, *bad[1:], short])
    assert [f.path for f in found] == [bad[0], good, *bad[1:], short]
    assert [not f.error for f in found] == [False, True, *[False] * 5, True]
    for score, word in zip(
        [found[0], *found[2:7]],
        ("unreadable", "silent", "empty", "finite", "truncated", "no such"),
    ):
        assert word in score.error and score.scores is None
    alone = classifier.classify_files([good])[0]
    np.testing.assert_allclose(found[1].scores, alone.scores, atol=1e-6)


def test_a_file_that_changes_after_it_was_read_stops_nothing(
    classifier, noise, monkeypatch
):
    """Short ones and long ones; gone, or without samples."""
    names = ("gone.wav", "emptied.wav", "good.wav")
    paths = [noise(name) for name in names]
    paths.insert(0, noise("gone_long.wav", seconds=3.0))

    def audit_and_change(path):
        audit = audit_file(path)
        if "gone" in path:
            os.unlink(path)
        if "emptied" in path:
            soundfile.write(path, np.zeros(0), RATE)
        return audit

    monkeypatch.setattr(inference, "audit_file", audit_and_change)
    found = classifier.classify_files(paths, longest_s=2.0)
    assert ["unreadable: " in score.error for score in found[:3]] == [True] * 3
    assert found[3].error == "" and found[3].scores.sum() == pytest.approx(1)
    for ask in (classifier.score_over_time, classifier.load_audio):
        with pytest.raises(InputError, match="gone.wav: unreadable: "):
            ask(noise("gone.wav"))


def test_scores_that_are_no_numbers_are_no_call(noise, tmp_path):
    model = hearing_model()
    with torch.no_grad():
        model.posterior.head.linear.weight[0, 0] = float("nan")
    broken = CryClassifier.from_model(model)
    broken.hparams.threshold = 0.5
    path = noise("a.wav", seconds=1.3)
    for longest_s in (2.0, 1.0):  # at once, in windows
        (found,) = broken.classify_files([path], longest_s)
        assert found.error.startswith("scores are not finite: ")
        (row,) = rows_of([found], ["no", "yes"], 0.5)
        cells = dict(zip(header_of(["no", "yes"]), row))
        assert cells["call"] == cells["no"] == cells["yes"] == ""
        assert cells["error"] == found.error
    for ask in (broken.classify_file, broken.score_over_time):
        with pytest.raises(InputError, match="a.wav: scores are not finite"):
            ask(path)
    for scores in ([float("nan"), 0.2], [0.2, float("nan")]):
        with pytest.raises(InputError, match="not finite"):
            broken.call(np.array(scores))


def test_a_label_is_the_most_probable_class_and_a_call_the_threshold(
    classifier, noise
):
    path = noise("a.wav")
    ours = CryClassifier.from_model(hearing_model())
    (found,) = ours.classify_files([path])
    low, high = sorted(found.scores)
    most = ["no", "yes"][int(found.scores[1] == high)]
    assert ours.call(found.scores) == most  # without an operating point
    for threshold in (found.scores[1], np.nextafter(found.scores[1], 2)):
        ours.hparams.threshold = threshold
        call = "yes" if found.scores[1] >= threshold else "no"
        assert ours.call(found.scores) == call
        log_posteriors, _, _, labels = ours.classify_file(path)
        assert labels == [most]
    ours.hparams.threshold = low / 2
    assert ours.call(log_posteriors.exp()[0]) == "yes"
    assert ours.call([0.9, low / 2]) == "yes"  # of what is most probably no
    assert rows_of([found], ["no", "yes"], low / 2)[0][2] == "yes"


def test_paths_of_any_kind(classifier, noise, tmp_path):
    path = noise("a.wav")
    by_name, by_path = classifier.classify_files([str(path), path])
    assert by_name.path == by_path.path == str(path)
    np.testing.assert_allclose(by_name.scores, by_path.scores, atol=1e-7)
    for one in (str(path), path):
        with pytest.raises(InputError, match="a.wav' is one: put it in a list"):
            classifier.classify_files(one)
        found = classifier.classify_file(one, savedir=str(tmp_path / "x"))
        np.testing.assert_allclose(
            found[0].exp()[0].numpy(), by_path.scores, atol=1e-6
        )
        assert len(classifier.score_over_time(one).starts) == 3
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"runopts": {"device": "cuda"}}, "'runopts' without trust=True"),
        ({"overrides": {}}, "'overrides' without trust=True"),
        ({"hparams_file": "other.yaml"}, "'other.yaml', .* trust=True only"),
    ],
)
def test_no_argument_is_ignored(arguments, said, tmp_path):
    with pytest.raises(InputError, match=said):
        CryClassifier.from_hparams(str(tmp_path), **arguments)


def test_a_revision_is_that_of_the_hub(monkeypatch):
    asked = []

    def load_model(*arguments):
        asked.append(arguments)
        return build(classifier_blueprint())

    monkeypatch.setattr(inference, "load_model", load_model)
    CryClassifier.from_hparams("us/model", savedir="here", revision="v1")
    CryClassifier.from_hparams("us/model")
    assert asked == [("us/model", "here", "v1"), ("us/model", None, None)]

    def fetch(*, fetch_config, **others):
        raise ValueError(f"asked for {fetch_config.revision}")

    monkeypatch.setattr("speechbrain.inference.interfaces.fetch", fetch)
    with pytest.raises(InputError, match="asked for v1"):
        CryClassifier.from_hparams("us/model", trust=True, revision="v1")


def test_an_encoder_alone_embeds_and_does_not_classify(noise):
    encoder = CryClassifier.from_model(build(Blueprint(1)))
    assert encoder.encode_batch(torch.randn(2, 8000)).shape == (2, 32)
    with pytest.raises(InputError, match="knows no classes"):
        encoder.classify_file(str(noise("a.wav")))


@pytest.mark.parametrize(
    "run_opts, said",
    [
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"device": "cuda:9"}, "finds no GPU"),
        ({"precision": "int3"}, "precision is 'int3'"),
    ],
)
def test_a_device_or_precision_that_is_not_to_be_had(
    run_opts, said, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=said):
        CryClassifier.from_hparams("no/such/model", run_opts=run_opts)


def test_bf16_is_near(classifier, noise):
    path = str(noise("a.wav", seconds=1.0))
    model = hearing_model()
    rough = CryClassifier.from_model(model, {"precision": "bf16"})
    exact = classifier.classify_files([path])[0].scores
    found = rough.classify_files([path])[0].scores
    assert (found != exact).any()
    np.testing.assert_allclose(found, exact, atol=0.05)


def read_table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def command(*arguments):
    """Run the command in this process; its exit status."""
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return stop.code
    return 0


def test_the_command_writes_a_table_and_pictures(run, clinic, tmp_path, capsys):
    out = tmp_path / "new/scores.csv"
    assert command(run, clinic, "--csv", out) == 0
    rows = {row["path"]: row for row in read_table(out)}
    expected = Predictions.read(run / "predictions_test.csv")
    for path, scores in zip(paths_of(expected, clinic), expected.scores):
        assert abs(float(rows[path]["injury"]) - scores[1]) < 1e-5
    assert len(rows) == 36
    captured = capsys.readouterr()
    assert "done: 36 recordings" in captured.out
    assert "Not a medical device" in captured.err

    file = clinic / "cry_p0_0.wav"
    assert command(run, file, "--csv", out, "--plot", "--window_s=0.4") == 0
    folder = tmp_path / "new/scores_over_time"
    assert (folder / "cry_p0_0.png").read_bytes()[:4] == b"\x89PNG"
    track = read_table(folder / "cry_p0_0.csv")
    assert track[0]["start"] == "0.000" and track[0]["stop"] == "0.400"
    assert track[-1]["stop"] == "0.600"
    assert float(track[0]["injury"]) + float(track[0]["healthy"]) == (
        pytest.approx(1)
    )


def test_calls_of_validation_are_those_that_the_run_counted(
    run, clinic, tmp_path
):
    """Its threshold is a recording's own score, which is found again but for
    the last digits."""
    valid = Predictions.read(run / "predictions_valid.csv")
    counted = json.loads((run / "metrics.json").read_text())["valid"]
    counted = counted["recording"]
    assert counted["threshold"] in valid.scores[:, 1]
    out = tmp_path / "a.csv"
    assert command(run, *paths_of(valid, clinic), "--csv", out) == 0
    called = np.array([row["call"] == "injury" for row in read_table(out)])
    assert called[valid.labels == 1].mean() == counted["sensitivity_at_spec80"]
    assert (
        1 - called[valid.labels == 0].mean()
        == counted["specificity_at_threshold"]
    )


def test_a_file_that_cannot_be_used_is_a_row_and_status_1(
    run, clinic, tmp_path, capsys
):
    bad = tmp_path / "bad.wav"
    bad.write_text("x")
    assert command(run, clinic / "cry_p0_0.wav", bad, tmp_path / "no.wav") == 1
    captured = capsys.readouterr()
    rows = list(csv.DictReader(captured.out.splitlines()))
    assert [bool(row["error"]) for row in rows] == [False, True, True]
    assert rows[1]["injury"] == "" and "unreadable" in rows[1]["error"]
    assert "2 could not be" in captured.err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["no/such/run/at/all", "a.wav"], "does not exist"),
        (["MODEL", "EMPTY"], "holds no audio file"),
        (["MODEL", "PACK"], "PACK is a pack"),
        (["MODEL", "a.wav", "--csv", "EMPTY"], "is a folder"),
        (["MODEL", "a.wav", "--csv", "FILE/x/a.csv"], "is a file"),
        (["MODEL", "a.wav", "--csv", "/proc/a.csv"], "could not be written"),
        (["MODEL", "a.wav", "--csv", "SOUND.flac"], "name the table"),
        (["MODEL", "SOUND", "--csv", "./SOUND"], "name the table"),
        (["MODEL", "a.wav", "--csv", "LINK"], "name the table"),
        (["MODEL", "a.wav", "--plot", "--csv", "s.csv"], "s_over_time is a"),
        (["MODEL", "a.wav", "--trust"], "has no 'pretrainer'"),
        (["no/such/run/at/all", "a.wav", "--trust"], "not to be had"),
        (["MODEL", "a.wav", "--device", "tpu"], "device is 'tpu'"),
        (["MODEL", "a.wav", "--longest_s", "0"], "longest_s"),
        (["MODEL", "SOUND", "--plot", "--window_s", "0.1"], "window_s is 0.1"),
        (["MODEL", "SOUND", "--plot", "--window_s", "inf"], "window_s is inf"),
        (["MODEL", "SOUND", "--plot", "--window_s", "nan"], "window_s is nan"),
        (["MODEL", "SOUND", "--plot", "--hop_s", "inf"], "hop_s is inf"),
        (["MODEL", "SOUND", "--plot", "--hop_s", "nan"], "hop_s is nan"),
        (["MODEL", "SOUND", "--plot", "--hop_s", "0"], "hop_s is 0.0"),
        (["MODEL", "SOUND", "--window_s", "1"], "--window_s 1.0"),
        (["MODEL", "SOUND", "--hop_s", "1"], "--hop_s 1.0"),
        (["", "SOUND"], "MODEL is ''"),
        (["MODEL", "SOUND", ""], "AUDIO is ''"),
        (["MODEL", "SOUND", "--csv", ""], "--csv is ''"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments, said, run, tmp_path, noise, capsys, monkeypatch
):
    """Before anything is scored, and nothing is touched."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "PACK").mkdir()
    (tmp_path / "FILE").write_text("")
    (tmp_path / "s_over_time").write_text("")
    noise("SOUND", format="WAV")
    noise("SOUND.flac")
    shutil.copy("SOUND", "a.wav")
    (tmp_path / "LINK").symlink_to("a.wav")
    write_pack(tmp_path / "PACK")
    before = {path: path.read_bytes() for path in files_of(tmp_path)}
    given = [str(run) if a == "MODEL" else a for a in arguments]
    assert command(*given) == 2
    captured = capsys.readouterr()
    errors = captured.err.splitlines()
    errors = [line for line in errors if line.startswith("error: ")]
    assert len(errors) == 1 and said in errors[0]
    assert CAUTION not in captured.err and captured.out == ""
    assert {path: path.read_bytes() for path in files_of(tmp_path)} == before


def files_of(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def write_pack(folder):
    """An empty one."""
    head = {"pack": 1, "rate": RATE, "parts": 1}
    (folder / PACK_FILE).write_text(json.dumps(head))
    about = {"head": head, "name": "clinic", "files": {}}
    (folder / "pack-1of1.json").write_text(json.dumps(about))
    header = "path,shard,offset,samples,scale,peak,rate,frames\n"
    (folder / "pack-1of1.csv").write_text(header + "a.wav,,0,0,1.0,0,8000,0\n")


def test_options_may_stand_between_recordings_and_hidden_files_stay(
    run, noise, tmp_path
):
    """The trial whether a table can be written has a name of its own."""
    hidden = tmp_path / ".s.csv"
    hidden.write_text("mine")
    names = ("a.wav", "b$x^$.wav")  # mathtext would fail at the second
    a, b = (noise(name, seconds=0.5) for name in names)
    out = tmp_path / "s.csv"
    options = ["--plot", "--csv", out, "--window_s=0.4", "--hop_s=0.1"]
    assert command(run, a, *options, b) == 0
    assert [Path(row["path"]).name for row in read_table(out)] == list(names)
    assert hidden.read_text() == "mine"
    assert len(list((tmp_path / "s_over_time").glob("*.png"))) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        *names, "s.csv", ".s.csv", "s_over_time",
    }  # fmt: skip


def test_a_recording_that_goes_before_its_picture_stops_nothing(
    run, noise, tmp_path, capsys, monkeypatch
):
    paths = [noise(f"{name}.wav", seconds=0.5) for name in "abc"]
    score = CryClassifier.classify_files

    def score_and_remove(self, *arguments, **options):
        found = score(self, *arguments, **options)
        paths[0].unlink()
        return found

    monkeypatch.setattr(CryClassifier, "classify_files", score_and_remove)
    out = tmp_path / "s.csv"
    assert command(run, *paths, "--plot", "--csv", out) == 1
    assert [bool(row["error"]) for row in read_table(out)] == [False] * 3
    done = capsys.readouterr().out
    assert "3 recordings" in done and "1 have no scores over time" in done
    assert "a.wav: unreadable: no such file" in done
    made = sorted(path.name for path in (tmp_path / "s_over_time").iterdir())
    assert made == ["b.csv", "b.png", "c.csv", "c.png"]


def test_whoever_interrupts_does_not_wait(run, tmp_path, capsys, monkeypatch):
    """Files that were not begun are left, and the message says what was
    written."""
    lock, read = threading.Lock(), []
    # A shell's background job begins with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def audit_slowly(path):
        with lock:
            read.append(path)
            if len(read) == 4:
                _thread.interrupt_main()
        time.sleep(0.05)
        return Audit(path)

    monkeypatch.setattr(inference, "audit_file", audit_slowly)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    out = tmp_path / "s.csv"
    paths = [f"{i}.wav" for i in range(60)]
    try:
        assert command(run, *paths, "--csv", out) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    n_read = len(read)
    time.sleep(0.3)
    assert len(read) <= n_read + 2  # what the threads had in hand
    err = capsys.readouterr().err
    assert "interrupted; nothing was written" in err.splitlines()
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_when_pictures_are_interrupted(
    run, noise, tmp_path, capsys, monkeypatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(CryClassifier, "score_over_time", interrupted)
    out = tmp_path / "s.csv"
    assert command(run, noise("a.wav"), "--csv", out, "--plot") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"interrupted; {out} is whole, {tmp_path}/s_over_time is not"
    assert len(read_table(out)) == 1


def test_reading_is_seen_and_then_scoring(classifier, noise, capsys):
    paths = [noise("a.wav"), noise("b.wav"), "no.wav"]
    classifier.classify_files(paths, progressbar=True)
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    reading = [i for i, line in enumerate(lines) if line.startswith("reading")]
    scoring = [i for i, line in enumerate(lines) if line.startswith("scoring")]
    assert max(reading) < min(scoring)
    assert "0/3" in lines[reading[0]] and "3/3" in lines[reading[-1]]
    assert "0/2" in lines[scoring[0]] and "2/2" in lines[scoring[-1]]


def test_whoever_reads_no_further_ends_it_quietly(
    run, noise, capfd, monkeypatch
):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert command(run, noise("a.wav")) == 1
    assert "Error" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "classes, names",
    [
        (["a", "call"], ["a", "class call"]),
        (["path", "class path"], ["class class path", "class path"]),
        (["class path", "path"], ["class path", "class class path"]),
        (["error", "call"], ["class error", "class call"]),
    ],
)
def test_no_two_columns_have_one_name(classes, names):
    assert header_of(classes)[5:] == names


def test_no_two_columns_of_a_track_have_one_name(tmp_path):
    track = inference.ScoreTrack(
        np.zeros(1), np.ones(1), np.array([[0.25, 0.75]])
    )
    write_track(track, ["stop", "path"], tmp_path / "a.csv")
    (row,) = read_table(tmp_path / "a.csv")
    assert row == {
        "start": "0.000", "stop": "1.000", "class stop": "0.25", "path": "0.75",
    }  # fmt: skip


@pytest.mark.slow
def test_a_tape_of_hours_in_bounded_memory(tmp_path):
    """Decoded, 5 hours at 16 kHz are 1.15 GB: more than 10 minutes need by a
    fraction of that."""
    code = (
        "import resource, sys, torch\n"
        "torch.set_num_threads(1)\n"
        "from cry_modules.inference.classifier import CryClassifier\n"
        "from cry_modules.checkpoints.description import Blueprint, build\n"
        "b = Blueprint(1, chunk_s=60.0, classes=['a', 'b'], log_prior=[0, 0])\n"
        "c = CryClassifier.from_model(build(b))\n"
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
                # One loud minute; else the noise of a converter.
                file.write(block if minute == 5 else block // 20000)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    n_short, short, n_long, long = map(int, done.stdout.split())
    assert (n_short, n_long) == (1, 1)  # the rest is silent
    assert long - short < 300_000  # kilobytes


def test_softmax_of_window_logits_are_scores(classifier, noise):
    """The two ways to the same number agree."""
    path = str(noise("a.wav", seconds=0.5))
    track = classifier.score_over_time(path)
    (found,) = classifier.classify_files([path])
    np.testing.assert_allclose(track.scores[0], found.scores, atol=1e-6)
