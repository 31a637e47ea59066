"""How data loaders start their worker processes, and how these end."""

import atexit
import os
import re
import shutil
import sys
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

from torch._utils import ExceptionWrapper

from cry_modules.training.stopping import ignore_signals, kill_workers
from data_prep.files.errors import InputError, require
from data_prep.files.option_values import convert
from data_prep.files.parent import end_with_parent
from data_prep.files.processors import fit_processors

#: Where Linux keeps the memory that processes share.
SHARED = Path("/dev/shm")
#: Batches that torch's loaders prepare in advance, for each worker.
_PREFETCH = 2
_LOST = re.compile(r"DataLoader worker \(pid(?:\(s\))? [\d, ]+\) (.+)", re.S)


def worker_options(num_workers: int) -> Dict[str, Any]:
    """DataLoader options for its worker processes.

    They are forked on Linux, which takes no time. Elsewhere they are new
    processes: forks may crash after macOS frameworks were used.
    """
    # Multiprocessing's own handler, which runs later, would wait for ever for
    # workers that ignore signals.
    atexit.unregister(kill_workers)
    atexit.register(kill_workers)
    start = "fork" if sys.platform == "linux" else "spawn"
    return {
        "num_workers": num_workers,
        "worker_init_fn": start_worker,
        # Torch refuses a context where there is no worker.
        "multiprocessing_context": start if num_workers else None,
    }


def start_worker(worker_id: int) -> None:
    """Prepare a loader worker."""
    ignore_signals(worker_id)
    end_with_parent()
    # By default a batch that cannot be handed over is dropped, and the main
    # process waits for it for ever.
    Queue._on_queue_feeder_error = _send_error


def _send_error(queue: Queue, error: Exception, batch: Any) -> None:
    """Hand over an error in place of a batch."""
    problem = InputError(
        f"a loader worker cannot hand over a batch ({error}); pass "
        "--num_workers 0, or give the container more shared memory (docker "
        "run --shm-size=8g)"
    )
    number = batch[0]
    queue.put((number, ExceptionWrapper((InputError, problem, None))))


@contextmanager
def worker_errors() -> Iterator[None]:
    """End the loader workers at an error, and turn theirs into one line."""
    try:
        yield
    except BaseException as error:
        # Torch would wait for each of them.
        kill_workers()
        problem = _problem(error)
        if problem is None:
            raise
    else:
        return
    raise InputError(problem)


def _problem(error: BaseException) -> Optional[str]:
    """Describe an error of a worker; None for any other."""
    text = str(error).strip()
    if isinstance(error, InputError):
        # Torch puts the worker's traceback, with its line ends, before it.
        return text.rpartition("InputError: ")[2].removesuffix("\\n")
    lost = _LOST.match(text)
    if lost is None or not isinstance(error, RuntimeError):
        return None
    return (
        f"a loader worker {' '.join(lost[1].split()).rstrip('.')}; lower "
        "--num_workers, which needs less memory, and run the same command "
        "again to resume"
    )


def check_workers(num_workers: int, batch_bytes: float) -> None:
    """Refuse loader workers that this machine has no processors or no shared
    memory for."""
    convert("--num_workers", fit_processors, num_workers)
    check_shared_memory(num_workers, batch_bytes)


def check_shared_memory(num_workers: int, batch_bytes: float) -> None:
    """Refuse workers whose batches do not fit into the shared memory."""
    if num_workers == 0 or sys.platform != "linux":
        return
    require(
        os.access(SHARED, os.W_OK),
        f"--num_workers is {num_workers} and {SHARED}, through which workers "
        "send batches, cannot be written to",
        "pass --num_workers 0",
    )
    # All ranks of this machine share it; one batch more is in use.
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    free = shutil.disk_usage(SHARED).free
    need = processes * (_PREFETCH * num_workers + 1) * batch_bytes
    most = int((free / processes / batch_bytes - 1) // _PREFETCH)
    require(
        need <= free,
        f"--num_workers {num_workers} needs {need / 1e6:.0f} MB of shared "
        f"memory for batches of {batch_bytes / 1e6:.1f} MB and {SHARED} has "
        f"{free / 1e6:.0f} MB free",
        f"pass --num_workers {max(0, most)}, or start the container with "
        f"docker run --shm-size={need / 1e9 + 0.5:.0f}g",
    )
