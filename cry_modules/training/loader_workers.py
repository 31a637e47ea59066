"""How data loaders start their worker processes."""

import multiprocessing
from typing import Any, Dict

from cry_modules.training.stopping import ignore_signals


def worker_options(num_workers: int) -> Dict[str, Any]:
    """Options of a DataLoader about its worker processes.

    Python 3.14 forks no longer by default; datasets hold local functions,
    which can be forked but not pickled.

    Example
    -------
    >>> worker_options(0)["multiprocessing_context"] is None
    True
    """
    forks = "fork" in multiprocessing.get_all_start_methods()
    return {
        "num_workers": num_workers,
        "worker_init_fn": ignore_signals,
        # Torch refuses one where there are no workers.
        "multiprocessing_context": "fork" if num_workers and forks else None,
    }
