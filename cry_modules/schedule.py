"""Learning rate: linear warm-up, then half a cosine, over the real steps.

Authors
 * The contributors of cry-ssl 2026
"""

import math


def warmup_cosine(
    step: int, n_steps: int, n_warmup: int, lr: float, final_lr: float
) -> float:
    """Learning rate of one optimizer step.

    A function of the step alone, so that a resumed run needs no state of it.

    Arguments
    ---------
    step : int
        0 for the first step, ``n_steps - 1`` for the last.
    n_steps : int
        Steps of the whole run.
    n_warmup : int
        Steps in which the rate rises linearly to ``lr``.
    lr : float
        Largest rate.
    final_lr : float
        Rate of the last step.

    Returns
    -------
    float

    Example
    -------
    >>> [round(warmup_cosine(s, 7, 2, 1.0, 0.0), 3) for s in range(7)]
    [0.5, 1.0, 0.905, 0.655, 0.345, 0.095, 0.0]
    """
    peak = max(n_warmup - 1, 0)  # the step with the largest rate
    if step < peak:
        return lr * (step + 1) / n_warmup
    share = min(1.0, (step - peak) / max(1, n_steps - 1 - peak))
    return final_lr + (lr - final_lr) * (1 + math.cos(math.pi * share)) / 2
