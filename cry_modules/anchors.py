"""Anchors against forgetting, an alternative to replay; off by default."""

import copy
from typing import Dict

import torch
import torch.nn.functional as F
from torch import nn

from cry_modules.distributed import gather_ranks, part_of_mean


class Anchor(nn.Module):
    """Penalty that keeps an adapting encoder near the pre-trained one.

    Arguments
    ---------
    pretrained : torch.nn.Module
        The pre-trained encoder; copied, and never changed.
    weights : float
        Factor of half the squared distance to its weights (L2-SP,
        https://arxiv.org/abs/1802.01483, equation 2); 0 switches it off.
    distillation : float
        Factor of one minus the cosine between both encoders' embeddings of a
        view; 0 switches it off.

    Example
    -------
    >>> encoder = nn.Linear(2, 2)
    >>> anchor = Anchor(encoder, weights=0.1, distillation=1.0)
    >>> feats = torch.randn(3, 2)
    >>> anchor(encoder, feats, encoder(feats), n_views=3).item() < 1e-6
    True
    """

    def __init__(
        self, pretrained: nn.Module, weights: float, distillation: float
    ):
        super().__init__()
        for name, factor in (
            ("anchor_weights", weights),
            ("anchor_distillation", distillation),
        ):
            if factor < 0:
                raise ValueError(f"{name} is {factor}; 0 switches it off")
        self.weights, self.distillation = weights, distillation
        self.pretrained = copy.deepcopy(pretrained).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Anchor":
        """Set train mode, except for the pre-trained encoder."""
        super().train(mode)
        self.pretrained.eval()
        return self

    def forward(
        self,
        encoder: nn.Module,
        feats: torch.Tensor,
        embs: torch.Tensor,
        n_views: int,
    ) -> torch.Tensor:
        """Penalty to add to the loss, a scalar.

        Arguments
        ---------
        encoder : torch.nn.Module
            The adapting encoder.
        feats : torch.Tensor
            Views, ``[n_views * batch, frames, n_mels]``.
        embs : torch.Tensor
            Their embeddings, ``[n_views * batch, emb_dim]``.
        n_views : int
            Number of views of all ranks.
        """
        loss = embs.new_zeros((), dtype=torch.float32)
        if self.weights:
            pairs = zip(encoder.parameters(), self.pretrained.parameters())
            distance = sum((w - w0).square().sum() for w, w0 in pairs)
            loss = loss + self.weights / 2 * distance
        if self.distillation:
            with torch.no_grad():
                targets = self.pretrained(feats)
            cosine = F.cosine_similarity(embs.float(), targets.float(), dim=1)
            loss = loss + self.distillation * part_of_mean(1 - cosine, n_views)
        return loss


class ProjectionAnchor(nn.Module):
    """Penalty that keeps the pre-trained projections predictable from the new
    ones: CaSSLe with NT-Xent (Fini et al. 2022,
    https://arxiv.org/abs/2112.04215, equations 3 and 4).

    A predictor maps the new projection of a view to the old one, which it must
    find among the old projections of all views of the batch, of all ranks.

    Arguments
    ---------
    encoder, projector : torch.nn.Module
        The pre-trained ones; copied, and never changed.
    factor : float
        Factor of the loss.
    temperature : float
        Temperature of NT-Xent.

    Example
    -------
    >>> anchor = ProjectionAnchor(nn.Linear(2, 2), nn.Linear(2, 4), 1.0, 0.5)
    >>> anchor(torch.randn(3, 2), torch.randn(3, 4), n_views=3).shape
    torch.Size([])
    """

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module,
        factor: float,
        temperature: float,
    ):
        super().__init__()
        pretrained = copy.deepcopy(nn.Sequential(encoder, projector))
        self.pretrained = pretrained.requires_grad_(False).eval()
        self.factor, self.temperature = factor, temperature

    def train(self, mode: bool = True) -> "ProjectionAnchor":
        """Set train mode, except for the pre-trained modules."""
        super().train(mode)
        self.pretrained.eval()
        return self

    @staticmethod
    def predictor(dim: int) -> nn.Module:
        """Make the predictor, which is trained with the encoder."""
        return nn.Sequential(
            nn.Linear(dim, dim),
            nn.BatchNorm1d(dim),
            nn.ReLU(),
            nn.Linear(dim, dim),
        )

    def forward(
        self, feats: torch.Tensor, predicted: torch.Tensor, n_views: int
    ) -> torch.Tensor:
        """Penalty to add to the loss, a scalar.

        Arguments
        ---------
        feats : torch.Tensor
            Views, ``[n_views * batch, frames, n_mels]``.
        predicted : torch.Tensor
            Predictions from their projections, ``[n_views * batch, dim]``.
        n_views : int
            Number of views of all ranks.
        """
        with torch.no_grad():
            old, offset = gather_ranks(self.pretrained(feats).float())
        with torch.autocast(feats.device.type, enabled=False):
            new = F.normalize(predicted.float(), dim=1)
            logits = new @ F.normalize(old, dim=1).T / self.temperature
            targets = offset + torch.arange(len(new), device=new.device)
            losses = F.cross_entropy(logits, targets, reduction="none")
        return self.factor * part_of_mean(losses, n_views)


def interpolate(
    pretrained: Dict[str, torch.Tensor],
    adapted: Dict[str, torch.Tensor],
    share: float,
) -> Dict[str, torch.Tensor]:
    """Interpolate the weights of two encoders (WiSE-FT,
    https://arxiv.org/abs/2109.01903, equation 3).

    Arguments
    ---------
    pretrained, adapted : dict
        State dicts before and after adaptation. Running statistics of
        BatchNorm are interpolated too, counters are those of ``adapted``.
    share : float
        0 (adapted) to 1 (pre-trained).

    Example
    -------
    >>> old, new = {"w": torch.tensor(0.0)}, {"w": torch.tensor(4.0)}
    >>> interpolate(old, new, share=0.25)
    {'w': tensor(3.)}
    """
    return {
        name: torch.lerp(value.cpu(), pretrained[name].cpu(), share)
        if value.is_floating_point()
        else value.cpu()
        for name, value in adapted.items()
    }
