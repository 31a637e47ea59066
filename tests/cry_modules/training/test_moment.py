"""A checkpoint written later is that of then, and nobody notices."""

import random

import numpy as np
import torch
from torch import nn

from cry_modules.checkpoints.checkpointer import CompleteCheckpointer
from cry_modules.heads import ClassificationHead
from cry_modules.training.early_stopping import EarlyStopping
from cry_modules.training.state import EpochTotals, RandomStates, Snapshot


class Training:
    """A head on noise, with all that its checkpoints hold."""

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
    """Bytes of the files that a checkpoint of now has, by name."""
    checkpointer = CompleteCheckpointer(folder, training.recoverables)
    path = checkpointer.save_checkpoint().path
    return {file.name: file.read_bytes() for file in path.glob("*.ckpt")}


def test_later_it_saves_what_was_then_and_goes_on_as_it_was(tmp_path):
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
        assert saved(training, tmp_path / "again") == then
    assert saved(training, tmp_path / "after") == now


def test_it_stays_as_it_was_however_often_it_is_used(tmp_path):
    training = Training()
    training.epoch()
    then = saved(training, tmp_path / "then")
    snapshot = Snapshot(training.recoverables, {"epoch": 1})
    for number in range(2):
        training.epoch()
        with snapshot.restored():
            training.epoch()  # must not reach what the moment holds
        with snapshot.restored():
            assert saved(training, tmp_path / str(number)) == then
