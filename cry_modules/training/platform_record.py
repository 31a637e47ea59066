"""The processor, device and libraries that decide the last bits of a run.

Sums of floating-point numbers depend on their order, and that is chosen by the
instruction set, the number of threads and the version of each library.
"""

import logging
import os
import platform
from importlib.metadata import version
from typing import Dict, List

import torch

from cry_modules.distributed import PerRank, gather_objects, rank

logger = logging.getLogger(__name__)

#: Libraries that decode audio, or compute features, losses and gradients.
_LIBRARIES = ("torch", "torchaudio", "speechbrain", "numpy", "soundfile")

#: Variables by which oneDNN and MKL leave instructions of a processor unused;
#: torch's own is in ``torch.backends.cpu.get_cpu_capability()``.
_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_CBWR")


def platform_record(device: str) -> Dict[str, str]:
    """Describe what the last bits of a result depend on, besides settings.

    Example
    -------
    >>> record = platform_record("cpu")
    >>> record["threads"] == str(torch.get_num_threads()), record["device"]
    (True, 'cpu')
    """
    on_gpu = torch.device(device).type == "cuda"
    return {
        "processor": _processor(),
        "instruction set": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        **{name: version(name) for name in _LIBRARIES},
        **{name: os.environ.get(name, "not set") for name in _VARIABLES},
    }


def differences(before: Dict[str, str], now: Dict[str, str]) -> List[str]:
    """Describe entries that differ; one that was not recorded does not.

    Example
    -------
    >>> differences({"threads": "1"}, {"threads": "2", "torch": "2.14.1"})
    ['threads: 1, now 2']
    """
    return [
        f"{name}: {before[name]}, now {value}"
        for name, value in now.items()
        if before.get(name, value) != value
    ]


class PlatformRecord(PerRank):
    """Part of a checkpoint: the platform that the run was on when it was
    saved. A run that resumes on another one logs a line that says so.

    Example
    -------
    >>> record = PlatformRecord("cpu")
    >>> record.set_state(record.get_state())  # the same: nothing is logged
    """

    def __init__(self, device: str):
        self.record = platform_record(device)
        self._compared = False

    def get_state(self):
        """The record of this process."""
        return self.record

    def set_state(self, state):
        """Compare the record of the checkpoint that a run resumes from; the
        best one, loaded later for the evaluation, may be older."""
        if self._compared:
            return
        self._compared = True
        found = differences(state, self.record)
        changed = next(filter(None, gather_objects(found)), [])
        if changed and rank() == 0:
            logger.warning(
                "This run resumes on another platform (%s): its results will "
                "differ from an uninterrupted run's, by rounding errors at "
                "first, which grow during training",
                "; ".join(changed),
            )


def _processor() -> str:
    """Name of the processor, as exact as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # Linux
            lines = [line.partition(":") for line in file]
    except OSError:
        return platform.processor() or platform.machine()
    names = [v.strip() for k, _, v in lines if k.strip() == "model name"]
    return names[0] if names else platform.machine()
