"""Estimates of time and memory, and the runs that they refuse."""

import json
import statistics
import subprocess
import sys
from functools import partial
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cry_modules.cnn14 import Cnn14
from cry_modules.training import forecast, memory
from cry_modules.training.cost import activation_bytes, measure
from cry_modules.training.resume import check_same_experiment
from tests.saved_tensors import saved_bytes


def network(width=2):
    torch.manual_seed(0)
    return nn.ModuleDict({"encoder": Cnn14(mel_bins=80, width=width)})


def measured(modules):
    def forward(n):
        return modules["encoder"](torch.ones(n, 101, 80))

    return measure(forward, modules, 2, 2, torch.device("cpu"))


@pytest.mark.parametrize("width", [2, 16])
def test_bytes_saved_grow_with_the_batch(width):
    modules = network(width)
    blocks = measured(modules).blocks
    saved = sum(block.saved for block in blocks)
    # BatchNorm saves two numbers a channel, whatever the batch.
    whole = saved_bytes(modules["encoder"].train(), torch.ones(12, 101, 80))
    assert 12 * saved == pytest.approx(whole, rel=0.01)
    assert activation_bytes(blocks, 12, False) >= 12 * saved
    assert activation_bytes(blocks, 12, True) < 12 * saved


def test_the_measured_pass_changes_nothing():
    modules = network()
    modules["encoder"].conv_block2.eval()
    before = {k: v.clone() for k, v in modules.state_dict().items()}
    modes = [module.training for module in modules.modules()]
    random = torch.get_rng_state()
    cpu = torch.device("cpu")
    measure(
        lambda n: modules["encoder"](torch.rand(n, 64, 80)), modules, 2, 4, cpu
    )
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in modules.modules()] == modes
    for name, value in modules.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in modules.parameters())
    assert not any(m._forward_hooks for m in modules.modules())


