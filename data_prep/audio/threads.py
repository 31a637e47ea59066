"""Read many audio files at once, in threads."""

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Callable, Iterable, Iterator, List, Sequence


@contextmanager
def in_threads(work: Callable, items: Sequence) -> Iterator[List[Future]]:
    """Call a function on each item, in one thread per processor.

    Yields a future per item, in their order. Leaving the context cancels the
    calls that have not begun and waits for none: an interrupted command does
    not wait for the end of an hour-long recording.
    """
    futures = [Future() for _ in items]
    waiting = deque(zip(items, futures))

    def run():
        with suppress(IndexError):  # from popleft: all calls have begun
            while True:
                item, future = waiting.popleft()
                try:
                    future.set_result(work(item))
                except BaseException as error:  # raised by future.result()
                    future.set_exception(error)

    try:
        for _ in range(min(os.cpu_count(), len(items))):
            # libsndfile and the Fourier transform release Python's lock.
            Thread(target=run, daemon=True).start()
        yield futures
    finally:
        waiting.clear()


def in_order(
    work: Callable, items: Iterable, n_threads: int, prepare: Callable
) -> Iterator:
    """Call a function on each item in threads, each of which calls ``prepare``
    first; yield the results in the order of the items.

    As many items as there are threads are taken ahead, so that reading the next
    overlaps with working on these.

    Example
    -------
    >>> [*in_order(abs, [3, -2, 1], 2, dict)]
    [3, 2, 1]
    """
    pool = ThreadPoolExecutor(n_threads, initializer=prepare)
    futures = deque()
    try:
        for item in items:
            futures.append(pool.submit(work, item))
            if len(futures) > n_threads:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
