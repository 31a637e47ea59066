"""Checkpoints are complete or absent, and the right ones are kept."""

import os
import resource
from time import time

import pytest
import torch
from speechbrain.utils.checkpoints import ckpt_recency
from torch import nn

from cry_modules.checkpoints.checkpointer import (
    CompleteCheckpointer,
    best_checkpoint,
    damage,
    progress,
    read_meta,
)
from data_prep.files.errors import InputError
from tests.encoder_files import Evil


@pytest.fixture
def checkpointer(tmp_path):
    return CompleteCheckpointer(tmp_path, {"net": nn.Linear(50, 50)})


def kept(checkpointer):
    """Epochs of the checkpoints on disk, oldest first."""
    return [c.meta["epoch"] for c in checkpointer.list_checkpoints()]


def test_the_last_two_and_the_best_are_kept(checkpointer, tmp_path):
    for epoch, loss in enumerate([3.0, 1.0, 2.0, 2.5, 2.2], start=1):
        checkpointer.save_and_keep({"epoch": epoch, "l": loss}, min_key="l")
    assert kept(checkpointer) == [2, 4, 5]
    assert checkpointer.recover_if_possible().meta["epoch"] == 5
    assert checkpointer.recover_if_possible(min_key="l").meta["epoch"] == 2
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_best_is_not_replaced_by_another_model(checkpointer):
    for epoch, loss in enumerate([1.0, 2.0, 3.0], start=1):
        checkpointer.save_and_keep({"epoch": epoch, "l": loss}, min_key="l")
    best = checkpointer.find_checkpoint(min_key="l").path
    (best / "net.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match="was the best checkpoint"):
        checkpointer.recover_if_possible(min_key="l")
    assert checkpointer.recover_if_possible().meta["epoch"] == 3


def test_a_clock_that_is_set_back_changes_nothing(
    checkpointer, tmp_path, monkeypatch
):
    """The best is kept, the last two are, and the last is resumed from."""
    day = 86400.0
    for epoch in range(1, 8):
        now = time() + (day if epoch < 4 else 0)
        monkeypatch.setattr("time.time", lambda: now)
        meta = {"epoch": epoch, "l": abs(epoch - 2.0)}
        checkpointer.save_and_keep(meta, min_key="l")
        for file in tmp_path.rglob("*"):
            os.utime(file, (day / epoch, day / epoch))
    assert kept(checkpointer) == [2, 6, 7]
    assert checkpointer.recover_if_possible().meta["epoch"] == 7
    for key in (None, ckpt_recency):
        assert checkpointer.find_checkpoint(key).meta["epoch"] == 7
    assert best_checkpoint(tmp_path).name == kept_paths(checkpointer)[-1]


def kept_paths(checkpointer):
    return [c.path.name for c in checkpointer.list_checkpoints()]


def test_steps_order_what_an_epoch_does_not():
    metas = [
        {"step": 8, "epoch": 2},
        {"step": 9, "epoch": 3, "end-of-epoch": False},
        {"step": 12, "epoch": 3, "end-of-epoch": False},
        {"step": 12, "epoch": 3},
        # No step was made: all gradients so far overflowed.
        {"step": 12, "epoch": 4, "end-of-epoch": False},
    ]
    for seconds, meta in zip((5.0, 4.0, 3.0, 2.0, 1.0), metas):
        meta["unixtime"] = seconds
    assert sorted(reversed(metas), key=progress) == metas


def test_without_a_best_the_last_two(checkpointer):
    for epoch in (1, 2, 3):
        checkpointer.save_and_keep({"epoch": epoch}, end_of_epoch=False)
    assert kept(checkpointer) == [2, 3]


def test_an_unfinished_checkpoint_is_absent(
    checkpointer, tmp_path, monkeypatch
):
    """Killed after all is written and before the folder is renamed."""
    checkpointer.save_and_keep({"epoch": 1})

    def killed(*paths):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("os.rename", killed)
        with pytest.raises(SystemExit):
            checkpointer.save_and_keep({"epoch": 2})
    assert (tmp_path / "partial").is_dir()
    again = CompleteCheckpointer(tmp_path, checkpointer.recoverables)
    assert again.recover_if_possible().meta["epoch"] == 1
    again.save_and_keep({"epoch": 2})
    assert kept(again) == [1, 2] and not (tmp_path / "partial").exists()


def test_a_full_disk_is_one_line_and_loses_nothing(checkpointer, tmp_path):
    checkpointer.save_and_keep({"epoch": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(InputError, match="could not be written .* free"):
            checkpointer.save_and_keep({"epoch": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name[:5] for p in tmp_path.iterdir()] == ["CKPT+"]
    assert checkpointer.recover_if_possible().meta["epoch"] == 1


def test_what_does_not_fit_names_the_version(checkpointer, tmp_path):
    checkpointer.save_and_keep({"epoch": 1})
    other = CompleteCheckpointer(tmp_path, {"net": nn.Linear(50, 7)})
    with pytest.raises(InputError, match=r"written by version .* does not fit"):
        other.recover_if_possible()


def test_what_is_missing_names_the_version(checkpointer, tmp_path):
    checkpointer.save_and_keep({"epoch": 1})
    more = CompleteCheckpointer(
        tmp_path, {"net": nn.Linear(50, 50), "head": nn.Linear(2, 2)}
    )
    more.optional_recoverables["head"] = False
    with pytest.raises(InputError, match="head"):
        more.recover_if_possible()


def test_a_checkpoint_that_would_run_code_is_not_loaded(tmp_path):
    evil = {"weight": Evil(tmp_path / "ran")}
    checkpointer = CompleteCheckpointer(
        tmp_path / "save", {"n": nn.Linear(1, 1)}
    )
    checkpointer.add_recoverable(
        "n",
        nn.Linear(1, 1),
        custom_save_hook=lambda obj, path: torch.save(evil, path),
    )
    checkpointer.save_and_keep({"epoch": 1})
    assert damage(checkpointer.list_checkpoints()[0].path) is None
    other = CompleteCheckpointer(tmp_path / "save", {"n": nn.Linear(1, 1)})
    with pytest.raises(InputError, match="does not fit"):
        other.recover_if_possible()
    assert not (tmp_path / "ran").exists()


def test_speechbrains_own_checkpoints_are_taken_as_they_are(tmp_path):
    from speechbrain.utils.checkpoints import Checkpointer

    net = nn.Linear(2, 2)
    Checkpointer(tmp_path, {"net": net}).save_checkpoint({"epoch": 4})
    ours = CompleteCheckpointer(tmp_path, {"net": nn.Linear(2, 2)})
    assert ours.recover_if_possible().meta["epoch"] == 4
    assert torch.equal(ours.recoverables["net"].weight, net.weight)
    # They have no checksums: what is truncated shows when it is read.
    path = next(tmp_path.glob("CKPT*/net.ckpt"))
    content = path.read_bytes()
    for n in range(0, len(content), 97):
        path.write_bytes(content[:n])
        with pytest.raises(InputError, match="does not fit"):
            ours.recover_if_possible()


@pytest.mark.parametrize(
    "text",
    [
        "{unixtime: [",
        "just words",
        "unixtime: yesterday",
        "unixtime: true",
        "unixtime: 1.0\nscore: high",
        "unixtime: 1.0\nstep: last",
        "unixtime: 1.0\nepoch: [3]",
        "unixtime: 1.0\nfiles: 5",
        "unixtime: 1.0\nfiles: {1: a}",
        "unixtime: 1.0\nfiles: {../../../etc/passwd: x}",
        "unixtime: 1.0\nfiles: {..: x}",
        "unixtime: 1.0\nfiles: {/etc/passwd: x}",
        "unixtime: 1.0\nfront_end: [fbank]",
        "unixtime: 1.0\nversion: 1.0",
        'unixtime: 1.0\nversion: "a\\nb"',
        "unixtime: !!int ''",
        "unixtime: !!timestamp ''",
        "unixtime: !!bool maybe",
        "[" * 500,
    ],
)
def test_meta_of_wrong_types_cannot_be_read(tmp_path, text):
    (tmp_path / "CKPT.yaml").write_text(text)
    assert read_meta(tmp_path) is None
    assert damage(tmp_path) == "CKPT.yaml cannot be read"


def test_no_file_elsewhere_is_read_for_its_checksum(checkpointer, tmp_path):
    checkpointer.save_and_keep({"epoch": 1})
    folder = checkpointer.list_checkpoints()[0].path
    (folder / "net.ckpt").rename(tmp_path / "net.ckpt")
    (folder / "net.ckpt").symlink_to(tmp_path / "net.ckpt")
    assert damage(folder) == "net.ckpt is a link"
    (folder / "net.ckpt").unlink()
    (tmp_path / "net.ckpt").rename(folder / "net.ckpt")
    # The checkpoint itself may be reached through one.
    (tmp_path / "link").symlink_to(folder)
    assert damage(tmp_path / "link") is None
