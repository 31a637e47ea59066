"""Models of folders: what loads, and what is refused in one line."""

import json
import os
import pickle
import shutil

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save

from cry_modules.checkpoints.description import FORMAT, Blueprint
from cry_modules.checkpoints.saved_model import (
    between_scores,
    build,
    load_model,
)
from data_prep.files.errors import InputError
from data_prep.files.fingerprint import sha256
from tests.encoder_files import Evil

CLASSES = ["healthy", "injury"]
TWO = {"classes": CLASSES, "log_prior": [0.0, -1.0]}


def write_folder(folder, model=None, change=None, state=None, content=None):
    """An exported folder; ``change`` edits model.json, ``state`` and
    ``content`` replace the weights and their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    model = model or build(Blueprint(1, **TWO))
    weights = folder / "model.safetensors"
    weights.write_bytes(content or save(state or model.state()))
    description = {
        "format": FORMAT,
        "name": "test",
        "model": dict(vars(model.blueprint)),
        "operating_point": {"threshold": 0.25},
        "files": {"model.safetensors": sha256(weights)},
    }
    if change is not None:
        change(description)
    (folder / "model.json").write_text(json.dumps(description))
    return folder


def refusal(source):
    with pytest.raises(InputError) as error:
        load_model(str(source))
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a finished run of train_cls.py."""
    return shutil.copytree(trained(), tmp_path / "run")


def test_a_written_model_is_loaded(tmp_path):
    model = build(
        Blueprint(
            2, "fbank", "embedding+logmel", "chunks", 1.5, CLASSES, [0, -2]
        )
    )
    loaded = load_model(str(write_folder(tmp_path / "a", model)))
    assert loaded.blueprint == model.blueprint
    assert loaded.threshold == 0.25
    assert not loaded.embedder.training
    for name, value in model.state().items():
        assert torch.equal(loaded.state()[name], value)
    wav = torch.randn(2, 30000)
    expected = model.posterior(model.embedder(wav))
    assert torch.equal(loaded.posterior(loaded.embedder(wav)), expected)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"width": 10**6}, "width is 1000000"),
        ({"width": True}, "width is True"),
        ({"architecture": "os.system"}, "architecture is 'os.system'"),
        ({"front_end": "os.system"}, "front_end is 'os.system'"),
        ({"readout": ["embedding"]}, "readout is"),
        ({"readout": "encoder"}, "readout is 'encoder'; expected"),
        ({"chunk_s": float("nan")}, "chunk_s is nan"),
        ({"chunk_s": 0.31, "front_end": "log1p"}, "log1p needs 0.36"),
        ({"classes": ["a", "a"]}, "twice"),
        ({"classes": ["a", {"!new": "b"}]}, "not a text"),
        ({"log_prior": [0.0]}, "log_prior has 1"),
        ({"log_prior": ["x", "y"]}, "not a number"),
        ({"log_prior": [0.0, 10**400]}, "not a number"),
        ({"log_prior": [0.0, 1e300]}, "not a number"),
        ({"hook": "x"}, "hook"),
    ],
)
def test_a_blueprint_out_of_bounds_is_refused(tmp_path, changes, message):
    folder = write_folder(
        tmp_path / "a", change=lambda d: d["model"].update(changes)
    )
    assert message in refusal(folder)


@pytest.mark.parametrize("threshold", ["0.5", 2.0, None, float("nan")])
def test_an_invalid_threshold_is_refused(tmp_path, threshold):
    folder = write_folder(
        tmp_path / "a",
        change=lambda d: d["operating_point"].update(threshold=threshold),
    )
    assert "operating point" in refusal(folder)


@pytest.mark.parametrize(
    "numbers, message",
    [
        ([1, 2], "training_recordings is"),
        ({"length_s": [1.0, 2.0]}, "training_recordings"),
        ({"length_s": [0, "x"]}, "training_recordings"),
    ],
)
def test_damaged_numbers_of_training_are_refused(tmp_path, numbers, message):
    folder = write_folder(
        tmp_path / "a", change=lambda d: d.update(training_recordings=numbers)
    )
    assert message in refusal(folder)


def test_a_threshold_is_for_two_classes(tmp_path):
    three = Blueprint(1, classes=["a", "b", "c"], log_prior=[0.0] * 3)
    folder = write_folder(tmp_path / "a", build(three))
    assert "for 3 classes" in refusal(folder)


def test_a_chunk_may_last_an_hour():
    assert build(Blueprint(1, chunk_s=3600.0, **TWO)).blueprint.chunk_s == 3600


@pytest.mark.parametrize(
    "blueprint, message",
    [
        (Blueprint(2, **TWO), "width is 2, which model.safetensors is too small for"),
        (Blueprint(1, "panns", **TWO), "encoder.norm0.weight is (80,), here (64,)"),
        (Blueprint(1, classes=[*CLASSES, "c"], log_prior=[0] * 3), "head.linear.weight is (2, 32), here (3, 32)"),
        (Blueprint(1), " is unexpected"),
    ],
    ids=["width", "mels", "classes", "head"],
)  # fmt: skip
def test_weights_of_another_model_are_refused(tmp_path, blueprint, message):
    folder = write_folder(
        tmp_path / "a",
        change=lambda d: d.update(model=vars(blueprint), operating_point=None),
    )
    assert message in refusal(folder)


