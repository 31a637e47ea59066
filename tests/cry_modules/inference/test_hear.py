"""Encoders behind the interface of HEAR."""

import re

import numpy as np
import pytest
import soundfile
import torch

from cry_modules.audio import RecordingReader, repeat_to
from cry_modules.checkpoints.description import Blueprint
from cry_modules.checkpoints.saved_model import build
from cry_modules.front_ends import FRONT_ENDS
from cry_modules.inference.hear import (
    HearModel,
    get_scene_embeddings,
    get_timestamp_embeddings,
    load_model,
    timestamps,
)
from data_prep.files.errors import InputError
from tests.classifiers import calibrate, new_model, write_model

RATE = 16000
#: 32 frames, 10 ms apart: the shortest input of CNN14.
WINDOW = 31 * 160


def calibrated(embedder, seed=0):
    torch.manual_seed(seed)
    # Levels differ, for front ends without normalisation.
    wavs = torch.randn(8, RATE) * torch.logspace(-2, 0, 8)[:, None]
    calibrate(embedder, wavs)
    with torch.no_grad():
        assert (embedder(wavs).std(dim=0)[:32] > 1e-3).sum() > 16
    return embedder


def make_model(**blueprint):
    return HearModel(
        calibrated(build(Blueprint(width=1, **blueprint)).embedder)
    )


@pytest.fixture
def model():
    return make_model()


def white_noise(n_sounds, seconds, seed=1):
    """Noise of HEAR's validator: uniform in -1..1."""
    torch.manual_seed(seed)
    return 2 * torch.rand(n_sounds, int(seconds * RATE)) - 1


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("readout", ["embedding", "block3", "embedding+logmel"])
def test_requirements_of_hear_validator(front_end, readout):
    model = make_model(front_end=front_end, readout=readout)
    for seconds in (1.07, 1.98, 4.0):
        audio = white_noise(2, seconds)
        scenes = get_scene_embeddings(audio, model)
        assert scenes.shape == (2, model.scene_embedding_size)
        moments, times = get_timestamp_embeddings(audio, model)
        assert moments.shape[:2] == times.shape and times.ndim == 2
        assert moments.shape[::2] == (2, model.timestamp_embedding_size)
        assert scenes.dtype == moments.dtype == times.dtype == torch.float32
        steps, length_ms = np.diff(times.numpy()), 1000 * seconds
        assert np.ptp(steps) <= 1 and steps.max() <= 50
        assert 0 <= times.min() <= steps.min()
        assert length_ms - steps.min() <= times.max() <= length_ms


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_timestamps_are_exact_for_hours(rate):
    n_samples = 4 * 3600 * rate + 17
    times = timestamps(n_samples, rate).float().double().numpy()
    # In float32, as HEAR receives them.
    assert (times == 50.0 * np.arange(4 * 3600 * 20 + 1)).all()


@torch.no_grad()
@pytest.mark.parametrize("readout", ["embedding", "block3", "embedding+logmel"])
@pytest.mark.parametrize("tested_on", ["recordings", "chunks"])
def test_a_scene_has_the_embedding_of_classification(
    tmp_path, readout, tested_on
):
    model = make_model(readout=readout, tested_on=tested_on, chunk_s=1.0)
    for seconds in (0.1, 0.7, 2.5):
        sig = 0.3 * white_noise(1, seconds)
        path = str(tmp_path / "a.wav")
        soundfile.write(path, sig[0].numpy(), RATE, subtype="FLOAT")
        wav = repeat_to(RecordingReader(RATE)(path, 0.0, seconds), WINDOW)
        close(get_scene_embeddings(sig, model), model.embedder(wav[None]))


def test_a_batch_equals_its_sounds():
    model = make_model(front_end="log1p")  # not invariant to level
    # 25 s: more than one batch. Levels differ: each has its own peak.
    audio = white_noise(5, 5.0) * torch.tensor([1, 0.1, 0.5, 0.01, 1])[:, None]
    alone = [get_scene_embeddings(sound[None], model) for sound in audio]
    close(get_scene_embeddings(audio, model), torch.cat(alone))
    close(get_scene_embeddings(audio.double(), model), torch.cat(alone))
    short = audio[:, :RATE]
    alone = [get_timestamp_embeddings(s[None], model)[0] for s in short]
    close(get_timestamp_embeddings(short, model)[0], torch.cat(alone))


@torch.no_grad()
def test_a_long_sound_has_the_mean_over_windows_that_are_not_silent(model):
    audio = white_noise(1, 122.0)
    audio[:, 30 * RATE : 60 * RATE] = 0
    audio[0, 0] = 1  # the peak
    embeddings = get_scene_embeddings(audio, model)
    # chunk_s is 4: 31 windows cover 122 s.
    starts = np.linspace(0, 118 * RATE, 31).round().astype(int)
    windows = [0.9 * audio[:, s : s + 4 * RATE] for s in starts]
    expected = [model.embedder(w) for w in windows if w.abs().max() > 0]
    assert 20 < len(expected) < 31
    close(embeddings, torch.stack(expected).mean(0))


