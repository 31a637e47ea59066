"""SIGTERM interrupts as Ctrl-C does, and the second of them ends a command,
whatever it waits for.

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
#: Seconds that the main thread has to end after the second signal, and after a
#: SIGTERM that no handler of a run takes.
_GRACE_S, _TERM_S = 2.0, 20.0


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
    """Within this context, SIGTERM raises KeyboardInterrupt as Ctrl-C does, and
    the second signal ends this process, even if the main thread is blocked."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set it up
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    left = threading.Event()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    on_term = signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = (reading, left)
    threading.Thread(target=_watch, args=arguments, daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, on_term)
        signal.set_wakeup_fd(before)
        left.set()
        with suppress(BrokenPipeError):  # the thread has ended by itself
            os.write(writing, b"\0")  # wakes it
        os.close(writing)


def _watch(reading: int, left: threading.Event) -> None:
    requests = Requests()
    while not left.is_set():
        numbers = os.read(reading, 64)
        if set(SIGNALS).isdisjoint(numbers):
            continue
        if requests.is_second():
            _end_unless(left, _GRACE_S)
        elif signal.getsignal(signal.SIGTERM) is signal.default_int_handler:
            if signal.SIGTERM in numbers:  # whose sender may not send a second
                arguments = (left, _TERM_S)
                threading.Thread(
                    target=_end_unless, args=arguments, daemon=True
                ).start()
    os.close(reading)


def _end_unless(left: threading.Event, seconds: float) -> None:
    """End this process if the main thread has not left in so many seconds."""
    if not left.wait(seconds):
        os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(1)