def test_damaged_weights_are_refused(tmp_path):
    folder = write_folder(tmp_path / "cut")
    whole = (folder / "model.safetensors").read_bytes()
    for content in (whole[:5000], whole[:-1] + b"x"):
        (folder / "model.safetensors").write_bytes(content)
        assert "SHA-256" in refusal(folder)
    foreign = b"\x80\x04" + bytes(99999)
    folder = write_folder(tmp_path / "foreign", content=foreign)
    assert "holds no tensors" in refusal(folder)
    state = build(Blueprint(1, **TWO)).state()
    state["encoder.norm0.bias"] = torch.full((80,), float("nan"))
    folder = write_folder(tmp_path / "nan", state=state)
    assert "encoder.norm0.bias holds" in refusal(folder)
    (folder / "model.safetensors").unlink()
    assert "does not exist" in refusal(folder)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"format": "other"}', "[" * 100000, "x" * (1 << 21)],
    ids=["cut", "list", "empty", "other", "deep", "long"],
)
def test_an_invalid_description_is_refused(tmp_path, text):
    folder = write_folder(tmp_path / "a")
    (folder / "model.json").write_text(text)
    assert "model.json" in refusal(folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_links_out_of_the_folder_are_refused(tmp_path, name):
    folder = write_folder(tmp_path / "deep/er/a")
    os.replace(folder / name, tmp_path / "secret")
    (folder / name).symlink_to(tmp_path / "secret")
    assert "leads out of the folder" in refusal(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("nowhere")
    assert name in refusal(folder)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_runs_head_does_not_run(run, tmp_path):
    proof = tmp_path / "it_ran"
    for head in run.glob("save/CKPT*/head.ckpt"):
        head.write_bytes(pickle.dumps(Evil(proof)))
        # Without checksums, which would reveal the exchange.
        (head.parent / "CKPT.yaml").write_text("unixtime: 0\nscore: 1.0\n")
    assert "run code" in refusal(run)
    assert not proof.exists()


def test_code_in_a_yaml_file_does_not_run(tmp_path):
    proof, folder = tmp_path / "it_ran", tmp_path / "a"
    folder.mkdir()
    text = f"x: !apply:builtins.open ['{proof}', w]\n"
    (folder / "hyperparams.yaml").write_text(text)
    assert "trust=True" in refusal(folder)
    write_folder(folder)  # with a model.json, the yaml file is not read
    assert load_model(str(folder)).blueprint.width == 1
    assert not proof.exists()


def test_a_source_without_a_model_is_refused(tmp_path):
    assert "holds no model" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "a/b/c")
    file = tmp_path / "a.ckpt"
    file.write_text("")
    assert "is a file" in refusal(file)


def test_without_network_the_error_names_the_files(monkeypatch):
    def no_network(*args, **kwargs):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    message = refusal("somebody/model")
    assert "model.json" in message and "model.safetensors" in message


def test_a_missing_head_is_not_replaced_by_a_random_one(run):
    expected = load_model(str(run)).state()
    best = next(run.glob("save/CKPT*"))
    shutil.copy(best / "encoder.ckpt", run / "encoder.ckpt")
    assert torch.equal(
        load_model(str(run)).state()["head.linear.weight"],
        expected["head.linear.weight"],
    )
    for folder in run.glob("save/CKPT*"):
        (folder / "head.ckpt").unlink()
        (folder / "CKPT.yaml").write_text("unixtime: 0\nscore: 1.0\n")
    assert "head.ckpt" in refusal(run)


@pytest.mark.parametrize(
    "name, content",
    [
        ("hyperparams.yaml", b""),
        ("hyperparams.yaml", b"width: [1\n"),
        ("hyperparams.yaml", b"\xff\xfe"),
        ("hyperparams.yaml", b"width: 300\nchunk_s: 4\nfinetune_mode: linear"),
        ("hyperparams.yaml", b"width: x\nchunk_s: 4\nfinetune_mode: linear"),
        ("metrics.json", b"{"),
        ("metrics.json", b"{}"),
        ("metrics.json", b"[]"),
        ("predictions_valid.csv", b"ID"),
    ],
)
def test_a_damaged_run_is_one_line(run, name, content):
    (run / name).write_bytes(content)
    assert str(run) in refusal(run)


def test_an_unfinished_run_or_one_of_folds_is_refused(run):
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["folds"] = ["fold_0_a", "fold_1_b"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert "fold_0_a" in refusal(run)
    (run / "metrics.json").unlink()
    assert "let that run finish" in refusal(run)


def test_a_threshold_is_half_way_to_the_next_score():
    """So that its recording is called alike on every machine."""
    scores = np.array([0.2, 0.4, 0.9])
    assert between_scores(0.4, scores) == pytest.approx(0.3)
    assert between_scores(0.2, scores) == pytest.approx(0.1)
    assert between_scores(None, scores) is None
    above_all = np.nextafter(1, 2)  # see ranking.threshold_at_specificity
    assert between_scores(above_all, scores) == above_all
