"""Parts of a checkpoint besides weights, and snapshots of all parts in memory.

Sums of floating-point numbers depend on their order, which the instruction
set, the number of threads and the version of each library decide: a checkpoint
records these.
"""

import copy
import json
import logging
import os
import platform
import random
import re
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Iterator, List, Optional

import numpy as np
import speechbrain as sb
import torch
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.epoch_loop import EpochCounter
from torch import nn
from torch.utils.data import DataLoader

from cry_modules.distributed import gather_objects, n_ranks, rank
from cry_modules.lengths import float64
from data_prep.files.errors import InputError
from data_prep.files.shapes import ANY_NUMBER, Rule, checked, whole

logger = logging.getLogger(__name__)

#: Libraries that decode audio, or compute features, losses and gradients.
_LIBRARIES = ("torch", "torchaudio", "speechbrain", "numpy", "soundfile")

#: Variables by which oneDNN and MKL leave instructions of a processor unused;
#: torch's own is in ``torch.backends.cpu.get_cpu_capability()``.
_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_CBWR")

#: A Brain's attributes that a checkpoint holds.
_OF_BRAIN = ("step", "avg_train_loss", "optimizer_step")

#: Shapes of epoch and sums, and of a generator's state.
_TOTALS = [(whole(0), None), {str: {str: ANY_NUMBER}}]
_BYTES = Rule(
    lambda value: torch.is_tensor(value) and value.dtype == torch.uint8,
    "a tensor of bytes",
)


@partial(register_checkpoint_hooks, save_on_main_only=False)
class PerRank:
    """State that each rank has its own copy of; a checkpoint holds all copies.

    Subclasses define ``get_state``, which returns what ``torch.save`` can write
    and read without running code, its ``shape``, and ``set_state``, which
    restores it.
    """

    shape: Any = object

    @mark_as_saver
    def save(self, path):
        """Write the states of all ranks."""
        states = gather_objects(self.get_state())
        if rank() == 0:
            torch.save(states, path)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Restore the state of this rank."""
        del end_of_epoch  # the state is the same
        states = torch.load(path, map_location="cpu", weights_only=True)
        cure = "pass another --output_folder"
        checked(states, [self.shape], str(path), cure)
        if len(states) != n_ranks():
            raise InputError(
                f"{path}: this run started on {len(states)} processes and "
                f"would give another result on {n_ranks()}; start as many, or "
                "pass another --output_folder"
            )
        self.set_state(states[rank()])


class EpochTotals(PerRank):
    """Sums over an epoch; a run can resume in the middle of it."""

    shape = str

    def __init__(self):
        self.epoch = None
        self.sums = {}

    def start(self, epoch: int) -> None:
        """Reset the sums, unless this epoch is being resumed."""
        if epoch != self.epoch:
            self.epoch, self.sums = epoch, {}

    def add(self, key: str, **values: float) -> None:
        """Add numbers or scalar tensors to the sums of a key, such as a corpus.

        Tensors on a GPU are added there: nothing waits until sums are read.
        """
        sums = self.sums.setdefault(key, {})
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                value = float64(value.detach())
            sums[name] = sums.get(name, 0) + value

    def joined(self) -> Dict[str, Dict[str, float]]:
        """Sums over all ranks, on every rank."""
        total = EpochTotals()
        for sums in gather_objects(self._numbers()):
            for key, values in sums.items():
                total.add(key, **values)
        return dict(sorted(total.sums.items()))

    def get_state(self):
        """Epoch and sums as text, which keeps all digits of a float."""
        return json.dumps([self.epoch, self._numbers()])

    def _numbers(self):
        """The sums without tensors."""
        return {
            key: {
                n: v.item() if torch.is_tensor(v) else v for n, v in s.items()
            }
            for key, s in self.sums.items()
        }

    def set_state(self, state):
        """Restore what ``get_state`` returned."""
        self.epoch, self.sums = checked(
            json.loads(state), _TOTALS, "the sums of the epoch", "save again"
        )


class RandomStates(PerRank):
    """States of Python's, NumPy's, torch's and the GPU's generators of every
    rank.

    SpeechBrain's ``SaveableGenerator`` has torch's and CUDA's of the first
    rank. Loaders need no state: their generator is seeded for each epoch, and
    chunks are drawn from (seed, epoch, recording).
    """

    shape = {
        "python": [whole(0), [whole(0)], (float, None)],
        "numpy": [str, [whole(0, 2**32 - 1)], whole(0), whole(0), float],
        "torch": _BYTES,
        "cuda": (_BYTES, None),  # of any GPU
    }

    def get_state(self):
        """States as numbers, lists and tensors."""
        gpu = _gpu()
        version, numbers, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state()
        return {
            "python": [version, list(numbers), gauss],
            "numpy": [name, keys.tolist(), position, has_gauss, cached],
            "torch": torch.get_rng_state(),
            "cuda": None if gpu is None else gpu.get_rng_state(),
        }

    def set_state(self, state):
        """Set the states that ``get_state`` returned."""
        version, numbers, gauss = state["python"]
        random.setstate((version, tuple(numbers), gauss))
        name, keys, *rest = state["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
        torch.set_rng_state(state["torch"])
        gpu, of_gpu = _gpu(), state["cuda"]
        # Not that of another kind of GPU.
        if (
            gpu
            and of_gpu is not None
            and len(of_gpu) == len(gpu.get_rng_state())
        ):
            gpu.set_rng_state(of_gpu)


def _gpu() -> Optional[ModuleType]:
    """Module of this machine's kind of GPU, such as ``torch.cuda``; its
    functions are about this rank's GPU."""
    device = torch.accelerator.current_accelerator(check_available=True)
    return None if device is None else torch.get_device_module(device)


