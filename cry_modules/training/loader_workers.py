"""How data loaders start their worker processes."""

import multiprocessing
from typing import Any, Dict

from cry_modules.training.stopping import ignore_signals


def worker_options(num_workers: int) -> Dict[str, Any]:
    """DataLoader options for its worker processes, which are forked.

    Python 3.14 no longer forks by default; datasets hold local functions,
    which can be forked but not pickled.
    """
    forks = "fork" in multiprocessing.get_all_start_methods()
    return {
        "num_workers": num_workers,
        "worker_init_fn": ignore_signals,
        # Torch refuses a context where there is no worker.
        "multiprocessing_context": "fork" if num_workers and forks else None,
    }
