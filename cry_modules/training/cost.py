"""Time and memory of a training step, from a forward pass of a few rows.

A row is a chunk or a recording. Activations and arithmetic grow in proportion
to the rows and their length, so a small pass gives those of a batch: the bytes
that each block saves for backward, and seconds.
"""

import time
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from typing import Callable, Iterator, List, NamedTuple

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from cry_modules.architectures import name_of
from cry_modules.distributed import n_ranks
from cry_modules.training.recompute import has_blocks, modes_kept, untracked

#: Seconds; a shorter pass is dominated by overhead and repeated with more rows.
_LONG_ENOUGH = 0.15


@dataclass
class Block:
    """Memory of an encoder block, or of half of one, and of the layers up to the
    next, in bytes: its input, the tensors saved for backward, how much of these
    is the input, the largest activation."""

    entry: float
    saved: float = 0
    saved_entry: float = 0
    largest: float = 0


class Pass(NamedTuple):
    """Measured time and memory of a forward pass: seconds and bytes per row.

    ``blocks`` begins with the layers before the first block; ``weights`` are
    bytes saved for backward whatever the batch size, such as weights in another
    precision.
    """

    seconds: float
    blocks: List[Block]
    weights: int


class _Ledger:
    """Bytes of a forward pass, block by block."""

    def __init__(self, parameters):
        parameters = list(parameters)
        self.blocks = [Block(0)]
        self.weights = 0
        self.numels = {p.numel() for p in parameters}
        self.seen = {p.untyped_storage().data_ptr() for p in parameters}
        self.entry = 0  # address of the block's input

    def enter(self, block, inputs):
        """Begin a block (forward pre-hook)."""
        self.blocks.append(Block(inputs[0].nbytes))
        self.entry = inputs[0].untyped_storage().data_ptr()

    def run(self, run, half, *inputs):
        """Begin half a block and compute it."""
        self.enter(None, inputs)
        return run(half, *inputs)

    def compute(self, layer, inputs, output):
        """Count a layer's output (forward hook)."""
        if torch.is_tensor(output):
            last = self.blocks[-1]
            last.largest = max(last.largest, output.nbytes)

    def save(self, tensor):
        """Count a tensor saved for backward, each storage once."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() == self.entry:
            self.blocks[-1].saved_entry = storage.nbytes()
        if storage.data_ptr() in self.seen:
            return tensor
        self.seen.add(storage.data_ptr())
        if tensor.numel() in self.numels:  # a weight, cast or flattened
            self.weights += storage.nbytes()
        else:
            self.blocks[-1].saved += storage.nbytes()
        return tensor

    @contextmanager
    def record(self, modules: nn.Module) -> Iterator[None]:
        """Count tensors computed and saved within this context."""
        encoders = _encoders(modules)
        halved = [b for e in encoders if has_blocks(e) for b in e.conv_blocks]
        # Blocks of others: their children that have layers of their own.
        children = [c for e in encoders for c in e.children()]
        blocks = {c for c in children if list(c.children())} - {*halved}
        hooks = []
        for module in modules.modules():
            if module in blocks:
                hooks.append(module.register_forward_pre_hook(self.enter))
            elif not list(module.children()):
                hooks.append(module.register_forward_hook(self.compute))
        runs = [block.run for block in halved]
        for block, run in zip(halved, runs):
            block.run = partial(self.run, run)
        try:
            with saved_tensors_hooks(self.save, lambda tensor: tensor):
                yield
        finally:
            for hook in hooks:
                hook.remove()
            for block, run in zip(halved, runs):
                block.run = run


def measure(
    forward: Callable[[int], torch.Tensor],
    modules: nn.Module,
    least: int,
    most: int,
    device: torch.device,
) -> Pass:
    """Measure a forward pass of ``least`` rows in train mode, or of up to
    ``most`` if that is too short.

    Weights, running statistics, random states and modes do not change.
    """
    ledger = _Ledger(modules.parameters())
    gpus = [device] if device.type == "cuda" else []
    with modes_kept(modules), torch.random.fork_rng(gpus), untracked(modules):
        modules.train()
        with ledger.record(modules):
            _seconds(partial(forward, least), device)  # loads libraries
        seconds = _seconds(partial(forward, least), device) / least
        if seconds * least < _LONG_ENOUGH:
            more = int(max(least, min(_LONG_ENOUGH / seconds, most)))
            seconds = _seconds(partial(forward, more), device) / more
    blocks = [Block(*(n / least for n in astuple(b))) for b in ledger.blocks]
    return Pass(seconds, blocks, ledger.weights)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Time of a call, until the device has finished its work."""
    start = time.perf_counter()
    outputs = call()  # keeps the graph while storages are counted
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    del outputs
    return seconds


def activation_bytes(blocks: List[Block], rows: float, recompute: bool):
    """Peak bytes of activations and their gradients in a training step.

    Backward holds the gradients of a layer's output and input, as large as
    its activations, and the saved tensors of the blocks up to this one. With
    ``recompute`` only the inputs of blocks are saved, and one block at a time
    has its activations.
    """
    if recompute:
        inputs = blocks[0].saved + sum(block.entry for block in blocks)
        own = max(b.saved - b.saved_entry + 2 * b.largest for b in blocks)
        return rows * (inputs + own)
    peak, saved = 0, 0
    for block in blocks:
        saved += block.saved
        peak = max(peak, saved + 2 * block.largest)
    return rows * max(peak, saved)


def state_bytes(modules: nn.Module, opt_class: Callable) -> float:
    """Bytes of gradients and of the optimizer's state.

    Example
    -------
    >>> sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    >>> state_bytes(nn.Linear(3, 2), sgd)
    64
    """
    n_states = 2  # Adam's
    if opt_class.func is torch.optim.SGD:
        n_states = int(opt_class.keywords.get("momentum", 0) > 0)
    n_copies = 1 + n_states + (n_ranks() > 1)  # buckets of data parallelism
    return n_copies * sum(
        p.nbytes for p in modules.parameters() if p.requires_grad
    )


def passes_per_step(modules: nn.Module, recompute: bool) -> int:
    """Cost of a training step in forward passes: one, and one each for the
    gradients of activations, those of weights, and recomputing."""
    trained = [
        parameter.dim()
        for encoder in _encoders(modules)
        for parameter in encoder.parameters()
        if parameter.requires_grad
    ]
    return 2 + (max(trained) > 1) + recompute if trained else 1


def _encoders(modules):
    return [m for m in modules.modules() if name_of(m) is not None]
