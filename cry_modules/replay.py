"""Batches that hold a fixed share of replayed recordings.

Authors
 * The contributors of cry-ssl 2026
"""

from typing import Iterator, List

import numpy as np
from torch.utils.data import Sampler


class ReplayBatchSampler(Sampler):
    """Batches of new recordings and a fixed share of old ones.

    Indices are into the new recordings followed by the old. An epoch is one
    pass over the new ones, in a new order each time. The old ones are drawn
    without repetition until all were seen, over the epochs, then in another
    order again: none comes a second time before all came once, and it never
    runs short. Everything follows from (seed, epoch), so a resumed run needs
    no state. A last batch that is not full is left out.

    SpeechBrain's ``ConcatDatasetBatchSampler`` ends with its shortest
    dataset, and in one process repeats the first epoch unless told not to;
    set ``brain.train_sampler`` so that ``set_epoch`` is called.

    Arguments
    ---------
    n_new : int
        New recordings (cries).
    n_old : int
        Recordings to replay (generic sounds).
    batch_size : int
        Recordings in a batch, old ones included.
    replay_ratio : float
        Share of old recordings in each batch, 0 (none) to below 1.
    seed : int
        Of the experiment.

    Raises
    ------
    ValueError
        A share that leaves no place for one kind, or too few recordings.

    Example
    -------
    >>> sampler = ReplayBatchSampler(4, 3, 4, replay_ratio=0.5, seed=0)
    >>> [[i >= 4 for i in batch] for batch in sampler]
    [[False, False, True, True], [False, False, True, True]]
    """

    def __init__(
        self,
        n_new: int,
        n_old: int,
        batch_size: int,
        replay_ratio: float,
        seed: int,
    ):
        self.n_new, self.n_old, self.seed = n_new, n_old, seed
        self.n_replay = round(batch_size * replay_ratio)
        self.n_fresh = batch_size - self.n_replay
        self.epoch = 1
        if not 0 <= replay_ratio < 1 or self.n_fresh < 1:
            raise ValueError(
                f"replay_ratio is {replay_ratio} with batch_size {batch_size}:"
                " it must be 0 to below 1 and leave a cry in each batch"
            )
        if replay_ratio > 0 and self.n_replay < 1:
            raise ValueError(
                f"replay_ratio {replay_ratio} of a batch of {batch_size} is "
                "less than one recording; raise one of them, or set it to 0"
            )
        if n_new < self.n_fresh or n_old < self.n_replay:
            raise ValueError(
                f"a batch needs {self.n_fresh} cries and {self.n_replay} "
                f"replayed recordings, but there are {n_new} and {n_old}; "
                "lower batch_size"
            )

    def set_epoch(self, epoch: int) -> None:
        """Epoch to draw, from 1."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_new // self.n_fresh

    def __iter__(self) -> Iterator[List[int]]:
        rng = np.random.default_rng([self.seed, 0, self.epoch])
        new = rng.permutation(self.n_new)
        old = self._old_of_epoch()
        for i in range(len(self)):
            fresh = new[i * self.n_fresh : (i + 1) * self.n_fresh]
            replay = old[i * self.n_replay : (i + 1) * self.n_replay]
            yield [*fresh.tolist(), *(self.n_new + replay).tolist()]

    def _old_of_epoch(self) -> np.ndarray:
        """This epoch's stretch of an endless row of permutations."""
        n_draws = len(self) * self.n_replay
        if n_draws == 0:
            return np.empty(0, dtype=int)
        first = (self.epoch - 1) * n_draws
        passes = range(
            first // self.n_old, (first + n_draws - 1) // self.n_old + 1
        )
        row = np.concatenate(
            [
                np.random.default_rng([self.seed, 1, p]).permutation(self.n_old)
                for p in passes
            ]
        )
        offset = first - passes.start * self.n_old
        return row[offset : offset + n_draws]
