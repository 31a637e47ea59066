"""Monitors of contrastive pre-training: alignment, uniformity, effective rank
and signs of collapse.
"""

import math
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence

import torch
import torch.nn.functional as F

from cry_modules.lengths import float64
from cry_modules.training.history import taken_epoch

#: An effective rank below this means that the embedding has collapsed.
LEAST_RANK = 2.0
#: A loss above this share of the loss of guessing has not begun to fall.
AT_CHANCE = 0.98
#: A held-out loss that changes by a smaller share has not changed.
LEAST_CHANGE = 0.02
#: Held-out recordings by the end of their keys, and what a loss that falls,
#: stays or rises means.
_HELD_OUT = {
    "": ("recordings", "learned", "almost nothing learned", "worse"),
    "_cry": ("cries", "learned", "almost nothing learned", "worse"),
    "_generic": ("generic audio", "improved", "kept", "partly forgotten"),
}


def alignment_sum(z1: torch.Tensor, z2: torch.Tensor) -> float:
    """Sum of squared distances between the two views of each recording.

    Their mean is the alignment of Wang & Isola 2020
    (https://arxiv.org/abs/2005.10242, section 4.1, alpha = 2): 0 where the
    views of a recording coincide, 2 where they are unrelated.

    Shapes: z1 ``[batch, dim]``.
    """
    h1, h2 = (F.normalize(float64(z), dim=1) for z in (z1, z2))
    return (h1 - h2).square().sum().item()


def potential_sum(z: torch.Tensor) -> float:
    """Sum of the Gaussian potentials of all pairs of recordings.

    The logarithm of their mean is the uniformity of Wang & Isola 2020
    (section 4.1, t = 2): 0 where all coincide, and at least -4.

    Shapes: z ``[batch, dim]``.
    """
    distances = torch.pdist(F.normalize(float64(z), dim=1))
    return distances.square().mul(-2).exp().sum().item()


@dataclass
class Moments:
    """Sums over batches from which the effective rank follows: ``total``
    ``[emb_dim]`` and ``squares`` ``[emb_dim, emb_dim]``.
    """

    n: int
    total: torch.Tensor
    squares: torch.Tensor

    @classmethod
    def of(cls, embs: torch.Tensor) -> "Moments":
        """Moments of some embeddings, ``[batch, emb_dim]``."""
        embs = float64(embs.detach()).cpu()
        return cls(len(embs), embs.sum(dim=0), embs.T @ embs)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.n + other.n,
            self.total + other.total,
            self.squares + other.squares,
        )

    def __radd__(self, nothing: int) -> "Moments":
        return self

    def effective_rank(self) -> float:
        """Number of dimensions in use: exponential of the entropy of the
        singular values of the centred embeddings (Roy & Vetterli 2007)."""
        if not torch.isfinite(self.squares).all():
            return 0.0
        scatter = self.squares - torch.outer(self.total, self.total) / self.n
        values = torch.linalg.eigvalsh(scatter)
        # Smaller values are zeros with rounding errors.
        least = self.squares.diagonal().sum() * 1e-12
        values = values[values > least].sqrt()
        if not len(values):
            return 0.0
        shares = values / values.sum()
        return math.exp(-(shares * shares.log()).sum().item())


def collapse(
    row: Dict[str, float], chance_loss: Optional[float], warmup_epochs: float
) -> Optional[str]:
    """Describe signs of failed training in an epoch's row; None if healthy."""
    if row["epoch"] <= warmup_epochs:
        return None
    rank = row.get("valid_effective_rank", LEAST_RANK)
    if rank < LEAST_RANK:
        return f"embeddings use {rank:.1f} dimensions; they have collapsed"
    if chance_loss is not None and row["train_loss"] > AT_CHANCE * chance_loss:
        return (
            f"the loss {row['train_loss']:.3f} is not below that of guessing "
            f"({chance_loss:.3f})"
        )
    return None


def judgement(
    before: Dict[str, float],
    rows: Sequence[Dict[str, float]],
    figures: Dict[str, str],
) -> List[str]:
    """Lines on what a pre-training or an adaptation has changed: held-out loss,
    figures of the objective and probes, before and at the epoch that is used.

    Example
    -------
    >>> before = {"valid_loss_cry": 2.0, "valid_accuracy_cry": 0.1}
    >>> row = {"epoch": 1, "valid_loss": 1.0, "valid_loss_cry": 1.0}
    >>> row["valid_accuracy_cry"] = 0.6
    >>> print(*judgement(before, [row], {"accuracy": "retrieval"}), sep="\\n")
    epoch 1 of 1 is used, that of the lowest validation loss
    held-out cries: learned (loss 2.000 before, 1.000 after; retrieval 0.100
    before, 0.600 after)
    """
    taken = taken_epoch(rows)
    if taken is None:  # every loss was NaN
        return []
    (after,) = [row for row in rows if row["epoch"] == taken]
    lines = [
        f"epoch {taken} of {rows[-1]['epoch']} is used, that of the lowest "
        "validation loss"
    ]
    ends = [end for end in _HELD_OUT if end and f"valid_loss{end}" in before]
    for end in ends or [""]:
        where, *verdicts = _HELD_OUT[end]
        old, new = (row[f"valid_loss{end}"] for row in (before, after))
        change = (new - old) / max(abs(old), 1e-12)
        kind = 0 if change < -LEAST_CHANGE else 1 + (change > LEAST_CHANGE)
        values = "; ".join(
            f"{words} {before[f'valid_{name}{end}']:.3f} before, "
            f"{after[f'valid_{name}{end}']:.3f} after"
            for name, words in {"loss": "loss", **figures}.items()
        )
        cure = ""
        if kind and end != "_generic":
            cure = (
                "; "
                + ("", "raise --number_of_epochs or --lr", "lower --lr")[kind]
            )
        if kind == 2 and end == "_generic":
            cure = "; replay helps: --replay_ratio 0.5"
        lines.append(f"held-out {where}: {verdicts[kind]} ({values}){cure}")
    last = rows[-1]
    for key in sorted(before):
        if key.startswith("probe_") and last.get(key) is not None:
            lines.append(
                f"{key.replace('_', ' ')}: {before[key]:.3f} before, "
                f"{last[key]:.3f} after the last epoch"
            )
    return lines
