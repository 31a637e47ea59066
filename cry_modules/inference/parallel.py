"""Batches scored at once, a processor each."""

import threading
from typing import Callable, Iterable, Iterator

import torch

from data_prep.audio.threads import in_order

#: More batches at once take memory; their operations share the processors.
_MOST = 8
_thread = threading.local()


def in_parallel(work: Callable, batches: Iterable) -> Iterator:
    """Call a function on each batch; yield the results in the order of the
    batches.

    Reading, features and convolutions of a batch are on one processor, which is
    faster than all batches one after the other with each operation divided
    among the processors. Of calls inside of such a function, none is parallel.
    """
    n_processors = torch.get_num_threads()
    n_threads = min(n_processors, _MOST)
    if getattr(_thread, "is_one_of_many", False):
        yield from map(work, batches)
        return

    def prepare():
        _thread.is_one_of_many = True
        torch.set_num_threads(n_processors // n_threads)

    try:
        yield from in_order(work, batches, n_threads, prepare)
    finally:
        torch.set_num_threads(n_processors)
