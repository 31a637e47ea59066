"""NT-Xent, the loss of SimCLR (https://arxiv.org/abs/2002.05709, section 2.1)."""

from typing import Tuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from cry_modules.distributed import n_ranks, part_of_mean, rank


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
    # Not at the top: a torch built without distributed has none.
    from torch.distributed.nn.functional import all_gather

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
    among the views of all ranks. To be in evaluation mode when it evaluates,
    it must be one of a Brain's ``modules``, or be told. Where there are several other views, it must
    find each of them among itself and the views of other recordings: pairs of
    views in a full graph (https://arxiv.org/abs/1906.05849). Computed in
    float32 whatever the autocast: a bfloat16 similarity has three digits,
    divided by a temperature of 0.1.

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

    def forward(self, *views: torch.Tensor) -> torch.Tensor:
        """Arguments
        ---------
        *views : torch.Tensor
            Projections of the first views, of the second ones, ..., each
            ``[batch, dim]`` in the same order.

        Returns
        -------
        torch.Tensor
            A scalar whose mean over the ranks is the mean over all pairs; on
            one process that mean itself.
        """
        logits, targets = self.logits(*views)
        losses = F.cross_entropy(logits, targets, reduction="none")
        if not self.training:
            return losses.mean()
        # Of all ranks: each view is a column, and a row for each other view.
        return part_of_mean(losses, logits.shape[1] * (len(views) - 1))

    def logits(self, *views: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """The classification behind the loss: which column is the other view?

        ``cross_entropy(*logits(z1, z2))`` is the loss, and the share of rows
        whose largest logit is the target the contrastive accuracy.

        Arguments
        ---------
        *views : torch.Tensor
            Two or more, each ``[batch, dim]``.

        Returns
        -------
        logits : torch.Tensor
            ``[n_views * (n_views - 1) * batch, views of all ranks]``: rows of
            the first views, of the second ones, ..., each to find the next
            view (the first follows the last); then all again, to find the
            next but one, ... A view's similarity to itself, and to views that
            are neither the one to be found nor another recording's, is minus
            infinity.
        targets : torch.Tensor
            Column of the view to be found, by row.
        """
        shapes = {tuple(view.shape) for view in views}
        if len(views) < 2 or len(shapes) > 1 or views[0].dim() != 2:
            found = " and ".join(str(tuple(view.shape)) for view in views)
            raise ValueError(
                f"views of shapes {found}; expected the same [batch, dim] "
                "twice or more"
            )
        with torch.autocast(views[0].device.type, enabled=False):
            z = _at_least_float32(torch.cat(views))
            # Of a length at which a product is a logit.
            h = F.normalize(z, dim=1) * self.temperature**-0.5
            if self.training and n_ranks() > 1:
                products, own = _among_ranks(h, len(views))
            else:
                products = _AmongThemselves.apply(h)
                own = torch.arange(len(h), device=h.device)
                own = own.view(len(views), -1)
            if len(views) == 2:
                return products, own.roll(1, 0).flatten()
            return _one_at_a_time(products, own)


class _AmongThemselves(torch.autograd.Function):
    """Products of all rows with each other, minus infinity with themselves.

    ``h @ h.T`` with one product in its backward instead of two, and with one
    matrix of rows by rows instead of three.
    """

    @staticmethod
    def forward(ctx, h):
        """``[rows, dim]`` to ``[rows, rows]``."""
        ctx.save_for_backward(h)
        return (h @ h.T).fill_diagonal_(float("-inf"))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """Gradient of the rows."""
        (h,) = ctx.saved_tensors
        # grad + grad.T: a sum of two orders of memory takes twice as long.
        both = grad.T.clone(memory_format=torch.contiguous_format).add_(grad)
        return both.fill_diagonal_(0.0) @ h


def _among_ranks(h, n_views):
    """Products of this rank's views with those of all, minus infinity with
    themselves; columns of this rank's recordings, ``[n_views, batch]``."""
    joined, offset = gather_ranks(torch.cat(h.chunk(n_views), dim=1))
    products = h @ torch.cat(joined.chunk(n_views, dim=1)).T
    rows = torch.arange(len(h), device=h.device)
    own = offset + rows[: len(h) // n_views].repeat(n_views, 1)
    own = own + len(joined) * torch.arange(n_views, device=h.device)[:, None]
    products[rows, own.flatten()] = float("-inf")
    return products, own


def _one_at_a_time(products, own):
    """A copy of the rows for each other view: without the rest of them."""
    rows = torch.arange(len(products), device=products.device)
    n_views = len(own)
    next_ones = [own.roll(-i, 0).flatten() for i in range(1, n_views)]
    logits = []
    for wanted in range(n_views - 1):
        copy = products.clone()
        for i, columns in enumerate(next_ones):
            if i != wanted:
                copy[rows, columns] = float("-inf")
        logits.append(copy)
    return torch.cat(logits), torch.cat(next_ones)


def _at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Float32, or the float64 of a test."""
    return x if x.dtype == torch.float64 else x.float()
