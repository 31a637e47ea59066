"""The states of all random generators, as part of a checkpoint."""

import random

import numpy as np
import torch

from cry_modules.distributed import PerRank


class RandomStates(PerRank):
    """Python's, NumPy's, torch's and CUDA's generators of every rank.

    SpeechBrain's ``SaveableGenerator`` holds torch's and CUDA's of the first
    rank. Loaders need no state here: their generator is seeded for each epoch
    and chunks follow from (seed, epoch, recording).

    Example
    -------
    >>> states = RandomStates()
    >>> before = states.get_state()
    >>> drawn = random.random(), np.random.rand(), torch.rand(1)
    >>> states.set_state(before)
    >>> drawn == (random.random(), np.random.rand(), torch.rand(1))
    True
    """

    def get_state(self):
        """Numbers, lists and tensors alone."""
        version, numbers, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state()
        return {
            "python": [version, list(numbers), gauss],
            "numpy": [name, keys.tolist(), position, has_gauss, cached],
            "torch": torch.get_rng_state(),
            "cuda": _cuda_state(),
        }

    def set_state(self, state):
        """As ``get_state`` gave it."""
        version, numbers, gauss = state["python"]
        random.setstate((version, tuple(numbers), gauss))
        name, keys, *rest = state["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])


def _cuda_state():
    """Of this rank's GPU."""
    return torch.cuda.get_rng_state() if torch.cuda.is_available() else None
