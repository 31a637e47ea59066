"""The state of a run at the end of an epoch, kept in memory.

A checkpoint takes a tenth of a second to be safe on the disk, ten times as
long as an epoch of a cached probe, and of a hundred only the best is asked for.
"""

import copy
from contextlib import contextmanager
from typing import Any, Dict, Iterator

import speechbrain as sb
from speechbrain.utils.epoch_loop import EpochCounter
from torch import nn
from torch.utils.data import DataLoader

from cry_modules.distributed import PerRank

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
