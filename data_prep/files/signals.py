"""The second Ctrl-C or SIGTERM ends a command, whatever it waits for.

Python handles signals between the steps of its main thread. In a call of a
library that does not return (a collective of ranks, a file on a network drive
that has gone), the main thread takes no step: a thread handles them then.
"""

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT)
INTERRUPTED = "Interrupted. Run the same command again to resume."
#: Seconds within which signals count as one: torchrun and Slurm pass on a
#: signal that a process may also get directly.
TOGETHER_S = 1.0
#: Seconds that the main thread has to end after the second signal.
_GRACE_S = 2.0


class Requests:
    """Count of signals; those that come together count once."""

    def __init__(self):
        self._first = None

    def is_second(self) -> bool:
        """Count a signal; True for all that come later than the first."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
        return now - self._first > TOGETHER_S


@contextmanager
def second_signal_ends() -> Iterator[None]:
    """End this process at the second signal within this context, even if the
    main thread is blocked."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set it up
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    left = threading.Event()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    arguments = (reading, left)
    threading.Thread(target=_watch, args=arguments, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        left.set()
        with suppress(BrokenPipeError):  # the thread has ended by itself
            os.write(writing, b"\0")  # wakes it
        os.close(writing)


def _watch(reading: int, left: threading.Event) -> None:
    requests = Requests()
    while not left.is_set():
        numbers = os.read(reading, 64)
        second = not set(SIGNALS).isdisjoint(numbers) and requests.is_second()
        if second and not left.wait(_GRACE_S):
            os.write(2, f"{INTERRUPTED}\n".encode())
            os._exit(1)
    os.close(reading)
