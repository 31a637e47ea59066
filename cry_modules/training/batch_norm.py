"""BatchNorm over the batches of all ranks, on a CPU.

In SimCLR, statistics of each rank's batch tell the network which views are on
the same rank. torch's ``SyncBatchNorm`` needs a GPU.
"""

import torch
from torch import nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from cry_modules.distributed import n_ranks


class RankBatchNorm(_BatchNorm):
    """BatchNorm of inputs of any dimension over the joined batch of all ranks.

    The keys of its state dict are BatchNorm's.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``[batch, channels, ...]``; ranks may differ in batch size."""
        if not self.training:
            return super().forward(x)
        dtype = x.dtype
        # Sums in bfloat16 have three digits.
        x = x.float() if dtype in (torch.bfloat16, torch.float16) else x
        dims = [0, *range(2, x.dim())]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        n = x.new_tensor([x.numel() / x.shape[1]])
        sums = _over_ranks(torch.cat([x.sum(dim=dims), n]))
        n, mean = sums[-1], sums[:-1] / sums[-1]
        centred = x - mean.view(shape)
        variance = _over_ranks(centred.square().sum(dim=dims)) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            share = self.momentum
            if share is None:  # cumulative average
                share = 1 / self.num_batches_tracked.item()
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            unbiased = (variance * n / (n - 1)).to(self.running_var.dtype)
            self.running_var.lerp_(unbiased, share)
        scale = self.weight / torch.sqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(dtype)

    def _check_input_dim(self, x):
        """Accept any dimension."""


def _over_ranks(x: torch.Tensor) -> torch.Tensor:
    """Sum over ranks, with gradient."""
    return all_reduce(x) if n_ranks() > 1 else x


def convert_batch_norms(module: nn.Module) -> nn.Module:
    """Turn each BatchNorm in a module into a ``RankBatchNorm``; return it."""
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.__class__ = RankBatchNorm  # which has the same attributes
    return module
