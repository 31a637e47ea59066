"""PANNs' CNN14 (https://arxiv.org/abs/1912.10211), any width; ignores padding.

SpeechBrain's ``speechbrain.lobes.models.Cnn14`` fixes the channels to
64..1024 and pools over padding as if it were sound. This one scales the
channels (width 8 trains on a laptop), and its embeddings do not depend on
padding. At width 64 and without padding, state dict and outputs equal
SpeechBrain's ``Cnn14(mel_bins, 2048)``.
"""

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import nn

from cry_modules.cpu_layers import Conv3x3, dropout
from cry_modules.lengths import MIN_FRAMES, frame_mask

#: What an embedding is over frequency: the mean of the bins, or all of them.
POOLINGS = ("mean", "frequency")

_LEAST_VARIANCE = 1e-10


def masked_batch_norm(
    norm: nn.Module, x: torch.Tensor, mask: Optional[torch.Tensor]
) -> torch.Tensor:
    """Batch normalisation over the valid frames only; padding becomes zero.

    Zero is what a convolution sees beyond the end of an unpadded recording,
    and statistics without padding equal those of the unpadded batch.

    Arguments
    ---------
    norm : torch.nn.BatchNorm2d
        The layer, in training or evaluation mode.
    x : torch.Tensor
        ``[batch, channels, frames, bins]``.
    mask : torch.Tensor or None
        ``[batch, frames]``, True for valid frames. None: all are valid.

    Returns
    -------
    torch.Tensor
        Same shape as ``x``.

    Example
    -------
    >>> x = torch.rand(2, 3, 5, 4)
    >>> mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    >>> masked_batch_norm(nn.BatchNorm2d(3), x, mask)[1, :, 2:].abs().sum()
    tensor(0., grad_fn=<SumBackward0>)
    """
    if mask is None:
        return norm(x)
    if not norm.training:  # no statistics are computed
        return norm(x).mul_(mask[:, None, :, None])
    frames = x.transpose(1, 2)  # [batch, frames, channels, bins]
    valid = norm(frames[mask].unsqueeze(-1)).squeeze(-1)
    out = torch.zeros_like(frames, dtype=valid.dtype)
    out[mask] = valid
    return out.transpose(1, 2)


def mean_and_spread(
    x: torch.Tensor, n_frames: Optional[torch.Tensor] = None
) -> torch.Tensor:
    """Mean and standard deviation of each channel and band over valid frames.

    Arguments
    ---------
    x : torch.Tensor
        ``[batch, channels, frames, bands]``, zero beyond ``n_frames``.
    n_frames : torch.Tensor or None
        Valid frames of each item, ``[batch]``; None without padding.

    Returns
    -------
    torch.Tensor
        ``[batch, 2 * channels * bands]``, means first.

    Example
    -------
    >>> x = torch.tensor([1.0, 3.0, 0.0]).view(1, 1, 3, 1)
    >>> mean_and_spread(x, torch.tensor([2]))
    tensor([[2., 1.]])
    """
    mask = frame_mask(n_frames, x.shape[2])
    x = x.float()  # squares of bfloat16 differences are too coarse
    if mask is None:
        mean = x.mean(dim=2, keepdim=True)
        variance = (x - mean).square().mean(dim=2)
    else:
        n, mask = n_frames.view(-1, 1, 1), mask[:, None, :, None]
        mean = x.sum(dim=2, keepdim=True) / n.unsqueeze(3)
        variance = ((x - mean).square() * mask).sum(dim=2) / n
    # The gradient of a root at 0, where a ReLU never fires, is infinite.
    spread = variance.clamp(min=_LEAST_VARIANCE).sqrt()
    return torch.cat([mean.squeeze(2).flatten(1), spread.flatten(1)], dim=1)


def call(part: Callable, *inputs):
    """Compute a part of a block: its ``run``, unless it is recomputed."""
    return part(*inputs)


class ConvBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm and ReLU, then average pooling.

    ``run`` calls each half; ``training/recompute.py`` puts another there.

    Arguments
    ---------
    in_channels : int
        Input channels.
    out_channels : int
        Output channels.
    pool : int
        Factor of the pooling in time and frequency; 1: no pooling.

    Example
    -------
    >>> ConvBlock(1, 4)(torch.rand(2, 1, 11, 8))[0].shape
    torch.Size([2, 4, 5, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, pool: int = 2):
        super().__init__()
        self.pool, self.run = pool, call
        self.conv1 = Conv3x3(in_channels, out_channels)
        self.conv2 = Conv3x3(out_channels, out_channels)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.norm2 = nn.BatchNorm2d(out_channels)
        nn.init.xavier_uniform_(self.conv1.weight)
        nn.init.xavier_uniform_(self.conv2.weight)

    def forward(self, x, n_frames=None, p=0.0):
        """Drop out, convolve, normalise and pool; padding stays zero.

        Arguments
        ---------
        x : torch.Tensor
            ``[batch, in_channels, frames, bins]``, zero beyond ``n_frames``.
        n_frames : torch.Tensor or None
            Valid frames of each item, ``[batch]``; None without padding.
        p : float
            Dropout of the input.

        Returns
        -------
        x : torch.Tensor
            ``[batch, out_channels, frames // pool, bins // pool]``.
        n_frames : torch.Tensor or None
            Valid frames after pooling; a window that contains padding is
            dropped, like the odd last frame of an unpadded recording.
        """
        mask = frame_mask(n_frames, x.shape[2])
        x = self.run(self.first_half, x, mask, p)
        x = self.run(self.second_half, x, mask)
        if n_frames is not None:
            n_frames = n_frames // self.pool
            x = x * frame_mask(n_frames, x.shape[2])[:, None, :, None]
        return x, n_frames

    def first_half(self, x, mask, p):
        """Dropout and the first convolution."""
        x = dropout(x, p) if p else x
        return F.relu_(masked_batch_norm(self.norm1, self.conv1(x), mask))

    def second_half(self, x, mask):
        """The second convolution and the pooling."""
        x = F.relu_(masked_batch_norm(self.norm2, self.conv2(x), mask))
        return F.avg_pool2d(x, self.pool) if self.pool > 1 else x


class Cnn14(nn.Module):
    """CNN14: log-mel frames to one embedding.

    Six blocks, mean over frequency, then maximum plus mean over valid frames.
    Frequency can be kept: in this pooling, or by reading a block directly
    (``places``).

    Arguments
    ---------
    mel_bins : int
        Mel bands of the input; at least 32.
    width : int
        Channels of the first block; the six blocks have
        ``width * (1, 2, 4, 8, 16, 32)``. 64 is the CNN14 of the paper.
    dropout : float
        Dropout after each block in train mode, 0 to 0.9.
    pooling : str
        ``mean`` over frequency, as in PANNs, or ``frequency``: all bins that
        the five poolings leave (2 of 80) are kept, side by side, as in BYOL-A
        (https://arxiv.org/abs/2204.07402), so ``emb_dim`` is as many times
        larger. Its state dict has the buffer ``frequency_bins``, which tells
        the weights of the two apart.

    Example
    -------
    >>> encoder = Cnn14(mel_bins=80, width=2).eval()
    >>> feats = torch.randn(3, 101, 80)
    >>> encoder(feats).shape
    torch.Size([3, 64])
    >>> short = encoder(feats[:1, :50])
    >>> padded = torch.cat([feats[:1, :50], torch.ones(1, 51, 80)], dim=1)
    >>> torch.allclose(encoder(padded, torch.tensor([50 / 101])), short)
    True
    """

    def __init__(
        self,
        mel_bins: int = 80,
        width: int = 64,
        dropout: float = 0.2,
        pooling: str = "mean",
    ):
        super().__init__()
        if mel_bins < MIN_FRAMES or width < 1:
            raise ValueError(
                f"mel_bins is {mel_bins} and width {width}; CNN14 needs at "
                f"least {MIN_FRAMES} mel bins and width 1"
            )
        if not 0 <= dropout <= 0.9:
            raise ValueError(f"dropout is {dropout}; it must be 0 to 0.9")
        if pooling not in POOLINGS:
            raise ValueError(
                f"pooling is {pooling!r}; expected one of {', '.join(POOLINGS)}"
            )
        self.mel_bins = mel_bins
        self.width = width
        self.emb_dim = 32 * width
        self.dropout = dropout
        self.pooling = pooling
        if pooling == "frequency":
            n_bins = mel_bins // 2**5
            self.register_buffer("frequency_bins", torch.tensor(n_bins))
            self.emb_dim *= n_bins
        self.norm0 = nn.BatchNorm2d(mel_bins)
        channels = [1] + [width * 2**i for i in range(6)]
        for i in range(6):
            block = ConvBlock(channels[i], channels[i + 1], 2 if i < 5 else 1)
            self.add_module(f"conv_block{i + 1}", block)
        # Same values; convolutions on a CPU are 1.3 to 2 times as fast
        # (width 8).
        self.to(memory_format=torch.channels_last)

    @property
    def places(self) -> Dict[str, int]:
        """Dimension of each place that the encoder can be read at.

        ``embedding`` is the paper's. ``block1`` to ``block6`` are mean and
        standard deviation over time of a block's output, of each channel in
        each band: CNN14 itself averages over the bands. BYOL-A keeps frequency
        for this reason (https://arxiv.org/abs/2204.07402).

        Example
        -------
        >>> Cnn14(80, width=8).places["block3"]  # 2 x 32 channels x 10 bands
        640
        """
        dims, bands = {}, self.mel_bins
        for i in range(6):
            bands = bands // 2 if i < 5 else bands
            dims[f"block{i + 1}"] = 2 * bands * self.width * 2**i
        return {**dims, "embedding": self.emb_dim}

    @property
    def conv_blocks(self) -> List[nn.Module]:
        """The six blocks."""
        return [self.get_submodule(f"conv_block{i + 1}") for i in range(6)]

    @property
    def map_dim(self) -> Tuple[int, int, int]:
        """Channels and bins of a column of the last block's feature map, and
        the frames of the input that a column is of."""
        return 32 * self.width, self.mel_bins // 2**5, 2**5

    def unread(self, places: Sequence[str]) -> List[nn.Module]:
        """Blocks after the last of these places, which are not computed."""
        read = [i for i, place in enumerate(self.places) if place in places]
        return self.conv_blocks[max(read) + 1 :]

    def forward(
        self,
        feats: torch.Tensor,
        lengths: Optional[torch.Tensor] = None,
        places: Sequence[str] = ("embedding",),
    ) -> torch.Tensor:
        """Embed log-mel features of different lengths.

        Arguments
        ---------
        feats : torch.Tensor
            ``[batch, frames, mel_bins]``.
        lengths : torch.Tensor or None
            Valid share of the frames of each item, 0..1, ``[batch]``. None
            (faster) without padding.
        places : sequence of str
            Where to read, see ``places``; blocks after the last one are not
            computed. ``map`` is the last block's output itself, ``[batch,
            channels * columns * bins]`` (see ``map_dim``), without padding.

        Returns
        -------
        torch.Tensor
            ``[batch, dimensions]``: of the places, in their order.
        """
        return self.embed_frames(feats, self._n_frames(feats, lengths), places)

    def embed_frames(
        self,
        feats: torch.Tensor,
        n_frames: Optional[torch.Tensor] = None,
        places: Sequence[str] = ("embedding",),
    ) -> torch.Tensor:
        """Forward pass without checks, whose operations do not depend on
        values, so that it can be traced.

        Arguments
        ---------
        feats : torch.Tensor
            ``[batch, frames, mel_bins]``.
        n_frames : torch.Tensor or None
            Valid frames of each item, at least ``MIN_FRAMES``, ``[batch]``.
            None without padding.
        places : sequence of str
            As in ``forward``.

        Returns
        -------
        torch.Tensor
            ``[batch, dimensions]``.
        """
        x, read = self._normalise_bins(feats, n_frames), {}
        for i in range(6):
            if read.keys() == set(places):
                break
            x, n_frames = self.run_block(i, x, n_frames)
            # Without dropout, which would add to the deviation in training.
            if f"block{i + 1}" in places:
                read[f"block{i + 1}"] = mean_and_spread(x, n_frames)
        if "embedding" in places:
            read["embedding"] = self._pool(self._dropped(x), n_frames)
        if "map" in places:
            read["map"] = x.flatten(1)
        return torch.cat([read[place] for place in places], dim=1)

    def run_block(self, i, x, n_frames):
        """Block ``i``, counted from 0, and the dropout before it."""
        p = self.dropout if self.training and i else 0.0
        return self.conv_blocks[i](x, n_frames, p)

    def _dropped(self, x):
        return dropout(x, self.dropout) if self.training else x

    def _n_frames(self, feats, lengths):
        n_frames = None
        shortest = feats.shape[1]
        if lengths is not None:
            n_frames = torch.round(lengths * feats.shape[1]).long()
            shortest = int(n_frames.min())
            if shortest == feats.shape[1]:
                n_frames = None
        if shortest < MIN_FRAMES:
            raise ValueError(
                f"an item has {shortest} frames; CNN14 pools time five times "
                f"and needs {MIN_FRAMES}: make chunks longer"
            )
        return n_frames

    def _normalise_bins(self, feats, n_frames):
        """BatchNorm with mel bins as channels: [batch, 1, frames, bins]."""
        x = feats.transpose(1, 2).unsqueeze(3)  # [batch, bins, frames, 1]
        mask = frame_mask(n_frames, feats.shape[1])
        return masked_batch_norm(self.norm0, x, mask).transpose(1, 3)

    def _pool(self, x, n_frames):
        """Pool frequency, then maximum plus mean over valid time."""
        if self.pooling == "mean":
            x = x.mean(dim=3)
        else:  # [batch, channels * bins, frames]
            x = x.transpose(2, 3).flatten(1, 2)
        if n_frames is None:
            return x.amax(dim=2) + x.mean(dim=2)
        padding = ~frame_mask(n_frames, x.shape[2])[:, None]
        largest = x.masked_fill(padding, float("-inf")).amax(dim=2)
        mean = x.masked_fill(padding, 0.0).sum(dim=2) / n_frames[:, None]
        return largest + mean
