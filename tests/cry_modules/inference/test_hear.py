"""Our encoders behind the interface of HEAR."""

import json

import numpy as np
import pytest
import soundfile
import torch

from cry_modules.audio import RecordingReader, repeat_to
from cry_modules.checkpoints.description import FORMAT, Blueprint
from cry_modules.checkpoints.saved_model import build
from cry_modules.checkpoints.state_dict import sha256
from cry_modules.front_ends import FRONT_ENDS
from cry_modules.inference.hear import (
    HearModel,
    get_scene_embeddings,
    get_timestamp_embeddings,
    load_model,
    timestamps,
)
from data_prep.files.errors import InputError

RATE = 16000
#: 32 frames, 10 ms apart: the shortest that CNN14 hears.
WINDOW = 31 * 160


def calibrated(embedder, seed=0):
    """An encoder that tells sounds apart: with random weights and the
    statistics of BatchNorm that go with them. Without, it gives zeros."""
    torch.manual_seed(seed)
    for module in embedder.encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    # Noise of changing level, so that a front end without normalisation
    # hears levels too.
    wavs = torch.randn(8, RATE) * torch.logspace(-2, 0, 8)[:, None]
    with torch.no_grad():
        embedder.train()(wavs)
        spread = embedder.eval()(wavs).std(dim=0)
    assert (spread[:32] > 1e-3).sum() > 16
    return embedder


def make_model(**blueprint):
    return HearModel(
        calibrated(build(Blueprint(width=1, **blueprint)).embedder)
    )


@pytest.fixture
def model():
    return make_model()


def white_noise(n_sounds, seconds, seed=1):
    """As HEAR's validator makes it: uniform in -1..1."""
    torch.manual_seed(seed)
    return 2 * torch.rand(n_sounds, int(seconds * RATE)) - 1


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


# What hear-validator asks for.


def test_a_model_says_what_it_hears_and_gives(model):
    assert isinstance(model, torch.nn.Module)
    assert model.sample_rate in (16000, 22050, 32000, 44100, 48000)
    assert type(model.scene_embedding_size) is int
    assert type(model.timestamp_embedding_size) is int


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("readout", ["encoder", "encoder+logmel"])
def test_scene_embeddings_are_as_large_as_announced(front_end, readout):
    model = make_model(front_end=front_end, readout=readout)
    found = get_scene_embeddings(white_noise(4, 2.74), model)
    assert found.shape == (4, model.scene_embedding_size)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("seconds", [1.07, 1.98, 4.0])
def test_timestamps_are_regular_and_reach_the_end(front_end, seconds):
    model = make_model(front_end=front_end)
    found, times = get_timestamp_embeddings(white_noise(2, seconds), model)
    assert found.ndim == 3 and times.ndim == 2
    assert found.shape[0] == 2 and found.shape[:2] == times.shape
    assert found.shape[2] == model.timestamp_embedding_size
    assert found.dtype == times.dtype == torch.float32
    steps = np.diff(times.numpy())
    step, length_ms = steps.mean(), 1000 * seconds
    assert np.abs(steps - step).max() <= 1 and steps.max() <= 50
    assert 0 <= times.min() <= step
    assert length_ms - min(step, 50) <= times.max() <= length_ms


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_timestamps_do_not_drift_in_hours(rate):
    n_samples = 4 * 3600 * rate + 17
    times = timestamps(n_samples, rate).float().double().numpy()
    # As float32, which is what HEAR gets; 37 minutes is where 44.1 kHz and
    # 25 ms are a whole step off.
    assert (times == 50.0 * np.arange(4 * 3600 * 20 + 1)).all()


# What our embeddings are.


@torch.no_grad()
@pytest.mark.parametrize("readout", ["encoder", "encoder+logmel"])
@pytest.mark.parametrize("tested_on", ["recordings", "chunks"])
def test_a_scene_has_the_embedding_that_classification_uses(
    tmp_path, readout, tested_on
):
    model = make_model(readout=readout, tested_on=tested_on, chunk_s=1.0)
    for seconds in (0.1, 0.7, 2.5):
        sig = 0.3 * white_noise(1, seconds)
        path = str(tmp_path / "a.wav")
        soundfile.write(path, sig[0].numpy(), RATE, subtype="FLOAT")
        # Peak 0.9, then repetition: as train_cls.py reads its recordings.
        wav = repeat_to(RecordingReader(RATE)(path, 0.0, seconds), WINDOW)
        close(get_scene_embeddings(sig, model), model.embedder(wav[None]))


