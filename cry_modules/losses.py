"""NT-Xent, the loss of SimCLR (https://arxiv.org/abs/2002.05709, section 2.1)."""

import math
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from cry_modules.distributed import gather_ranks, n_ranks, part_of_mean
from cry_modules.objectives.contract import Objective, Rows


class NTXentLoss(Objective):
    """Normalised temperature-scaled cross entropy (SimCLR, equation 1).

    Each view must find the other view of its recording among all other views
    of the batch; in train mode with ``torch.distributed``, among the views of
    all ranks. With more than two views it must find each of the others among
    that view and the views of other recordings, as in pairs of views in a full
    graph (https://arxiv.org/abs/1906.05849). Computed in float32 whatever the
    autocast: a bfloat16 similarity has three digits and is divided by a
    temperature of 0.1.

    Arguments
    ---------
    temperature : float
        Above 0. The paper's 0.5; 0.1 for a few hundred recordings.

    Example
    -------
    >>> z = torch.eye(4)
    >>> loss = NTXentLoss(temperature=0.1)
    >>> round(loss(z, z).item(), 4)  # -log(e^10 / (e^10 + 6))
    0.0003
    """

    figures = {"accuracy": "contrastive accuracy"}

    def __init__(self, temperature: float = 0.5):
        super().__init__()
        if not temperature > 0:
            raise ValueError(
                f"temperature is {temperature}; it must be above 0"
            )
        self.temperature = temperature

    def forward(self, *views: torch.Tensor) -> torch.Tensor:
        """Compute the mean cross entropy over all ordered pairs of views.

        Arguments
        ---------
        *views : torch.Tensor
            Projections of the first views, of the second ones, ..., each
            ``[batch, dim]`` in the same order.

        Returns
        -------
        torch.Tensor
            A scalar whose mean over the ranks is the mean over all pairs.
        """
        logits, targets = self.logits(*views)
        losses = F.cross_entropy(logits, targets, reduction="none")
        if not self.training:
            return losses.mean()
        # A column is a view of any rank; it has a row for each other view.
        return part_of_mean(losses, logits.shape[1] * (len(views) - 1))

    def rows(
        self, *views: torch.Tensor, corpora: Optional[torch.Tensor] = None
    ) -> Rows:
        """Cross entropy and accuracy of each row of ``logits``; ``corpora``
        ``[batch]``: among views of the recording's own corpus."""
        logits, targets = self.logits(*views)
        if corpora is not None:
            logits = self._of_own_corpus(logits, corpora, len(views))
        losses = F.cross_entropy(logits, targets, reduction="none")
        correct = (logits.detach().argmax(dim=1) == targets).float()
        recordings = torch.arange(len(views[0]), device=logits.device)
        n_rows = len(views) * (len(views) - 1)  # of each recording
        return Rows(losses, {"accuracy": correct}, recordings.repeat(n_rows))

    def _of_own_corpus(self, logits, corpora, n_views):
        """Minus infinity where the column is a view of another corpus.

        Negatives of another corpus are easy, and teach to tell the corpora
        apart. Comparing within a domain is usual where representations shall
        not depend on it (https://arxiv.org/abs/2303.06088, related work).
        """
        columns = corpora
        if self.training and n_ranks() > 1:
            columns = gather_ranks(corpora[:, None].float())[0][:, 0]
        columns = columns.repeat(n_views)
        rows = corpora.repeat(n_views * (n_views - 1))
        return logits.masked_fill(rows[:, None] != columns, float("-inf"))

    def chance_loss(self, n_recordings: int, n_views: int) -> float:
        """Loss of a uniform guess: the logarithm of the number of candidates.

        Example
        -------
        >>> round(NTXentLoss().chance_loss(n_recordings=32, n_views=2), 3)
        4.143
        """
        return math.log(1 + n_views * (n_recordings - 1))

    def logits(self, *views: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Similarities as logits of a classification: the class is the other view.

        ``cross_entropy(*logits(z1, z2))`` is the loss; the contrastive accuracy
        is the share of rows whose largest logit is the target.

        Arguments
        ---------
        *views : torch.Tensor
            Two or more, each ``[batch, dim]``.

        Returns
        -------
        logits : torch.Tensor
            ``[n_views * (n_views - 1) * batch, views of all ranks]``: rows of
            the first views, of the second ones, ..., whose targets are the
            next views (the first follows the last); then again with the next
            but one as targets, ... Minus infinity where the column is the view
            itself, or a view of the same recording other than the target.
        targets : torch.Tensor
            Column of the target in each row.
        """
        shapes = {tuple(view.shape) for view in views}
        if len(views) < 2 or len(shapes) > 1 or views[0].dim() != 2:
            shapes = " and ".join(str(tuple(view.shape)) for view in views)
            raise ValueError(
                f"views of shapes {shapes}; expected the same [batch, dim] "
                "twice or more"
            )
        with torch.autocast(views[0].device.type, enabled=False):
            z = _at_least_float32(torch.cat(views))
            # Scaled so that products are similarities / temperature.
            h = F.normalize(z, dim=1) * self.temperature**-0.5
            if self.training and n_ranks() > 1:
                products, columns = _products_of_ranks(h, len(views))
            else:
                products = _Products.apply(h)
                columns = torch.arange(len(h), device=h.device)
                columns = columns.view(len(views), -1)
            if len(views) == 2:
                return products, columns.roll(1, 0).flatten()
            return _one_target_each(products, columns)


class _Products(torch.autograd.Function):
    """``h @ h.T`` with minus infinity on the diagonal.

    Its backward needs one product instead of two, and one ``[rows, rows]``
    matrix instead of three.
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
        # grad + grad.T: adding two memory layouts takes twice as long.
        both = grad.T.clone(memory_format=torch.contiguous_format).add_(grad)
        return both.fill_diagonal_(0.0) @ h


def _products_of_ranks(h, n_views):
    """Products of this rank's views with those of all ranks, minus infinity
    with themselves; columns of this rank's views, ``[n_views, batch]``."""
    joined, offset = gather_ranks(torch.cat(h.chunk(n_views), dim=1))
    products = h @ torch.cat(joined.chunk(n_views, dim=1)).T
    rows = torch.arange(len(h), device=h.device)
    columns = offset + rows[: len(h) // n_views].repeat(n_views, 1)
    first = len(joined) * torch.arange(n_views, device=h.device)
    columns = columns + first[:, None]
    products[rows, columns.flatten()] = float("-inf")
    return products, columns


def _one_target_each(products, columns):
    """A copy of the rows for each other view, without the remaining ones."""
    rows = torch.arange(len(products), device=products.device)
    n_views = len(columns)
    others = [columns.roll(-i, 0).flatten() for i in range(1, n_views)]
    logits = []
    for target in range(n_views - 1):
        copy = products.clone()
        for i, other in enumerate(others):
            if i != target:
                copy[rows, other] = float("-inf")
        logits.append(copy)
    return torch.cat(logits), torch.cat(others)


def _at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Float32, or the float64 of a test."""
    return x if x.dtype == torch.float64 else x.float()