def differences(before: Dict[str, str], now: Dict[str, str]) -> List[str]:
    """Describe entries that differ; those that were not recorded do not."""
    return [
        f"{name}: {before[name]}, now {value}"
        for name, value in now.items()
        if before.get(name, value) != value
    ]


class PlatformRecord(PerRank):
    """Part of a checkpoint: names and values of the platform on which it was
    saved, which decide the last bits of a result.

    A run that resumes on another platform logs one warning.
    """

    shape = {str: str}

    def __init__(self, device: str):
        on_gpu = torch.device(device).type == "cuda"
        self.record = {
            "processor": _processor(),
            "instruction set": torch.backends.cpu.get_cpu_capability(),
            "threads": str(torch.get_num_threads()),
            "device": torch.cuda.get_device_name(device) if on_gpu else device,
            **{name: version(name) for name in _LIBRARIES},
            **{name: os.environ.get(name, "not set") for name in _VARIABLES},
        }
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
    info = Path("/proc/cpuinfo")
    if not info.is_file():  # not Linux
        return platform.processor() or platform.machine()
    name = re.search(r"^model name\s*:(.*)", info.read_text("utf-8"), re.M)
    return name[1].strip() if name else platform.machine()


class Snapshot:
    """All parts of a checkpoint, kept in memory to be written later.

    Writing a checkpoint takes 0.1 s, ten times as long as an epoch of a cached
    probe, and of a hundred epochs only the best is needed.
    """

    def __init__(self, recoverables: Dict[str, Any], meta: Dict):
        self.meta = meta
        self._objects = [obj for obj in recoverables.values() if _changes(obj)]
        self._states = list(map(_state, self._objects))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Set the snapshot's states in this context, then the former ones."""
        now = list(map(_state, self._objects))
        _set_states(self._objects, self._states)
        try:
            yield
        finally:
            _set_states(self._objects, now)


def _changes(obj):
    """True if an object differs between the ends of two epochs."""
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


def _set_states(objects, states):
    for obj, state in zip(objects, states):
        if isinstance(obj, PerRank):
            obj.set_state(state)
        elif isinstance(obj, (EpochCounter, sb.Brain)):
            vars(obj).update(state)
        else:  # an optimizer keeps the tensors that it is given
            obj.load_state_dict(copy.deepcopy(state))
