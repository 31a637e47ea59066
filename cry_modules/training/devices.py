"""Devices to compute on: which this machine has."""

from typing import List

import torch

from data_prep.files.errors import InputError, require


def devices() -> List[str]:
    """Names of the devices of this machine, the processor first."""
    gpu = torch.accelerator.current_accelerator(check_available=True)
    if gpu is None:
        return ["cpu"]
    n = torch.accelerator.device_count()
    return ["cpu", gpu.type, *(f"{gpu.type}:{i}" for i in range(n))]


def check_device(name: str) -> torch.device:
    """Return a device that this machine has; raise ``InputError`` for others.

    Example
    -------
    >>> check_device("cpu")
    device(type='cpu')
    """
    present = devices()
    cure = f"pass {' or '.join(present)}"
    problem = f"--device is {name!r}, but torch finds no GPU of that name"
    try:
        device = torch.device(name)
    except (RuntimeError, ValueError):
        raise InputError(f"{problem}; {cure}")
    require(str(device) in present or device.type == "cpu", problem, cure)
    return device
