"""CNN14: equal to SpeechBrain's at width 64, independent of padding."""

import copy

import numpy as np
import pytest
import torch
from speechbrain.lobes.models import Cnn14 as speechbrain_cnn14

from cry_modules import cnn14
from cry_modules.cnn14 import Cnn14, mean_and_spread
from cry_modules.cpu_layers import Conv3x3, dropout
from cry_modules.finetune import batch_norms


@torch.no_grad()
def randomise_norms(encoder):
    for norm in batch_norms(encoder):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.5, 2)


@pytest.fixture(scope="module")
def pair():
    """Ours and SpeechBrain's with the same weights and statistics."""
    torch.manual_seed(0)
    theirs = speechbrain_cnn14.Cnn14(80, 2048)
    randomise_norms(theirs)
    ours = Cnn14(80, width=64)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.parametrize("frames", [64, 101])
def test_outputs_equal_speechbrains(pair, frames):
    ours, theirs = (m.eval() for m in pair)
    feats = torch.randn(2, frames, 80)
    with torch.no_grad():
        expected = theirs(feats).squeeze(1)
        torch.testing.assert_close(ours(feats), expected)


def test_training_equals_speechbrains(pair, monkeypatch):
    """Same dropout, same statistics, same gradient."""

    def dropout(x, p, training=True):  # draws in no order of memory
        assert training
        return x * (torch.rand(x.shape) >= p) / (1 - p)

    monkeypatch.setattr(torch.nn.functional, "dropout", dropout)
    monkeypatch.setattr(cnn14, "dropout", dropout)
    feats = torch.randn(2, 64, 80).double()
    pair = [copy.deepcopy(model).double().train() for model in pair]
    grads = []
    for model in pair:
        torch.manual_seed(1)
        model(feats).square().sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
        model.zero_grad()
    for ours, theirs in zip(*grads):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip(*(m.buffers() for m in pair)):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("size", [(12, 2), (1, 1), (5, 3)])
@pytest.mark.parametrize(
    "layout", [torch.channels_last, torch.contiguous_format]
)
def test_product_is_the_convolution(size, layout):
    """Values and both gradients."""
    conv = Conv3x3(6, 7).double().to(memory_format=layout)
    x = torch.randn(3, 6, *size, dtype=torch.float64, requires_grad=True)
    outs = [
        conv.as_product(x),
        torch.nn.functional.conv2d(x, conv.weight, padding=1),
    ]
    torch.testing.assert_close(*outs)
    slope = torch.randn_like(outs[0])
    grads = [torch.autograd.grad(y, (x, conv.weight), slope) for y in outs]
    torch.testing.assert_close(*grads)


def test_narrow_maps_of_many_channels_are_a_product(monkeypatch):
    """Elsewhere the convolution is as fast or faster."""
    taken = []
    monkeypatch.setattr(Conv3x3, "as_product", lambda conv, x: taken.append(x))
    for channels, bins in ((256, 2), (256, 5), (128, 2), (1, 2)):
        Conv3x3(channels, 1)(torch.randn(1, channels, 3, bins))
    assert [x.shape[1:] for x in taken] == [(256, 3, 2)]


def test_embed_frames_equals_the_forward_pass():
    encoder = Cnn14(80, width=1).eval()
    feats, n_frames = torch.randn(2, 64, 80), torch.tensor([64, 32])
    embs = encoder.embed_frames(feats, n_frames)
    assert torch.equal(embs, encoder(feats, n_frames / 64))
    assert torch.equal(encoder.embed_frames(feats), encoder(feats))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout(dtype):
    torch.manual_seed(0)
    x = torch.randn(50, 8, 20, 11).to(memory_format=torch.channels_last)
    x = x.to(dtype).requires_grad_()
    y = dropout(x, 0.2)
    kept = y != 0
    # Five standard deviations.
    n = x.numel()
    assert abs(int(kept.sum()) - 0.8 * n) < 5 * (0.16 * n) ** 0.5
    assert torch.equal(y[kept], (x * torch.tensor(1.25, dtype=dtype))[kept])
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(slope, kept * torch.tensor(1.25, dtype=dtype))
    # From the global generator only; neighbours are independent.
    torch.manual_seed(0)
    torch.randn(x.shape)
    assert torch.equal(dropout(x, 0.2), y)
    flat = kept.permute(0, 2, 3, 1).flatten().double() - 0.8
    for lag in (1, 2, 3, 4):
        r = (flat[lag:] * flat[:-lag]).mean() / 0.16
        assert abs(r) < 5 / n**0.5


