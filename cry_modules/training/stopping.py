"""SIGTERM and Ctrl-C as a wish, granted where nothing is lost."""

import atexit
import multiprocessing
import os
import shlex
import signal
import sys
import threading
from contextlib import contextmanager
from typing import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(KeyboardInterrupt):
    """A run that was asked to stop, and has saved where it is.

    Its message says how to go on.
    """


class StopWish:
    """Whether somebody asked the run to stop."""

    def __init__(self):
        self.requested = False

    def __call__(self, number, frame):
        """Handle a signal: the second Ctrl-C does not wait."""
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        print(
            "stopping: the step, or the validation, is finished and saved first "
            "(Ctrl-C again stops at once)",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def stop_signals() -> Iterator[StopWish]:
    """Hear SIGTERM and Ctrl-C as a wish while a run is in here.

    Slurm and torchrun send SIGTERM some seconds before SIGKILL.

    Example
    -------
    >>> with stop_signals() as stop:
    ...     os.kill(os.getpid(), signal.SIGTERM)
    ...     stop.requested
    True
    """
    stop = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may hear signals
        return
    # Registered after multiprocessing's own, so it comes first: that one
    # would wait for ever for workers that ignore signals.
    atexit.register(kill_workers)
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals(worker_id: int) -> None:
    """Leave signals to the main process; for loader workers, which a signal
    to the whole group would kill in the middle of a batch.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def kill_workers() -> None:
    """End the loader workers that a run leaves behind where it stops in the
    middle of an epoch.

    Example
    -------
    >>> kill_workers()
    """
    workers = multiprocessing.active_children()
    if workers:
        # Torch's handler would take their end for a failure.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in workers:
        worker.kill()


def command() -> str:
    """What to type to start this run again."""
    if int(os.environ.get("GROUP_WORLD_SIZE", 1)) > 1:
        return "the same torchrun commands"  # a machine cannot know the others
    launcher = ["python"]
    n_local = os.environ.get("LOCAL_WORLD_SIZE")
    if n_local:
        launcher = ["torchrun", f"--nproc_per_node={n_local}"]
    return shlex.join([*launcher, *sys.argv])
