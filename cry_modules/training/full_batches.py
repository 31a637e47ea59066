"""Shuffled batches of one size: what a contrastive loss is trained on."""

from speechbrain.dataio.sampler import ReproducibleRandomSampler
from torch.utils.data import BatchSampler


class FullBatches(BatchSampler):
    """Each recording at most once an epoch, in SpeechBrain's order: that of a
    loader with ``shuffle`` and ``drop_last`` after ``seed_everything``.

    NT-Xent depends on how many recordings there are to tell from, so a last
    batch that is not full is left out.

    Example
    -------
    >>> batches = FullBatches(5, batch_size=2, seed=1)
    >>> batches.set_epoch(1)
    >>> [len(batch) for batch in batches]
    [2, 2]
    """

    def __init__(self, n_items: int, batch_size: int, seed: int):
        if n_items < batch_size:
            raise ValueError(
                f"a batch needs {batch_size} recordings, but there are "
                f"{n_items}; lower batch_size"
            )
        order = ReproducibleRandomSampler(range(n_items), seed=seed)
        super().__init__(order, batch_size, drop_last=True)

    def set_epoch(self, epoch: int) -> None:
        """Epoch to draw, from 1."""
        self.sampler.set_epoch(epoch)
