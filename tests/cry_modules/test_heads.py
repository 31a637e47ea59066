"""Projector: the layers of SimCLR's, and what it does to a batch."""

import pytest
import torch
from torch import nn

from cry_modules.heads import ProjectionHead


def test_projector_is_linear_norm_relu_linear_norm():
    head = ProjectionHead(8, 6, 4)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    assert [type(layer) for layer in head.layers] == kinds
    n_parameters = 8 * 6 + 2 * 6 + 6 * 4 + 2 * 4
    assert sum(p.numel() for p in head.parameters()) == n_parameters


def test_projections_are_normalised_over_the_batch():
    torch.manual_seed(0)
    z = ProjectionHead(8, 6, 4)(torch.randn(64, 8) * 3 + 1)
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(4))
    torch.testing.assert_close(
        z.var(dim=0, correction=0), torch.ones(4), rtol=1e-3, atol=1e-3
    )


def test_a_predictor_is_a_quarter_as_wide():
    head = ProjectionHead(8, 6, 4, predictor=True)
    assert [tuple(p.shape) for p in head.layers[5].parameters()] == [(1, 4)]
    head(torch.randn(16, 8)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())


def test_one_recording_cannot_be_normalised():
    with pytest.raises(ValueError, match="more than 1 value"):
        ProjectionHead(8, 6, 4)(torch.randn(1, 8))
