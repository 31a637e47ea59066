"""A model's folder: what is read of it, and what is refused."""

import json
import os
import pickle
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save

from cry_modules.checkpoints.description import FORMAT, Blueprint
from cry_modules.checkpoints.saved_model import (
    between_scores,
    build,
    load_model,
)
from cry_modules.checkpoints.state_dict import sha256
from data_prep.files.errors import InputError
from tests.encoder_files import Evil

CLASSES = ["healthy", "injury"]


def write_folder(folder, model=None, change=None, state=None):
    """A folder as ``load_exported`` reads it; ``change`` edits model.json."""
    folder.mkdir(parents=True, exist_ok=True)
    model = model or build(Blueprint(1, classes=CLASSES, log_prior=[0.0, -1]))
    weights = folder / "model.safetensors"
    weights.write_bytes(save(model.state() if state is None else state))
    about = {
        "format": FORMAT,
        "name": "test",
        "model": dict(vars(model.blueprint)),
        "operating_point": {"threshold": 0.25},
        "files": {"model.safetensors": sha256(weights)},
    }
    if change is not None:
        change(about)
    (folder / "model.json").write_text(json.dumps(about))
    return folder


def refusal(source):
    with pytest.raises(InputError) as error:
        load_model(str(source))
    message = str(error.value)
    assert "\n" not in message
    return message


def test_what_was_written_is_loaded(tmp_path):
    model = build(
        Blueprint(2, "fbank", "encoder+logmel", "chunks", 1.5, CLASSES, [0, -2])
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
    "key, value, said",
    [
        ("width", 10**6, "width is 1000000"),
        ("width", True, "width is True"),
        ("front_end", "os.system", "front_end is 'os.system'"),
        ("readout", ["encoder"], "readout is"),
        ("chunk_s", float("nan"), "chunk_s is nan"),
        ("chunk_s", 0.31, "log1p needs 0.36"),
        ("classes", ["a", "a"], "twice"),
        ("classes", ["a", {"!new": "b"}], "not a text"),
        ("log_prior", [0.0], "log_prior has 1"),
        ("log_prior", ["x", "y"], "not a number"),
        ("hook", "x", "hook"),
    ],
)
def test_a_description_of_another_model_is_refused(tmp_path, key, value, said):
    front = {"front_end": "log1p"} if value == 0.31 else {}
    folder = write_folder(
        tmp_path / "a",
        change=lambda a: a["model"].update({key: value}, **front),
    )
    assert said in refusal(folder)


@pytest.mark.parametrize("threshold", ["0.5", 2.0, None, float("nan")])
def test_a_threshold_that_is_none_is_refused(tmp_path, threshold):
    folder = write_folder(
        tmp_path / "a",
        change=lambda a: a["operating_point"].update(threshold=threshold),
    )
    assert "operating point" in refusal(folder)


def test_a_threshold_is_for_two_classes(tmp_path):
    three = Blueprint(1, classes=["a", "b", "c"], log_prior=[0.0] * 3)
    folder = write_folder(tmp_path / "a", build(three))
    assert "for 3 classes" in refusal(folder)


def test_what_is_no_number_is_refused(tmp_path):
    model = build(Blueprint(1, classes=CLASSES, log_prior=[0.0, 0.0]))
    state = model.state()
    state["encoder.norm0.bias"] = torch.full((80,), float("nan"))
    folder = write_folder(tmp_path / "a", model, state=state)
    assert "encoder.norm0.bias holds" in refusal(folder)
    for value in (10**400, 1e300, -(10**400)):
        folder = write_folder(
            tmp_path / f"b{value == 1e300}",
            change=lambda a: a["model"].update(log_prior=[0.0, value]),
        )
        assert "not a number" in refusal(folder)


def test_a_description_takes_no_memory(tmp_path):
    """Of an hour's chunk, or of a width that its few weights cannot have."""
    hour = Blueprint(1, chunk_s=3600.0, classes=CLASSES, log_prior=[0.0, 0.0])
    begin = time.monotonic()
    build(hour)
    wide = write_folder(
        tmp_path / "a", change=lambda a: a["model"].update(width=256)
    )
    assert "too small" in refusal(wide)
    assert time.monotonic() - begin < 2


