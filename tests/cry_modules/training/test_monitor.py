"""Alignment, uniformity and effective rank as their papers define them."""

import math

import numpy as np
import pytest
import torch

from cry_modules.training.monitor import (
    Moments,
    alignment_sum,
    collapse,
    judgement,
    potential_sum,
)


def some(n=7, dim=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator, dtype=torch.float64)


def unit(row):
    return row / np.linalg.norm(row)


def test_alignment_in_loops():
    z1, z2 = some(seed=1), some(seed=2)
    expected = sum(
        np.sum((unit(a) - unit(b)) ** 2) for a, b in zip(z1.numpy(), z2.numpy())
    )
    assert alignment_sum(z1, z2) == pytest.approx(expected, rel=1e-12)
    assert alignment_sum(z1, 3 * z1) == pytest.approx(0, abs=1e-12)


def test_uniformity_in_loops():
    rows = some().numpy()
    expected = sum(
        math.exp(-2 * np.sum((unit(rows[i]) - unit(rows[j])) ** 2))
        for i in range(len(rows))
        for j in range(i)
    )
    assert potential_sum(some()) == pytest.approx(expected, rel=1e-12)


def effective_rank(rows):
    """Roy & Vetterli, equations 2 to 4, on centred rows."""
    values = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    p = values / values.sum()
    return math.exp(-sum(x * math.log(x) for x in p if x > 0))


@pytest.mark.parametrize("n, dim", [(50, 4), (6, 20)])
def test_effective_rank_by_singular_values(n, dim):
    rows = some(n, dim)
    moments = sum(Moments.of(part) for part in rows.split(4))
    assert moments.effective_rank() == pytest.approx(
        effective_rank(rows.numpy()), rel=1e-6
    )


def test_effective_rank_of_a_line_of_a_point_and_where_not_finite():
    line = torch.arange(9.0)[:, None] * torch.ones(3) + 5
    assert Moments.of(line).effective_rank() == pytest.approx(1, abs=1e-4)
    assert Moments.of(torch.ones(4, 3)).effective_rank() == 0
    assert Moments.of(torch.full((4, 3), float("nan"))).effective_rank() == 0


@pytest.mark.parametrize(
    "changes, says",
    [
        ({}, None),
        ({"valid_effective_rank": 1.2}, "collapsed"),
        ({"train_loss": math.log(63)}, "not below that of guessing"),
        ({"train_loss": math.log(63), "epoch": 2}, None),  # still warming up
        ({"train_loss": 0.9 * math.log(63)}, None),
    ],
)
def test_collapse_is_described(changes, says):
    row = {"epoch": 9, "train_loss": 1.0, "valid_effective_rank": 12.0}
    row.update(changes)
    reason = collapse(row, chance_loss=math.log(63), warmup_epochs=2)
    assert reason is None if says is None else says in reason


FIGURES = {"accuracy": "contrastive accuracy"}


def row(epoch, cry, generic=None):
    entry = {"epoch": epoch, "valid_loss": cry, "valid_loss_cry": cry}
    entry["valid_accuracy_cry"] = 0.5
    if generic is not None:
        entry.update(valid_loss_generic=generic, valid_accuracy_generic=0.5)
    return entry


@pytest.mark.parametrize(
    "cry, generic, words",
    [
        (1.5, 1.0, ["cries: learned (loss 2.000 before, 1.500", "audio: kept"]),
        (1.99, 0.9, ["almost nothing learned", "audio: improved"]),
        (1.99, 1.2, ["raise --number_of_epochs or --lr", "partly forgotten"]),
        (2.5, 1.2, ["worse", "lower --lr", "--replay_ratio 0.5"]),
    ],
)
def test_the_judgement_says_whether_it_did_anything(cry, generic, words):
    rows = [row(1, cry, generic), row(2, cry + 1, generic + 1)]
    text = "\n".join(judgement(row(0, 2.0, 1.0), rows, FIGURES))
    assert text.startswith("epoch 1 of 2 is used")
    for word in words:
        assert word in text


def test_the_judgement_without_corpora_and_with_a_probe():
    before = {"epoch": 0, "valid_loss": 2.0, "probe_kind_map": 0.25}
    rows = [{"epoch": 1, "valid_loss": 1.0, "probe_kind_map": 0.75}]
    lines = judgement(before, rows, {})
    assert lines[1:] == [
        "held-out recordings: learned (loss 2.000 before, 1.000 after)",
        "probe kind map: 0.250 before, 0.750 after the last epoch",
    ]
