"""Read many audio files at once, in threads."""

import os
from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Callable, Iterator, List, Sequence


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
