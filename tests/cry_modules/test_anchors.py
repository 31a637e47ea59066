"""Anchors against forgetting, compared with their formulas."""

import copy
import math

import pytest
import torch
from torch import nn

from cry_modules.anchors import Anchor, ProjectionAnchor, interpolate
from cry_modules.cnn14 import Cnn14


@pytest.fixture(autouse=True)
def seed():
    """With other seeds a network of width 1 may output zeros only."""
    torch.manual_seed(1)


def moved(encoder):
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return other


def test_distance_to_the_weights():
    encoder = Cnn14(mel_bins=32, width=1)
    other = moved(encoder)
    feats = torch.randn(2, 40, 32)
    pull = Anchor(encoder, weights=0.3, distillation=0.0)
    expected = sum(
        ((a - b) ** 2).sum()
        for a, b in zip(other.parameters(), encoder.parameters())
    )
    result = pull(other, feats, other(feats), n_views=2)
    assert result.item() == pytest.approx(0.15 * expected.item(), rel=1e-5)
    result.backward()
    for a, b in zip(other.parameters(), encoder.parameters()):
        torch.testing.assert_close(a.grad, 0.3 * (a - b).detach())


def test_distillation_is_one_minus_cosine_to_the_frozen_encoder():
    encoder = Cnn14(mel_bins=32, width=1)
    other = moved(encoder)
    feats = torch.randn(3, 40, 32)
    # A Brain does not set its mode.
    pull = Anchor(encoder, weights=0.0, distillation=2.0)
    before = copy.deepcopy(pull.pretrained.state_dict())
    targets = encoder.eval()(feats)
    embs = other(feats)
    cosine = nn.functional.cosine_similarity(embs, targets, dim=1)
    result = pull(other, feats, embs, n_views=3)
    assert result.item() == pytest.approx(2 * (1 - cosine.mean()).item())
    result.backward()
    assert any(p.grad.abs().sum() > 0 for p in other.parameters())
    assert all(p.grad is None for p in pull.pretrained.parameters())
    assert not any(module.training for module in pull.pretrained.modules())
    for name, value in pull.pretrained.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(m.training for m in pull.train().pretrained.modules())


def test_the_anchor_is_a_copy():
    encoder = nn.Linear(2, 2)
    pull = Anchor(encoder, 1.0, 1.0)
    with torch.no_grad():
        encoder.weight += 1
    assert not torch.equal(pull.pretrained.weight, encoder.weight)


@pytest.mark.parametrize("weights, distillation", [(-1, 0), (0, -0.1)])
def test_refuses_negative_factors(weights, distillation):
    with pytest.raises(ValueError, match="0 switches it off"):
        Anchor(nn.Linear(1, 1), weights, distillation)


def projections(n):
    feats = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)  # the same on each rank
    encoder, projector = nn.Linear(3, 4), nn.Linear(4, 5)
    return ProjectionAnchor(encoder, projector, 0.7, 0.2), feats


def test_projections_find_the_old_ones_of_their_view():
    """CaSSLe in loops: the cross entropy of the cosines."""
    anchor, feats = projections(6)
    predicted = torch.randn(6, 5, requires_grad=True)
    old = anchor.pretrained(feats)
    total = 0.0
    for i in range(6):
        cosines = [
            nn.functional.cosine_similarity(predicted[i], old[j], dim=0).item()
            for j in range(6)
        ]
        right = math.exp(cosines[i] / 0.2)
        total -= math.log(right / sum(math.exp(c / 0.2) for c in cosines))
    result = anchor(feats, predicted, n_views=6)
    assert result.item() == pytest.approx(0.7 * total / 6, rel=1e-5)
    result.backward()
    assert predicted.grad.abs().sum() > 0
    assert all(p.grad is None for p in anchor.pretrained.parameters())
    assert not any(m.training for m in anchor.train().pretrained.modules())


def one_rank(rank):
    anchor, feats = projections(6)
    mine = [slice(0, 4), slice(4, 6)][rank]
    predicted = feats.repeat(1, 2)[:, :5]
    return anchor(feats[mine], predicted[mine], n_views=6)


def test_projections_of_two_ranks(two_ranks):
    anchor, feats = projections(6)
    whole = anchor(feats, feats.repeat(1, 2)[:, :5], n_views=6)
    # part_of_mean: the mean over the ranks is that over all views.
    first, second = two_ranks(one_rank)
    torch.testing.assert_close((first + second) / 2, whole)


def test_interpolation():
    old, new = (Cnn14(mel_bins=32, width=1).state_dict() for _ in range(2))
    for share in (0, 0.25, 1):
        result = interpolate(old, new, share)
        assert result.keys() == new.keys()
        for name, value in result.items():
            if value.is_floating_point():
                expected = share * old[name] + (1 - share) * new[name]
                torch.testing.assert_close(value, expected)
