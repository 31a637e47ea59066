"""Processors of this machine, and how many processes at once suit them."""

import os

from data_prep.files.option_values import Unfit

#: Processes or threads for each processor: more take memory and time from
#: each other, and thousands end the machine.
_PER_PROCESSOR = 4


def n_processors() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fit_processors(number: int) -> int:
    """Refuse more processes or threads than this machine can serve."""
    n = n_processors()
    if number > _PER_PROCESSOR * n:
        raise Unfit(
            f"is {number}; it must be {_PER_PROCESSOR * n} or less, "
            f"{_PER_PROCESSOR} for each processor that this machine offers"
        )
    return number