def test_a_head_that_is_missing_is_not_drawn(trained, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(trained(), run)
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
def test_a_damaged_run_is_one_line(trained, tmp_path, name, content):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(trained(), run)
    (run / name).write_bytes(content)
    assert str(run) in refusal(run)


def test_a_threshold_stands_between_scores():
    """So that the recording that defines it is called on every machine."""
    scores = np.array([0.2, 0.4, 0.9])
    assert between_scores(0.4, scores) == pytest.approx(0.3)
    assert between_scores(0.2, scores) == pytest.approx(0.1)
    assert between_scores(None, scores) is None
    nobody = np.nextafter(1, 2)  # of ranking.threshold_at_specificity
    assert between_scores(nobody, scores) == nobody


@pytest.mark.parametrize(
    "blueprint, said",
    [
        (Blueprint(2, classes=CLASSES, log_prior=[0, 0]), "width is 2, which model.safetensors is too small for"),
        (Blueprint(1, "panns", classes=CLASSES, log_prior=[0, 0]), "encoder.norm0.weight is (80,), here (64,)"),
        (Blueprint(1, classes=[*CLASSES, "c"], log_prior=[0] * 3), "head.linear.weight is (2, 32), here (3, 32)"),
        (Blueprint(1), " is unexpected"),
    ],
    ids=["width", "mels", "classes", "head"],
)  # fmt: skip
def test_weights_of_another_model_are_refused(tmp_path, blueprint, said):
    folder = write_folder(
        tmp_path / "a",
        change=lambda a: a.update(model=vars(blueprint), operating_point=None),
    )
    assert said in refusal(folder)


def test_truncated_exchanged_and_foreign_weights_are_refused(tmp_path):
    whole = (write_folder(tmp_path / "a") / "model.safetensors").read_bytes()
    for i, content in enumerate([whole[:5000], whole[:-1] + b"x"]):
        folder = write_folder(tmp_path / f"cut{i}")
        (folder / "model.safetensors").write_bytes(content)
        assert "SHA-256" in refusal(folder)
    folder = tmp_path / "foreign"
    write_folder(folder)
    (folder / "model.safetensors").write_bytes(b"\x80\x04" + bytes(99999))
    about = json.loads((folder / "model.json").read_text())
    about["files"]["model.safetensors"] = sha256(folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(about))
    assert "holds no tensors" in refusal(folder)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"format": "other"}', "[" * 100000, "x" * (1 << 21)],
    ids=["cut", "list", "empty", "other", "deep", "long"],
)
def test_a_description_that_is_none_is_refused(tmp_path, text):
    folder = write_folder(tmp_path / "a")
    (folder / "model.json").write_text(text)
    assert "model.json" in refusal(folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_links_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    folder = write_folder(tmp_path / "deep/er/a")
    secret = tmp_path / "secret"
    os.replace(folder / name, secret)
    (folder / name).symlink_to(secret)
    assert "leads out of the folder" in refusal(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("nowhere")
    assert name in refusal(folder)


def test_the_hub_cache_links_to_its_own_blobs(tmp_path):
    """snapshots/<commit>/model.json links to ../../blobs/<hash>."""
    folder = write_folder(tmp_path / "models--a--b/snapshots/c0ffee")
    blobs = tmp_path / "models--a--b/blobs"
    blobs.mkdir()
    for name in ("model.json", "model.safetensors"):
        os.replace(folder / name, blobs / f"hash-{name}")
        (folder / name).symlink_to(f"../../blobs/hash-{name}")
    assert load_model(str(folder)).blueprint.classes == CLASSES


def test_a_pickle_with_code_does_not_run(trained, tmp_path):
    """In the place of a run's head, which a pickle holds."""
    import shutil

    run = tmp_path / "run"
    shutil.copytree(trained(), run)
    fired = tmp_path / "fired"
    for head in run.glob("save/CKPT*/head.ckpt"):
        head.write_bytes(pickle.dumps(Evil(fired)))
        # The checksums would show it: as one would write them who means it.
        meta = head.parent / "CKPT.yaml"
        meta.write_text("unixtime: 0\nscore: 1.0\n")
    assert "run code" in refusal(run)
    assert not fired.exists()


def test_a_yaml_with_code_does_not_run(tmp_path):
    fired = tmp_path / "fired"
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "hyperparams.yaml").write_text(
        f"x: !apply:builtins.open ['{fired}', w]\n"
    )
    assert "trust=True" in refusal(folder)
    write_folder(folder)  # with a model.json, it is not even read
    assert load_model(str(folder)).blueprint.width == 1
    assert not fired.exists()


def test_nothing_there(tmp_path):
    assert "holds no model" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "a/b/c")
    file = tmp_path / "a.ckpt"
    file.write_text("")
    assert "is a file" in refusal(file)
    folder = write_folder(tmp_path / "b")
    (folder / "model.safetensors").unlink()
    assert "does not exist" in refusal(folder)


def test_without_network_the_error_says_which_files_to_fetch(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def no_network(*args, **kwargs):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    message = refusal("somebody/model")
    assert "model.json" in message and "model.safetensors" in message


def test_a_run_that_is_not_finished_or_of_folds(trained, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(trained(), run)
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(
        json.dumps({**metrics, "folds": ["fold_0_a", "fold_1_b"]})
    )
    assert "fold_0_a" in refusal(run)
    (run / "metrics.json").unlink()
    assert "let that run finish" in refusal(run)
