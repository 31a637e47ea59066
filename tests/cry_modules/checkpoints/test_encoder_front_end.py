"""An encoder is loaded only behind the front end of its training."""

import json

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from cry_modules.audio import repeat_to
from cry_modules.checkpoints.checkpointer import CompleteCheckpointer
from cry_modules.checkpoints.description import FORMAT
from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.public import PUBLIC_ENCODERS
from cry_modules.cnn14 import Cnn14
from cry_modules.finetune import calibrate_batch_norms
from cry_modules.front_ends import FRONT_ENDS, AugmentedFeatures, make_front_end
from cry_modules.views.chunks_and_masks import SpecAugment
from data_prep.files.errors import InputError
from data_prep.files.fingerprint import sha256


def load(source, front_end, width=1):
    n_mels = make_front_end(front_end).n_mels
    return EncoderSource(source).load(Cnn14(n_mels, width), front_end)


def refusal(source, front_end):
    with pytest.raises(InputError) as error:
        load(source, front_end)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def bare(tmp_path):
    """Write an encoder of 80 bands, alone in a folder."""

    def save(name="a/embedding_model.ckpt", encoder=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save((encoder or Cnn14(80, 1)).state_dict(), path)
        return path

    return save


def check_known(path, front_end, others):
    assert load(path, front_end)
    for other in others:
        message = refusal(path, other)
        assert f"trained with the front end {front_end}" in message
        assert f"this run has {other}; pass --front_end {front_end}" in message


def test_a_checkpoint_records_it(tmp_path):
    for name in FRONT_ENDS:
        encoder = Cnn14(make_front_end(name).n_mels, 1)
        folder = tmp_path / name
        CompleteCheckpointer(
            folder / "save", {"encoder": encoder}, front_end=name
        ).save_checkpoint()
        check_known(folder, name, set(FRONT_ENDS) - {name})


def test_an_exported_model_names_it(bare):
    path = bare()
    model = path.with_name("model.json")
    described = {"format": FORMAT, "files": {path.name: sha256(path)}}
    model.write_text(json.dumps({**described, "model": {"front_end": "log1p"}}))
    check_known(path, "log1p", ["fbank"])
    for blueprint in ({}, [], "fbank", None):
        model.write_text(json.dumps({**described, "model": blueprint}))
        assert f"{model} does not name" in refusal(path, "fbank")
    model.write_text("{}")
    assert f"{model} has the format None" in refusal(path, "fbank")
    model.write_text(" " * (1 << 20) + "{}")
    assert f"{model} has more than 1 MiB" in refusal(path, "fbank")


def test_settings_in_its_folder_name_it(bare):
    path = bare()
    settings = path.with_name("hyperparams.yaml")
    settings.write_text("seed: 1\nfront_end: log1p\n")
    check_known(path, "log1p", ["fbank"])
    settings.write_text("front_end: mfcc\n")
    assert "'mfcc'" in refusal(path, "fbank")
    for text in ("a: [", "just words", "- 1", ""):
        settings.write_text(text)
        message = f"{settings} is not a yaml file of settings"
        assert message in refusal(path, "fbank")


#: Settings of SpeechBrain's recipe ESC50/classification and of the paper's
#: authors; neither may be built.
ESC50 = """
sample_rate: 16000
use_log1p_mel: True
compute_stft: !new:speechbrain.processing.features.STFT
    n_fft: 1024
    hop_length: 11.6099
proof: !apply:os.mkdir [{proof}]
modules:
    compute_stft: !ref <compute_stft>
"""
FBANK = """
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: 80
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
proof: !apply:os.mkdir [{proof}]
"""


@pytest.mark.parametrize(
    "text, front_end, other",
    [(ESC50, "log1p", "fbank"), (FBANK, "fbank", "log1p")],
)
@pytest.mark.parametrize("is_run", [False, True])
def test_speechbrains_settings_name_it_and_build_nothing(
    bare, tmp_path, text, front_end, other, is_run
):
    """In the folder of a downloaded file, and in a SpeechBrain run."""
    proof = tmp_path / "it_ran"
    path = bare("run/save/CKPT+1/embedding_model.ckpt" if is_run else "a.ckpt")
    folder = tmp_path / "run" if is_run else tmp_path
    if is_run:
        (path.parent / "CKPT.yaml").write_text("unixtime: 1.0\n")
    (folder / "hyperparams.yaml").write_text(text.format(proof=proof))
    check_known(path, front_end, [other])
    assert not proof.exists()


def test_copies_of_adaptation_have_their_runs_front_end(bare, tmp_path):
    for name in ("pretrained", "interpolated"):
        path = bare(f"run/{name}/encoder.ckpt")
        (tmp_path / "run/hyperparams.yaml").write_text("front_end: log1p\n")
        check_known(path.parent, "log1p", ["fbank"])


@pytest.fixture
def hub(monkeypatch, bare):
    """A Hugging Face hub that holds some files: text, or an encoder."""

    def hold(files):
        def download(repository, name):
            if name not in files:
                raise EntryNotFoundError(name)
            path = bare(f"hub/{repository}/{name}")
            if files[name] is not None:
                path.write_text(files[name])
            return str(path)

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)

    return hold


