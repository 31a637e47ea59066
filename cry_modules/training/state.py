"""Parts of a checkpoint besides weights, and a snapshot of all parts in memory."""

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


class RandomStates(PerRank):
    """Python's, NumPy's, torch's and CUDA's generators of every rank.

    SpeechBrain's ``SaveableGenerator`` holds torch's and CUDA's of the first
    rank. Loaders need no state here: their generator is seeded for each epoch
    and chunks follow from (seed, epoch, recording).

    Example
    -------
    >>> states = RandomStates()
    >>> before = states.get_state()
    >>> drawn = random.random(), np.random.rand(), torch.rand(1)
    >>> states.set_state(before)
    >>> drawn == (random.random(), np.random.rand(), torch.rand(1))
    True
    """

    def get_state(self):
        """Numbers, lists and tensors alone."""
        version, numbers, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state()
        return {
            "python": [version, list(numbers), gauss],
            "numpy": [name, keys.tolist(), position, has_gauss, cached],
            "torch": torch.get_rng_state(),
            "cuda": _cuda_state(),
        }

    def set_state(self, state):
        """As ``get_state`` gave it."""
        version, numbers, gauss = state["python"]
        random.setstate((version, tuple(numbers), gauss))
        name, keys, *rest = state["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])


def _cuda_state():
    """Of this rank's GPU."""
    return torch.cuda.get_rng_state() if torch.cuda.is_available() else None


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


#: Of a Brain, what it saves.
_OF_BRAIN = ("step", "avg_train_loss", "optimizer_step")


class Moment:
    """What a checkpoint of now would hold, to be written later.

    Example
    -------
    >>> import torch
    >>> layer = nn.Linear(1, 1)
    >>> moment = Moment({"layer": layer}, {"epoch": 1})
    >>> weight = layer.weight.item()
    >>> _ = layer.weight.data.fill_(7.0)
    >>> with moment.again():
    ...     layer.weight.item() == weight
    True
    >>> layer.weight.item()
    7.0
    """

    def __init__(self, recoverables: Dict[str, Any], meta: Dict):
        self.meta = meta
        self._objects = {
            name: obj for name, obj in recoverables.items() if _changes(obj)
        }
        self._states = {name: _state(o) for name, o in self._objects.items()}

    @contextmanager
    def again(self) -> Iterator[None]:
        """All objects as they were then; afterwards as they are now."""
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
    """Whether epochs differ in it."""
    if isinstance(obj, nn.Module):
        return any(p.requires_grad for p in obj.parameters())
    # At the end of an epoch a loader is where it is at the end of each.
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
    else:  # an optimizer takes the tensors themselves
        obj.load_state_dict(copy.deepcopy(state))
