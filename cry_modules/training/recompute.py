"""Activation checkpointing: keep the inputs of half a block, recompute the rest
in backward.

Half a block is a convolution with BatchNorm and ReLU. Recomputing takes a third
more time (https://arxiv.org/abs/1604.06174).
"""

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Iterator

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from cry_modules.distributed import n_ranks
from cry_modules.finetune import batch_norms
from data_prep.files.errors import InputError, require


def recompute_blocks(encoder: nn.Module) -> None:
    """Change an encoder to keep only the inputs of its blocks' halves for
    backward.

    Loss, gradients, running statistics, random states and evaluation stay the
    same.
    """
    if n_ranks() > 1:  # not verified: BatchNorm would communicate in backward
        raise InputError(
            f"--checkpoint_activations is True on {n_ranks()} processes; use "
            "one process, or leave the option out"
        )
    require(
        has_blocks(encoder),
        f"--checkpoint_activations is True and {type(encoder).__name__} has no "
        "blocks to recompute",
        "leave the option out",
    )
    for block in encoder.conv_blocks:
        block.run = partial(_recomputed, block)


def has_blocks(encoder: nn.Module) -> bool:
    """True for an encoder with the optional ``conv_blocks`` of
    ``architectures.py``."""
    return hasattr(encoder, "conv_blocks")


def _recomputed(block, half, *inputs):
    """Run half a block, under checkpointing if backward may follow."""
    if not (block.training and torch.is_grad_enabled()):
        return half(*inputs)
    return checkpoint(
        half,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), untracked(block)),
    )


@contextmanager
def untracked(module: nn.Module) -> Iterator[None]:
    """Keep the running statistics of all BatchNorm layers unchanged."""
    # Not by track_running_stats: without statistics BatchNorm saves fewer
    # tensors for backward, which checkpointing refuses.
    kept = [
        (norm, name, buffer)
        for norm in batch_norms(module)
        for name, buffer in norm.named_buffers(recurse=False)
    ]
    try:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer.clone())
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)


@contextmanager
def modes_kept(*modules: nn.Module) -> Iterator[None]:
    """Restore the mode of each module and submodule at the end."""
    modes = [(m, m.training) for module in modules for m in module.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