def test_limits_of_control_groups(tmp_path):
    for name, text in {
        "self/cgroup": "5:cpu:/x\n4:memory:/job/step\n0::/unit/task",
        "memory/job/step/memory.limit_in_bytes": "5e18",
        "memory/job/step/memory.usage_in_bytes": "0",
        "memory/job/memory.limit_in_bytes": "4000",
        "memory/job/memory.usage_in_bytes": "1500",
        # Files that are only cached can be dropped.
        "memory/job/memory.stat": "cache 700\ntotal_inactive_file 500",
        "unit/task/memory.max": "max",
        "unit/task/memory.current": "0",
        "unit/memory.max": "9000",
        "unit/memory.current": "2000",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    left = list(memory._left_in_groups(tmp_path, tmp_path))
    assert min(left) == 4000 - (1500 - 500)
    assert 9000 - 2000 in left


def test_available_memory_is_read_from_the_system(tmp_path):
    text = "MemTotal: 9 kB\nMemAvailable:    3 kB\n"
    (tmp_path / "meminfo").write_text(text)
    assert memory._field(tmp_path / "meminfo", "MemAvailable") == 3 * 1024
    assert memory._field(tmp_path / "absent", "MemAvailable") == 0


@pytest.mark.parametrize(
    "command",
    [
        "simclr.train_simclr hparams/small_simclr.yaml "
        "--data_folder={}/vggsound",
        "adaptation.train_adapt hparams/small_adapt.yaml --cry_folder={}/cry "
        "--encoder_source=null --valid_share=0.25",
        "classification.train_cls hparams/neuro_end_to_end.yaml "
        "--data_folder={}/cry",
    ],
)
def test_too_little_memory_is_refused_with_what_fits(
    command, corpus, tmp_path, monkeypatch, capsys
):
    recipe, *options = command.format(corpus).split()
    options += [f"--output_folder={tmp_path}", "--device=cpu", "--width=8"]
    options += ["--batch_size=16"]
    monkeypatch.setattr(forecast, "free_memory", lambda device: 2.3e8)
    with pytest.raises(SystemExit) as stopped:
        import_module(f"recipes.{recipe}").main(options)
    assert stopped.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: training needs 0.")
    assert "more memory and 0.2 GB are free; " in line
    assert line.endswith("; pass --batch_size 2") or "use a machine" in line
    assert not list(tmp_path.glob("save/CKPT*"))


def forecast_of(batch_size=64, **hparams):
    modules = network()
    brain = SimpleNamespace(
        device="cpu", precision="fp32", keeps_memory=False, modules=modules
    )
    hparams = {
        "number_of_epochs": 2,
        "batch_size": batch_size,
        "width": 64,
        "checkpoint_activations": False,
        "opt_class": partial(torch.optim.AdamW),
        "encoder": Cnn14(80, width=1),
        **hparams,
    }
    size = forecast.Size(batch_size, 1, 10 * batch_size, 5)
    return forecast.Forecast(brain, hparams, measured(modules), size, 10)


def test_the_batch_size_named_fits_and_the_next_does_not():
    whole = forecast_of()
    need = whole.need()
    free = need.state + need.activations / 2
    assert "--batch_size 32 " in whole._cures(free)
    assert forecast_of(32).need().total() <= free * 1.001
    assert forecast_of(40).need().total() > free


def test_only_cures_that_help_are_named():
    whole = forecast_of()
    need = whole.need()
    enough = need.state + need.activations * 0.6
    assert "--precision bf16" in whole._cures(enough)
    assert "--width 8" in whole._cures(enough)
    assert "small_simclr" not in whole._cures(enough)
    pretraining = forecast_of(min_clips=1, temperature=0.1)
    assert pretraining._cures(enough).endswith("hparams/small_simclr.yaml")
    both = "--checkpoint_activations True --precision bf16"
    assert both not in whole._cures(enough)
    assert both in whole._cures(need.state + need.activations * 0.45)
    little = need.state + need.activations * 0.2
    assert "bf16" not in whole._cures(little)
    pretrained = forecast_of(encoder_source="somewhere")
    assert "--width" not in pretrained._cures(enough)
    assert whole._cures(0.0) == "use a machine with more memory"


def test_freed_memory_is_returned_where_keeping_it_would_not_fit(monkeypatch):
    returned = []
    monkeypatch.setattr(
        forecast, "return_freed_memory", lambda: returned.append(1) or True
    )
    estimate = forecast_of()
    returning = estimate.need().total()
    estimate.keeps_memory = True
    keeping = estimate.need().total()
    assert keeping > returning
    monkeypatch.setattr(forecast, "free_memory", lambda device: keeping)
    estimate.announce()
    assert estimate.keeps_memory and not returned
    between = (returning + keeping) / 2
    monkeypatch.setattr(forecast, "free_memory", lambda device: between)
    estimate.announce()
    assert not estimate.keeps_memory and returned == [1]


def test_the_first_steps_correct_the_estimate(caplog):
    estimate = forecast_of()
    estimate.step_s, estimate.total_s = 1.0, 20.0
    caplog.set_level("INFO")
    # The first is left out; the median of the others is 30 s.
    for n_done, seconds in enumerate((500.0, 30.0, 29.0, 31.0), start=1):
        estimate.add_step(seconds, n_done)
    assert caplog.messages == ["time: 30 seconds a step, about 8 minutes to go"]


def test_a_run_may_resume_with_the_option_changed(tmp_path):
    (tmp_path / "save/CKPT+1").mkdir(parents=True)
    text = "lr: 1\nfront_end: fbank\ncheckpoint_activations: "
    (tmp_path / "hyperparams.yaml").write_text(text + "False\n")
    check_same_experiment(tmp_path, text + "True\n")


@pytest.mark.slow
@pytest.mark.parametrize("recompute", ["False", "True"])
@pytest.mark.parametrize("batch_size", [32, 96])
def test_estimated_memory_is_what_a_process_takes(batch_size, recompute):
    command = [sys.executable, "benchmarks/memory.py", "--case"]
    command += ["8", str(batch_size), "4.0", recompute, "fp32"]
    rows = []
    for _ in range(3):  # the allocator's gaps differ between processes
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    estimate, peak = (
        statistics.median(row[name] for row in rows)
        for name in ("estimated_gb", "peak_gb")
    )
    assert estimate == pytest.approx(peak, rel=0.15)
