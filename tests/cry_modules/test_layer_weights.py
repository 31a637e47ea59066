"""Classification head that weights the layers of an encoder."""

import math

import torch

from cry_modules.heads import ClassificationHead


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
