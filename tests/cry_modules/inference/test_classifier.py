"""CryClassifier: the scores of the training run, and SpeechBrain's interface."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cry_modules.audio import RecordingReader
from cry_modules.checkpoints.description import Blueprint
from cry_modules.checkpoints.saved_model import build
from cry_modules.inference import classifier as module
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.scores import header_of, rows_of
from cry_modules.metrics.predictions import Predictions
from data_prep.audio import decode
from data_prep.files.errors import InputError
from tests.classifiers import changing, random_model

RATE = 16000
CHUNKS = {"tested_on": "chunks", "chunk_s": 0.5, "balance": "none"}
CHUNKS["readout"] = "embedding+logmel"
BLOCK = {"readout": "block3+embedding", "solver": "lbfgs"}


@pytest.fixture(scope="module")
def classifier():
    return CryClassifier.from_model(random_model())


@pytest.mark.parametrize(
    # The strongest penalty is best on labels without a signal: scores of the
    # optimum differ less.
    "options, least",
    [({"lr": 0.05}, 1e-2), (CHUNKS, 1e-2), (BLOCK, 1e-4)],
    ids=["whole", "chunks", "block"],
)
def test_scores_equal_those_of_the_training_run(
    options, least, trained, clinic, tmp_path
):
    """8 kHz files of three lengths in one batch."""
    run = trained(**options)
    expected = Predictions.read(run / "predictions_test.csv")
    classifier = CryClassifier.from_hparams(source=str(run))
    paths = [str(clinic / f"{name}.wav") for name in expected.ids]
    files = classifier.classify_files(paths)
    scores = np.stack([score.scores for score in files])
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    assert [score.n_windows for score in files] == [1] * len(files)
    log_posteriors, score, index, labels = classifier.classify_file(paths[0])
    np.testing.assert_allclose(
        log_posteriors.exp().numpy()[0], expected.scores[0], atol=1e-5
    )
    assert labels == [expected.classes[expected.scores[0].argmax()]]
    assert score.item() == log_posteriors[0, index].item()

    # They depend on the sound, not on the name.
    other = tmp_path / Path(paths[0]).name
    soundfile.write(other, changing(1.0), RATE)
    (score,) = classifier.classify_files([other])
    assert abs(score.scores[1] - scores[0, 1]) > least


def test_a_batch_equals_its_items(classifier):
    wavs = [0.3 * torch.randn(n) for n in (16000, 9000, 5000)]
    padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    lengths = torch.tensor([len(wav) for wav in wavs]) / padded.shape[1]
    together = classifier.classify_batch(padded, lengths)[0]
    for wav, row in zip(wavs, together):
        alone = classifier.classify_batch(wav)[0][0]
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_a_recording_is_read_as_in_training(
    rate, classifier, noise, monkeypatch
):
    """Mixed block by block, resampled as a whole."""
    monkeypatch.setattr(decode, "_BLOCK", 1000)
    path = str(noise("a.flac", seconds=0.71, rate=rate, channels=2))
    seconds = soundfile.info(path).frames / rate
    expected = RecordingReader(RATE)(path, 0.0, seconds)
    torch.testing.assert_close(
        classifier.load_audio(path), expected, atol=1e-6, rtol=0
    )


def test_scores_that_are_not_finite_are_an_error(noise):
    model = random_model()
    with torch.no_grad():
        model.posterior.head.linear.weight[0, 0] = float("nan")
    broken = CryClassifier.from_model(model)
    broken.hparams.threshold = 0.5
    path = noise("a.wav", seconds=1.3)
    for longest_s in (2.0, 1.0):  # whole, in windows
        (score,) = broken.classify_files([path], longest_s)
        assert score.error.startswith("scores are not finite: ")
        (row,) = rows_of([score], ["no", "yes"], 0.5)
        cells = dict(zip(header_of(["no", "yes"]), row))
        assert cells["call"] == cells["no"] == cells["yes"] == ""
        assert cells["error"] == score.error
    for method in (broken.classify_file, broken.score_over_time):
        with pytest.raises(InputError, match="a.wav: scores are not finite"):
            method(path)
    for scores in ([float("nan"), 0.2], [0.2, float("nan")]):
        with pytest.raises(InputError, match="not finite"):
            broken.call(np.array(scores))


def test_label_is_most_probable_class_and_call_applies_threshold(noise):
    path = noise("a.wav")
    classifier = CryClassifier.from_model(random_model())
    (score,) = classifier.classify_files([path])
    low, high = sorted(score.scores)
    most = ["no", "yes"][int(score.scores[1] == high)]
    assert classifier.call(score.scores) == most  # without a threshold
    for threshold in (score.scores[1], np.nextafter(score.scores[1], 2)):
        classifier.hparams.threshold = threshold
        call = "yes" if score.scores[1] >= threshold else "no"
        assert classifier.call(score.scores) == call
        log_posteriors, _, _, labels = classifier.classify_file(path)
        assert labels == [most]
    classifier.hparams.threshold = low / 2
    assert classifier.call(log_posteriors.exp()[0]) == "yes"
    assert classifier.call([0.9, low / 2]) == "yes"  # though "no" is likelier
    assert rows_of([score], ["no", "yes"], low / 2)[0][2] == "yes"


def test_paths_may_be_text_or_path(classifier, noise):
    path = noise("a.wav")
    scores = classifier.classify_files([str(path), path])
    for single, score in zip((str(path), path), scores):
        assert score.path == str(path)
        with pytest.raises(InputError, match="a.wav'; put it in a list"):
            classifier.classify_files(single)
        log_posteriors = classifier.classify_file(single)[0]
        np.testing.assert_allclose(
            log_posteriors.exp()[0].numpy(), scores[0].scores, atol=1e-6
        )
        assert len(classifier.score_over_time(single).starts) == 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"runopts": {"device": "cuda"}}, "runopts only with trust=True"),
        ({"overrides": {}}, "overrides only with trust=True"),
        ({"hparams_file": "other.yaml"}, "hparams_file only with trust"),
        ({"run_opts": {"device": "tpu"}}, "device is 'tpu'"),
        ({"run_opts": {"device": "cuda:9"}}, "finds no GPU"),
        ({"run_opts": {"precision": "int3"}}, "precision is 'int3'"),
    ],
)
def test_arguments_that_are_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=message):
        CryClassifier.from_hparams(str(tmp_path), **arguments)


def test_revision_is_passed_to_the_hub(monkeypatch):
    requested = []

    def load_model(*arguments):
        requested.append(arguments)
        return random_model()

    monkeypatch.setattr(module, "load_model", load_model)
    CryClassifier.from_hparams("us/model", savedir="here", revision="v1")
    CryClassifier.from_hparams("us/model")
    assert requested == [("us/model", "here", "v1"), ("us/model", None, None)]

    def fetch(*, fetch_config, **others):
        raise ValueError(f"revision {fetch_config.revision}")

    monkeypatch.setattr("speechbrain.inference.interfaces.fetch", fetch)
    with pytest.raises(InputError, match="revision v1"):
        CryClassifier.from_hparams("us/model", trust=True, revision="v1")


def test_an_encoder_embeds_but_does_not_classify(noise):
    encoder = CryClassifier.from_model(build(Blueprint(1)))
    assert encoder.encode_batch(torch.randn(2, 8000)).shape == (2, 32)
    with pytest.raises(InputError, match="encoder without classes"):
        encoder.classify_file(str(noise("a.wav")))


def test_bf16_is_close_to_fp32(classifier, noise):
    path = str(noise("a.wav", seconds=1.0))
    rough = CryClassifier.from_model(random_model(), {"precision": "bf16"})
    exact = classifier.classify_files([path])[0].scores
    scores = rough.classify_files([path])[0].scores
    assert (scores != exact).any()
    np.testing.assert_allclose(scores, exact, atol=0.05)
