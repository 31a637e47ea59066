"""How much of a pre-trained encoder a classifier may change."""

from typing import Iterable, Optional

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

#: mode: (which parameters train, whether the encoder is ever in train mode).
#: Train mode is what moves BatchNorm's running statistics and drops units.
FINETUNE_MODES = {
    "linear": ("none", False),
    "linear_bn": ("batchnorm", True),
    "end_to_end": ("all", True),
}


class FinetunedEncoder(nn.Module):
    """An encoder in one of the paper's three modes, called like the encoder.

    ``linear``: nothing of it changes, running statistics included.
    ``linear_bn``: the affine parameters of its BatchNorm layers train (16,288
    in CNN14 with 80 mels), their running statistics move. ``end_to_end``: all.

    The mode lives in a module that overrides ``train()`` because SpeechBrain
    calls ``modules.train()`` *after* ``on_stage_start``: an
    ``encoder.eval()`` there is undone, and "linear" silently becomes
    something else.

    Arguments
    ---------
    encoder : torch.nn.Module
        The encoder; its parameters' ``requires_grad`` is set here.
    mode : str
        One of ``FINETUNE_MODES``.

    Raises
    ------
    ValueError
        Another mode.

    Example
    -------
    >>> from cry_modules.cnn14 import Cnn14
    >>> tuned = FinetunedEncoder(Cnn14(80, width=2), "linear_bn").train()
    >>> sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    664
    >>> FinetunedEncoder(Cnn14(80, width=2), "linear").train().encoder.training
    False
    """

    def __init__(self, encoder: nn.Module, mode: str):
        super().__init__()
        if mode not in FINETUNE_MODES:
            raise ValueError(
                f"finetune_mode is {mode!r}; expected one of "
                f"{tuple(FINETUNE_MODES)}"
            )
        self.encoder = encoder
        self.mode = mode
        which, self.trains = FINETUNE_MODES[mode]
        encoder.requires_grad_(which == "all")
        if which == "batchnorm":
            for module in batch_norms(encoder):
                module.requires_grad_(True)

    def train(self, mode: bool = True) -> "FinetunedEncoder":
        """Train mode as far as the fine-tuning mode allows it."""
        super().train(mode)
        self.encoder.train(mode and self.trains)
        return self

    def forward(
        self, feats: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """``[batch, frames, n_mels]`` to ``[batch, emb_dim]``."""
        return self.encoder(feats, lengths)


class AdaptedEncoder(nn.Module):
    """An encoder of which some layers adapt, called like the encoder.

    Arguments
    ---------
    encoder : torch.nn.Module
        The encoder; its parameters' ``requires_grad`` is set here.
    layers : str
        ``all``; ``batchnorm``: the affine parameters and running statistics
        of all BatchNorm layers; or the name of a layer such as
        ``conv_block4``: that and those after it. Nothing of the layers before
        changes, running statistics included.

    Raises
    ------
    ValueError
        Another name.

    Example
    -------
    >>> from cry_modules.cnn14 import Cnn14
    >>> top = AdaptedEncoder(Cnn14(80, width=1), "conv_block6").train()
    >>> [name for name, m in top.encoder.named_children() if m.training]
    ['conv_block6']
    """

    def __init__(self, encoder: nn.Module, layers: str):
        super().__init__()
        names = [name for name, _ in encoder.named_children()]
        if layers not in ("all", "batchnorm", *names):
            raise ValueError(
                f"adapt_layers is {layers!r}; expected all, batchnorm, or one "
                f"of {', '.join(names)}"
            )
        self.encoder = encoder
        # By name: in data parallelism another module may take a layer's place.
        self.frozen = names[: names.index(layers)] if layers in names else []
        encoder.requires_grad_(layers != "batchnorm")
        if layers == "batchnorm":
            for module in batch_norms(encoder):
                module.requires_grad_(True)
        for name in self.frozen:
            encoder.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True) -> "AdaptedEncoder":
        """Train mode, but for the frozen layers."""
        super().train(mode)
        for name in self.frozen:
            self.encoder.get_submodule(name).eval()
        return self

    def forward(
        self, feats: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """``[batch, frames, n_mels]`` to ``[batch, emb_dim]``."""
        return self.encoder(feats, lengths)


def batch_norms(module: nn.Module) -> Iterable[nn.Module]:
    """BatchNorm layers of any dimension, SyncBatchNorm too.

    Arguments
    ---------
    module : torch.nn.Module
        Where to look.

    Returns
    -------
    iterable of torch.nn.Module

    Example
    -------
    >>> len(list(batch_norms(nn.Sequential(nn.BatchNorm1d(2), nn.ReLU()))))
    1
    """
    return (m for m in module.modules() if isinstance(m, _BatchNorm))


@torch.no_grad()
def calibrate_batch_norms(
    encoder: nn.Module, feats: Iterable[torch.Tensor]
) -> None:
    """Set running statistics to the mean over some batches; learn nothing.

    A random encoder with BatchNorm statistics of real data is the fair
    control for a pre-trained one: that alone is worth a few points.

    Arguments
    ---------
    encoder : torch.nn.Module
        Changed in place; its mode is restored.
    feats : iterable of torch.Tensor
        A few batches ``[batch, frames, n_mels]`` without padding.

    Example
    -------
    >>> norm = nn.BatchNorm1d(1)
    >>> calibrate_batch_norms(norm, [torch.full((4, 1), 3.0)])
    >>> norm.running_mean
    tensor([3.])
    """
    norms = list(batch_norms(encoder))
    momenta = [norm.momentum for norm in norms]
    was_training = encoder.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # None: cumulative average
    encoder.train()
    for batch in feats:
        encoder(batch)
    encoder.train(was_training)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
