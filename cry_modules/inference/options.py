"""Check the options of a classifier, and explain why it cannot be loaded."""

from contextlib import contextmanager
from typing import Dict, Iterator

import torch
from speechbrain.utils.autocast import AMPConfig

from cry_modules.checkpoints.front_end import YAML_FILE
from data_prep.files.errors import InputError


def check_run_opts(run_opts: Dict) -> None:
    """Refuse a device or precision that is unavailable.

    Example
    -------
    >>> check_run_opts({"device": "cpu", "precision": "bf16"})
    """
    device = str(run_opts.get("device", "cpu"))
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = None
    if kind not in ("cpu", "cuda"):
        raise InputError(f"device is {device!r}; pass cpu, cuda or cuda:0")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"device is {device}, but torch finds no GPU; pass cpu"
        )
    precision = run_opts.get("precision", "fp32")
    try:
        AMPConfig.from_name(precision)
    except ValueError:
        raise InputError(f"precision is {precision!r}; pass fp32, bf16 or fp16")


def refuse_arguments(hparams_file: str, others: Dict) -> None:
    """Refuse arguments that only apply to ``hyperparams.yaml``."""
    if others:
        raise InputError(
            f"from_hparams() has no argument {next(iter(others))!r} without "
            "trust=True; correct its name, or leave it out"
        )
    if hparams_file != YAML_FILE:
        raise InputError(
            f"hparams_file {hparams_file!r} is read only with trust=True; "
            "leave it out"
        )


@contextmanager
def trusting(source: str, hparams_file: str) -> Iterator[None]:
    """Turn errors of SpeechBrain's ``from_hparams`` into ``InputError``."""
    try:
        yield
    except KeyError as error:
        raise InputError(
            f"{hparams_file} of {source} has no {error}: it does not describe "
            "an exported model; pass a folder that cry_modules.export wrote, "
            "or leave out trust"
        )
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"{hparams_file} of {source} cannot be loaded as a classifier "
            f"({reason}); correct the source, or leave out trust"
        )
