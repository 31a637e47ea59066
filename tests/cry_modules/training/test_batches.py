"""Full batches in SpeechBrain's order; batches of embeddings like its own."""

from collections import Counter

import pytest
import speechbrain as sb
import torch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset

from cry_modules.training.batches import EmbeddingSet, FullBatches, keep_batch

KEYS = ["id", "patient_id", "class_index", "emb"]


class Recorder(sb.Brain):
    """Keep the batches of SpeechBrain's own loader, by epoch."""

    def on_stage_start(self, stage, epoch=None):
        self.epochs = [*getattr(self, "epochs", []), []]

    def fit_batch(self, batch):
        self.epochs[-1].append(batch.tolist())
        return torch.tensor(0.0)


def test_full_batches_have_the_order_of_speechbrains_shuffle():
    sb.utils.seed_everything(7)
    brain = Recorder(run_opts={"noprogressbar": True})
    options = {"batch_size": 4, "shuffle": True, "drop_last": True}
    brain.fit(range(1, 4), torch.arange(22), train_loader_kwargs=options)
    ours = FullBatches(22, batch_size=4, seed=7)
    for epoch, expected in enumerate(brain.epochs, start=1):
        ours.set_epoch(epoch)
        assert list(ours) == expected


def test_full_batches_use_each_recording_once_and_leave_out_others_each_time():
    batches = FullBatches(11, batch_size=4, seed=3)
    never = set(range(11))
    for epoch in range(1, 20):
        batches.set_epoch(epoch)
        drawn = Counter(i for batch in batches for i in batch)
        assert len(drawn) == 8 and max(drawn.values()) == 1
        never -= set(drawn)
    assert not never


@pytest.mark.parametrize(
    "order", [{"batch_size": 3}, {"batch_sampler": [[6, 0, 3], [5], [1, 2]]}]
)
def test_batches_of_embeddings_equal_padded_batches(order):
    items = {
        f"rec{i}": {"patient_id": f"P{i // 2}", "class_index": i % 3}
        for i in range(7)
    }
    for i, item in enumerate(items.values()):
        item["emb"] = torch.arange(5) / 7 + i
    embs = DynamicItemDataset(items, output_keys=KEYS)
    ours = make_dataloader(EmbeddingSet(embs), collate_fn=keep_batch, **order)
    padded = make_dataloader(embs, **order)
    assert len(ours) == len(padded) == 3
    for batch, expected in zip(ours, padded):
        batch = batch.to("cpu")
        assert batch.id == expected.id
        assert batch.patient_id == expected.patient_id
        assert torch.equal(batch.class_index, expected.class_index)
        assert batch.class_index.dtype == expected.class_index.dtype
        assert torch.equal(batch.emb, expected.emb.data)
