"""End a process when the process that started it has ended.

A parent that was killed (SIGKILL, out of memory) cannot stop its children.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from typing import Callable, Optional

_LOOK_EVERY = 1.0  # seconds


def end_with_parent(grace_s: float = 0.0) -> None:
    """Watch the parent in a thread; when it has ended, end this process.

    With `grace_s`, the process first gets SIGTERM and so many seconds to save
    its state.
    """
    # Known to children of multiprocessing only, and on every system.
    known, parent = multiprocessing.parent_process(), os.getppid()

    def watch() -> None:
        if known is not None:
            known.join()
        while known is None and os.getppid() == parent:
            time.sleep(_LOOK_EVERY)
        if grace_s:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(grace_s)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def program_ends_with_parent(
    number: int = signal.SIGKILL,
) -> Optional[Callable]:
    """Make the ``preexec_fn`` of a program such as ffmpeg, to which Linux sends
    a signal when the thread that started it ends; elsewhere None."""
    if sys.platform != "linux":
        return None
    import ctypes  # here: it must be loaded before the fork

    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def prepare() -> None:
        pr_set_pdeathsig = 1
        prctl(pr_set_pdeathsig, number)
        if os.getppid() != parent:
            os._exit(1)

    return prepare
