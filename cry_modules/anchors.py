"""Anchors against forgetting, besides replay: each off by default."""

import copy
from typing import Dict

import torch
import torch.nn.functional as F
from torch import nn

from cry_modules.distributed import part_of_mean


class Anchor(nn.Module):
    """What holds an encoder near the pre-trained one while it adapts.

    Arguments
    ---------
    pretrained : torch.nn.Module
        The encoder as it was pre-trained; copied, and never changed.
    weights : float
        Factor of half the squared distance to its weights (L2-SP,
        https://arxiv.org/abs/1802.01483, equation 2); 0 for none.
    distillation : float
        Factor of one minus the cosine between its embedding of a view and the
        adapting encoder's; 0 for none.

    Raises
    ------
    ValueError
        A negative factor.

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
        """The pre-trained encoder is never in train mode."""
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
        """Arguments
        ---------
        encoder : torch.nn.Module
            The adapting one.
        feats : torch.Tensor
            Views, ``[2 * batch, frames, n_mels]``.
        embs : torch.Tensor
            Its embeddings of them, ``[2 * batch, emb_dim]``.
        n_views : int
            Of all ranks.

        Returns
        -------
        torch.Tensor
            What to add to the loss, a scalar.
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


def interpolate(
    pretrained: Dict[str, torch.Tensor],
    adapted: Dict[str, torch.Tensor],
    share: float,
) -> Dict[str, torch.Tensor]:
    """Weights between those of two encoders (WiSE-FT,
    https://arxiv.org/abs/2109.01903, equation 3).

    Arguments
    ---------
    pretrained : dict
        State dict before adaptation.
    adapted : dict
        State dict after it, with the same keys.
    share : float
        Of the pre-trained weights, 0 (adapted) to 1 (pre-trained).

    Returns
    -------
    dict
        Running statistics of BatchNorm are interpolated as well; counters are
        the adapted encoder's.

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
