"""Correction of p values for their number."""

from typing import List, Optional, Sequence


def holm(ps: Sequence[Optional[float]]) -> List[Optional[float]]:
    """Correct p values for their number by Holm's procedure; one that is
    missing (None) counts.

    Example
    -------
    >>> holm([0.02, None, 0.01])
    [0.04, None, 0.03]
    """
    corrected: List[Optional[float]] = [None] * len(ps)
    largest = 0.0
    known = [i for i, p in enumerate(ps) if p is not None]
    for rank, i in enumerate(sorted(known, key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[i]))
        corrected[i] = largest
    return corrected
