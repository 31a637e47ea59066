"""Tests of checkpoints whose saving is interrupted.

Authors
 * The contributors of cry-ssl 2026
"""

import os
import time

import pytest
import torch

from speechbrain.utils.checkpoints import Checkpointer


class Killed(BaseException):
    """Simulated kill; not an Exception, so that no handler catches it."""


def killed_before_writing(obj, path):
    raise Killed


def killed_while_writing(obj, path):
    torch.save(obj.state_dict(), path)
    os.truncate(path, os.path.getsize(path) // 2)
    raise Killed


def model_of(value):
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, value)
    return model


def checkpointer_of(folder, value, save_hook=None):
    """A Checkpointer whose second recoverable has the given save hook."""
    return Checkpointer(
        folder,
        {"first": model_of(value), "second": model_of(value)},
        custom_save_hooks={} if save_hook is None else {"second": save_hook},
    )


def values_of(checkpointer):
    return [m.weight.item() for m in checkpointer.recoverables.values()]


@pytest.mark.parametrize("end_of_epoch", [True, False])
@pytest.mark.parametrize(
    "save_hook", [killed_before_writing, killed_while_writing]
)
def test_recovers_the_checkpoint_before(save_hook, end_of_epoch, tmpdir):
    saved = checkpointer_of(tmpdir, 1.0).save_checkpoint()
    with pytest.raises(Killed):
        checkpointer_of(tmpdir, 2.0, save_hook).save_and_keep_only(
            end_of_epoch=end_of_epoch
        )

    restarted = checkpointer_of(tmpdir, 3.0)
    assert restarted.list_checkpoints() == [saved]
    assert restarted.recover_if_possible() == saved
    assert values_of(restarted) == [1.0, 1.0]

    # The unfinished one does not affect the next:
    restarted.save_and_keep_only()
    assert len(restarted.list_checkpoints()) == 1
    assert saved not in restarted.list_checkpoints()


def test_nothing_to_recover(tmpdir):
    with pytest.raises(Killed):
        checkpointer_of(tmpdir, 1.0, killed_while_writing).save_checkpoint()
    restarted = checkpointer_of(tmpdir, 2.0)
    assert restarted.recover_if_possible() is None
    assert values_of(restarted) == [2.0, 2.0]


def test_custom_name_is_saved_again(tmpdir):
    checkpointer_of(tmpdir, 1.0).save_checkpoint(name="latest")
    with pytest.raises(Killed):
        checkpointer_of(tmpdir, 2.0, killed_while_writing).save_checkpoint(
            name="latest"
        )
    restarted = checkpointer_of(tmpdir, 3.0)
    restarted.recover_if_possible()
    assert values_of(restarted) == [1.0, 1.0]

    checkpointer_of(tmpdir, 4.0).save_checkpoint(name="latest")
    restarted.recover_if_possible()
    assert values_of(restarted) == [4.0, 4.0]
    assert os.listdir(tmpdir) == ["CKPT+latest"]


@pytest.mark.parametrize("name", [None, "latest"])
def test_paths_of_the_saved_checkpoint(name, tmpdir):
    checkpointer = checkpointer_of(tmpdir, 1.0)
    for _ in range(2):
        saved = checkpointer.save_checkpoint(name=name)
        assert saved == checkpointer.find_checkpoint()
        assert set(saved.paramfiles) == {"first", "second"}
        assert all(path.exists() for path in saved.paramfiles.values())


def save_part(obj, path):
    """Write a file on each process, in the order of ranks."""
    rank = os.environ["RANK"]
    time.sleep(0.5 * int(rank))
    path.with_name("part" + rank).write_text(rank, encoding="utf-8")


def save_in_parallel(rank, world_size, folder, sync_file):
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)
    torch.distributed.init_process_group(
        "gloo",
        rank=rank,
        world_size=world_size,
        init_method=f"file://{sync_file}",
    )
    checkpointer = checkpointer_of(folder, 1.0, save_part)
    checkpointer.save_checkpoint()
    (checkpoint,) = checkpointer.list_checkpoints()
    files = {path.name for path in checkpoint.path.iterdir()}
    assert files == {"CKPT.yaml", "first.ckpt", "part0", "part1"}


def test_parallel_savers(tmpdir):
    folder = tmpdir.mkdir("save")
    torch.multiprocessing.spawn(
        save_in_parallel, args=(2, folder, tmpdir / "sync"), nprocs=2, join=True
    )
