"""SIGTERM and Ctrl-C as requests to stop, granted where nothing is lost."""

import multiprocessing
import os
import shlex
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Iterator

from data_prep.files.signals import SIGNALS, Requests

_STOPPING = (
    b"stopping after this step, or validation, and saving first (Ctrl-C again "
    b"stops at once)\n"
)
#: Seconds to wait for a killed worker, which may read a drive that has gone.
_JOIN_S = 1.0


class Stopped(KeyboardInterrupt):
    """A run has saved and stopped on request; the message says how to
    resume."""


@contextmanager
def stop_signals() -> Iterator[SimpleNamespace]:
    """Turn SIGTERM and Ctrl-C into ``requested = True`` within this context; a
    second one stops at once.

    Slurm and torchrun send SIGTERM some seconds before SIGKILL.

    Example
    -------
    >>> with stop_signals() as stop:
    ...     os.kill(os.getpid(), signal.SIGTERM)
    ...     stop.requested
    True
    """
    stop, requests = SimpleNamespace(requested=False), Requests()

    def request(number, frame):
        if requests.is_second():
            raise KeyboardInterrupt
        if stop.requested:
            return
        stop.requested = True
        # Not by print, which may be what the signal has interrupted.
        with suppress(OSError):
            os.write(2, _STOPPING)

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread can handle signals
        return
    before = {number: signal.signal(number, request) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals(worker_id: int) -> None:
    """Ignore signals in a loader worker: one to the whole process group would
    kill it in the middle of a batch."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def kill_workers() -> None:
    """Kill the loader workers that a run leaves when it stops in an epoch."""
    workers = multiprocessing.active_children()
    if not workers:
        return
    # Torch's handler would take their end for a failure.
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join(_JOIN_S)
    signal.signal(signal.SIGCHLD, before)


def resume_command() -> str:
    """Command line that starts this run again."""
    if int(os.environ.get("GROUP_WORLD_SIZE", 1)) > 1:
        # The other machines' commands are not known here.
        return "the same torchrun commands"
    n_local = os.environ.get("LOCAL_WORLD_SIZE")
    launcher = f"torchrun --nproc_per_node={n_local}" if n_local else "python"
    return f"{launcher} {shlex.join(sys.argv)}"
