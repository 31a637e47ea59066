"""Snapshots of a run; the warning of a resume on another platform."""

import itertools
import random
import time

import numpy as np
import pytest
import speechbrain as sb
import torch
from speechbrain.utils.epoch_loop import EpochCounter
from torch import nn
from torch.nn.functional import mse_loss

from cry_modules.checkpoints.checkpointer import CompleteCheckpointer, read_meta
from cry_modules.heads import ClassificationHead
from cry_modules.training import state
from cry_modules.training.brain import ResumableBrain
from cry_modules.training.early_stopping import EarlyStopping
from cry_modules.training.history import History
from cry_modules.training.state import (
    EpochTotals,
    RandomStates,
    Snapshot,
    differences,
)
from tests.runs import checkpoints


class Training:
    """A head trained on noise, with all parts of a checkpoint."""

    def __init__(self):
        torch.manual_seed(0)
        self.head = ClassificationHead(6, 2)
        self.encoder = nn.Linear(6, 6).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.head.parameters(), fused=True)
        self.totals, self.counter = EpochTotals(), EarlyStopping(99, 99)
        self.recoverables = {
            "head": self.head,
            "encoder": self.encoder,
            "optimizer": self.optimizer,
            "totals": self.totals,
            "counter": self.counter,
            "random": RandomStates(),
        }

    def epoch(self):
        epoch = next(self.counter)
        self.totals.start(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = 0.1 / epoch
        for _ in range(3):
            x = torch.randn(8, 6) + random.random() + np.random.rand()
            logits = self.head(self.encoder(x))
            loss = logits.logsumexp(dim=1).mean()
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.totals.add("", loss=loss.item())
        self.counter.update(-loss.item())


def saved(training, folder):
    """Bytes of the files of a checkpoint, by name."""
    checkpointer = CompleteCheckpointer(folder, training.recoverables)
    path = checkpointer.save_checkpoint().path
    return {file.name: file.read_bytes() for file in path.glob("*.ckpt")}


def test_a_snapshot_is_saved_as_it_was_and_the_present_is_restored(tmp_path):
    random.seed(0)
    np.random.seed(0)
    training = Training()
    training.epoch()
    then = saved(training, tmp_path / "then")
    snapshot = Snapshot(training.recoverables, {"epoch": 1})
    training.epoch()
    now = saved(training, tmp_path / "now")
    assert then.keys() == now.keys() and then["encoder.ckpt"]
    for name in then:
        assert (then[name] == now[name]) == (name == "encoder.ckpt"), name
    with snapshot.restored():
        assert saved(training, tmp_path / "restored") == then
    assert saved(training, tmp_path / "after") == now
    with snapshot.restored():
        training.epoch()  # does not change the snapshot
    with snapshot.restored():
        assert saved(training, tmp_path / "again") == then


class Line(ResumableBrain):
    """A straight line through random points, a checkpoint an epoch."""

    def compute_forward(self, batch, stage):
        return self.modules.line(batch)

    def compute_objectives(self, predictions, batch, stage):
        return mse_loss(predictions, batch)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == sb.Stage.TRAIN:
            self.history.add({"epoch": epoch, **self.timing(1)})
            self.save_epoch({"epoch": epoch})


@pytest.fixture
def warnings_of_a_run(tmp_path, caplog):
    """Train up to an epoch, a new Brain each time; return its warnings."""
    n_threads = torch.get_num_threads()

    def run(n_epochs, threads=1):
        caplog.clear()
        torch.set_num_threads(threads)
        line, counter = torch.nn.Linear(2, 2), EpochCounter(n_epochs)
        brain = Line(
            {"line": line},
            torch.optim.SGD,
            dict(seed=0, epoch_counter=counter, checkpoint_activations=False),
            {
                "device": "cpu",
                "noprogressbar": True,
                "ckpt_interval_minutes": 15,
            },
            CompleteCheckpointer(
                tmp_path / "save", {"line": line, "counter": counter}
            ),
        )
        brain.history = History(str(tmp_path))
        brain.schedule = dict(n_warmup=1, n_steps=9, lr=0.1, final_lr=0.0)
        brain.fit(counter, [torch.ones(3, 2)])
        assert len(brain.history.rows)
        assert counter.current == n_epochs
        levels = ((r.levelname, r.getMessage()) for r in caplog.records)
        return [message for level, message in levels if level == "WARNING"]

    yield run
    torch.set_num_threads(n_threads)


def test_another_number_of_threads_is_one_line(warnings_of_a_run):
    assert warnings_of_a_run(1) == []
    assert warnings_of_a_run(2) == []
    (line,) = warnings_of_a_run(3, threads=2)
    assert "(threads: 1, now 2)" in line and "\n" not in line
    # From then on its checkpoints are of two threads.
    assert warnings_of_a_run(4, threads=2) == []


def test_a_clock_a_day_ahead_at_the_first_start(
    warnings_of_a_run, tmp_path, monkeypatch
):
    """Killed after 5 of 9 epochs, resumed with the right clock."""
    now, day = time.time, 86400.0
    monkeypatch.setattr("time.time", lambda: now() + day)
    warnings_of_a_run(5)
    monkeypatch.setattr("time.time", now)
    for _ in range(2):  # nothing is left to do the second time
        warnings_of_a_run(9)
        assert [read_meta(f)["epoch"] for f in checkpoints(tmp_path)] == [8, 9]


@pytest.mark.parametrize("direction", [-1, 1])
def test_a_clock_that_jumps_measures_no_time(
    warnings_of_a_run, tmp_path, monkeypatch, direction
):
    """Neither negative seconds nor a checkpoint long before it is due."""
    now, jumps = time.time, itertools.count(0, direction * 86400)
    monkeypatch.setattr("time.time", lambda: now() + next(jumps))
    with monkeypatch.context() as patch:
        patch.setattr(Line, "_save_intra_epoch_ckpt", lambda self: 1 / 0)
        warnings_of_a_run(2)
    assert all(0 <= r["seconds"] < 60 for r in History(str(tmp_path)).rows)


def test_another_library_and_instruction_set_are_one_line(
    warnings_of_a_run, monkeypatch
):
    warnings_of_a_run(1)
    versions = {"torch": "9.0"}
    monkeypatch.setattr(
        state, "version", lambda name: versions.get(name, "1.0")
    )
    monkeypatch.setattr(
        torch.backends.cpu, "get_cpu_capability", lambda: "OTHER"
    )
    (line,) = warnings_of_a_run(2)
    assert f"torch: {torch.__version__.split('+')[0]}" in line
    assert "now 9.0" in line and "now OTHER" in line


def test_entries_that_were_not_recorded_do_not_differ():
    assert differences({"a": "1"}, {"a": "1", "b": "2"}) == []
    assert differences({"a": "1", "b": "0"}, {"a": "1"}) == []
