"""Batches of embeddings, taken from one matrix.

Epochs of a cached probe last milliseconds, of which a dictionary for each
recording and padding that pads nothing would take most.
"""

from typing import List, NamedTuple

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from torch.utils.data import Dataset


class EmbeddingBatch(NamedTuple):
    """Some recordings: what ``ClassificationBrain`` reads of a batch."""

    id: List[str]
    patient_id: List[str]
    class_index: torch.Tensor
    emb: torch.Tensor

    def to(self, device: str) -> "EmbeddingBatch":
        """The same with its tensors on a device."""
        return self._replace(
            class_index=self.class_index.to(device), emb=self.emb.to(device)
        )


class EmbeddingSet(Dataset):
    """Embedded recordings, of which a loader takes whole batches.

    Example
    -------
    >>> items = {
    ...     name: {"emb": torch.ones(2), "patient_id": "p", "class_index": 1}
    ...     for name in "abc"
    ... }
    >>> keys = ["id", "emb", "patient_id", "class_index"]
    >>> some = EmbeddingSet(DynamicItemDataset(items, output_keys=keys))
    >>> some.__getitems__([2, 0]).id
    ['c', 'a']
    """

    def __init__(self, dataset: DynamicItemDataset):
        items = [dataset[i] for i in range(len(dataset))]
        self.ids = [item["id"] for item in items]
        self.patients = [item["patient_id"] for item in items]
        self.labels = torch.tensor([item["class_index"] for item in items])
        self.embs = torch.stack([item["emb"] for item in items])

    def __len__(self) -> int:
        return len(self.ids)

    def __getitems__(self, indices: List[int]) -> EmbeddingBatch:
        """What torch's loaders ask for where a dataset has whole batches."""
        rows = torch.tensor(indices)
        return EmbeddingBatch(
            [self.ids[i] for i in indices],
            [self.patients[i] for i in indices],
            self.labels[rows],
            self.embs[rows],
        )


def as_it_is(batch: EmbeddingBatch) -> EmbeddingBatch:
    """A loader's ``collate_fn`` where the dataset gives whole batches."""
    return batch