def test_dropout_of_nothing_and_of_half():
    x = torch.ones(100000)
    assert torch.equal(dropout(x, 0.0), x)
    assert dropout(x, 0.5).unique().tolist() == [0, 2]


def test_parameter_counts_of_the_poster():
    encoder = Cnn14(80, width=64)
    assert sum(p.numel() for p in encoder.parameters()) == 75_477_472
    norms = list(batch_norms(encoder))
    assert len(norms) == 13
    affine = sum(p.numel() for n in norms for p in n.parameters())
    assert affine == 16_288


def padded_batch(lengths, total):
    """Items of given lengths, and one batch of them padded with rubbish."""
    items = [torch.randn(1, n, 80) for n in lengths]
    batch = torch.full((len(lengths), total, 80), 37.0)
    for row, item in zip(batch, items):
        row[: item.shape[1]] = item[0]
    return items, batch, torch.tensor(lengths) / total


@pytest.mark.parametrize("lengths", [[32, 47, 101], [63, 64, 65]])
def test_padding_does_not_change_an_embedding(lengths):
    torch.manual_seed(0)
    encoder = Cnn14(80, width=2).double().eval()
    for norm in batch_norms(encoder):
        torch.nn.init.normal_(norm.running_mean)
        torch.nn.init.normal_(norm.bias)
    items, batch, share = padded_batch(lengths, 131)
    together = encoder(batch.double(), share)
    for item, emb in zip(items, together):
        torch.testing.assert_close(encoder(item.double())[0], emb)


def test_padding_does_not_change_training():
    """Statistics and gradients are those of the unpadded batch."""
    torch.manual_seed(0)
    results = []
    feats = torch.randn(3, 70, 80).double()
    longer = torch.cat([feats, torch.full((3, 31, 80), 9.0).double()], dim=1)
    for batch, lengths in ((feats, None), (longer, torch.full((3,), 70 / 101))):
        torch.manual_seed(1)
        encoder = Cnn14(80, width=2, dropout=0.0).double().train()
        encoder(batch, lengths).square().sum().backward()
        results.append(
            [p.grad for p in encoder.parameters()] + [*encoder.buffers()]
        )
    for unpadded, padded in zip(*results):
        torch.testing.assert_close(unpadded, padded)


def test_refuses_what_five_poolings_cannot_hold():
    encoder = Cnn14(80, width=1)
    with pytest.raises(ValueError, match="31 frames"):
        encoder(torch.randn(2, 31, 80))
    with pytest.raises(ValueError, match="16 frames"):
        encoder(torch.randn(2, 64, 80), torch.tensor([1.0, 0.25]))
    with pytest.raises(ValueError, match="width 0"):
        Cnn14(80, width=0)


