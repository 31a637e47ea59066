"""Devices to compute on: which this machine has."""

import os
from typing import List, Mapping

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


def check_run_options(run_opts: Mapping) -> None:
    """Refuse options of SpeechBrain that this machine cannot follow."""
    device = run_opts["device"]
    if device is not None:
        check_device(device)
    local_rank = os.environ.get("LOCAL_RANK")  # set by torchrun
    if local_rank is not None and run_opts["distributed_backend"] != "gloo":
        n_gpus = torch.cuda.device_count()
        require(
            local_rank.isdecimal() and int(local_rank) < n_gpus,
            f"{os.environ.get('LOCAL_WORLD_SIZE')} processes and {n_gpus} GPUs",
            "start fewer, or use CPUs with --distributed_backend gloo --device "
            "cpu",
        )
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if on_cpu and "fp16" in (run_opts["precision"], run_opts["eval_precision"]):
        raise InputError("fp16 needs a GPU; use --precision bf16 or fp32")