def test_a_batch_gives_what_each_sound_gives_alone():
    # This front end has no normalisation that would undo a level.
    model = make_model(front_end="log1p")
    # 25 s: more than are heard at once. Levels differ: each has its own peak.
    audio = white_noise(5, 5.0) * torch.tensor([1, 0.1, 0.5, 0.01, 1])[:, None]
    alone = [get_scene_embeddings(sound[None], model) for sound in audio]
    close(get_scene_embeddings(audio, model), torch.cat(alone))
    short = audio[:, :RATE]
    alone = [get_timestamp_embeddings(s[None], model)[0] for s in short]
    close(get_timestamp_embeddings(short, model)[0], torch.cat(alone))


@torch.no_grad()
def test_level_does_not_matter():
    audio = white_noise(1, 1.0)
    # This front end has no normalisation that would undo a level.
    model = make_model(front_end="log1p")
    loud, soft = audio, 0.01 * audio
    close(get_scene_embeddings(soft, model), get_scene_embeddings(loud, model))
    assert not torch.allclose(model(soft), model(loud), rtol=1e-2)


@torch.no_grad()
def test_a_long_sound_is_the_mean_over_windows_that_are_not_silent(model):
    audio = white_noise(1, 122.0)
    audio[:, 30 * RATE : 60 * RATE] = 0
    audio[0, 0] = 1  # the peak
    found = get_scene_embeddings(audio, model)
    # chunk_s is 4: 31 windows cover 122 s.
    starts = np.linspace(0, 118 * RATE, 31).round().astype(int)
    windows = [0.9 * audio[:, s : s + 4 * RATE] for s in starts]
    heard = [model.embedder(w) for w in windows if w.abs().max() > 0]
    assert 20 < len(heard) < 31
    close(found, torch.stack(heard).mean(0))


@torch.no_grad()
@pytest.mark.parametrize("readout", ["encoder", "encoder+logmel"])
def test_a_timestamp_has_the_embedding_of_the_window_around_it(readout):
    model = make_model(readout=readout)
    audio = white_noise(2, 5.0)
    audio[:, 100] = 1.0  # the peak, so that 0.9 is the gain
    found, times = get_timestamp_embeddings(audio, model)
    for i in (4, 50, 73, 96):  # all of whose window is in the sound
        centre = round(times[1, i].item() * RATE / 1000)
        alone = audio[1:, centre - WINDOW // 2 : centre + WINDOW // 2]
        close(found[1:, i], model.embedder(0.9 * alone))


@torch.no_grad()
def test_a_sound_goes_on_mirrored_beyond_its_ends(model):
    audio = white_noise(1, 1.03)
    audio[:, 100] = 1.0
    wav = 0.9 * audio[0].numpy()
    mirrored = np.concatenate([wav[:0:-1], wav, wav[-2::-1]])
    found, times = get_timestamp_embeddings(audio, model)
    assert times[0, -1] == 1000
    for i in (0, 1, 20):
        centre = len(wav) - 1 + i * 800
        window = mirrored[centre - WINDOW // 2 : centre + WINDOW // 2]
        close(found[:, i], model.embedder(torch.from_numpy(window)[None]))


def test_an_event_is_heard_at_its_timestamps_and_nowhere_else(model):
    quiet = 0.1 * white_noise(1, 3.0)
    event = quiet.clone()
    event[:, 24000:25600] = white_noise(1, 0.1, seed=2)  # 1.5 to 1.6 s
    quiet[:, 47999] = event[:, 47999] = 1  # the peak of both
    (a, times), (b, _) = (
        get_timestamp_embeddings(audio, model) for audio in (quiet, event)
    )
    changed = (a != b).any(dim=2)
    half = 1000 * WINDOW / RATE / 2
    assert changed[(times > 1500 - half) & (times < 1600 + half)].all()
    assert not changed[(times < 1500 - half) | (times > 1600 + half)].any()


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("seconds", [0.001, 0.1, 1.0])
@pytest.mark.parametrize("level", [0.0, 1e-42, 1.0])
def test_short_and_silent_sounds_have_finite_embeddings(
    front_end, seconds, level
):
    model = make_model(front_end=front_end)
    audio = level * white_noise(2, seconds)
    assert get_scene_embeddings(audio, model).isfinite().all()
    found, times = get_timestamp_embeddings(audio, model)
    assert found.isfinite().all()
    # 0.001 s: 0; 0.1 s: 0, 50, 100.
    assert times.shape == (2, 1 + int(seconds * 20))


def test_embeddings_are_frozen_yet_can_be_trained_on(model):
    model.train()
    audio = white_noise(2, 1.0).requires_grad_()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    scenes = get_scene_embeddings(audio, model)
    moments, times = get_timestamp_embeddings(audio, model)
    close(get_scene_embeddings(audio, model.eval()), scenes)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])  # no statistics of batches
    for found in (scenes, moments, times):
        assert not found.requires_grad and not found.is_inference()
    head = torch.nn.Linear(model.scene_embedding_size, 1)
    head(scenes).sum().backward()
    assert head.weight.grad.abs().sum() > 0


