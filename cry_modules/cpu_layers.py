"""A convolution and dropout that equal torch's and are faster on a CPU."""

import torch
import torch.nn.functional as F
from torch import nn


class Conv3x3(nn.Conv2d):
    """3x3 convolution with padding and without bias, equal to ``nn.Conv2d``.

    On a CPU, maps of two bins and many channels (the last block) are computed
    by one matrix product: forward and backward take 0.4 to 0.6 of the time of
    torch's convolution at width 32 and above, and the same at width 8.

    Arguments
    ---------
    in_channels : int
        Input channels.
    out_channels : int
        Output channels.

    Example
    -------
    >>> Conv3x3(4, 8)(torch.rand(2, 4, 12, 2)).shape
    torch.Size([2, 8, 12, 2])
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, in_channels, frames, bins]`` to ``out_channels``."""
        if torch.jit.is_tracing():  # the export target has fast convolutions
            return super().forward(x)
        narrow = x.shape[3] <= 2 and self.in_channels >= 256
        if narrow and x.device.type == "cpu":
            return self.as_product(x)
        return super().forward(x)

    def as_product(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply the 3x3 neighbourhoods, as rows, by the weights."""
        n_frames, n_bins = x.shape[2:]
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        neighbours = [
            padded[:, i : i + n_frames, j : j + n_bins]
            for i in range(3)
            for j in range(3)
        ]
        # No copy if the weights are channels_last.
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(torch.cat(neighbours, 3), weight).permute(0, 3, 1, 2)


def dropout(x: torch.Tensor, p: float) -> torch.Tensor:
    """Dropout in train mode; ``p`` is rounded to the nearest 1/65536.

    ``torch.dropout`` draws 64 random bits per value of a CPU tensor, one after
    the other: a tenth of a step at width 8. This function uses 16 bits.

    Arguments
    ---------
    x : torch.Tensor
        Any shape.
    p : float
        Share of values set to zero; the others are multiplied by 1 / (1 - p).

    Returns
    -------
    torch.Tensor
        Same shape as ``x``.

    Example
    -------
    >>> dropout(torch.ones(10000), 0.2).unique()
    tensor([0.0000, 1.2500])
    """
    if x.device.type != "cpu" or p == 0:
        return F.dropout(x, p)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
    draws = draws.random_(-(2**63), None).view(torch.int16)[: x.numel()]
    keep = draws >= round(p * 2**16) - 2**15
    # In the memory order of x, which is fastest.
    noise = torch.empty_like(x, requires_grad=False)
    flat = noise.as_strided((x.numel(),), (1,))
    torch.mul(keep, 1 / (1 - p), out=flat)
    return x * noise
