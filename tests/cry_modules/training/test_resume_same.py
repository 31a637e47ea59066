"""A run resumes with what it began with: sameness by content, not by path."""

import shutil

import pytest
import torch
from torch import nn

from cry_modules.checkpoints.checkpointer import CompleteCheckpointer
from cry_modules.training.resume import (
    check_data,
    check_encoder,
    check_same_experiment,
    comparable_settings,
)
from data_prep.files.errors import InputError

SETTINGS = """
output_folder: {folder}
data_folder: data/cry
encoder_source: null
replay_folder: null
probe: [a/recordings.csv:label]
lr: 0.001
classes: [00, 1]
figures: True
opt_class: !name:torch.optim.SGD
    lr: 0.001
    momentum: 0.9
"""


@pytest.fixture
def folder(tmp_path):
    """Of a run with one checkpoint."""
    text = SETTINGS.format(folder=tmp_path)
    (tmp_path / "hyperparams.yaml").write_text(text)
    checkpointer = CompleteCheckpointer(tmp_path / "save", {})
    checkpointer.record(settings=comparable_settings(text))
    checkpointer.save_checkpoint({"epoch": 1})
    return tmp_path


@pytest.mark.parametrize(
    "old, new",
    [
        ("data/cry", "/scratch/job7/cry"),
        ("data/cry", "data/../data/cry/"),
        ("lr: 0.001", "lr: 1e-3"),
        ("figures: True", "figures: false"),
        ("a/recordings.csv:label", "./a/recordings.csv:label"),
        ("replay_folder: null", "replay_folder: ~"),
    ],
)
@pytest.mark.parametrize("is_deleted", [False, True])
def test_the_same_run(folder, old, new, is_deleted):
    if is_deleted:
        (folder / "hyperparams.yaml").unlink()
    text = SETTINGS.format(folder=folder)
    check_same_experiment(folder, text.replace(old, new))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("lr: 0.001", "lr: 0.01", "lr: 0.001, now it is 0.01"),
        ("[00, 1]", "[0, 1]", "classes.0: 00, now it is 0"),
        ("momentum: 0.9", "momentum: 0.5", "opt_class.momentum: 0.9, now"),
        ("optim.SGD", "optim.Adam", "opt_class: !name:torch.optim.SGD, now"),
        ("replay_folder: null", "replay_folder: x", "none, now it is a folder"),
        (":label", ":site", "probe: label, now it is site"),
    ],
)
@pytest.mark.parametrize("file", ["kept", "edited", "deleted"])
def test_another_run(folder, old, new, message, file):
    """Also where the yaml file was edited, and is typed itself."""
    path = folder / "hyperparams.yaml"
    text = path.read_text().replace(old, new)
    if file == "edited":
        path.write_text(text)
    elif file == "deleted":
        path.unlink()
    with pytest.raises(InputError) as error:
        check_same_experiment(folder, text)
    assert message in str(error.value) and "\n" not in str(error.value)


def began(folder, **recorded):
    """A run's checkpointer, with a checkpoint that records these."""
    checkpointer = CompleteCheckpointer(folder / "save", {})
    checkpointer.record(**recorded)
    if recorded:
        checkpointer.save_checkpoint({"epoch": 1})
    return CompleteCheckpointer(folder / "save", {})


def hparams_of(folder, **settings):
    checkpointer = CompleteCheckpointer(folder / "save", {})
    return {
        "output_folder": str(folder),
        "checkpointer": checkpointer,
        **settings,
    }


@pytest.fixture
def run(tmp_path):
    """A run that began with the weights in a folder."""
    source = tmp_path / "source"
    source.mkdir()
    torch.save(nn.Linear(2, 2).state_dict(), source / "encoder.ckpt")
    run = tmp_path / "run"
    hparams = hparams_of(run, encoder_source=str(source))
    (run / "hyperparams.yaml").write_text(f"encoder_source: {source}\n")
    check_encoder(hparams)
    hparams["checkpointer"].save_checkpoint({"epoch": 1})
    return run


def test_an_encoder_is_its_weights(run, caplog):
    caplog.set_level("INFO")
    source = run.parent / "source"
    check_encoder(hparams_of(run, encoder_source=str(source)))
    assert not caplog.messages
    state = torch.load(source / "encoder.ckpt")
    torch.save(state, run.parent / "other name.ckpt")
    (run.parent / "link").symlink_to(source)
    for other in ("other name.ckpt", "link"):
        check_encoder(hparams_of(run, encoder_source=str(run.parent / other)))
        assert caplog.messages.pop() == (
            "encoder_source has moved: the weights are the same"
        )


@pytest.mark.parametrize(
    "change, word",
    [
        (shutil.rmtree, "has been removed"),
        (
            lambda source: torch.save(
                nn.Linear(2, 2).state_dict(), source / "encoder.ckpt"
            ),
            "has been trained on",
        ),
    ],
)
def test_a_source_that_changed_is_said(run, change, word, caplog):
    """The run has its own copy; another source is refused."""
    source = run.parent / "source"
    change(source)
    check_encoder(hparams_of(run, encoder_source=str(source)))
    assert word in caplog.messages[-1]
    for other in (None, "random_calibrated", str(run.parent / "link")):
        (run.parent / "link").unlink(missing_ok=True)
        (run.parent / "link").symlink_to(source)
        with pytest.raises(InputError, match="another encoder_source than"):
            check_encoder(hparams_of(run, encoder_source=other))


def test_manifests_and_probes_are_those_of_the_checkpoints(tmp_path):
    files = ["manifest/train.csv", "manifest/replay/valid.csv", "probe.csv"]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("ID\na\nb\n")
    probe = f"{tmp_path}/probe.csv:label"

    def check():
        hparams = hparams_of(tmp_path, probe=[probe])
        check_data(hparams, tmp_path / "manifest")
        return hparams["checkpointer"]

    check().save_checkpoint({"epoch": 1})
    check()
    for name in files:
        path = tmp_path / name
        path.write_text("ID\na\n")
        with pytest.raises(InputError, match=f"{name} is not what it was"):
            check()
        path.unlink()
        with pytest.raises(InputError, match="is not what it was"):
            check()
        path.write_text("ID\na\nb\n")
    check()
