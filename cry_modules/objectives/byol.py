"""BYOL (https://arxiv.org/abs/2006.07733), as BYOL-A trains audio encoders with
it (https://arxiv.org/abs/2103.06695): no negatives, a slow target network."""

import copy
import math
from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from cry_modules.objectives.contract import Objective, Rows
from cry_modules.objectives.statistics import found_share, in_float


class BYOL(Objective):
    """Predict the target network's projection of the other view (equation 2).

    The loss of two views is 2 minus twice the cosine between the prediction
    from one and the target's projection of the other, summed over both
    directions; with more views it is the mean over their ordered pairs, times
    two.

    Arguments
    ---------
    momentum : float
        Share of itself that the target network keeps in a step, at the start;
        it rises to 1 along a cosine (the paper's tau).
    hidden_dim : int
        Dimension of the predictor's hidden layer.

    Example
    -------
    >>> z = torch.eye(4)
    >>> BYOL().rows(z, z, targets=[z, z]).losses.tolist()
    [0.0, 0.0, 0.0, 0.0]
    """

    figures = {"accuracy": "contrastive accuracy"}
    has_negatives, has_target = False, True
    unused = ("temperature",)

    def __init__(self, momentum: float = 0.99, hidden_dim: int = 256):
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}; it must be below 1")
        if not (isinstance(hidden_dim, int) and 1 <= hidden_dim <= 65_536):
            raise ValueError(
                f"hidden_dim is {hidden_dim}; it must be a whole number from 1 "
                "to 65536"
            )
        self.momentum, self.hidden_dim = momentum, hidden_dim

    def predictor(self, dim: int) -> nn.Module:
        """Network from a projection to the prediction, trained with the
        encoder: Linear-BN-ReLU-Linear (section 3.3)."""
        return nn.Sequential(
            nn.Linear(dim, self.hidden_dim),
            nn.BatchNorm1d(self.hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(self.hidden_dim, dim),
        )

    def rows(
        self,
        *views: torch.Tensor,
        corpora: Optional[torch.Tensor] = None,
        targets: Sequence[torch.Tensor] = (),
    ) -> Rows:
        """Loss of each recording from predictions and the target's
        projections, each ``[batch, dim]`` by view."""
        with torch.autocast(views[0].device.type, enabled=False):
            predicted = [F.normalize(v, dim=1) for v in in_float(views)]
            wanted = [F.normalize(t, dim=1) for t in in_float(targets)]
            losses = [
                2 - 2 * (predicted[i] * wanted[j].detach()).sum(dim=1)
                for i in range(len(views))
                for j in range(len(views))
                if i != j
            ]
            losses = 2 * torch.stack(losses).mean(dim=0)
        index = torch.arange(len(losses), device=losses.device)
        return Rows(losses, {"accuracy": found_share(views)}, index)

    def chance_loss(self, n_recordings: int, n_views: int) -> float:
        """Loss of a prediction that is orthogonal to its target."""
        return 4.0


class TargetNetwork(nn.Module):
    """Slow copy of encoder and projector, which no gradient reaches.

    It stays in train mode, so that its BatchNorms use the batch, as in the
    paper.

    Arguments
    ---------
    encoder, projector : torch.nn.Module
        Networks to copy.

    Example
    -------
    >>> encoder, projector = nn.Linear(2, 2), nn.Linear(2, 1)
    >>> target = TargetNetwork(encoder, projector)
    >>> target(torch.ones(3, 2)).requires_grad
    False
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module):
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.projector = copy.deepcopy(projector).requires_grad_(False)

    @torch.no_grad()
    def forward(self, feats: torch.Tensor) -> torch.Tensor:
        """``[batch, frames, n_mels]`` to projections ``[batch, dim]``."""
        return self.projector(self.encoder(feats))

    @torch.no_grad()
    def follow(
        self, encoder: nn.Module, projector: nn.Module, momentum: float
    ) -> None:
        """Move the weights towards those of the trained networks (equation 1
        of the paper)."""
        for mine, trained in (
            (self.encoder, encoder),
            (self.projector, projector),
        ):
            for slow, fast in zip(mine.parameters(), trained.parameters()):
                slow.lerp_(fast.to(slow.dtype), 1 - momentum)


def momentum_at(base: float, step: int, n_steps: int) -> float:
    """Momentum of the target network after a step (section 3.3 of the paper).

    Example
    -------
    >>> [round(momentum_at(0.9, k, 10), 3) for k in (0, 5, 10)]
    [0.9, 0.95, 1.0]
    """
    return 1 - (1 - base) * (math.cos(math.pi * step / n_steps) + 1) / 2
