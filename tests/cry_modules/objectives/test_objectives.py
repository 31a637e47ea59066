"""Objectives without negatives equal their papers' formulas in plain loops."""

import math

import pytest
import torch

from cry_modules.losses import NTXentLoss
from cry_modules.objectives import OBJECTIVES
from cry_modules.objectives.barlow_twins import BarlowTwins
from cry_modules.objectives.byol import BYOL, TargetNetwork, momentum_at
from cry_modules.objectives.masked_spectrogram import MaskedSpectrogram
from cry_modules.objectives.statistics import found_share
from cry_modules.objectives.vicreg import VICReg
from cry_modules.training.experiment import load
from data_prep.files.errors import InputError

TOLERANCE = {"rtol": 1e-10, "atol": 1e-12}
SMALL = "hparams/small_simclr.yaml"


def views(batch=5, dim=3, n_views=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (n_views, batch, dim)
    z = torch.randn(shape, generator=generator, dtype=torch.float64)
    return [view.requires_grad_() for view in 2 * z + 1]


def column(z, j):
    return z.detach()[:, j].tolist()


def mean(values):
    return sum(values) / len(values)


def covariance(a, b, ddof):
    pairs = zip(a, b)
    ma, mb = mean(a), mean(b)
    return sum((x - ma) * (y - mb) for x, y in pairs) / (len(a) - ddof)


def vicreg_in_loops(z1, z2, factors=(25, 25, 1)):
    """Equation 6 of the paper; gamma 1, epsilon 1e-4."""
    z1, z2 = z1.detach(), z2.detach()
    n, d = z1.shape
    invariance = 0.0
    for i in range(n):
        for j in range(d):
            invariance += float(z1[i, j] - z2[i, j]) ** 2 / (n * d)
    variance = cov = 0.0
    for z in (z1, z2):
        columns = [column(z, j) for j in range(d)]
        for j in range(d):
            var = covariance(columns[j], columns[j], 1)
            variance += max(0.0, 1 - math.sqrt(var + 1e-4)) / d
            for k in range(d):
                if k != j:
                    c = covariance(columns[j], columns[k], 1)
                    cov += c**2 / d
    terms = invariance, variance, cov
    return sum(factor * term for factor, term in zip(factors, terms))


def barlow_in_loops(z1, z2, redundancy):
    """Equations 1 and 2; BatchNorm's epsilon, as in algorithm 1."""
    d, loss = z1.shape[1], 0.0
    for i in range(d):
        for j in range(d):
            a, b = column(z1, i), column(z2, j)
            sd = [math.sqrt(covariance(x, x, 0) + 1e-5) for x in (a, b)]
            c = covariance(a, b, 0) / (sd[0] * sd[1])
            loss += (1 - c) ** 2 if i == j else redundancy * c**2
    return loss


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_vicreg_equals_the_papers_formula(scale):
    z1, z2 = (scale * z for z in views())
    rows = VICReg().rows(z1, z2)
    assert rows.losses.mean().item() == pytest.approx(vicreg_in_loops(z1, z2))
    # The figures, each weighted, are the loss.
    figures = [
        rows.figures[n] for n in ("invariance", "variance", "covariance")
    ]
    parts = 25 * figures[0] + 25 * figures[1] + figures[2]
    torch.testing.assert_close(parts, rows.losses.detach(), **TOLERANCE)


def test_vicreg_of_more_views_is_invariant_to_all_pairs():
    many = views(n_views=3)
    only = VICReg(1.0, 0.0, 0.0)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = mean(
        [vicreg_in_loops(many[i], many[j], (1, 0, 0)) for i, j in pairs]
    )
    assert only.rows(*many).losses.mean().item() == pytest.approx(expected)


def test_barlow_twins_equals_the_papers_formula():
    z1, z2 = views(batch=6)
    rows = BarlowTwins(redundancy=0.01).rows(z1, z2)
    expected = barlow_in_loops(z1, z2, 0.01)
    assert rows.losses.tolist() == pytest.approx([expected] * 6)


def byol_in_loops(predicted, target):
    """Equation 2: the squared distance of the normalised vectors."""
    q = [float(x) for x in predicted / predicted.norm()]
    t = [float(x) for x in target / target.norm()]
    return sum((a - b) ** 2 for a, b in zip(q, t))


def test_byol_equals_the_papers_formula():
    q1, q2 = views(seed=1)
    t1, t2 = views(seed=2)
    rows = BYOL().rows(q1, q2, targets=[t1, t2])
    expected = [
        byol_in_loops(q1[i], t2[i]) + byol_in_loops(q2[i], t1[i])
        for i in range(5)
    ]
    assert rows.losses.tolist() == pytest.approx(expected)
    rows.losses.sum().backward()
    assert q1.grad is not None and t1.grad is None


def test_the_target_network_follows_and_never_learns():
    encoder = torch.nn.Linear(3, 2).double()
    projector = torch.nn.Linear(2, 2).double()
    target = TargetNetwork(encoder, projector)
    before = encoder.weight.detach().clone()
    with torch.no_grad():
        encoder.weight.add_(1.0)
    target.follow(encoder, projector, momentum=0.9)
    expected = 0.9 * before + 0.1 * encoder.weight.detach()
    torch.testing.assert_close(target.encoder.weight, expected, **TOLERANCE)
    assert not any(p.requires_grad for p in target.parameters())
    assert not target(torch.ones(1, 3).double()).requires_grad


def test_momentum_rises_from_its_start_to_one():
    values = [momentum_at(0.99, k, 100) for k in range(101)]
    assert values[0] == pytest.approx(0.99) and values[-1] == pytest.approx(1)
    assert values == sorted(values)


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_a_target_that_would_not_follow_is_refused(momentum):
    with pytest.raises(ValueError, match="momentum"):
        BYOL(momentum)


@pytest.mark.parametrize("objective", [VICReg(), BarlowTwins()])
@pytest.mark.parametrize("n_views", [2, 3])
def test_gradients_by_finite_differences(objective, n_views):
    many = views(batch=4, n_views=n_views)

    def loss(*z):
        return objective.rows(*z).losses.sum()

    assert torch.autograd.gradcheck(loss, many)


def test_accuracy_is_that_of_the_contrastive_loss():
    z1, z2 = views(batch=40, dim=4, seed=3)
    z2 = z1 + 0.5 * z2
    accuracy = NTXentLoss().rows(z1, z2).figures["accuracy"]
    mine = found_share([z1, z2])
    assert 0.1 < mine.mean() < 0.9
    assert mine.mean().item() == pytest.approx(accuracy.mean().item())


def one_rank(rank, name):
    objective = {"vicreg": VICReg(), "barlow_twins": BarlowTwins()}[name]
    z = views(batch=6)
    mine = [z_of[[slice(0, 4), slice(4, 6)][rank]] for z_of in z]
    mine = [part.detach().requires_grad_() for part in mine]
    losses = objective.rows(*mine).losses
    # As the Brain does: the mean over ranks is the mean over all rows.
    (losses.sum() * 2 / 6).backward()
    return losses.detach(), *(part.grad for part in mine)


@pytest.mark.parametrize("name", ["vicreg", "barlow_twins"])
def test_two_ranks_equal_one_process_on_the_joined_batch(name, two_ranks):
    first, second = two_ranks(one_rank, name)
    objective = {"vicreg": VICReg(), "barlow_twins": BarlowTwins()}[name]
    z = views(batch=6)
    losses = objective.rows(*z).losses
    losses.mean().backward()
    joined = torch.cat([first[0], second[0]])
    torch.testing.assert_close(joined, losses.detach(), **TOLERANCE)
    for view, *parts in zip(z, first[1:], second[1:]):
        # Data parallelism averages over ranks what each rank computed.
        torch.testing.assert_close(torch.cat(parts) / 2, view.grad, **TOLERANCE)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_yaml_file_chooses_an_objective(name, tmp_path):
    overrides = {"output_folder": str(tmp_path), "width": 1}
    hparams = load(SMALL, {**overrides, "objective": name})
    z = torch.randn(2, 4, 8).unbind()
    more = {"targets": z} if hparams["loss"].has_target else {}
    feats = torch.randn(8, 32, 80)
    _, targets = hparams["loss"].hide(feats)
    if targets is not None:  # what is compared are spectrograms
        z, more = feats.chunk(2), {"targets": targets.chunk(2)}
    rows = hparams["loss"].rows(*z, **more)
    assert rows.losses.shape[0] % 4 == 0
    assert set(rows.figures) == set(hparams["loss"].figures)


def test_an_unknown_objective_is_refused(tmp_path):
    overrides = {"output_folder": str(tmp_path), "objective": "moco"}
    with pytest.raises(InputError, match="objective is 'moco'; expected one"):
        load(SMALL, overrides)


@pytest.mark.parametrize(
    "make, name, value",
    [
        *((VICReg, "invariance", v) for v in (math.nan, -1.0, math.inf)),
        *((VICReg, "variance", math.nan), (VICReg, "covariance", -0.1)),
        *((BarlowTwins, "redundancy", math.nan), (BarlowTwins, "scale", -1)),
        *((BYOL, "momentum", v) for v in (math.nan, -0.1, 1.0)),
        *((BYOL, "hidden_dim", v) for v in (0, -1, 1.5, 10**9)),
        *((MaskedSpectrogram, "share", v) for v in (math.nan, 0.0, 1.0)),
        *((MaskedSpectrogram, "block", v) for v in (0, 1.5, math.nan)),
        *((VICReg, "invariance", "x"), (BYOL, "momentum", None)),
    ],
)
def test_what_an_objective_cannot_be_built_with(make, name, value):
    """A yaml file with it is one line (experiment.py), not a long training."""
    with pytest.raises((ValueError, TypeError)):
        make(**{name: value})
