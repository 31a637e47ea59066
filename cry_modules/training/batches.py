"""Batches: full, of similar length, or of embeddings."""

import math
from collections import Counter
from typing import Iterator, List, NamedTuple, Sequence

import numpy as np
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import (
    ReproducibleRandomSampler,
    ReproducibleWeightedRandomSampler,
)
from torch.utils.data import BatchSampler, Dataset, Sampler

#: Lengths within this ratio count as equal: within them at most a fifth of a
#: batch is padding, and a millisecond, which may depend on the label, does
#: not decide who shares a batch.
_RATIO = 1.25
#: Number of batches among which recordings are sorted by length; the fewer,
#: the more random.
_POOL = 8


class FullBatches(BatchSampler):
    """Shuffled full batches for a contrastive loss, each recording at most
    once an epoch.

    The order is that of a loader with ``shuffle`` and ``drop_last`` after
    SpeechBrain's ``seed_everything``. NT-Xent depends on the number of
    negatives, so a last batch that is not full is left out. Fewer recordings
    than a batch raise a ValueError.
    """

    def __init__(self, n_items: int, batch_size: int, seed: int):
        if n_items < batch_size:
            raise ValueError(
                f"batch_size is {batch_size}: a batch needs {batch_size} "
                f"recordings, but there are {n_items} to train with; pass "
                f"--batch_size {n_items} or less"
            )
        order = ReproducibleRandomSampler(range(n_items), seed=seed)
        super().__init__(order, batch_size, drop_last=True)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch to draw, from 1."""
        self.sampler.set_epoch(epoch)


def random_order(
    labels: Sequence[str], balanced: bool, seed: int
) -> Sampler[int]:
    """Make a sampler in random order, with or without balanced classes.

    Arguments
    ---------
    labels : sequence of str
        Class of each recording, ``[n]``.
    balanced : bool
        Draw n recordings with replacement, every class equally often; else
        each recording once.
    seed : int
        Seed of the experiment.

    Returns
    -------
    Sampler
        Indices of recordings.

    Example
    -------
    >>> sorted(random_order(["a", "a", "b"], balanced=False, seed=1))
    [0, 1, 2]
    """
    if not balanced:
        return ReproducibleRandomSampler(labels, seed=seed)
    n_of = Counter(labels)
    return ReproducibleWeightedRandomSampler(
        [1 / n_of[label] for label in labels],
        num_samples=len(labels),
        replacement=True,
        seed=seed,
    )


class LengthBatchSampler(Sampler):
    """Batches of recordings of similar length, in random order.

    Batch sizes differ by at most one: BatchNorm cannot train on a last batch
    of a single recording.

    Arguments
    ---------
    order : Sampler
        Indices of an epoch, see ``random_order``.
    seconds : sequence of float
        Duration of each recording's input.
    batch_size : int
        Largest size; one more where a recording would be left over.
    seed : int
        Seed of the experiment.

    Example
    -------
    >>> order = random_order("aaaaa", balanced=False, seed=1)
    >>> batches = LengthBatchSampler(order, [9, 1, 1, 9, 9], 3, seed=1)
    >>> batches.set_epoch(1)
    >>> sorted(sorted(batch) for batch in batches)
    [[0, 3, 4], [1, 2]]
    """

    def __init__(
        self,
        order: Sampler,
        seconds: Sequence[float],
        batch_size: int,
        seed: int,
    ):
        self.order = order
        self.batch_size = batch_size
        self.seed, self.epoch = seed, 0
        self._length = [
            math.floor(math.log(max(s, 1e-3), _RATIO)) for s in seconds
        ]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch to draw, from 1."""
        self.epoch = epoch
        self.order.set_epoch(epoch)

    def __len__(self) -> int:
        n = len(self.order)
        return max(1, min(-(-n // self.batch_size), n // 2))

    def __iter__(self) -> Iterator[List[int]]:
        order = list(self.order)
        rng = np.random.default_rng([self.seed, self.epoch])
        sizes = [len(part) for part in np.array_split(order, len(self))]
        batches = []
        for first in range(0, len(sizes), _POOL):
            ends = np.cumsum(sizes[first : first + _POOL])
            pool, order = order[: ends[-1]], order[ends[-1] :]
            # Stable: recordings of equal length keep their random order.
            pool.sort(key=self._length.__getitem__, reverse=True)
            batches += [
                pool[begin:end] for begin, end in zip([0, *ends[:-1]], ends)
            ]
        for i in rng.permutation(len(batches)):
            yield batches[i]


def batches_by_length(
    seconds: Sequence[float], batch_s: float
) -> List[List[int]]:
    """Batches of indices for inference, shortest recordings first.

    A batch holds at most ``batch_s`` seconds of sound, padding included, or
    one recording that is longer.

    Example
    -------
    >>> batches_by_length([500.0, 60.0, 1.0, 50.0], batch_s=120.0)
    [[2, 3], [1], [0]]
    """
    batches = []
    for i in np.argsort(seconds, kind="stable").tolist():
        # The newest is the longest: the others are padded to it.
        if batches and (len(batches[-1]) + 1) * seconds[i] <= batch_s:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


class EmbeddingBatch(NamedTuple):
    """A batch of embedded recordings for ``ClassificationBrain``."""

    id: List[str]
    patient_id: List[str]
    class_index: torch.Tensor
    emb: torch.Tensor

    def to(self, device: str) -> "EmbeddingBatch":
        """Move the tensors to a device."""
        return self._replace(
            class_index=self.class_index.to(device), emb=self.emb.to(device)
        )


class EmbeddingSet(Dataset):
    """Embedded recordings in one matrix, from which a loader takes batches.

    Epochs of a cached probe last milliseconds; a dictionary for each
    recording, and padding where there is none, would take most of that.
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
        """Take a whole batch, as torch's loaders do where this exists."""
        rows = torch.tensor(indices)
        return EmbeddingBatch(
            [self.ids[i] for i in indices],
            [self.patients[i] for i in indices],
            self.labels[rows],
            self.embs[rows],
        )


def keep_batch(batch: EmbeddingBatch) -> EmbeddingBatch:
    """Return the batch: a loader's ``collate_fn`` for an ``EmbeddingSet``."""
    return batch
