"""NT-Xent, the loss of SimCLR (https://arxiv.org/abs/2002.05709, section 2.1).

Authors
 * The contributors of cry-ssl 2026
"""

from typing import Tuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
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
            h1 = F.normalize(_at_least_float32(z1), dim=1)
            h2 = F.normalize(_at_least_float32(z2), dim=1)
            both, offset = torch.cat([h1, h2], dim=1), 0
            if self.training:
                both, offset = gather_ranks(both)
            all1, all2 = both.chunk(2, dim=1)
            columns = torch.cat([all1, all2])
            logits = torch.cat([h1, h2]) @ columns.T / self.temperature
        own = offset + torch.arange(len(z1), device=z1.device)
        first, second = own, own + len(all1)
        rows = torch.arange(2 * len(z1), device=z1.device)
        itself = torch.zeros_like(logits, dtype=torch.bool)
        itself[rows, torch.cat([first, second])] = True
        logits = logits.masked_fill(itself, float("-inf"))
        return logits, torch.cat([second, first])


def _at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Float32, or the float64 of a test."""
    return x if x.dtype == torch.float64 else x.float()