@torch.no_grad()
@pytest.mark.parametrize("mel_bins", [32, 64, 80])
def test_places_are_mean_and_deviation_with_frequency_kept(mel_bins):
    """Each recording alone, by numpy, equals the padded batch."""
    torch.manual_seed(0)
    encoder = Cnn14(mel_bins, width=2).eval()
    randomise_norms(encoder)
    feats = torch.randn(3, 90, mel_bins)
    n_frames = [90, 33, 64]
    places = [*encoder.places]
    batch = encoder(feats, torch.tensor(n_frames) / 90, places)
    for row, recording, n in zip(batch, feats, n_frames):
        parts, x = {}, encoder._normalise_bins(recording[None, :n], None)
        for i in range(6):
            x, _ = encoder.run_block(i, x, None)
            values = (
                x[0].numpy().astype(np.float64)
            )  # [channels, frames, bands]
            spread = values.std(axis=1)
            parts[f"block{i + 1}"] = np.concatenate(
                [values.mean(axis=1).ravel(), spread.ravel()]
            )
        parts["embedding"] = encoder(recording[None, :n])[0].numpy()
        got = dict(zip(places, row.split([*encoder.places.values()])))
        for place in places:
            np.testing.assert_allclose(
                got[place], parts[place], rtol=1e-4, atol=2e-5, err_msg=place
            )


@torch.no_grad()
def test_blocks_after_the_last_place_are_not_computed(monkeypatch):
    encoder, run = Cnn14(80, width=1).eval(), []
    compute = encoder.run_block

    def counted(i, x, n_frames):
        run.append(i)
        return compute(i, x, n_frames)

    monkeypatch.setattr(encoder, "run_block", counted)
    joined = encoder(torch.randn(2, 40, 80), places=["block3", "block1"])
    assert run == [0, 1, 2]
    dims = encoder.places
    assert joined.shape == (2, dims["block3"] + dims["block1"])


def test_a_silent_channel_has_a_finite_gradient():
    """A ReLU that never fires has no spread; its root has no slope."""
    x = torch.zeros(1, 1, 4, 2, requires_grad=True)
    mean_and_spread(x).sum().backward()
    assert x.grad.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("mel_bins", [32, 64, 80])
def test_frequency_pooling_keeps_the_bins(mel_bins):
    """Each recording alone, value by value, equals the padded batch; the mean
    over bins, pooled, is the embedding of the other pooling."""
    torch.manual_seed(0)
    encoder = Cnn14(mel_bins, width=2, pooling="frequency").eval()
    randomise_norms(encoder)
    feats, n_frames = torch.randn(3, 130, mel_bins), [130, 33, 100]
    embs = encoder(feats, torch.tensor(n_frames) / 130)
    n_bins = mel_bins // 32
    assert encoder.emb_dim == encoder.places["embedding"] == 64 * n_bins
    assert embs.shape == (3, encoder.emb_dim)
    mean = Cnn14(mel_bins, width=2).eval()
    state = encoder.state_dict()
    assert int(state.pop("frequency_bins")) == n_bins
    mean.load_state_dict(state)
    for emb, recording, n in zip(embs, feats, n_frames):
        x = encoder._normalise_bins(recording[None, :n], None)
        for i in range(6):
            x, _ = encoder.run_block(i, x, None)
        pooled = []
        for channel in x[0].numpy():
            for b in range(n_bins):
                values = [float(frame[b]) for frame in channel]
                pooled.append(max(values) + sum(values) / len(values))
        np.testing.assert_allclose(emb, pooled, rtol=1e-4, atol=2e-5)
        averaged = x[0].mean(dim=2)
        averaged = averaged.amax(dim=1) + averaged.mean(dim=1)
        torch.testing.assert_close(mean(recording[None, :n])[0], averaged)


def test_refuses_another_pooling():
    with pytest.raises(ValueError, match="'max'; expected one of mean, freq"):
        Cnn14(80, width=1, pooling="max")


def test_a_block_is_read_without_dropout():
    """Dropout would add to the deviation in training, and not in testing."""
    torch.manual_seed(0)
    encoder = Cnn14(80, width=2, dropout=0.9).train()
    feats = torch.randn(4, 64, 80)
    x = encoder._normalise_bins(feats, None)
    expected = mean_and_spread(encoder.conv_block1(x)[0])
    got = encoder(feats, places=["block1"])
    torch.testing.assert_close(got, expected)
