"""Barlow Twins (https://arxiv.org/abs/2103.03230): no negatives."""

from typing import Optional

import torch

from cry_modules.objectives.contract import Objective, Rows, check_factors
from cry_modules.objectives.statistics import (
    found_share,
    in_float,
    of_all_ranks,
    off_diagonal_square_sum,
    pairs,
)

#: Added to variances, as a BatchNorm does in the paper's algorithm 1.
_EPSILON = 1e-5


class BarlowTwins(Objective):
    """Cross-correlation of two views towards the identity (equations 1, 2).

    A dimension shall correlate with itself in the other view, and with no
    other dimension. With more than two views the loss is the mean over their
    pairs. Correlations are over the batch of all ranks.

    Arguments
    ---------
    redundancy : float
        Factor of the correlations between dimensions, the paper's lambda.
    scale : float
        Factor of the whole loss, which the paper's code has and its text has
        not.

    Example
    -------
    >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> BarlowTwins().rows(z, z).losses.mean() < 1e-6
    tensor(True)
    """

    figures = {"accuracy": "contrastive accuracy"}
    has_negatives = False
    unused = ("temperature",)

    def __init__(self, redundancy: float = 0.005, scale: float = 1.0):
        super().__init__()
        check_factors(redundancy=redundancy, scale=scale)
        self.redundancy, self.scale = redundancy, scale

    def rows(
        self, *views: torch.Tensor, corpora: Optional[torch.Tensor] = None
    ) -> Rows:
        """The loss of the batch for each recording."""
        with torch.autocast(views[0].device.type, enabled=False):
            z = of_all_ranks(in_float(views), self.training)
            z = [_standardised(view) for view in z]
            losses = [self._of_pair(a, b) for a, b in pairs(z)]
            loss = self.scale * torch.stack(losses).mean()
        n = len(views[0])
        index = torch.arange(n, device=loss.device)
        figures = {"accuracy": found_share(views)}
        return Rows(loss.expand(n), figures, index)

    def _of_pair(self, a, b):
        correlation = a.T @ b / len(a)
        own = (1 - correlation.diagonal()).square().sum()
        return own + self.redundancy * off_diagonal_square_sum(correlation)


def _standardised(z: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 of each dimension over ``[batch, dim]``."""
    variance, mean = torch.var_mean(z, dim=0, correction=0)
    return (z - mean) / (variance + _EPSILON).sqrt()
