"""A classifier in use: the run's own numbers, any length, any file."""

import csv
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from cry_modules.inference import CryClassifier, main
from cry_modules.predictions import Predictions
from cry_modules.saved_model import Blueprint, build
from cry_modules.windows import WindowReader, covering, level_dbfs, sliding
from data_prep.errors import InputError

VARIANTS = {
    "whole": {},
    "chunks": {"tested_on": "chunks", "chunk_s": 0.5},
    "logmel": {"readout": "encoder+logmel", "balance": "none"},
}


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    model = build(
        Blueprint(1, chunk_s=0.5, classes=["no", "yes"], log_prior=[0.0, -1.0])
    )
    return CryClassifier.from_model(model)


def paths_of(predictions, clinic):
    return [str(clinic / f"{name}.wav") for name in predictions.ids]


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_those_of_the_training_run(variant, trained, clinic):
    """Files of three lengths in one batch; 8 kHz."""
    run = trained(**VARIANTS[variant])
    expected = Predictions.read(run / "predictions_test.csv")
    ours = CryClassifier.from_hparams(source=str(run))
    found = ours.classify_files(paths_of(expected, clinic))
    scores = np.stack([score.scores for score in found])
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    assert [score.n_windows for score in found] == [1] * len(found)
    log_posteriors, score, index, labels = ours.classify_file(
        paths_of(expected, clinic)[0]
    )
    np.testing.assert_allclose(
        log_posteriors.exp().numpy()[0], expected.scores[0], atol=1e-5
    )
    assert labels == [expected.classes[expected.scores[0].argmax()]]
    assert score.item() == log_posteriors[0, index].item()


def test_a_batch_says_what_each_says_alone(classifier):
    wavs = [0.3 * torch.randn(n) for n in (16000, 9000, 5000)]
    padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    lengths = torch.tensor([len(wav) for wav in wavs]) / padded.shape[1]
    together = classifier.classify_batch(padded, lengths)[0]
    for wav, row in zip(wavs, together):
        alone = classifier.classify_batch(wav)[0][0]
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=0)


def test_long_recordings_are_the_mean_of_windows_log_odds(classifier, noise):
    path = str(noise("long.wav", seconds=2.3, rate=16000))
    whole, _ = soundfile.read(path, dtype="float32")
    whole *= 0.9 / np.abs(whole).max()
    logits = []
    for start in np.linspace(0, len(whole) - 8000, 5).round().astype(int):
        window = torch.from_numpy(whole[start : start + 8000])
        logits.append(classifier.classify_batch(window)[0][0].numpy())
    # Log posteriors differ from logits by what softmax takes away again.
    odds = np.array(logits)[:, 1] - np.array(logits)[:, 0]
    (found,) = classifier.classify_files([path], longest_s=2.0)
    assert found.n_windows == 5
    expected = 1 / (1 + np.exp(-odds.mean()))
    assert abs(found.scores[1] - expected) < 1e-5


def test_scores_over_time_are_those_of_the_windows(classifier, tmp_path):
    rng = np.random.default_rng(0)
    sound = np.concatenate(
        [rng.normal(0, 0.1, 16000), np.zeros(16000), rng.normal(0, 0.2, 12000)]
    ).astype(np.float32)
    path = tmp_path / "a.wav"
    soundfile.write(path, sound, 16000, subtype="FLOAT")
    track = classifier.score_over_time(str(path), window_s=0.5, hop_s=0.25)
    assert track.starts.tolist() == np.arange(0, 2.26, 0.25).tolist()
    assert track.stops[-1] == 2.75
    # Silence has no score.
    silent = np.isnan(track.scores).any(axis=1)
    assert silent.tolist() == [False] * 4 + [True] * 3 + [False] * 3
    sound *= 0.9 / np.abs(sound).max()
    for i in np.flatnonzero(~silent):
        first = round(track.starts[i] * 16000)
        window = torch.from_numpy(sound[first : first + 8000])
        alone = classifier.classify_batch(window)[0][0].exp().numpy()
        np.testing.assert_allclose(track.scores[i], alone, atol=1e-5)


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
    model = build(classifier_blueprint())
    model.embedder.load_state_dict(classifier.mods.embedding_model.state_dict())
    model.posterior.load_state_dict(classifier.mods.classifier.state_dict())
    rough = CryClassifier.from_model(model, {"precision": "bf16"})
    exact = classifier.classify_files([path])[0].scores
    found = rough.classify_files([path])[0].scores
    assert (found != exact).any()
    np.testing.assert_allclose(found, exact, atol=0.05)


def classifier_blueprint():
    return Blueprint(
        1, chunk_s=0.5, classes=["no", "yes"], log_prior=[0.0, -1.0]
    )


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


def test_the_command_writes_a_table_and_pictures(
    trained, clinic, tmp_path, capsys
):
    run = trained()
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


def test_calls_follow_the_threshold_of_the_run(trained, clinic, tmp_path):
    import json

    run = trained()
    metrics = json.loads((run / "metrics.json").read_text())
    threshold = metrics["test"]["recording"]["threshold"]
    out = tmp_path / "a.csv"
    command(run, clinic, "--csv", out)
    for row in read_table(out):
        called = float(row["injury"]) >= threshold
        assert row["call"] == ("injury" if called else "healthy")


def test_a_file_that_cannot_be_used_is_a_row_and_status_1(
    trained, clinic, tmp_path, capsys
):
    bad = tmp_path / "bad.wav"
    bad.write_text("x")
    assert (
        command(trained(), clinic / "cry_p0_0.wav", bad, tmp_path / "no.wav")
        == 1
    )
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
        (["MODEL", "a.wav", "--csv", "EMPTY"], "is a folder"),
        (["MODEL", "a.wav", "--csv", "FILE/x/a.csv"], "is a file"),
        (["MODEL", "a.wav", "--csv", "/proc/a.csv"], "could not be written"),
        (["MODEL", "a.wav", "--trust"], "has no 'pretrainer'"),
        (["no/such/run/at/all", "a.wav", "--trust"], "not to be had"),
        (["MODEL", "a.wav", "--device", "tpu"], "device is 'tpu'"),
        (["MODEL", "a.wav", "--longest_s", "0"], "longest_s"),
        (["MODEL", "SOUND", "--plot", "--window_s", "0.1"], "window 0.1 s"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments, said, trained, tmp_path, noise, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").write_text("")
    noise("SOUND", format="WAV")
    given = [str(trained()) if a == "MODEL" else a for a in arguments]
    assert command(*given) == 2
    errors = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("error: ")
    ]
    assert len(errors) == 1 and said in errors[0]


@pytest.mark.slow
def test_a_tape_of_hours_in_bounded_memory(tmp_path):
    """Decoded, 5 hours at 16 kHz are 1.15 GB: more than 10 minutes need by a
    fraction of that."""
    code = (
        "import resource, sys, torch\n"
        "torch.set_num_threads(1)\n"
        "from cry_modules.inference import CryClassifier\n"
        "from cry_modules.saved_model import Blueprint, build\n"
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
