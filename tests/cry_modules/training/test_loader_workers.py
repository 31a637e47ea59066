"""Loader workers where Python does not fork by default."""

import multiprocessing

import pytest
from torch.utils.data import DataLoader

from cry_modules.training.loader_workers import worker_options


class Squares:
    """Dataset with a function that cannot be pickled."""

    def __init__(self):
        self.square = lambda x: x * x

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.square(i)


@pytest.fixture
def no_fork_by_default():
    """The default of Python 3.14."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("forkserver", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_local_functions_reach_the_workers(num_workers, no_fork_by_default):
    loader = DataLoader(Squares(), batch_size=2, **worker_options(num_workers))
    assert [batch.tolist() for batch in loader] == [[0, 1], [4, 9]]
