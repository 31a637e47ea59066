"""One run on several processes: shares of the ranks and their joined results.

Without ``torch.distributed`` there is one rank.
"""

import os
from typing import Any, Dict, Iterator, List, Tuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from speechbrain.utils.distributed import (
    ddp_init_group,
    is_distributed_initialized,
)
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler

from data_prep.files.errors import InputError
from data_prep.files.parent import end_with_parent

#: Seconds that a run has to save its state after torchrun was killed.
_GRACE_S = 30.0


def join_ranks(run_opts: Dict) -> None:
    """Join the other processes that torchrun has started, if it has, and end
    when it ends."""
    if "LOCAL_RANK" not in os.environ:
        return
    end_with_parent(_GRACE_S)
    try:
        ddp_init_group(run_opts)
    except ValueError as error:
        raise InputError(
            f"LOCAL_RANK is set and there is no group of processes ({error}); "
            "start the command with torchrun, or unset LOCAL_RANK"
        )


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if is_distributed_initialized() else 0


def n_ranks() -> int:
    """Number of processes."""
    return dist.get_world_size() if is_distributed_initialized() else 1


def gather_objects(value: Any) -> List[Any]:
    """Gather an object of each rank, in rank order, on every rank.

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


def gather_ranks(x: torch.Tensor) -> Tuple[torch.Tensor, int]:
    """Gather the rows of all ranks with their gradient.

    Arguments
    ---------
    x : torch.Tensor
        ``[batch, dim]``; the batch size may differ between ranks.

    Returns
    -------
    rows : torch.Tensor
        ``[sum of batches, dim]``, in rank order.
    offset : int
        First row of this rank.

    Example
    -------
    >>> gather_ranks(torch.ones(2, 3))[0].shape
    torch.Size([2, 3])
    """
    if n_ranks() == 1:
        return x, 0
    # Imported here: a torch built without distributed lacks it.
    from torch.distributed.nn.functional import all_gather

    size = torch.tensor([len(x)], device=x.device)
    sizes = [torch.empty_like(size) for _ in range(n_ranks())]
    dist.all_gather(sizes, size)
    sizes = [int(size) for size in sizes]
    padded = F.pad(x, (0, 0, 0, max(sizes) - len(x)))
    # Unlike dist.all_gather, this one carries the gradient to every rank.
    parts = all_gather(padded)
    rows = torch.cat([part[:size] for part, size in zip(parts, sizes)])
    return rows, sum(sizes[: rank()])


def any_rank(flag: bool, device: str) -> bool:
    """Return True on every rank if the flag is set on any rank.

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
    """Scale a rank's sum so that averaging over ranks gives the overall mean.

    Data parallelism averages gradients over ranks with equal weights, whatever
    their numbers of values.

    Arguments
    ---------
    values : torch.Tensor
        Values of this rank, ``[n]``.
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
    """The module inside DistributedDataParallel.

    A wrapped module waits for the other ranks at each call, also in
    evaluation: ranks with different numbers of batches would wait for ever.

    Example
    -------
    >>> unwrapped(nn.Linear(1, 2))
    Linear(in_features=1, out_features=2, bias=True)
    """
    wrapped = isinstance(module, DistributedDataParallel)
    return module.module if wrapped else module


def own_share(batches: List) -> List:
    """This rank's share of a list of batches.

    Example
    -------
    >>> own_share([[0, 1], [2, 3]])
    [[0, 1], [2, 3]]
    """
    return batches[rank() :: n_ranks()]


class RankShare(Sampler):
    """This rank's share of every batch.

    ``batches`` are global: recordings, learning rate and steps do not depend
    on the number of ranks.

    Example
    -------
    >>> list(RankShare([[3, 1], [0, 2]]))
    [[3, 1], [0, 2]]
    """

    def __init__(self, batches):
        self.batches = batches

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 1."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[List[int]]:
        for batch in self.batches:
            yield batch[rank() :: n_ranks()]
