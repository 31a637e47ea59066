"""What could wait for ever is refused, or given up, before training."""

import os
from importlib import metadata
from pathlib import Path

import pytest
from speechbrain.utils.logger import get_environment_description

from cry_modules.training.experiment import load, log_environment
from data_prep.files.errors import InputError
from data_prep.files.folders import require_regular_files

ROOT = Path(__file__).resolve().parents[3]
CLS = "hparams/neuro_linear_bn.yaml"


@pytest.mark.parametrize(
    "name",
    [
        "save", "train_log.txt", "metrics.json", "history.json", "env.log",
        "hyperparams.yaml", "save/CKPT_1/CKPT.yaml", "manifest/train.csv",
        "fold_0/save/CKPT_1/brain.ckpt",
    ],
)  # fmt: skip
def test_a_pipe_in_the_output_folder_is_refused(name, tmp_path):
    run = tmp_path / "run"
    (run / name).parent.mkdir(parents=True)
    os.mkfifo(run / name)
    with pytest.raises(InputError, match=f"{name} is a pipe.*remove it"):
        load(CLS, {"output_folder": str(run)})


def test_files_and_links_to_them_are_not(tmp_path):
    run, disk = tmp_path / "run", tmp_path / "disk"
    run.mkdir()
    disk.mkdir()
    (disk / "file").write_text("")
    (run / "save").symlink_to(disk)
    (run / "history.json").symlink_to(disk / "file")
    (run / "gone").symlink_to(disk / "gone")
    (run / "loop").symlink_to(run)
    require_regular_files(run)
    require_regular_files(tmp_path / "absent")
    os.mkfifo(disk / "pipe")
    with pytest.raises(InputError, match="save/pipe is a pipe"):
        require_regular_files(run)


def test_the_environment_of_a_run(tmp_path):
    """In SpeechBrain's form, without pip, and without places of packages."""
    log_environment(tmp_path).join()
    text = (tmp_path / "env.log").read_text()
    theirs = get_environment_description()
    heads = [line for line in theirs.splitlines() if line.endswith(":")]
    assert [line for line in text.splitlines() if line.endswith(":")] == heads
    for name in ("torch", "speechbrain", "numpy"):
        assert f"\n{name}=={metadata.version(name)}\n" in text
    assert text.startswith(theirs[: theirs.index("Installed")])
    assert "file://" not in text and str(ROOT) not in text
    commit = theirs.partition("Git revision:\n")[2].split("\n")[0]
    assert f"Git revision:\n{commit}" in text
