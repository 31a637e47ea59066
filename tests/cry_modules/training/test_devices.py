"""Devices that a machine has, and one line for those that it has not."""

from types import SimpleNamespace

import pytest
import torch

from cry_modules.inference.classifier import _check_run_opts
from cry_modules.training.devices import check_device, devices
from cry_modules.training.options import parse_arguments
from data_prep.files.errors import InputError


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many devices of a kind."""

    def machine(kind, n):
        gpu = SimpleNamespace(type=kind) if n else None
        monkeypatch.setattr(
            torch.accelerator, "current_accelerator", lambda **_: gpu
        )
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: n)

    return machine


@pytest.mark.parametrize("name", ["mps", "xpu", "cuda", "cuda:1", "meta", "x"])
def test_absent_devices_are_one_line_at_each_entry(name, machine):
    machine("cuda", 0)
    problem = f"--device is '{name}', but torch finds no GPU .*; pass cpu$"
    for refused in (
        lambda: check_device(name),
        lambda: _check_run_opts({"device": name}),
        lambda: parse_arguments(
            ["hparams/small_simclr.yaml", "--device", name]
        ),
    ):
        with pytest.raises(InputError, match=problem):
            refused()


@pytest.mark.parametrize("kind", ["cuda", "mps", "xpu"])
def test_devices_of_the_machine_are_accepted_and_named(kind, machine):
    machine(kind, 1)
    assert devices() == ["cpu", kind, f"{kind}:0"]
    for name in ("cpu", kind, f"{kind}:0"):
        assert check_device(name) == torch.device(name)
    with pytest.raises(InputError, match=f"pass cpu or {kind} or {kind}:0"):
        check_device(f"{kind}:3")