@pytest.mark.parametrize(
    "name, front_end",
    [
        ("speechbrain/cnn14-esc50", "log1p"),
        ("Ubenwa/sb-cssl-vgg-sup", "fbank"),
        ("Ubenwa/sb-cssl-vgg-sclr", "fbank"),
    ],
)
def test_a_public_encoders_id_names_it(hub, monkeypatch, name, front_end):
    hub({"embedding_model.ckpt": None})
    other = {"log1p": "fbank", "fbank": "log1p"}[front_end]
    check_known(name, front_end, [other])

    def offline(*args):
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    message = refusal(name, front_end)
    assert f"download embedding_model.ckpt of {name} " in message
    assert f"https://huggingface.co/{name}" in message
    assert f"--front_end {front_end}" in message
    assert "embedding_model.ckpt and hyperparams.yaml of a/b into" in refusal(
        "a/b", "fbank"
    )


def test_settings_of_another_id_are_downloaded(hub):
    hub({"embedding_model.ckpt": None})
    assert load("some/model", "log1p")  # unknown
    hub({"embedding_model.ckpt": None, "hyperparams.yaml": FBANK})
    check_known("some/model", "fbank", ["log1p"])
    hub({"hyperparams.yaml": FBANK})
    assert "holds no encoder.ckpt or embedding" in refusal(
        "some/model", "fbank"
    )


def test_a_missing_file_of_panns_names_the_download(tmp_path):
    path = tmp_path / "Cnn14_16k_mAP=0.438.pth"
    message = refusal(path, "panns")
    assert f"{path} does not exist; download {path.name} from " in message
    assert "https://zenodo.org/records/3987831" in message


def trained_on(front_end, sounds, chunk_s, n_masks, n_batches=100):
    """An encoder whose norm0 has seen features of sounds, as in training."""
    torch.manual_seed(0)
    augment = SpecAugment(8 if n_masks else 0, n_masks, 10)
    views = AugmentedFeatures(front_end, augment, False).train()
    encoder = Cnn14(front_end.n_mels, width=1)
    size = round(16000 * chunk_s)
    for _ in range(n_batches):
        chunks = []
        for i in torch.randint(len(sounds), (4,)).tolist():
            sound = repeat_to(sounds[i], size)
            start = int(torch.randint(len(sound) - size + 1, (1,)))
            chunks.append(sound[start : start + size])
        feats, _ = views(torch.stack(chunks))
        encoder.norm0(feats.transpose(1, 2).unsqueeze(3))
    return encoder


@pytest.fixture(scope="module")
def sounds():
    """Voices of several pitches with noise, and the hardest cases: fading
    tones, and a burst in silence."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(16000) / 16000
    pitches = [300.0, 400.0, 500.0, 650.0]
    voices = []
    for pitch in pitches:
        waves = [torch.sin(6.283 * k * pitch * time) / k for k in range(1, 9)]
        noise = 0.02 * torch.randn(16000, generator=generator)
        voices.append(0.3 * sum(waves) * torch.sin(9 * time).abs() + noise)
    fading = torch.exp(-3 * time)
    tones = [0.9 * fading * torch.sin(6.283 * p * time) for p in pitches]
    burst = torch.zeros(16000)
    burst[2000:4000] = torch.rand(2000, generator=generator)
    return [voices, tones, [burst]]


@pytest.mark.parametrize("n_masks", [0, 2])
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_statistics_tell_the_front_end(bare, sounds, name, n_masks):
    """And no encoder is refused by its own front end."""
    front_end = make_front_end(name)
    for kind in sounds:
        path = bare(encoder=trained_on(front_end, kind, 0.5, n_masks))
        assert load(path, name)
        if name == "fbank":
            message = refusal(path, "log1p")
            assert "with mean normalisation" in message
            assert "front end log1p is the opposite" in message
            assert message.endswith("pass --front_end fbank")
        if name == "log1p":
            message = refusal(path, "fbank")
            assert "without mean normalisation" in message
            assert message.endswith("pass --front_end log1p")


def test_statistics_of_few_batches_tell_nothing(bare, sounds):
    for n_batches in (0, 1, 30):
        encoder = trained_on(
            make_front_end("log1p"), sounds[0], 0.5, 0, n_batches
        )
        path = bare(encoder=encoder)
        assert load(path, "fbank") and load(path, "log1p")
    random = Cnn14(80, 1)
    front_end = make_front_end("fbank")
    features = AugmentedFeatures(front_end, SpecAugment(0, 0), False).eval()
    batches = [features(torch.stack(sounds[1]))[0]] * 2
    calibrate_batch_norms(random, batches)
    assert load(bare(encoder=random), "fbank")


def test_names_of_public_encoders_are_documented():
    with open("docs/encoders.md", encoding="utf-8") as file:
        rows = [line for line in file if line.startswith("| ")]
    for encoder in PUBLIC_ENCODERS:
        assert any(
            encoder.name in row
            and encoder.file in row
            and f"`{encoder.front_end}`" in row
            for row in rows
        ), encoder.name
