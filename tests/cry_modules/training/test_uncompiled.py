"""Optimizers that do not import torch's compiler are torch's own."""

import subprocess
import sys

import pytest

from data_prep.vggsound_prepare import prepare_vggsound

TRAIN = """
import sys, torch
from cry_modules.training.uncompiled import leave_compiler_out
if "ours" in sys.argv:
    leave_compiler_out()
    leave_compiler_out()  # changes nothing
KINDS = dict(
    SGD=dict(lr=0.1, momentum=0.9, fused=True),
    AdamW=dict(lr=0.1, fused=True),
    Adam=dict(lr=0.1, differentiable=True),
    RMSprop=dict(),
    LBFGS=dict(),
)
for name, options in KINDS.items():
    torch.manual_seed(0)
    model, x = torch.nn.Linear(3, 3), torch.randn(5, 3)
    parameters = [p.clone() if name == "Adam" else p for p in model.parameters()]
    optimizer = getattr(torch.optim, name)(parameters, **options)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    for step in range(4):
        if step == 3 and "compiler" in sys.argv:
            import torch._dynamo
        def loss():
            optimizer.zero_grad()
            value = torch.nn.functional.linear(x, *parameters).square().mean()
            if name == "Adam":
                for p, g in zip(parameters, torch.autograd.grad(value, parameters)):
                    p.grad = g
            else:
                value.backward()
            return value
        optimizer.step(loss)
        schedule.step()
        optimizer.load_state_dict(optimizer.state_dict())
    print(name, torch.is_grad_enabled(), parameters)
if "ours" in sys.argv and "compiler" not in sys.argv:
    assert "torch._dynamo" not in sys.modules
"""


def weights(*how):
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, *how],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("how", [[], ["compiler"]], ids=str)
def test_steps_are_those_of_torch_to_the_bit(how):
    assert weights("ours", *how) == weights()


TO_FIRST_STEP = """
import os, sys
import train_simclr
from recipes.simclr.train_simclr import SimCLRBrain, main
def fit_batch(brain, batch, fit=SimCLRBrain.fit_batch):
    fit(brain, batch)
    names = {name.partition(".")[0] for name in sys.modules}
    slow = {"sklearn", "matplotlib", "sympy", "scipy", "pandas"} & names
    print(sorted(slow | {"torch._dynamo"} & sys.modules.keys()), flush=True)
    os._exit(0)
SimCLRBrain.fit_batch = fit_batch
main(sys.argv[1:])
"""


def test_a_first_step_needs_no_slow_packages(corpus, tmp_path):
    data, run = str(corpus / "vggsound"), tmp_path / "run"
    prepare_vggsound(data, str(run / "manifest"), valid_share=0.2)
    done = subprocess.run(
        [
            *(sys.executable, "-c", TO_FIRST_STEP, "hparams/vggsound.yaml"),
            *("--data_folder", data, "--min_clips", "1", "--width", "2"),
            *("--output_folder", str(run), "--valid_share", "0.2"),
            *("--batch_size", "4", "--chunk_s", "0.5", "--num_workers", "0"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
