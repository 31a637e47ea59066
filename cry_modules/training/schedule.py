"""Learning rate: linear warm-up, then half a cosine, over the real steps."""

import logging
import math
from typing import Dict

from data_prep.files.errors import InputError


def warmup_cosine(
    step: int, n_steps: int, n_warmup: int, lr: float, final_lr: float
) -> float:
    """Learning rate of one optimizer step.

    It depends on the step alone, so a resumed run needs no state of it.

    Arguments
    ---------
    step : int
        0 for the first step, ``n_steps - 1`` for the last.
    n_steps : int
        Number of steps of the whole run.
    n_warmup : int
        Number of steps in which the rate rises linearly to ``lr``.
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


def step_schedule(hparams: Dict, n_batches: int, accumulation: int) -> Dict:
    """Arguments of ``warmup_cosine`` from the real number of steps.

    A warm-up that would last until the end or longer, as where only
    ``number_of_epochs`` is lowered, is shortened to a tenth of the epochs.

    Arguments
    ---------
    hparams : dict
        Settings, with ``number_of_epochs``, ``warmup_epochs``, ``lr``,
        ``final_lr`` and ``batch_size``.
    n_batches : int
        Number of batches in an epoch.
    accumulation : int
        Number of batches to an optimizer step.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        An epoch has no batch or no step.

    Example
    -------
    >>> hparams = dict(
    ...     number_of_epochs=3, warmup_epochs=1, lr=1.0, final_lr=0.0
    ... )
    >>> step_schedule(hparams, n_batches=10, accumulation=2)["n_steps"]
    15
    """
    if not n_batches:
        raise InputError(
            f"an epoch has no full batch of {hparams['batch_size']} recordings; "
            "lower --batch_size, or add recordings"
        )
    steps_per_epoch = n_batches // accumulation
    if not steps_per_epoch:
        raise InputError(
            f"--grad_accumulation_factor is {accumulation} and an epoch has "
            f"{n_batches} batches, so no step would be made; lower it"
        )
    warmup, n_epochs = hparams["warmup_epochs"], hparams["number_of_epochs"]
    if warmup >= n_epochs:
        warmup = n_epochs / 10
        logging.getLogger(__name__).warning(
            "--warmup_epochs is %g of %d epoch%s: shortened to %g",
            *(hparams["warmup_epochs"], n_epochs, "s" * (n_epochs != 1)),
            warmup,
        )
    return {
        "n_steps": steps_per_epoch * n_epochs,
        "n_warmup": round(steps_per_epoch * warmup),
        "lr": hparams["lr"],
        "final_lr": hparams["final_lr"],
    }
