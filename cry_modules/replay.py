"""Batches that mix new recordings with replayed ones."""

from itertools import islice
from typing import Iterator, List, Optional

import numpy as np
from torch.utils.data import Sampler

#: Ways to set the share of old recordings in a batch.
REPLAY = ("fixed", "proportional")


class ReplayBatchSampler(Sampler):
    """Batches of new recordings with a share of old ones.

    Indices count the new recordings, then the old ones. An epoch is one pass
    over the new ones in random order; an incomplete last batch is dropped. Old
    ones are drawn from an endless sequence of permutations: over all epochs,
    none comes a second time before all came once. Everything follows from
    (seed, epoch), so a resumed run needs no state.

    ``fixed``: every batch holds the same share of old recordings.
    ``proportional``: all old recordings, spread evenly over the batches, as
    when both corpora are put into one list and shuffled (the mechanism of the
    closest public code); with far more old recordings, batches hold few new.

    SpeechBrain's ``ConcatDatasetBatchSampler`` ends with its shortest dataset,
    and in one process repeats the first epoch unless ``set_epoch`` is called.

    Arguments
    ---------
    n_new : int
        New recordings (cries).
    n_old : int
        Recordings to replay (generic sounds).
    batch_size : int
        Recordings in a batch, old ones included.
    replay_ratio : float
        Share of old recordings in each batch if ``replay`` is ``fixed``: 0
        (none) to below 1.
    seed : int
        Seed of the order.
    replay : str
        ``fixed`` or ``proportional``.
    control : bool
        True: as many batches, but of old recordings only. This control tells
        whether the new recordings helped or the training steps.

    Attributes
    ----------
    n_replay : numpy.ndarray
        Number of old recordings in each batch of an epoch.

    Example
    -------
    >>> sampler = ReplayBatchSampler(4, 3, 4, replay_ratio=0.5, seed=0)
    >>> [[i >= 4 for i in batch] for batch in sampler]
    [[False, False, True, True], [False, False, True, True]]
    >>> ReplayBatchSampler(4, 8, 4, 0.0, 0, replay="proportional").n_replay
    array([2, 3, 3])
    """

    def __init__(
        self,
        n_new: int,
        n_old: int,
        batch_size: int,
        replay_ratio: float,
        seed: int,
        replay: str = "fixed",
        control: bool = False,
    ):
        if replay not in REPLAY:
            raise ValueError(
                f"replay is {replay!r}; expected {' or '.join(REPLAY)}"
            )
        self.n_new, self.n_old, self.seed = n_new, n_old, seed
        self.batch_size = batch_size
        if replay == "fixed":
            self.n_replay = self._fixed(replay_ratio)
        else:
            self.n_replay = self._proportional()
        if control:
            self.n_replay = np.full_like(self.n_replay, batch_size)
        self._check_enough()
        self.epoch = 1

    def _fixed(self, replay_ratio):
        n_replay = round(self.batch_size * replay_ratio)
        n_fresh = self.batch_size - n_replay
        if not 0 <= replay_ratio < 1 or n_fresh < 1:
            raise ValueError(
                f"replay_ratio is {replay_ratio} with batch_size "
                f"{self.batch_size}: it must be 0 to below 1 and leave a new "
                "recording in each batch"
            )
        if replay_ratio > 0 and n_replay < 1:
            raise ValueError(
                f"replay_ratio {replay_ratio} of a batch of {self.batch_size} "
                "is less than one recording; raise one of them, or set it to 0"
            )
        if self.n_new < n_fresh:
            most = int(self.n_new / (1 - replay_ratio))
            raise ValueError(
                f"batch_size is {self.batch_size} with replay_ratio "
                f"{replay_ratio}: a batch needs {n_fresh} recordings, but "
                f"there are {self.n_new}; lower batch_size to {most} or less"
            )
        return np.full(self.n_new // n_fresh, n_replay)

    def _proportional(self):
        n_all = self.n_new + self.n_old
        n_batches = n_all // self.batch_size
        if not n_batches:
            raise ValueError(
                f"batch_size is {self.batch_size}: a batch needs "
                f"{self.batch_size} recordings, but there are {n_all} in both "
                f"corpora; pass --batch_size {n_all} or less"
            )
        seen = np.arange(n_batches + 1) * self.batch_size
        return np.diff(seen * self.n_old // n_all)

    def _check_enough(self):
        most = int(self.n_replay.max())
        if self.n_old < most:
            raise ValueError(
                f"batch_size is {self.batch_size}: a batch needs {most} "
                f"replayed recordings, but there are {self.n_old}; "
                "lower batch_size or replay_ratio"
            )

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 1."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.n_replay)

    def __iter__(self) -> Iterator[List[int]]:
        rng = np.random.default_rng([self.seed, 0, self.epoch])
        # Lazily: a list of 200,000 numbers takes 8 MB.
        new = map(int, rng.permutation(self.n_new))
        old = map(int, self.n_new + self._old_of_epoch())
        for n_replay in self.n_replay.tolist():
            n_fresh = self.batch_size - n_replay
            yield [*islice(new, n_fresh), *islice(old, n_replay)]

    def _old_of_epoch(self) -> np.ndarray:
        """This epoch's part of the endless sequence of permutations."""
        n_draws = int(self.n_replay.sum())
        if n_draws == 0:
            return np.empty(0, dtype=int)
        first = (self.epoch - 1) * n_draws
        last_pass = (first + n_draws - 1) // self.n_old
        row, order = [], None
        for number in range(last_pass + 1):
            order = self._pass(number, order)
            if number >= first // self.n_old:
                row.append(order)
        offset = first % self.n_old
        return np.concatenate(row)[offset : offset + n_draws]

    def _pass(self, number: int, before: Optional[np.ndarray]) -> np.ndarray:
        """One permutation of the old recordings.

        A batch may end one pass and begin the next: it must not hold a
        recording twice, since the copy would be a negative.
        """
        rng = np.random.default_rng([self.seed, 1, number])
        order = rng.permutation(self.n_old)
        n_seen, n_needed = self._across(number * self.n_old)
        if n_seen == 0:
            return order
        seen = np.isin(order, before[-n_seen:])
        head = order[~seen][:n_needed]
        return np.concatenate([head, order[~np.isin(order, head)]])

    def _across(self, boundary):
        """Numbers of draws in one batch before and after a boundary."""
        ends = np.cumsum(self.n_replay)
        within = boundary % int(ends[-1])
        batch = int(np.searchsorted(ends, within, side="right"))
        n_seen = int(within - (ends[batch] - self.n_replay[batch]))
        return n_seen, int(self.n_replay[batch]) - n_seen
