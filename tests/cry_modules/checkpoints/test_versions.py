"""Runs and models of version 0.1.0 are refused in one line; an encoder's
weights are still read."""

import json

import pytest
import torch

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.saved_model import load_model
from cry_modules.cnn14 import Cnn14
from cry_modules.training.experiment import load
from cry_modules.training.resume import check_same_experiment
from data_prep.files.errors import InputError

MESSAGE = "was written by version 0.1.0; install cry-ssl from commit 285f0bd, or train again"  # fmt: skip

#: Some of what version 0.1.0 left in a run.
SETTINGS = """
output_folder: {folder}
front_end: fbank
width: 1
chunk_s: 4.0
base:
  width: 1
  checkpointer: !new:cry_modules.checkpointer.CompleteCheckpointer
    checkpoints_dir: {folder}/save
"""


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    checkpoint = folder / "save/CKPT+1"
    checkpoint.mkdir(parents=True)
    torch.save(Cnn14(80, 1).state_dict(), checkpoint / "encoder.ckpt")
    meta = "unixtime: 1.0\nversion: 0.1.0\nfront_end: fbank\n"
    (checkpoint / "CKPT.yaml").write_text(meta)
    text = SETTINGS.format(folder=folder)
    (folder / "hyperparams.yaml").write_text(text)
    return folder


@pytest.fixture
def exported(tmp_path):
    folder = tmp_path / "exported"
    folder.mkdir()
    description = {"format": "cry-ssl model 1", "model": {"width": 1}}
    (folder / "model.json").write_text(json.dumps(description))
    torch.save(Cnn14(80, 1).state_dict(), folder / "encoder.ckpt")
    return folder


@pytest.mark.parametrize(
    "use",
    [
        lambda run, exported: load_model(str(run)),
        lambda run, exported: load_model(str(exported)),
        lambda run, exported: EncoderSource(exported).load(
            Cnn14(80, 1), "fbank"
        ),
        lambda run, exported: check_same_experiment(run, "lr: 1"),
        lambda run, exported: load(str(run / "hyperparams.yaml"), {}),
    ],
    ids=["run", "exported", "exported encoder", "resume", "its yaml"],
)
def test_a_run_or_model_is_refused(run, exported, use):
    with pytest.raises(InputError) as error:
        use(run, exported)
    assert str(error.value).endswith(MESSAGE)


def test_a_class_that_does_not_exist_is_one_line(tmp_path):
    text = f"architecture: a\noutput_folder: {tmp_path}\n"
    text += "x: !new:cry_modules.No {}"
    for name, message in (
        # A run's file builds what the recipes build, and nothing else.
        ("hyperparams.yaml", r"cry_modules\.No, which no recipe of hparams/"),
        ("mine.yaml", r"cry_modules\.No; .*0\.1\.0"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=message) as error:
            load(str(tmp_path / name), {})
        assert "\n" not in str(error.value)


def test_weights_of_an_encoder_are_used_with_a_warning(run, caplog):
    EncoderSource(run).load(Cnn14(80, 1), "fbank")
    assert "version 0.1.0 wrote it, this is " in caplog.text
