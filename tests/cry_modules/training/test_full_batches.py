"""Full batches in SpeechBrain's order."""

from collections import Counter

import pytest
import speechbrain as sb
import torch

from cry_modules.training.batches import FullBatches


class Drawn(sb.Brain):
    """Keeps what SpeechBrain's own loader draws in each epoch."""

    def on_stage_start(self, stage, epoch=None):
        self.epochs = [*getattr(self, "epochs", []), []]

    def fit_batch(self, batch):
        self.epochs[-1].append(batch.tolist())
        return torch.tensor(0.0)


def test_order_is_that_of_speechbrains_shuffle():
    sb.utils.seed_everything(7)
    brain = Drawn(run_opts={"noprogressbar": True})
    options = {"batch_size": 4, "shuffle": True, "drop_last": True}
    brain.fit(range(1, 4), torch.arange(22), train_loader_kwargs=options)
    ours = FullBatches(22, batch_size=4, seed=7)
    for epoch, theirs in enumerate(brain.epochs, start=1):
        ours.set_epoch(epoch)
        assert list(ours) == theirs


def test_no_recording_twice_and_none_left_out_for_ever():
    batches = FullBatches(11, batch_size=4, seed=3)
    left_out = set(range(11))
    for epoch in range(1, 20):
        batches.set_epoch(epoch)
        drawn = Counter(i for batch in batches for i in batch)
        assert len(drawn) == 8 and max(drawn.values()) == 1
        left_out -= set(drawn)
    assert not left_out


def test_refuses_fewer_than_a_batch():
    with pytest.raises(ValueError, match="needs 4 recordings.*there are 3"):
        FullBatches(3, batch_size=4, seed=0)
