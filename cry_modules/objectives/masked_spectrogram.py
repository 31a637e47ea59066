"""Masked spectrogram: predict hidden blocks of the log-mel from the others.

As SSAST (https://arxiv.org/abs/2110.09784) and Audio-MAE
(https://arxiv.org/abs/2207.06405) do with transformers. CNN14 sees the whole
spectrogram with the hidden blocks filled in, and one linear layer predicts them
from its last feature map, as in SimMIM (https://arxiv.org/abs/2111.09886), which
found no heavier decoder better and trained ResNets so, too.
"""

from typing import Optional, Sequence, Tuple

import torch
from torch import nn

from cry_modules.objectives.contract import Objective, Rows
from data_prep.files.errors import require

#: Smallest sum of squares of a scale: that of silence.
_EPSILON = 1e-8


class MaskedSpectrogram(Objective):
    """Mean squared error of the hidden bins of a spectrogram.

    Blocks of each view are hidden before the encoder: their bins become the
    mean of their band. What is predicted is the view's spectrogram, each band
    minus its mean, divided by the root mean square of all bins: guessing the
    means has a loss of about 1. Views of a recording are not compared.

    Arguments
    ---------
    share : float
        Share of the blocks that are hidden, above 0 and below 1.
    block : int
        Frames and mel bands of a block.

    Example
    -------
    >>> objective = MaskedSpectrogram(share=0.5, block=2)
    >>> feats = torch.randn(1, 4, 4)
    >>> seen, targets = objective.hide(feats)
    >>> int((seen != feats).sum()), targets.shape
    (8, torch.Size([1, 2, 4, 4]))
    """

    figures = {"explained": "share of hidden variance explained"}
    has_negatives = has_projections = False
    unused = ("temperature", "projection_dim", "predictor", "n_masks")
    reads = ("embedding", "map")

    def __init__(self, share: float = 0.6, block: int = 16):
        super().__init__()
        if not (0 < share < 1 and isinstance(block, int) and block >= 1):
            raise ValueError(
                f"share is {share} and block {block}; expected a share between "
                "0 and 1 and a block of 1 or more"
            )
        self.share, self.block = share, block

    def head(self, encoder: nn.Module, n_mels: int) -> nn.Module:
        """Linear decoder of the encoder's last feature map."""
        map_dim = getattr(encoder, "map_dim", None)
        require(
            map_dim is not None,
            f"--objective is masked_spectrogram and {type(encoder).__name__} "
            "has no feature map",
            "pass --architecture cnn14, or another objective",
        )
        return MapDecoder(encoder.emb_dim, map_dim, n_mels)

    def hide(
        self, feats: torch.Tensor
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Features with hidden blocks, and what ``rows`` needs to judge a
        prediction: ``[batch, 2, frames, n_mels]``, the values to predict and 1
        where they are hidden."""
        hidden = self.hidden(*feats.shape, feats.device)
        mean = feats.mean(dim=1, keepdim=True)
        centred = feats - mean
        power = centred.square().mean(dim=(1, 2), keepdim=True)
        targets = centred / power.clamp(min=_EPSILON).sqrt()
        seen = torch.where(hidden, mean, feats)
        return seen, torch.stack([targets, hidden.to(targets.dtype)], dim=1)

    def hidden(
        self, n_items: int, n_frames: int, n_mels: int, device: torch.device
    ) -> torch.Tensor:
        """Draw the hidden bins, True in ``[items, frames, n_mels]``: as many
        blocks of each item. Always the same in evaluation mode."""
        blocks = [-(-n // self.block) for n in (n_frames, n_mels)]
        n_blocks = blocks[0] * blocks[1]
        n_hidden = min(max(1, round(self.share * n_blocks)), n_blocks - 1)
        generator = None
        if not self.training:
            generator = torch.Generator(device).manual_seed(0)
        draws = torch.rand(
            n_items, n_blocks, device=device, generator=generator
        )
        rank = draws.argsort(dim=1).argsort(dim=1)
        hidden = (rank < n_hidden).view(n_items, *blocks)
        for dim in (1, 2):
            hidden = hidden.repeat_interleave(self.block, dim=dim)
        return hidden[:, :n_frames, :n_mels]

    def rows(
        self,
        *views: torch.Tensor,
        corpora: Optional[torch.Tensor] = None,
        targets: Sequence[torch.Tensor] = (),
    ) -> Rows:
        """Loss of each recording, the mean over its views, from predictions
        ``[batch, frames, n_mels]`` and what ``hide`` returned, by view."""
        errors, squares, losses = 0.0, 0.0, []
        for predicted, wanted in zip(views, targets):
            n_frames = predicted.shape[1]  # the last ones may not be predicted
            values, hidden = wanted[:, :, :n_frames].unbind(dim=1)
            error = (predicted.to(values.dtype) - values).square() * hidden
            error, n = error.sum(dim=(1, 2)), hidden.sum(dim=(1, 2))
            losses.append(error / n)
            errors = errors + error.detach()
            squares = squares + (values.square() * hidden).sum(dim=(1, 2))
        losses = torch.stack(losses).mean(dim=0)
        # At least -1: a recording of silence should not outweigh the others.
        explained = 1 - errors / squares.clamp(min=_EPSILON)
        figures = {"explained": explained.clamp(min=-1)}
        index = torch.arange(len(losses), device=losses.device)
        return Rows(losses, figures, index)

    def chance_loss(self, n_recordings: int, n_views: int) -> float:
        """Loss of predicting the mean of each band."""
        return 1.0


class MapDecoder(nn.Module):
    """Predict a spectrogram from a feature map by one linear layer, applied to
    each of its columns, which are some frames each.

    Arguments
    ---------
    skipped : int
        Values before the map in the input.
    map_dim : tuple of int
        Channels and bins of a column of the map, and the frames that it is of.
    n_mels : int
        Mel bands.

    Example
    -------
    >>> decoder = MapDecoder(skipped=5, map_dim=(4, 2, 32), n_mels=80)
    >>> decoder(torch.randn(3, 5 + 4 * 7 * 2)).shape  # 7 columns
    torch.Size([3, 224, 80])
    """

    def __init__(
        self, skipped: int, map_dim: Tuple[int, int, int], n_mels: int
    ):
        super().__init__()
        self.skipped, self.n_mels = skipped, n_mels
        self.channels, self.bins, n_frames = map_dim
        self.linear = nn.Linear(self.channels * self.bins, n_frames * n_mels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, skipped + channels * columns * bins]`` to ``[batch, frames,
        n_mels]``."""
        x = x[:, self.skipped :].view(len(x), self.channels, -1, self.bins)
        frames = self.linear(x.transpose(1, 2).flatten(2))
        return frames.view(len(x), -1, self.n_mels)
