"""NT-Xent, the loss of SimCLR (https://arxiv.org/abs/2002.05709, section 2.1).

Authors
 * The contributors of cry-ssl 2026
"""

from typing import Tuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.distributed.nn.functional import all_gather

from cry_modules.ranks import n_ranks, part_of_mean, rank


def gather_ranks(x: torch.Tensor) -> Tuple[torch.Tensor, int]:
    """Rows of all ranks, with their gradient, and where this rank's begin.

    Arguments
    ---------
    x : torch.Tensor
        ``[batch, dim]``; ranks may bring batches of different sizes.

    Returns
    -------
    rows : torch.Tensor
        ``[sum of batches, dim]``, in rank order.
    offset : int
        Row at which this rank's own begin.

    Example
    -------
    >>> gather_ranks(torch.ones(2, 3))[0].shape
    torch.Size([2, 3])
    """
    if n_ranks() == 1:
        return x, 0
    own = torch.tensor([len(x)], device=x.device)
    sizes = [torch.empty_like(own) for _ in range(n_ranks())]
    dist.all_gather(sizes, own)
    sizes = [int(size) for size in sizes]
    padded = F.pad(x, (0, 0, 0, max(sizes) - len(x)))
    # Unlike dist.all_gather, this one carries the gradient to every rank.
    parts = all_gather(padded)
    rows = torch.cat([part[:size] for part, size in zip(parts, sizes)])
    return rows, sum(sizes[: rank()])


class NTXentLoss(nn.Module):
    """Normalised temperature-scaled cross entropy (SimCLR, equation 1).

    Each view must find the other view of its own recording among all views of
    the batch, its own excepted; in train mode with ``torch.distributed``,
    among the views of all ranks. Computed in float32 whatever the autocast: a
    bfloat16 similarity has three digits, divided by a temperature of 0.1.

    Arguments
    ---------
    temperature : float
        Above 0. The paper's 0.5; 0.1 for a few hundred recordings.

    Raises
    ------
    ValueError
        Temperature not above 0, or views of different shapes.

    Example
    -------
    >>> z = torch.eye(4)
    >>> loss = NTXentLoss(temperature=0.1)
    >>> round(loss(z, z).item(), 4)  # -log(e^10 / (e^10 + 6))
    0.0003
    """

    def __init__(self, temperature: float = 0.5):
        super().__init__()
        if not temperature > 0:
            raise ValueError(
                f"temperature is {temperature}; it must be above 0"
            )
        self.temperature = temperature

    def forward(self, z1: torch.Tensor, z2: torch.Tensor) -> torch.Tensor:
        """Arguments
        ---------
        z1 : torch.Tensor
            Projections of the first views, ``[batch, dim]``.
        z2 : torch.Tensor
            Projections of the second views, in the same order.

        Returns
        -------
        torch.Tensor
            A scalar whose mean over the ranks is the mean over all views; on
            one process that mean itself.
        """
        logits, targets = self.logits(z1, z2)
        losses = F.cross_entropy(logits, targets, reduction="none")
        if not self.training:
            return losses.mean()
        return part_of_mean(losses, n_all=logits.shape[1])

    def logits(
        self, z1: torch.Tensor, z2: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """The classification behind the loss: which row is my other view?

        ``cross_entropy(*logits(z1, z2))`` is the loss, and the share of rows
        whose largest logit is the target the contrastive accuracy. The first
        ``batch`` rows belong to ``z1``, the others to ``z2``.

        Arguments
        ---------
        z1 : torch.Tensor
            ``[batch, dim]``.
        z2 : torch.Tensor
            ``[batch, dim]``.

        Returns
        -------
        logits : torch.Tensor
            ``[2 * batch, views of all ranks]``; a view's similarity to itself
            is minus infinity.
        targets : torch.Tensor
            Column of the other view, ``[2 * batch]``.
        """
        if z1.shape != z2.shape or z1.dim() != 2:
            raise ValueError(
                f"views of shapes {tuple(z1.shape)} and {tuple(z2.shape)}; "
                "expected the same [batch, dim] twice"
            )
        with torch.autocast(z1.device.type, enabled=False):
            views = _at_least_float32(torch.cat([z1, z2]))
            # Of a length at which a product is a logit.
            h = F.normalize(views, dim=1) * self.temperature**-0.5
            if self.training and n_ranks() > 1:
                return _among_ranks(h)
            # The other view of a recording is half of the rows away.
            others = torch.arange(len(h), device=h.device).roll(len(z1))
            return _AmongThemselves.apply(h), others


class _AmongThemselves(torch.autograd.Function):
    """Products of all rows with each other, minus infinity with themselves.

    ``h @ h.T`` with one product in its backward instead of two, and with one
    matrix of rows by rows instead of three.
    """

    @staticmethod
    def forward(ctx, h):
        ctx.save_for_backward(h)
        return (h @ h.T).fill_diagonal_(float("-inf"))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (h,) = ctx.saved_tensors
        # grad + grad.T: a sum of two orders of memory takes twice as long.
        both = grad.T.clone(memory_format=torch.contiguous_format).add_(grad)
        return both.fill_diagonal_(0.0) @ h


def _among_ranks(h):
    """``NTXentLoss.logits`` of this rank's views among those of all."""
    n = len(h) // 2
    both, offset = gather_ranks(torch.cat(h.chunk(2), dim=1))
    logits = h @ torch.cat(both.chunk(2, dim=1)).T
    first = offset + torch.arange(n, device=h.device)
    second = first + len(both)
    rows = torch.arange(2 * n, device=h.device)
    logits[rows, torch.cat([first, second])] = float("-inf")
    return logits, torch.cat([second, first])


def _at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Float32, or the float64 of a test."""
    return x if x.dtype == torch.float64 else x.float()
