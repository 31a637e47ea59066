"""What could wait for ever is refused, or given up, before training."""

import os
import time

import pytest

from cry_modules.training import experiment
from cry_modules.training.experiment import load, log_environment
from data_prep.files.errors import InputError
from data_prep.files.folders import require_regular_files

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


def test_a_git_that_hangs_does_not_hold_a_run(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(experiment, "_ENVIRONMENT_S", 0.2)
    monkeypatch.setattr(
        experiment, "get_environment_description", lambda: time.sleep(60)
    )
    experiment.environment.cache_clear()
    begin = time.monotonic()
    log_environment(tmp_path).join()
    experiment.environment.cache_clear()
    assert time.monotonic() - begin < 5
    assert "pip or git gave no answer" in (tmp_path / "env.log").read_text()
    assert "git status" in caplog.text
