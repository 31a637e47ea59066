"""Devices that a machine has, and one line for those that it has not."""

from types import SimpleNamespace

import pytest
import torch

from cry_modules.inference.classifier import _check_run_opts
from cry_modules.lengths import float64
from cry_modules.training.devices import check_device, devices
from cry_modules.training.monitor import Moments, alignment_sum, potential_sum
from cry_modules.training.options import parse_arguments
from cry_modules.training.state import EpochTotals, RandomStates
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


class OnMPS(torch.Tensor):
    """A tensor that says it is on MPS, which refuses float64 as MPS does."""

    @property
    def device(self):
        return torch.device("mps")

    def double(self):
        raise TypeError("the MPS framework doesn't support float64")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_float64_is_on_the_cpu_where_the_device_has_none():
    plain = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    x = plain.as_subclass(OnMPS)
    with pytest.raises(TypeError):
        x.double()
    assert type(float64(x)) is torch.Tensor
    assert torch.equal(float64(x), plain.double())
    assert float64(plain).dtype == torch.float64
    assert alignment_sum(x, x + 1) == alignment_sum(plain, plain + 1)
    assert potential_sum(x) == potential_sum(plain)
    assert torch.equal(Moments.of(x).squares, Moments.of(plain).squares)
    sums = EpochTotals(), EpochTotals()
    for total, value in zip(sums, (x, plain)):
        total.add("", loss=value.sum())
    assert sums[0].get_state() == sums[1].get_state()


@pytest.mark.parametrize("kind", ["cuda", "mps", "xpu"])
def test_the_generator_of_any_gpu_is_saved(kind, machine, monkeypatch):
    machine(kind, 1)
    of_gpu = [torch.arange(8, dtype=torch.uint8)]
    gpu = SimpleNamespace(
        get_rng_state=lambda: of_gpu[-1], set_rng_state=of_gpu.append
    )
    monkeypatch.setattr(
        torch, "get_device_module", lambda device: {kind: gpu}[device.type]
    )
    states = RandomStates()
    saved = states.get_state()
    assert torch.equal(saved["cuda"], of_gpu[0])
    states.set_state(saved)
    assert len(of_gpu) == 2
    # Saved on another kind of GPU, or on none.
    for other in (torch.zeros(3, dtype=torch.uint8), None):
        states.set_state({**saved, "cuda": other})
    assert len(of_gpu) == 2
    machine(kind, 0)
    assert states.get_state()["cuda"] is None
    states.set_state(saved)
    assert len(of_gpu) == 2
