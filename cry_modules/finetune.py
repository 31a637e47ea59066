"""Fine-tuning modes: how much of a pre-trained encoder may change."""

from typing import Iterable, Optional, Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

#: Layers that normalise: those of CNN14, and of encoders of waveforms.
_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)

#: mode: (which parameters train: none, norms or all; whether the encoder
#: is put in train mode, which moves BatchNorm's running statistics and enables
#: dropout). A new mode is a line here and a yaml file.
FINETUNE_MODES = {
    "linear": ("none", False),
    "linear_bn": ("norms", True),
    "end_to_end": ("all", True),
}


class FinetunedEncoder(nn.Module):
    """Wrapper of an encoder for one of the paper's three fine-tuning modes.

    ``linear``: nothing changes, not even running statistics. ``linear_bn``:
    the affine parameters of the BatchNorm layers train (16,288 in CNN14 with 80
    mels) and their running statistics move; in an encoder with LayerNorm or
    GroupNorm, those train alike. ``end_to_end``: everything trains.

    The mode lives in a module that overrides ``train()`` because SpeechBrain
    calls ``modules.train()`` *after* ``on_stage_start``: an
    ``encoder.eval()`` there is undone, and "linear" silently becomes
    something else.

    Arguments
    ---------
    encoder : torch.nn.Module
        The encoder; its parameters' ``requires_grad`` is set here.
    mode : str
        Key of ``FINETUNE_MODES``; another one raises ``ValueError``.

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
        self.trained, self.train_mode = FINETUNE_MODES[mode]
        encoder.requires_grad_(self.trained == "all")
        if self.trained == "norms":
            for module in norms(encoder):
                module.requires_grad_(True)

    @property
    def frozen(self) -> bool:
        """True if training does not change the encoder."""
        return self.trained == "none" and not self.train_mode

    def train(self, mode: bool = True) -> "FinetunedEncoder":
        """Set train mode where the fine-tuning mode allows it."""
        super().train(mode)
        self.encoder.train(mode and self.train_mode)
        return self

    def forward(
        self,
        feats: torch.Tensor,
        lengths: Optional[torch.Tensor] = None,
        **where: Sequence[str],
    ) -> torch.Tensor:
        """``[batch, frames, n_mels]`` to ``[batch, emb_dim]``, or to the
        encoder's ``places``."""
        return self.encoder(feats, lengths, **where)


class AdaptedEncoder(nn.Module):
    """An encoder with some layers frozen, called like the encoder.

    Arguments
    ---------
    encoder : torch.nn.Module
        The encoder; its parameters' ``requires_grad`` is set here.
    layers : str
        ``all``; ``batchnorm``: the affine parameters and running statistics
        of all BatchNorm layers; or the name of a layer such as
        ``conv_block4``: this layer and those after it. Nothing of the layers
        before it changes, not even running statistics.

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
        # By name: data parallelism may replace a layer by another module.
        self.frozen = names[: names.index(layers)] if layers in names else []
        encoder.requires_grad_(layers != "batchnorm")
        if layers == "batchnorm":
            for module in batch_norms(encoder):
                module.requires_grad_(True)
        for name in self.frozen:
            encoder.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True) -> "AdaptedEncoder":
        """Set train mode except for the frozen layers."""
        super().train(mode)
        for name in self.frozen:
            self.encoder.get_submodule(name).eval()
        return self

    def forward(
        self,
        feats: torch.Tensor,
        lengths: Optional[torch.Tensor] = None,
        **where: Sequence[str],
    ) -> torch.Tensor:
        """``[batch, frames, n_mels]`` to ``[batch, emb_dim]``, or ``places``."""
        return self.encoder(feats, lengths, **where)


def norms(module: nn.Module) -> Iterable[nn.Module]:
    """Layers inside a module that normalise: BatchNorm, LayerNorm, GroupNorm.

    Example
    -------
    >>> len(list(norms(nn.Sequential(nn.LayerNorm(2), nn.GroupNorm(1, 2)))))
    2
    """
    return (m for m in module.modules() if isinstance(m, _NORMS))


def batch_norms(module: nn.Module) -> Iterable[nn.Module]:
    """BatchNorm layers of any dimension inside a module, SyncBatchNorm too.

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
    """Set running statistics to their mean over some batches.

    A random encoder with BatchNorm statistics of real data is the fair
    control for a pre-trained one: the statistics alone gain a few points.
    Dropout, which is off when they are used, is off: with CNN14's 0.2 the last
    block's variances would be 6 % larger.

    Arguments
    ---------
    encoder : torch.nn.Module
        Changed in place; its train or evaluation mode is restored.
    feats : iterable of torch.Tensor
        Batches ``[batch, frames, n_mels]`` without padding.

    Example
    -------
    >>> norm = nn.BatchNorm1d(1)
    >>> calibrate_batch_norms(norm, [torch.full((4, 1), 3.0)])
    >>> norm.running_mean
    tensor([3.])
    """
    norms = list(batch_norms(encoder))
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = encoder.training
    encoder.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # None: cumulative average
        norm.train()
    for batch in feats:
        encoder(batch)
    encoder.train(was_training)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
