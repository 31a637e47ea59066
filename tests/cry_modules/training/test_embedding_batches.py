"""Batches from one matrix are those that SpeechBrain puts together."""

import pytest
import torch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset

from cry_modules.training.batches import EmbeddingSet, keep_batch

KEYS = ["id", "patient_id", "class_index", "emb"]


@pytest.fixture
def embs():
    generator = torch.Generator().manual_seed(0)
    items = {
        f"rec{i}": {
            "patient_id": f"P{i // 2}",
            "class_index": i % 3,
            "emb": torch.randn(5, generator=generator),
        }
        for i in range(7)
    }
    return DynamicItemDataset(items, output_keys=KEYS)


@pytest.mark.parametrize(
    "order", [{"batch_size": 3}, {"batch_sampler": [[6, 0, 3], [5], [1, 2]]}]
)
def test_as_padded_batches(embs, order):
    ours = make_dataloader(EmbeddingSet(embs), collate_fn=keep_batch, **order)
    padded = make_dataloader(embs, **order)
    batches = list(zip(ours, padded))
    assert len(batches) == len(ours) == len(padded) == 3
    for batch, expected in batches:
        batch = batch.to("cpu")
        assert batch.id == expected.id
        assert batch.patient_id == expected.patient_id
        assert torch.equal(batch.class_index, expected.class_index)
        assert batch.class_index.dtype == expected.class_index.dtype
        assert torch.equal(batch.emb, expected.emb.data)
