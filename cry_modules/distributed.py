"""One run on several processes: what each rank does, and what is joined.

Without ``torch.distributed`` there is one rank, and nothing to join.
"""

import json
from functools import partial
from typing import Any, Dict, Iterator, List

import torch
import torch.distributed as dist
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import is_distributed_initialized
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler

from data_prep.files.errors import InputError


def rank() -> int:
    """This process's number, 0 where there is one."""
    return dist.get_rank() if is_distributed_initialized() else 0


def n_ranks() -> int:
    """Number of processes."""
    return dist.get_world_size() if is_distributed_initialized() else 1


def gather_objects(value: Any) -> List[Any]:
    """What each rank brings, in rank order, on every rank.

    Example
    -------
    >>> gather_objects({"a": 1})
    [{'a': 1}]
    """
    if n_ranks() == 1:
        return [value]
    values = [None] * n_ranks()
    dist.all_gather_object(values, value)
    return values


def any_rank(flag: bool, device: str) -> bool:
    """Whether the flag is up on any rank.

    Example
    -------
    >>> any_rank(False, "cpu")
    False
    """
    if n_ranks() == 1:
        return flag
    value = torch.tensor(float(flag), device=device)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return bool(value.item())


def sum_of_ranks(number: int, device: str) -> int:
    """Sum of an integer over all ranks.

    Example
    -------
    >>> sum_of_ranks(3, "cpu")
    3
    """
    if n_ranks() == 1:
        return number
    value = torch.tensor(number, device=device)
    dist.all_reduce(value)
    return int(value)


def part_of_mean(values: torch.Tensor, n_all: int) -> torch.Tensor:
    """This rank's part of the mean over the values of all ranks.

    Data parallelism averages gradients over ranks as if each had as many
    values; a rank with more of them counts for more.

    Arguments
    ---------
    values : torch.Tensor
        Of this rank, ``[n]``.
    n_all : int
        Number of values of all ranks.

    Returns
    -------
    torch.Tensor
        A scalar, whose mean over the ranks is the mean over all values.

    Example
    -------
    >>> part_of_mean(torch.tensor([1.0, 2.0]), n_all=2)
    tensor(1.5000)
    """
    return values.sum() * n_ranks() / n_all


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside of DistributedDataParallel.

    In evaluation a wrapped module still waits for the others at each call, so
    that ranks with different numbers of batches would wait for ever.

    Example
    -------
    >>> unwrapped(nn.Linear(1, 2))
    Linear(in_features=1, out_features=2, bias=True)
    """
    wrapped = isinstance(module, DistributedDataParallel)
    return module.module if wrapped else module


def own_share(batches: List) -> List:
    """Each rank's share of the batches, of which figures are joined.

    Example
    -------
    >>> own_share([[0, 1], [2, 3]])
    [[0, 1], [2, 3]]
    """
    return batches[rank() :: n_ranks()]


class RankShare(Sampler):
    """Each rank's share of every batch.

    A batch is the global one, whatever the number of ranks: the same
    recordings, learning rate and steps on one process and on eight.

    Example
    -------
    >>> list(RankShare([[3, 1], [0, 2]]))
    [[3, 1], [0, 2]]
    """

    def __init__(self, batches):
        self.batches = batches

    def set_epoch(self, epoch: int) -> None:
        """Epoch to draw, from 1."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[List[int]]:
        for batch in self.batches:
            yield batch[rank() :: n_ranks()]


@partial(register_checkpoint_hooks, save_on_main_only=False)
class PerRank:
    """State of which each rank has its own; a checkpoint holds them all.

    Subclasses say what it is: ``get_state`` returns it as ``torch.save`` can
    write and read it without running code, ``set_state`` takes it back.
    """

    @mark_as_saver
    def save(self, path):
        """Write the states of all ranks."""
        states = gather_objects(self.get_state())
        if rank() == 0:
            torch.save(states, path)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Take back the state of this rank."""
        del end_of_epoch  # the state is the same
        states = torch.load(path, map_location="cpu", weights_only=True)
        if len(states) != n_ranks():
            raise InputError(
                f"{path}: this run began on {len(states)} processes and would "
                f"go on on {n_ranks()}, with another result; start as many, "
                "or pass another --output_folder"
            )
        self.set_state(states[rank()])


class EpochTotals(PerRank):
    """Sums over an epoch, which a run may go on with in its middle.

    Example
    -------
    >>> totals = EpochTotals()
    >>> totals.start(1)
    >>> totals.add("cry", loss=1.5, views=2)
    >>> totals.add("cry", loss=0.5, views=2)
    >>> totals.joined()
    {'cry': {'loss': 2.0, 'views': 4}}
    """

    def __init__(self):
        self.epoch = None
        self.sums = {}

    def start(self, epoch: int) -> None:
        """Begin with nothing, unless this epoch was begun already."""
        if epoch != self.epoch:
            self.epoch, self.sums = epoch, {}

    def add(self, key: str, **values: float) -> None:
        """Arguments
        ---------
        key : str
            What they are sums of, such as a corpus.
        **values : float
            Numbers or scalar tensors. A GPU's are added there: nothing waits
            until the sums are read.
        """
        sums = self.sums.setdefault(key, {})
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                value = value.detach().double()
            sums[name] = sums.get(name, 0) + value

    def joined(self) -> Dict[str, Dict[str, float]]:
        """Sums over all ranks, on every rank."""
        whole = {}
        for sums in gather_objects(self._numbers()):
            for key, values in sums.items():
                own = whole.setdefault(key, {})
                for name, value in values.items():
                    own[name] = own.get(name, 0) + value
        return dict(sorted(whole.items()))

    def get_state(self):
        """Epoch and sums as text: a float's digits are enough to be it."""
        return json.dumps([self.epoch, self._numbers()])

    def _numbers(self):
        """The sums without tensors."""
        return {
            key: {
                name: v.item() if isinstance(v, torch.Tensor) else v
                for name, v in sums.items()
            }
            for key, sums in self.sums.items()
        }

    def set_state(self, state):
        """As ``get_state`` gave it."""
        self.epoch, self.sums = json.loads(state)
