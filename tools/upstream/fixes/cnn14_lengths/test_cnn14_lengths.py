"""Tests of Cnn14 on batches with padding.

Authors
 * The contributors of cry-ssl 2026
"""

import pytest
import torch

from speechbrain.lobes.models.Cnn14 import Cnn14

# Even and odd after each of the five poolings
FRAMES = [127, 96, 33, 32]


def make_cnn14(norm_type="bn", **kwargs):
    """A model in evaluation mode, with statistics that make padding matter."""
    torch.manual_seed(0)
    cnn14 = Cnn14(32, 16, norm_type, **kwargs).eval()
    for name, value in cnn14.state_dict().items():
        if name.split(".")[-2].startswith("norm") and value.dim():
            torch.nn.init.uniform_(value, 0.5, 1.5)
    return cnn14


def make_batch(device):
    """Embeddings of items alone, and of a batch with other values as padding."""
    items = [torch.randn(1, n, 32, device=device) for n in FRAMES]
    batch = torch.full((len(FRAMES), max(FRAMES), 32), 3.0, device=device)
    for i, item in enumerate(items):
        batch[i, : item.shape[1]] = item
    lengths = torch.tensor(FRAMES, device=device) / max(FRAMES)
    return items, batch, lengths


@torch.no_grad()
@pytest.mark.parametrize("norm_type", ["bn", "in"])
def test_padded_or_alone(norm_type, device):
    cnn14 = make_cnn14(norm_type).to(device)
    items, batch, lengths = make_batch(device)
    alone = torch.cat([cnn14(item) for item in items])
    assert torch.allclose(cnn14(batch, lengths), alone, rtol=1e-4, atol=1e-4)
    # which is not the case without lengths:
    assert not torch.allclose(cnn14(batch)[1:], alone[1:], rtol=0.01)


@torch.no_grad()
def test_neighbours_do_not_matter(device):
    cnn14 = make_cnn14().to(device)
    _, batch, lengths = make_batch(device)
    embeddings = cnn14(batch, lengths)
    shorter = cnn14(batch[1:, : FRAMES[1]], lengths[1:] / lengths[1])
    assert torch.allclose(embeddings[1:], shorter, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_nothing_padded(device):
    cnn14 = make_cnn14().to(device)
    x = torch.randn(2, 50, 32, device=device)
    full = cnn14(x, torch.ones(2, device=device))
    assert torch.allclose(full, cnn14(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_representations(device):
    cnn14 = make_cnn14(return_reps=True).to(device)
    items, batch, lengths = make_batch(device)
    _, together = cnn14(batch, lengths)
    for i, item in enumerate(items):
        for padded, alone in zip(together, cnn14(item)[1]):
            n_frames = alone.shape[2]
            valid, padding = padded[i, :, :n_frames], padded[i, :, n_frames:]
            assert torch.allclose(valid, alone[0], rtol=1e-4, atol=1e-4)
            assert not padding.any()


def test_padding_has_no_gradient(device):
    cnn14 = make_cnn14().to(device)
    _, batch, lengths = make_batch(device)
    batch.requires_grad_()
    cnn14(batch, lengths).sum().backward()
    for gradient, n_frames in zip(batch.grad, FRAMES):
        assert gradient[:n_frames].any()
        assert not gradient[n_frames:].any()


def test_training(device):
    cnn14 = make_cnn14().to(device).train()
    _, batch, lengths = make_batch(device)
    embeddings = cnn14(batch, lengths)
    assert embeddings.shape == (len(FRAMES), 1, 16)
    embeddings.sum().backward()
    assert all(p.grad.isfinite().all() for p in cnn14.parameters())


def test_too_short(device):
    x = torch.randn(2, 64, 32, device=device)
    lengths = torch.tensor([1.0, 31 / 64], device=device)
    with pytest.raises(ValueError, match="31 valid frames"):
        make_cnn14().to(device)(x, lengths)


def test_layer_norm_is_refused(device):
    _, batch, lengths = make_batch(device)
    with pytest.raises(ValueError, match="ln"):
        make_cnn14("ln").to(device)(batch, lengths)
