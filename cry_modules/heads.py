"""Heads on top of the encoder: projector for pre-training, classifier for
fine-tuning."""

from typing import Sequence

import torch
from torch import nn


class ProjectionHead(nn.Module):
    """SimCLR's projector, as in the paper: Linear-BN-ReLU-Linear-BN.

    The closest public code also passes SimSiam's predictor (Linear-BN-ReLU-
    Linear, a quarter as wide) before the loss; the authors' released
    checkpoint has none. ``predictor`` adds it.

    Arguments
    ---------
    emb_dim : int
        Dimension of the embedding.
    hidden_dim : int
        Dimension of the hidden layer.
    out_dim : int
        Dimension of a projection.
    predictor : bool
        Whether to add the predictor.
    last_norm : bool
        Whether the projector ends in a BatchNorm, which fixes the variance of
        each dimension: VICReg and BYOL have none there.

    Example
    -------
    >>> ProjectionHead(64, 32, 16)(torch.randn(4, 64)).shape
    torch.Size([4, 16])
    """

    def __init__(
        self,
        emb_dim: int,
        hidden_dim: int,
        out_dim: int,
        predictor: bool = False,
        last_norm: bool = True,
    ):
        super().__init__()
        layers = [
            # No bias before a BatchNorm, which subtracts the mean.
            nn.Linear(emb_dim, hidden_dim, bias=False),
            nn.BatchNorm1d(hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, out_dim, bias=not last_norm),
        ]
        if last_norm:
            layers.append(nn.BatchNorm1d(out_dim))
        if predictor:
            layers += [
                nn.Linear(out_dim, out_dim // 4, bias=False),
                nn.BatchNorm1d(out_dim // 4),
                nn.ReLU(inplace=True),
                nn.Linear(out_dim // 4, out_dim),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, emb: torch.Tensor) -> torch.Tensor:
        """``[batch, emb_dim]`` to ``[batch, out_dim]``."""
        return self.layers(emb)


class ClassificationHead(nn.Module):
    """BatchNorm1d and Linear: 8,194 parameters for 2,048 dimensions and two
    classes, as the totals on the poster imply.

    Arguments
    ---------
    emb_dim : int
        Dimension of the embedding.
    n_classes : int
        Number of classes, at least two.
    n_layers : int
        Layers whose embeddings are side by side in ``emb_dim``. With more
        than one, the head learns their weights, a softmax as in SUPERB
        (https://arxiv.org/abs/2105.01051), and sums them after the BatchNorm,
        which brings layers to one scale.

    Example
    -------
    >>> head = ClassificationHead(2048, 2)
    >>> head(torch.randn(4, 2048)).shape
    torch.Size([4, 2])
    >>> sum(p.numel() for p in head.parameters())
    8194
    >>> head = ClassificationHead(13 * 768, 2, n_layers=13)
    >>> head.linear.in_features, head.layer_weights.shape
    (768, torch.Size([13]))
    """

    def __init__(self, emb_dim: int, n_classes: int, n_layers: int = 1):
        super().__init__()
        if n_classes < 2:
            raise ValueError(f"n_classes is {n_classes}; it must be at least 2")
        self.norm = nn.BatchNorm1d(emb_dim)
        if n_layers > 1:  # equal at first
            self.layer_weights = nn.Parameter(torch.zeros(n_layers))
        self.n_layers = n_layers
        self.linear = nn.Linear(emb_dim // n_layers, n_classes)

    def forward(self, emb: torch.Tensor) -> torch.Tensor:
        """``[batch, emb_dim]`` to logits ``[batch, n_classes]``."""
        emb = self.norm(emb)
        if self.n_layers > 1:
            layers = emb.unflatten(1, (self.n_layers, -1))
            emb = torch.softmax(self.layer_weights, dim=0) @ layers
        return self.linear(emb)


class Posterior(nn.Module):
    """Log posterior of each class: a trained head and the class priors.

    Arguments
    ---------
    head : torch.nn.Module
        ``[batch, emb_dim]`` to logits ``[batch, n_classes]``.
    log_prior : sequence of float
        One number per class, added to the logits: log of the class's share if
        training balanced the classes, else 0.

    Example
    -------
    >>> posterior = Posterior(ClassificationHead(4, 2), [-0.1, -2.3])
    >>> [round(p.sum().item(), 4) for p in posterior(torch.randn(3, 4)).exp()]
    [1.0, 1.0, 1.0]
    """

    def __init__(self, head: nn.Module, log_prior: Sequence[float]):
        super().__init__()
        self.head = head
        # Not learnt, so checkpoints do not hold it.
        prior = torch.tensor([float(share) for share in log_prior])
        self.register_buffer("log_prior", prior, persistent=False)

    def forward(self, emb: torch.Tensor) -> torch.Tensor:
        """``[batch, emb_dim]`` to log probabilities ``[batch, n_classes]``."""
        return torch.log_softmax(self.logits(emb), dim=1)

    def logits(self, emb: torch.Tensor) -> torch.Tensor:
        """Head's logits plus log priors ``[batch, n_classes]``, which can be
        averaged over the windows of a recording."""
        return self.head(emb).float() + self.log_prior
