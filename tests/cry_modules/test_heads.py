"""Projector: the layers of SimCLR's, and what it does to a batch."""

import math

import pytest
import torch
from torch import nn

from cry_modules.heads import ClassificationHead, ProjectionHead


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


def test_layers_are_weighted_by_a_softmax():
    """Sum of the layers, each normalised, times the softmax of a number a layer
    (SUPERB, https://arxiv.org/abs/2105.01051), then a linear layer."""
    torch.manual_seed(0)
    head = ClassificationHead(3 * 4, 2, n_layers=3)
    assert head.layer_weights.tolist() == [0, 0, 0]
    with torch.no_grad():
        head.layer_weights.copy_(torch.tensor([0.0, 2.0, -1.0]))
    x = torch.randn(10, 12) * torch.arange(1, 13)
    share = [math.exp(w) for w in (0, 2, -1)]
    expected = torch.zeros(10, 4)
    for i in range(3):
        layer = x[:, 4 * i : 4 * i + 4]
        spread = (layer.var(dim=0, correction=0) + head.norm.eps).sqrt()
        normalised = (layer - layer.mean(dim=0)) / spread
        expected += share[i] / sum(share) * normalised
    logits = head.linear(expected)
    torch.testing.assert_close(head(x), logits)
    head(x)[:, 0].sum().backward()
    assert head.layer_weights.grad.abs().min() > 0
    # Affine in evaluation mode: means of chunks are means of their logits.
    head.eval()
    torch.testing.assert_close(head(x.mean(0)[None])[0], head(x).mean(0))


def test_one_layer_has_no_weights():
    names = ["norm.weight", "norm.bias", "linear.weight", "linear.bias"]
    head = ClassificationHead(8, 2)
    assert [name for name, _ in head.named_parameters()] == names
