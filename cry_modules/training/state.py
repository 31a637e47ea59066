"""Parts of a checkpoint besides weights, and snapshots of all parts in memory.

Sums of floating-point numbers depend on their order, which the instruction
set, the number of threads and the version of each library decide: a checkpoint
records these.
"""

import copy
import logging
import os
import platform
import random
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Dict, Iterator, List

import numpy as np
import speechbrain as sb
import torch
from speechbrain.utils.epoch_loop import EpochCounter
from torch import nn
from torch.utils.data import DataLoader

from cry_modules.distributed import PerRank, gather_objects, rank

logger = logging.getLogger(__name__)

#: Libraries that decode audio, or compute features, losses and gradients.
_LIBRARIES = ("torch", "torchaudio", "speechbrain", "numpy", "soundfile")

#: Variables by which oneDNN and MKL leave instructions of a processor unused;
#: torch's own is in ``torch.backends.cpu.get_cpu_capability()``.
_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_CBWR")

#: A Brain's attributes that a checkpoint holds.
_OF_BRAIN = ("step", "avg_train_loss", "optimizer_step")


class RandomStates(PerRank):
    """States of Python's, NumPy's, torch's and CUDA's generators of every rank.

    SpeechBrain's ``SaveableGenerator`` has torch's and CUDA's of the first
    rank. Loaders need no state: their generator is seeded for each epoch, and
    chunks are drawn from (seed, epoch, recording).
    """

    def get_state(self):
        """States as numbers, lists and tensors."""
        version, numbers, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state()
        return {
            "python": [version, list(numbers), gauss],
            "numpy": [name, keys.tolist(), position, has_gauss, cached],
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state()  # this rank's GPU
            if torch.cuda.is_available()
            else None,
        }

    def set_state(self, state):
        """Set the states that ``get_state`` returned."""
        version, numbers, gauss = state["python"]
        random.setstate((version, tuple(numbers), gauss))
        name, keys, *rest = state["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])


def platform_record(device: str) -> Dict[str, str]:
    """Names and values that decide the last bits of a result, besides settings."""
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
    """Describe entries that differ; those that were not recorded do not."""
    return [
        f"{name}: {before[name]}, now {value}"
        for name, value in now.items()
        if before.get(name, value) != value
    ]


class PlatformRecord(PerRank):
    """Part of a checkpoint: the platform on which it was saved.

    A run that resumes on another platform logs one warning.
    """

    def __init__(self, device: str):
        self.record = platform_record(device)
        self._compared = False

    def get_state(self):
        """Record of this process."""
        return self.record

    def set_state(self, state):
        """Compare the record of the checkpoint from which a run resumes."""
        if self._compared:  # the best checkpoint, loaded for the evaluation
            return
        self._compared = True
        of_all_ranks = gather_objects(differences(state, self.record))
        changed = next(filter(None, of_all_ranks), [])
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


class Snapshot:
    """All parts of a checkpoint, kept in memory to be written later.

    Writing a checkpoint takes 0.1 s, ten times as long as an epoch of a cached
    probe, and of a hundred epochs only the best is needed.
    """

    def __init__(self, recoverables: Dict[str, Any], meta: Dict):
        self.meta = meta
        self._objects = {
            name: obj for name, obj in recoverables.items() if _changes(obj)
        }
        self._states = {name: _state(o) for name, o in self._objects.items()}

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore the snapshot within this context, and then the present."""
        now = {name: _state(obj) for name, obj in self._objects.items()}
        self._set(self._states)
        try:
            yield
        finally:
            self._set(now)

    def _set(self, states):
        for name, obj in self._objects.items():
            _set_state(obj, states[name])


def _changes(obj):
    """Whether an object differs between the ends of two epochs."""
    if isinstance(obj, nn.Module):
        return any(p.requires_grad for p in obj.parameters())
    return not isinstance(obj, DataLoader)


def _state(obj):
    if isinstance(obj, PerRank):
        return obj.get_state()
    if isinstance(obj, EpochCounter):
        return dict(vars(obj))
    if isinstance(obj, sb.Brain):
        return {name: getattr(obj, name) for name in _OF_BRAIN}
    return copy.deepcopy(obj.state_dict())  # module, optimizer, scaler


def _set_state(obj, state):
    if isinstance(obj, PerRank):
        obj.set_state(state)
    elif isinstance(obj, (EpochCounter, sb.Brain)):
        vars(obj).update(state)
    else:  # an optimizer keeps the tensors that it is given
        obj.load_state_dict(copy.deepcopy(state))
