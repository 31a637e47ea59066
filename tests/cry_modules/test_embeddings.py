"""Embeddings of whole recordings and of chunks, with and without log-mel."""

import numpy as np
import pytest
import torch

from cry_modules.cnn14 import Cnn14
from cry_modules.embeddings import Embedder, LogMelStatistics, cut
from cry_modules.evaluation.baseline import mean_and_deviation
from cry_modules.finetune import FinetunedEncoder
from cry_modules.front_ends import AugmentedFeatures, LogMel
from cry_modules.heads import ClassificationHead
from cry_modules.views.chunks_and_masks import SpecAugment

RATE = 16000


def make_embedder(**options):
    torch.manual_seed(0)
    features = AugmentedFeatures(LogMel(), SpecAugment(0, 0), False)
    return Embedder(features, Cnn14(80, width=1), **options).eval()


def padded(sigs):
    wavs = torch.nn.utils.rnn.pad_sequence(sigs, batch_first=True)
    lengths = torch.tensor([len(sig) / wavs.shape[1] for sig in sigs])
    return wavs, lengths


@pytest.fixture
def sigs():
    torch.manual_seed(1)
    return [torch.randn(round(s * RATE)) for s in (0.7, 1.0, 2.5, 0.5)]


@torch.no_grad()
@pytest.mark.parametrize("readout", ["embedding", "block3", "embedding+logmel"])
def test_chunk_embeddings_are_averaged(sigs, readout):
    """Recordings not longer than a chunk keep their embedding."""
    embedder = make_embedder(readout=readout, tested_on="chunks", chunk_s=1.0)
    whole = make_embedder(readout=readout)
    embs = embedder(*padded(sigs))
    # 2.5 s: three chunks that begin at 0, 0.75 and 1.5 s.
    starts = {2: [0, 12000, 24000]}
    for i, sig in enumerate(sigs):
        parts = [sig[s : s + RATE] for s in starts.get(i, [0])]
        expected = torch.stack([whole(part[None])[0] for part in parts]).mean(0)
        torch.testing.assert_close(embs[i], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_averaged_embeddings_are_averaged_logits(sigs):
    """The head is affine in evaluation mode."""
    head = ClassificationHead(32, 3).eval()
    head.norm.running_mean.normal_()
    head.norm.running_var.uniform_(0.5, 2)
    wavs, lengths = padded(sigs)
    chunks, chunk_lengths, owner = cut(wavs, lengths, RATE)
    each = head(make_embedder()(chunks, chunk_lengths))
    result = head(make_embedder(tested_on="chunks", chunk_s=1.0)(wavs, lengths))
    for i in range(len(sigs)):
        expected = each[owner == i].mean(0)
        torch.testing.assert_close(result[i], expected, rtol=1e-4, atol=1e-5)


def test_chunks_cover_every_sample():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n, size = int(rng.integers(1, 100)), int(rng.integers(1, 40))
        wavs = torch.arange(1.0, n + 1)[None]
        chunks, lengths, owner = cut(wavs, None, size)
        assert set(chunks[chunks > 0].tolist()) == set(wavs[0].tolist())
        assert len(chunks) == max(1, -(-n // size)) == len(owner)
        assert (lengths == 1).all()


@torch.no_grad()
def test_log_mel_statistics_are_those_of_the_frames_without_padding(sigs):
    result = LogMelStatistics(LogMel())(*padded(sigs))
    for sig, row in zip(sigs, result):
        frames = LogMel()(sig[None])[0][0].numpy()
        np.testing.assert_allclose(
            row.numpy(), mean_and_deviation(frames), rtol=1e-3, atol=1e-3
        )


@torch.no_grad()
def test_readout_appends_the_statistics(sigs):
    wavs, lengths = padded(sigs)
    both = make_embedder(readout="embedding+logmel")
    assert both.dimension() == 32 + 160
    encoder = make_embedder()(wavs, lengths)
    statistics = LogMelStatistics(LogMel())(wavs, lengths)
    assert torch.equal(both(wavs, lengths), torch.cat([encoder, statistics], 1))


def test_train_mode_embeds_its_input_as_a_whole(sigs):
    """Chunks are cut before training; only evaluation averages."""
    embedder = make_embedder(tested_on="chunks", chunk_s=0.5)
    embedder.encoder.dropout = 0.0
    plain = make_embedder()
    plain.encoder.dropout = 0.0
    wavs, lengths = padded(sigs)
    assert torch.equal(
        embedder.train()(wavs, lengths), plain.train()(wavs, lengths)
    )


def test_refuses_unknown_options():
    for readout in (
        *("logmel", "", "encoder", "block7", "block3+", "block3+block3"),
        *("logmel+block3", "block3 + block4", None),
    ):
        with pytest.raises(
            ValueError, match="readout is .*block1, .*joined by"
        ):
            make_embedder(readout=readout)
    with pytest.raises(ValueError, match="tested_on is 'chunk'; expected one"):
        make_embedder(tested_on="chunk")


@pytest.mark.parametrize("mode", ["linear_bn", "end_to_end"])
@pytest.mark.parametrize("readout", ["block3", "block3+block1+logmel"])
def test_layers_after_the_last_place_are_not_trained(sigs, mode, readout):
    """All others are: each trained parameter has a gradient, which data
    parallelism needs."""
    torch.manual_seed(0)
    features = AugmentedFeatures(LogMel(), SpecAugment(0, 0), False)
    encoder = Cnn14(80, width=1)
    tuned = FinetunedEncoder(encoder, mode)
    embedder = Embedder(features, tuned, readout).train()
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    embedder(*padded(sigs)).square().sum().backward()
    last = ("conv_block4", "conv_block5", "conv_block6")
    for name, parameter in encoder.named_parameters():
        is_norm = "norm" in name
        trains = not name.startswith(last) and (is_norm or mode != "linear_bn")
        assert parameter.requires_grad == trains, name
        assert (parameter.grad is not None) == trains, name
    for name, buffer in encoder.named_buffers():
        assert torch.equal(buffer, before[name]) == name.startswith(last), name
