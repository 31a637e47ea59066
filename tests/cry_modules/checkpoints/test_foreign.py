"""Models of transformers, ECAPA-TDNN and BEATs as ``--encoder_source``."""

import json
import shutil
import time

import pytest
import torch
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

from cry_modules.architectures import kind_and_source, make_encoder
from cry_modules.checkpoints.encoders import EncoderSource
from data_prep.files.errors import InputError
from tests.encoder_files import Evil
from tests.speech_models import ECAPA, LARGE, published_beats, save, tiny


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder of a wav2vec 2.0."""
    return save(tiny("wav2vec2"), tmp_path_factory.mktemp("wav2vec2"))


@pytest.fixture
def folder(published, tmp_path):
    """A copy of that folder, to be changed."""
    return shutil.copytree(published, tmp_path / "model")


def load(source):
    """The encoder of a source, as a train script builds and loads it."""
    source = EncoderSource(source)
    settings = source.settings()
    encoder = make_encoder(settings["architecture"], 80, 0)
    source.load(encoder, settings["front_end"])
    return settings, encoder.eval()


def refusal(source):
    with pytest.raises(InputError) as error:
        load(source)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    return str(error.value)


def legacy(state):
    """Names of older files, as those of the hub."""
    new, old = (
        "parametrizations.weight.original",
        {"0": "weight_g", "1": "weight_v"},
    )
    return {
        name.replace(f"{new}{name[-1]}", old.get(name[-1], "")): value
        for name, value in state.items()
    }


@torch.no_grad()
@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm", "whisper"])
@pytest.mark.parametrize("form", ["safetensors", "pickle", "whole"])
def test_every_form_of_a_folder_gives_the_same_encoder(kind, form, tmp_path):
    """Alone or below heads, with names of today or of older versions."""
    changes = {} if kind == "whisper" else LARGE
    model = tiny(kind, **changes)
    path, names = tmp_path / "a/pytorch_model.bin", dict
    save(model, path.parent)
    if form != "safetensors":
        (path.parent / "model.safetensors").unlink()
        names = legacy
        state = model.state_dict()
        if form == "whole":
            prefix = "model" if kind == "whisper" else kind
            state = {f"{prefix}.{k}": v for k, v in state.items()}
            state["quantizer.codevectors"] = state["proj_out.weight"] = (
                torch.ones(2)
            )
        torch.save(names(state), path)
    settings, encoder = load(path.parent)
    assert settings["front_end"] == "waveform"
    name, config = kind_and_source(settings["architecture"])
    assert name == kind and str(tmp_path) not in config
    ours = encoder.get_submodule(kind).model
    theirs = model
    if kind == "whisper":
        ours, theirs = ours.encoder, model.encoder
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_wav2vec2_tells_whether_it_normalises(tmp_path):
    for answer in (True, False):
        path = tmp_path / str(answer)
        save(tiny("wav2vec2"), path, do_normalize=answer)
        assert load(path)[1].normalises is answer


def change(folder, name, **values):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def of_evil(folder):
    no_weights(folder)
    torch.save(Evil(folder / "ran"), folder / "pytorch_model.bin")


def sharded(folder):
    no_weights(folder)
    (folder / "model.safetensors.index.json").write_text("{}")


def of_another(kind, **changes):
    def exchange(folder):
        model = tiny(kind, **changes)
        model.save_pretrained(folder / "other")
        (folder / "other/model.safetensors").replace(
            folder / "model.safetensors"
        )

    return exchange


def no_preprocessor(folder):
    (folder / "preprocessor_config.json").unlink()


@pytest.mark.parametrize(
    "spoil, words",
    [
        (no_weights, "no model.safetensors or pytorch_model.bin; download"),
        (
            no_preprocessor,
            "has no preprocessor_config.json; download config.json",
        ),
        (sharded, "has its weights in several files; save them as one"),
        (of_evil, "would run code when loaded"),
        (
            of_another("whisper"),
            "its weights are not those of a wav2vec2, which",
        ),
        (of_another("wavlm"), "does not fit this model"),
        (of_another("wav2vec2", **LARGE), "does not fit this model"),
        (of_another("wav2vec2", hidden_size=24), "here (16,"),
        (
            lambda f: (f / "config.json").write_text("[]"),
            "is not a JSON object",
        ),
        (lambda f: (f / "config.json").write_text("{"), "is not a JSON object"),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"x" * 99),
            "holds no tensors",
        ),
        (
            lambda f: change(f, "config.json", model_type="bert"),
            "has the model_type 'bert'; pass a model of the type wav2vec2,",
        ),
        (
            lambda f: change(f, "config.json", model_type=["wavlm"]),
            "has the model_type ['wavlm']",
        ),
        (
            lambda f: change(f, "config.json", add_adapter=True),
            "has an adapter after its last layer",
        ),
        (
            lambda f: change(f, "config.json", num_attention_heads=3),
            "the configuration of this wav2vec2 cannot be built",
        ),
        (
            lambda f: change(f, "config.json", num_hidden_layers=10**6),
            "(num_hidden_layers is 1000000; it must be 200 or less)",
        ),
        (
            lambda f: change(f, "config.json", intermediate_size=10**7),
            "(intermediate_size is 10000000; it must be 20000 or less)",
        ),
        (
            lambda f: change(f, "config.json", conv_stride=[9999] * 3),
            "(it needs recordings of",
        ),
        (
            lambda f: change(f, "config.json", hidden_size="a"),
            "the configuration of this wav2vec2 cannot be built",
        ),
        (
            lambda f: change(f, "preprocessor_config.json", sampling_rate=8000),
            "takes audio at 8000 Hz (preprocessor_config.json), and recordings "
            "are read at 16000 Hz; pass a model of 16000 Hz",
        ),
    ],
)
def test_a_wrong_folder_is_refused_in_one_line(folder, spoil, words):
    spoil(folder)
    assert words in refusal(folder)
    assert not (folder / "ran").exists()


def test_code_beside_the_weights_is_not_read(folder):
    auto = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}
    change(folder, "config.json", auto_map=auto, _name_or_path="/home/anna")
    (folder / "evil.py").write_text("raise SystemExit(9)")
    settings, _ = load(folder)
    assert not {"auto_map", "_name_or_path"} & {
        *json.loads(kind_and_source(settings["architecture"])[1])
    }


def test_without_a_network_the_error_names_the_files(monkeypatch):
    """The error comes at once where the environment says that there is none."""
    began = time.monotonic()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refusal("facebook/no-such-model")
    assert (
        "config.json, preprocessor_config.json and model.safetensors" in message
    )
    assert time.monotonic() - began < 30


def test_a_model_of_the_hub_is_its_downloaded_folder(published, monkeypatch):
    """Only the files that are read are downloaded."""
    asked = []

    def download(repository, file, title, cure, **options):
        asked.append(file)
        path = published / file
        return path if path.is_file() else None

    monkeypatch.setattr("cry_modules.checkpoints.encoders.download", download)
    monkeypatch.setattr("cry_modules.checkpoints.hub_models.download", download)
    settings, encoder = load("somebody/wav2vec2")
    assert kind_and_source(settings["architecture"])[0] == "wav2vec2"
    assert {*asked} == {
        *("encoder.ckpt", "embedding_model.ckpt", "config.json"),
        *("preprocessor_config.json", "model.safetensors"),
    }


def test_ecapa_by_the_names_of_speechbrain(tmp_path):
    torch.manual_seed(0)
    theirs = ECAPA_TDNN(**ECAPA).state_dict()
    published = {f"embedding.{name}": value for name, value in theirs.items()}
    published["projector.layers.0.weight"] = torch.zeros(2)
    torch.save(published, tmp_path / "embedding_model.ckpt")
    (tmp_path / "hyperparams.yaml").write_text(
        "mean_var_norm: !new:speechbrain.x\nn_mels: 80\n"
    )
    for source in (tmp_path, tmp_path / "embedding_model.ckpt"):
        settings, encoder = load(source)
        assert settings["front_end"] == "fbank"
        for name, value in encoder.ecapa.state_dict().items():
            assert torch.equal(value, theirs[name])


def test_beats_by_the_file_of_its_authors(tmp_path):
    path, _ = published_beats(tmp_path)
    settings, encoder = load(path)
    assert settings["front_end"] == "waveform"
    theirs = torch.load(path, weights_only=True)["model"]
    for name, value in encoder.beats.state_dict().items():
        assert torch.equal(value, theirs[name])
    torch.save({"model": theirs}, path)
    assert "holds no settings (cfg) of its BEATs" in refusal(path)