@torch.no_grad()
@pytest.mark.parametrize("readout", ["embedding", "block3", "embedding+logmel"])
def test_a_timestamp_has_the_embedding_of_the_window_around_it(readout):
    """Of that window only; mirrored beyond the ends of the sound."""
    model = make_model(readout=readout)
    audio = white_noise(2, 5.03)
    audio[:, 100] = 1.0  # the peak, so that 0.9 is the gain
    wav = 0.9 * audio[1].numpy()
    mirrored = np.concatenate([wav[:0:-1], wav, wav[-2::-1]])
    embeddings, times = get_timestamp_embeddings(audio, model)
    assert times[1, -1] == 5000
    for i in (0, 1, 4, 50, 73, 96, 100):
        centre = len(wav) - 1 + i * 800
        window = mirrored[centre - WINDOW // 2 : centre + WINDOW // 2]
        expected = model.embedder(torch.from_numpy(window)[None])
        close(embeddings[1:, i], expected)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_short_and_silent_sounds_have_finite_embeddings(front_end):
    model = make_model(front_end=front_end)
    for seconds in (0.001, 0.1, 1.0):
        for level in (0.0, 1e-42, 1.0):
            audio = level * white_noise(2, seconds)
            assert get_scene_embeddings(audio, model).isfinite().all()
            embeddings, times = get_timestamp_embeddings(audio, model)
            assert embeddings.isfinite().all()
            # 0.001 s: 0; 0.1 s: 0, 50, 100.
            assert times.shape == (2, 1 + int(seconds * 20))


def test_embeddings_are_frozen_and_can_be_trained_on(model):
    model.train()
    audio = white_noise(2, 1.0).requires_grad_()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    scenes = get_scene_embeddings(audio, model)
    moments, times = get_timestamp_embeddings(audio, model)
    close(get_scene_embeddings(audio, model.eval()), scenes)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])  # no statistics of batches
    for output in (scenes, moments, times):
        assert not output.requires_grad and not output.is_inference()
    head = torch.nn.Linear(model.scene_embedding_size, 1)
    head(scenes).sum().backward()
    assert head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (torch.zeros(16000), "[16000]"),
        (torch.zeros(2, 0), "[2, 0]"),
        (torch.zeros(0, 16000), "[0, 16000]"),
        (torch.full((1, 16000), float("nan")), "not finite"),
    ],
)
def test_audio_that_is_refused(model, audio, message):
    for function in (get_scene_embeddings, get_timestamp_embeddings):
        with pytest.raises(ValueError, match=re.escape(message)):
            function(audio, model)


@pytest.fixture
def exported(tmp_path):
    """A folder as ``export.py`` writes it, and its embedder."""
    model = new_model((), readout="embedding+logmel")
    calibrated(model.embedder)
    return write_model(tmp_path / "exported", model), model.embedder


@pytest.fixture(params=["fbank", "log1p"])
def run(tmp_path, request):
    """A results folder of pre-training with two checkpoints, the second the
    best."""
    folder, embedders = tmp_path / "run", []
    front_end = f"front_end: {request.param}\n"
    for i in (0, 1):
        checkpoint = folder / "save" / f"CKPT+{i}"
        checkpoint.mkdir(parents=True)
        embedder = build(Blueprint(2, request.param)).embedder
        embedders.append(calibrated(embedder, seed=i))
        torch.save(embedder.encoder.state_dict(), checkpoint / "encoder.ckpt")
        (checkpoint / "CKPT.yaml").write_text(f"unixtime: {i}\n{front_end}")
    settings = "width: 2\nchunk_s: 2.0\narchitecture: cnn14\n"
    (folder / "hyperparams.yaml").write_text(settings + front_end)
    return folder, embedders


def has_embedder(model, embedder):
    audio = white_noise(1, 1.0)
    expected = get_scene_embeddings(audio, HearModel(embedder))
    return torch.equal(get_scene_embeddings(audio, model), expected)


def test_an_exported_model_is_loaded_by_folder_file_or_variable(
    exported, monkeypatch
):
    folder, embedder = exported
    for name in ("", "model.json", "model.safetensors"):
        assert has_embedder(load_model(str(folder / name)), embedder)
    monkeypatch.setenv("CRY_HEAR_MODEL", str(folder))
    assert has_embedder(load_model(), embedder)


def test_a_run_gives_its_best_checkpoint_and_a_checkpoint_itself(
    run, monkeypatch
):
    folder, (first, best) = run
    monkeypatch.setenv("CRY_HEAR_MODEL", "no/model")  # a path goes first
    assert has_embedder(load_model(str(folder)), best)
    assert not has_embedder(load_model(str(folder)), first)
    for checkpoint, embedder in (("CKPT+0", first), ("CKPT+1", best)):
        path = folder / "save" / checkpoint
        assert has_embedder(load_model(str(path)), embedder)
        assert has_embedder(load_model(str(path / "encoder.ckpt")), embedder)
    monkeypatch.chdir(folder / "save" / "CKPT+0")
    assert has_embedder(load_model("encoder.ckpt"), first)


def test_refused_sources(run, tmp_path, monkeypatch):
    monkeypatch.delenv("CRY_HEAR_MODEL", raising=False)
    alone = tmp_path / "elsewhere" / "CKPT+0"
    alone.parent.mkdir()
    (run[0] / "save" / "CKPT+0").rename(alone)
    names = ("encoder.ckpt", "CKPT+1", "model.json", "model.safetensors")
    for source, *words in (
        ("", "CRY_HEAR_MODEL", "--model"),
        (alone, "hyperparams.yaml", "results folder"),
        (alone / "encoder.ckpt", "hyperparams.yaml", "results folder"),
        *((tmp_path / "no" / name, "does not exist") for name in names),
    ):
        with pytest.raises(InputError) as error:
            load_model(str(source))
        message = str(error.value)
        assert "\n" not in message
        assert all(word in message for word in [str(source), *words])


@torch.no_grad()
def test_level_does_not_matter():
    audio = white_noise(1, 1.0)
    # This front end has no normalisation that would undo a level.
    model = make_model(front_end="log1p")
    soft = 0.01 * audio
    close(get_scene_embeddings(soft, model), get_scene_embeddings(audio, model))
    assert not torch.allclose(model(soft), model(audio), rtol=1e-2)