def test_doubles_are_heard_as_floats(model):
    audio = white_noise(2, 1.0)
    assert torch.equal(
        get_scene_embeddings(audio.double(), model),
        get_scene_embeddings(audio, model),
    )


@pytest.mark.parametrize(
    ("audio", "named"),
    [
        (torch.zeros(16000), "[16000]"),
        (torch.zeros(2, 0), "[2, 0]"),
        (torch.zeros(0, 16000), "[0, 16000]"),
        (torch.full((1, 16000), float("nan")), "no finite numbers"),
    ],
)
@pytest.mark.parametrize(
    "function", [get_scene_embeddings, get_timestamp_embeddings]
)
def test_what_cannot_be_heard_is_named(model, audio, named, function):
    with pytest.raises(ValueError) as error:
        function(audio, model)
    assert named in str(error.value)


# Where a model comes from.


@pytest.fixture
def exported(tmp_path):
    """A folder as ``export.py`` writes it."""
    from safetensors.torch import save_file

    saved = build(Blueprint(1, readout="encoder+logmel"))
    calibrated(saved.embedder)
    folder = tmp_path / "exported"
    folder.mkdir()
    weights = folder / "model.safetensors"
    save_file(saved.state(), weights)
    about = {
        "format": FORMAT,
        "model": {"width": 1, "readout": "encoder+logmel"},
        "files": {weights.name: sha256(weights)},
    }
    (folder / "model.json").write_text(json.dumps(about))
    return folder, saved.embedder


@pytest.fixture(params=["fbank", "log1p"])
def run(tmp_path, request):
    """A results folder of an encoder's training: two checkpoints, of which
    the second is the best."""
    folder, embedders = tmp_path / "run", []
    front_end = request.param
    for i in (0, 1):
        checkpoint = folder / "save" / f"CKPT+{i}"
        checkpoint.mkdir(parents=True)
        embedders.append(
            calibrated(build(Blueprint(2, front_end)).embedder, seed=i)
        )
        torch.save(
            embedders[i].encoder.state_dict(), checkpoint / "encoder.ckpt"
        )
        (checkpoint / "CKPT.yaml").write_text(
            f"unixtime: {i}\nfront_end: {front_end}\n"
        )
    (folder / "hyperparams.yaml").write_text(
        f"width: 2\nchunk_s: 2.0\nfront_end: {front_end}\n"
    )
    return folder, embedders


@torch.no_grad()
def is_of(model, embedder):
    audio = white_noise(1, 1.0)
    expected = embedder(0.9 * audio / audio.abs().max())
    found = get_scene_embeddings(audio, model)
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["", "model.json", "model.safetensors"])
def test_an_exported_model_by_its_folder_and_by_its_files(exported, name):
    folder, embedder = exported
    assert is_of(load_model(str(folder / name)), embedder)
    assert is_of(load_model(folder / name), embedder)


def test_a_run_gives_its_best_and_a_checkpoint_gives_itself(run, monkeypatch):
    folder, (first, best) = run
    assert is_of(load_model(str(folder)), best)
    assert not is_of(load_model(str(folder)), first)
    for checkpoint, embedder in (("CKPT+0", first), ("CKPT+1", best)):
        path = folder / "save" / checkpoint
        assert is_of(load_model(str(path)), embedder)
        assert is_of(load_model(str(path / "encoder.ckpt")), embedder)
    monkeypatch.chdir(folder / "save" / "CKPT+0")
    assert is_of(load_model("encoder.ckpt"), first)


def test_the_environment_names_a_model_where_no_path_does(
    exported, run, monkeypatch
):
    monkeypatch.setenv("CRY_HEAR_MODEL", str(exported[0]))
    assert is_of(load_model(), exported[1])
    assert is_of(load_model(str(run[0])), run[1][1])


def refusal(source):
    with pytest.raises(InputError) as error:
        load_model(source)
    message = str(error.value)
    assert "\n" not in message and source in message
    return message


def test_no_name_at_all_says_how_to_name_a_model(monkeypatch):
    monkeypatch.delenv("CRY_HEAR_MODEL", raising=False)
    message = refusal("")
    assert "CRY_HEAR_MODEL" in message and "--model" in message


def test_a_checkpoint_without_its_run_says_what_to_pass(run, tmp_path):
    folder, _ = run
    alone = tmp_path / "elsewhere" / "CKPT+0"
    alone.parent.mkdir()
    (folder / "save" / "CKPT+0").rename(alone)
    for path in (alone, alone / "encoder.ckpt"):
        message = refusal(str(path))
        assert "hyperparams.yaml" in message and "results folder" in message


def test_what_is_not_there_is_named(tmp_path):
    for name in ("encoder.ckpt", "CKPT+1", "model.json", "model.safetensors"):
        path = tmp_path / "no" / name
        with pytest.raises(InputError, match="does not exist"):
            load_model(str(path))
