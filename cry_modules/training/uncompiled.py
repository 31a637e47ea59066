"""Optimizers without torch's compiler, whose import takes 1.2 s and 60 MB.

``torch.optim`` imports ``torch._dynamo`` when an optimizer is made and at each
step, to tell it what not to compile. Nothing is compiled until something else
has imported it (SpeechBrain's ``--compile``); from then on torch's own
functions are called.
"""

import sys
from functools import wraps
from inspect import isclass
from typing import Callable

import torch
from torch.optim import Optimizer

_COMPILER = "torch._dynamo"
#: Attribute in which torch keeps what it calls in place of a function that must
#: not be compiled.
_NOT_COMPILED = "__dynamo_disable"
_METHODS = ("state_dict", "load_state_dict", "zero_grad", "add_param_group")


def leave_compiler_out() -> None:
    """Let all optimizers of torch do without its compiler."""
    for name in _METHODS:
        method = getattr(Optimizer, name)
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and not hasattr(plain, _NOT_COMPILED):
            setattr(plain, _NOT_COMPILED, _plain_method(method, plain))
    for kind in vars(torch.optim).values():
        step = vars(kind).get("step") if isclass(kind) else None
        # Torch's wrapper, not yet replaced.
        if step is not None and step.__code__.co_name == "_use_grad":
            kind.step = _plain_step(step)


def _plain_method(method: Callable, plain: Callable) -> Callable:
    def call(*args, **kwargs):
        if _COMPILER not in sys.modules:
            return plain(*args, **kwargs)
        if getattr(plain, _NOT_COMPILED, None) is call:
            delattr(plain, _NOT_COMPILED)  # torch makes its own
        return method(*args, **kwargs)

    return call


def _plain_step(step: Callable) -> Callable:
    @wraps(step.__wrapped__)
    def call(optimizer, *args, **kwargs):
        if _COMPILER in sys.modules:
            return step(optimizer, *args, **kwargs)
        with torch.set_grad_enabled(optimizer.defaults["differentiable"]):
            return step.__wrapped__(optimizer, *args, **kwargs)

    return call
