"""VICReg (https://arxiv.org/abs/2105.04906): no negatives, small batches."""

from typing import Optional

import torch
import torch.nn.functional as F

from cry_modules.objectives.contract import Objective, Rows, check_factors
from cry_modules.objectives.statistics import (
    found_share,
    in_float,
    of_all_ranks,
    off_diagonal_square_sum,
    pairs,
)

#: Added to variances before the square root (section 4.1 of the paper).
_EPSILON = 1e-4


class VICReg(Objective):
    """Variance, invariance and covariance regularisation (equation 6).

    Views of a recording shall have equal projections (invariance, equation 5),
    each dimension a standard deviation of at least 1 over the batch (variance,
    equation 1), and different dimensions no covariance (equations 3 and 4).
    With more than two views the invariance is the mean over their pairs.
    Variance and covariance are those of all ranks.

    Arguments
    ---------
    invariance, variance, covariance : float
        Coefficients lambda, mu and nu of the paper.

    Example
    -------
    >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> VICReg().rows(z, z).losses.mean() < 1e-6
    tensor(True)
    """

    figures = {
        "accuracy": "contrastive accuracy",
        "invariance": "distance between views",
        "variance": "lack of variance",
        "covariance": "covariance",
    }
    has_negatives = False
    unused = ("temperature",)

    def __init__(
        self,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ):
        super().__init__()
        check_factors(
            invariance=invariance, variance=variance, covariance=covariance
        )
        self.factors = invariance, variance, covariance

    def rows(
        self, *views: torch.Tensor, corpora: Optional[torch.Tensor] = None
    ) -> Rows:
        """Loss of each recording: its own invariance, and the variance and
        covariance of the batch."""
        with torch.autocast(views[0].device.type, enabled=False):
            z = in_float(views)
            distances = [
                F.mse_loss(a, b, reduction="none") for a, b in pairs(z)
            ]
            invariance = torch.stack(distances).mean(dim=(0, 2))
            batch = of_all_ranks(z, self.training)
            variance = sum(map(_lack_of_variance, batch))
            covariance = sum(map(_covariance, batch))
        factors, figures = self.factors, {"accuracy": found_share(views)}
        terms = invariance, variance, covariance
        losses = sum(factor * term for factor, term in zip(factors, terms))
        for name, term in zip(("invariance", "variance", "covariance"), terms):
            figures[name] = term.detach().expand(len(losses))
        index = torch.arange(len(losses), device=losses.device)
        return Rows(losses, figures, index)


def _lack_of_variance(z: torch.Tensor) -> torch.Tensor:
    """Equations 1 and 2, of ``[batch, dim]``."""
    return F.relu(1 - (z.var(dim=0) + _EPSILON).sqrt()).mean()


def _covariance(z: torch.Tensor) -> torch.Tensor:
    """Equations 3 and 4, of ``[batch, dim]``."""
    centred = z - z.mean(dim=0)
    matrix = centred.T @ centred / (len(z) - 1)
    return off_diagonal_square_sum(matrix) / z.shape[1]
