"""The masked-spectrogram task in slow loops, its views, and its network."""

import math

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cry_modules.cnn14 import Cnn14
from cry_modules.objectives.masked_spectrogram import (
    MapDecoder,
    MaskedSpectrogram,
)
from cry_modules.training.batch_norm import convert_batch_norms
from cry_modules.training.experiment import load
from cry_modules.training.simclr import use_own_head
from data_prep.files.errors import InputError

TOLERANCE = {"rtol": 1e-9, "atol": 1e-10}
SMALL = "hparams/small_simclr.yaml"


def spectrograms(n_items=4, n_frames=65, n_mels=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = n_items, n_frames, n_mels
    feats = torch.randn(shape, generator=generator, dtype=torch.float64)
    return 3 * feats + torch.arange(n_mels)


def loops(predicted, feats, hidden):
    """Loss of a view, its squared errors and the squares to explain."""
    n_frames, n_mels = feats.shape
    means = [sum(feats[t, f] for t in range(n_frames)) / n_frames
             for f in range(n_mels)]  # fmt: skip
    squares = sum(
        (feats[t, f] - means[f]) ** 2
        for t in range(n_frames)
        for f in range(n_mels)
    )
    scale = math.sqrt(squares / (n_frames * n_mels))
    errors, explainable, n = 0.0, 0.0, 0
    for t in range(len(predicted)):  # the decoder leaves out the last ones
        for f in range(n_mels):
            if hidden[t, f]:
                value = float(feats[t, f] - means[f]) / scale
                errors += (float(predicted[t, f]) - value) ** 2
                explainable += value**2
                n += 1
    return errors / n, errors, explainable


def test_the_loss_is_the_squared_error_of_the_hidden_bins():
    objective = MaskedSpectrogram(share=0.4, block=3).eval()
    feats = spectrograms(n_items=4, n_frames=10, n_mels=7)
    seen, targets = objective.hide(feats)
    hidden = targets[:, 1].bool()
    predicted = torch.randn(4, 8, 7).double().requires_grad_()
    rows = objective.rows(*predicted.chunk(2), targets=targets.chunk(2))
    assert rows.recordings.tolist() == [0, 1]
    for i in range(2):  # views of a recording: i and 2 + i
        both = [
            loops(predicted[k].detach(), feats[k], hidden[k])
            for k in (i, 2 + i)
        ]
        losses, errors, squares = map(sum, zip(*both))
        assert rows.losses[i].item() == pytest.approx(losses / 2)
        explained = rows.figures["explained"][i].item()
        assert explained == pytest.approx(max(-1, 1 - errors / squares))
    rows.losses.sum().backward()
    outside = torch.where(hidden[:, :8], 0.0, predicted.grad)
    assert not outside.any() and predicted.grad.any()


def test_whole_blocks_are_hidden_and_nothing_else_changes():
    objective = MaskedSpectrogram(share=0.6, block=16)
    feats = spectrograms(n_frames=65)
    seen, targets = objective.hide(feats)
    hidden = targets[:, 1].bool()
    for item in hidden:
        blocks = [
            item[t : t + 16, f : f + 16]
            for t in range(0, 65, 16)
            for f in (0, 16)
        ]
        assert all(block.all() or not block.any() for block in blocks)
        assert sum(bool(block.any()) for block in blocks) == 6  # of ten
    torch.testing.assert_close(seen[~hidden], feats[~hidden], **TOLERANCE)
    means = feats.mean(dim=1, keepdim=True).expand_as(feats)
    torch.testing.assert_close(seen[hidden], means[hidden], **TOLERANCE)
    assert len({tuple(item.flatten().tolist()) for item in hidden}) > 1


def test_what_is_hidden_changes_in_training_only():
    objective, feats = MaskedSpectrogram(block=4), spectrograms()
    first, second = (objective.hide(feats)[0] for _ in range(2))
    assert not torch.equal(first, second)
    state = torch.random.get_rng_state()
    first, second = (objective.eval().hide(feats)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("share, block", [(0.01, 16), (0.99, 100)])
def test_something_is_hidden_and_something_seen(share, block):
    objective = MaskedSpectrogram(share, min(block, 32))
    seen, targets = objective.hide(spectrograms(n_frames=33))
    hidden = targets[:, 1].flatten(1).mean(dim=1)
    assert ((0 < hidden) & (hidden < 1)).all()


def test_silence_has_finite_figures():
    objective = MaskedSpectrogram()
    _, targets = objective.hide(torch.zeros(2, 65, 32))
    rows = objective.rows(torch.ones(2, 64, 32), targets=[targets])
    assert rows.losses.tolist() == [1, 1]
    assert rows.figures["explained"].tolist() == [-1, -1]


@pytest.mark.parametrize("share, block", [(0, 16), (1, 16), (0.5, 0)])
def test_impossible_blocks_are_refused(share, block):
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        MaskedSpectrogram(share, block)


def test_the_map_is_the_last_blocks_output_beside_the_embedding():
    encoder = Cnn14(mel_bins=64, width=1).double().eval()
    feats = spectrograms(n_frames=100, n_mels=64)
    read = encoder(feats, places=("embedding", "map"))
    embs, flat = read[:, :32], read[:, 32:]
    torch.testing.assert_close(embs, encoder(feats), **TOLERANCE)
    channels, bins, frames = encoder.map_dim
    assert (channels, bins, frames) == (32, 2, 32)
    last = flat.view(4, channels, 100 // frames, bins)
    pooled = last.mean(dim=3)
    pooled = pooled.amax(dim=2) + pooled.mean(dim=2)
    torch.testing.assert_close(embs, pooled, **TOLERANCE)


def test_the_decoder_maps_each_column_to_its_frames():
    decoder = MapDecoder(skipped=3, map_dim=(4, 2, 5), n_mels=6).double()
    x = torch.randn(2, 3 + 4 * 7 * 2).double()
    out, columns = decoder(x), x[:, 3:].view(2, 4, 7, 2)
    weight, bias = decoder.linear.weight, decoder.linear.bias
    for i in range(7):
        column = columns[:, :, i].reshape(2, 8)
        frames = (column @ weight.T + bias).view(2, 5, 6)
        torch.testing.assert_close(out[:, 5 * i : 5 * i + 5], frames)


class Network(nn.Module):
    """Encoder and decoder, the same in every process."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = Cnn14(mel_bins=32, width=1, dropout=0.0)
        self.decoder = MaskedSpectrogram().head(self.encoder, 32)

    def forward(self, seen):
        places = MaskedSpectrogram.reads
        return self.decoder(self.encoder(seen, places=places))


def losses_of(network, recordings):
    """Two views of these recordings of four, hidden as in evaluation."""
    seen, targets = MaskedSpectrogram().eval().hide(spectrograms(n_items=8))
    views = (x.view(2, 4, *x.shape[1:])[:, recordings] for x in (seen, targets))
    seen, targets = (view.flatten(0, 1) for view in views)
    predicted = network(seen)
    return MaskedSpectrogram().rows(
        *predicted.chunk(2), targets=targets.chunk(2)
    )


def one_rank(rank):
    network = convert_batch_norms(Network().double())
    share = [[0, 1, 2], [3]][rank]
    wrapped = DistributedDataParallel(network)
    losses = losses_of(wrapped, share).losses
    # As the Brain does: the mean over ranks is the mean over all rows.
    (losses.sum() * 2 / 4).backward()
    return losses.detach(), {n: p.grad for n, p in network.named_parameters()}


def test_two_ranks_equal_one_process_on_the_joined_batch(two_ranks):
    (first, gradients), (second, _) = two_ranks(one_rank)
    network = Network().double()
    losses = losses_of(network, slice(None)).losses
    losses.mean().backward()
    torch.testing.assert_close(
        torch.cat([first, second]), losses.detach(), **TOLERANCE
    )
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, **TOLERANCE)


def test_the_objective_brings_its_head_and_its_masks(tmp_path):
    typed = {"output_folder": str(tmp_path), "width": 1}
    hparams = load(SMALL, {**typed, "objective": "masked_spectrogram"})
    use_own_head(hparams)
    assert hparams["modules"]["projector"] is hparams["projector"]
    assert isinstance(hparams["projector"], MapDecoder)
    assert hparams["augment"].n_masks == 0
    saved = hparams["checkpointer"].recoverables["projector"]
    assert saved is hparams["projector"]


def test_an_encoder_without_feature_map_is_refused():
    with pytest.raises(InputError, match="Linear has no feature map"):
        MaskedSpectrogram().head(nn.Linear(80, 2), 80)
