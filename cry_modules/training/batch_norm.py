"""BatchNorm over the batches of all ranks, on a CPU.

In SimCLR a batch that each rank normalises by itself tells the network which
views were on its own rank. torch's ``SyncBatchNorm`` is for GPUs alone.
"""

import torch
from torch import nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from cry_modules.distributed import n_ranks


class RankBatchNorm(_BatchNorm):
    """As BatchNorm on the ranks' joined batch; of any dimension.

    Keys of the state dict are BatchNorm's.

    Example
    -------
    >>> x = torch.randn(8, 3)
    >>> torch.allclose(RankBatchNorm(3)(x), nn.BatchNorm1d(3)(x), atol=1e-6)
    True
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, channels, ...]``, batches of any size on each rank."""
        if not self.training:
            return super().forward(x)
        dtype = x.dtype
        # Sums of bfloat16 numbers have three digits.
        x = x.float() if dtype in (torch.bfloat16, torch.float16) else x
        dims = [0, *range(2, x.dim())]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        n = x.new_tensor([x.numel() / x.shape[1]])
        sums = _over_ranks(torch.cat([x.sum(dim=dims), n]))
        n, mean = sums[-1], sums[:-1] / sums[-1]
        centred = x - mean.view(shape)
        variance = _over_ranks(centred.square().sum(dim=dims)) / n
        self._track(mean.detach(), variance.detach() * n.detach() / (n - 1))
        scale = self.weight / torch.sqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(dtype)

    @torch.no_grad()
    def _track(self, mean, variance):
        """Running statistics, of the unbiased variance as in BatchNorm."""
        self.num_batches_tracked += 1
        share = self.momentum
        if share is None:  # cumulative average
            share = 1 / self.num_batches_tracked.item()
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)

    def _check_input_dim(self, x):
        """Any will do."""


def _over_ranks(x: torch.Tensor) -> torch.Tensor:
    """Sum over ranks, with its gradient."""
    return all_reduce(x) if n_ranks() > 1 else x


def convert_batch_norms(module: nn.Module) -> nn.Module:
    """Put a ``RankBatchNorm`` in the place of each BatchNorm.

    Example
    -------
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    >>> convert_batch_norms(net)[1]  # the rest depends on torch's version
    RankBatchNorm(3, eps=1e-05, momentum=0.1, affine=True, ...)
    """
    for parent in list(module.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, _BatchNorm):
                other = RankBatchNorm(
                    norm.num_features, norm.eps, norm.momentum
                )
                other.weight, other.bias = norm.weight, norm.bias
                other.running_mean = norm.running_mean
                other.running_var = norm.running_var
                other.num_batches_tracked = norm.num_batches_tracked
                setattr(parent, name, other.train(norm.training))
    return module
