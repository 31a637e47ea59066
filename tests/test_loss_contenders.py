"""The losses that the yardstick of speed compares are one loss."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import loss_contenders  # noqa: E402


@pytest.mark.parametrize("package", loss_contenders.LOSSES)
def test_every_package_gives_the_loss_of_the_formula(package):
    if package != "project":
        pytest.importorskip(package)
    generator = torch.Generator().manual_seed(0)
    views = [torch.randn(8, 16, generator=generator) for _ in range(2)]
    h = F.normalize(torch.cat(views).double(), dim=1)
    similarity = (h @ h.T / loss_contenders.TEMPERATURE).fill_diagonal_(
        float("-inf")
    )
    others = torch.arange(16).roll(8)
    expected = F.cross_entropy(similarity, others).item()
    step = loss_contenders.loss_step(package, n_rows=16, dim=16)
    assert step() == pytest.approx(expected, rel=1e-5)


def test_a_package_that_is_not_installed_gives_no_duel():
    assert loss_contenders.beside("no_such_package", [(64, 8)], 1, 1) is None
