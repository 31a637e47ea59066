"""Recomputing activations leaves every result the same, to the bit."""

import copy

import pytest
import torch

from cry_modules.anchors import Anchor
from cry_modules.cnn14 import Cnn14
from cry_modules.finetune import AdaptedEncoder, FinetunedEncoder
from cry_modules.training import recompute
from cry_modules.training.recompute import recompute_blocks, untracked
from data_prep.files.errors import InputError
from tests.saved_tensors import saved_bytes


def encoder_of(recomputed, width=2):
    torch.manual_seed(0)
    encoder = Cnn14(mel_bins=80, width=width, dropout=0.2)
    if recomputed:
        recompute_blocks(encoder)
    return encoder


def step(module, encoder, lengths=None, passes=1, dtype=None):
    """Make three SGD steps; return everything that may differ after them."""
    module.train()
    torch.manual_seed(1)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9)
    losses = []
    for _ in range(3):
        feats = torch.randn(4, 64, 80)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            parts = feats.chunk(passes)
            sizes = [None] * passes if lengths is None else [lengths] * passes
            embs = torch.cat([module(*pair) for pair in zip(parts, sizes)])
        loss = embs.float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return {
        **encoder.state_dict(),
        "losses": torch.stack(losses),
        "random": torch.get_rng_state(),
    }


def assert_equal(a, b):
    assert list(a) == list(b)
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


def assert_recomputing_is_the_same(
    wrap=lambda encoder: encoder, width=2, **how
):
    """Train with and without; return the result."""
    results = []
    for recomputed in (False, True):
        encoder = encoder_of(recomputed, width)
        results.append(step(wrap(encoder), encoder, **how))
    assert_equal(*results)
    return results[0]


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("lengths", [None, [1.0, 0.7]])
def test_weights_statistics_and_random_states_are_the_same(
    dtype, passes, lengths
):
    lengths = lengths and torch.tensor(lengths * (2 // passes))
    result = assert_recomputing_is_the_same(
        lengths=lengths, passes=passes, dtype=dtype
    )
    assert result["norm0.num_batches_tracked"] == 3 * passes


def test_the_matrix_product_of_the_last_block_is_recomputed():
    assert_recomputing_is_the_same(width=16)


@pytest.mark.parametrize(
    "wrap, mode",
    [
        (AdaptedEncoder, "batchnorm"),
        (AdaptedEncoder, "conv_block4"),
        (FinetunedEncoder, "linear_bn"),
        (FinetunedEncoder, "end_to_end"),
    ],
)
def test_every_mode_of_training_is_the_same(wrap, mode):
    assert_recomputing_is_the_same(lambda encoder: wrap(encoder, mode))


def test_evaluation_is_the_same_and_keeps_nothing():
    encoders = [encoder_of(recomputed).eval() for recomputed in (False, True)]
    feats = torch.randn(2, 64, 80)
    assert torch.equal(*(encoder(feats) for encoder in encoders))


def test_a_copy_recomputes_its_own_blocks():
    encoder = encoder_of(True)
    anchor = Anchor(encoder, weights=0.0, distillation=1.0)
    feats = torch.randn(2, 64, 80)
    before = copy.deepcopy(encoder.state_dict())
    other = anchor.pretrained.requires_grad_(True)
    encoder.requires_grad_(False)
    torch.nn.Module.train(other)
    other(feats).sum().backward()
    assert other.norm0.num_batches_tracked == 1
    assert_equal(before, encoder.state_dict())
    assert all(p.grad is None for p in encoder.parameters())


def test_only_inputs_of_halves_of_blocks_are_kept():
    feats = torch.randn(4, 64, 80)
    kept, all_saved = (saved_bytes(encoder_of(r), feats) for r in (True, False))
    inputs, n_in = 0, 1
    for block in range(6):
        n_out, cells = 2 * 2**block, 4 * 64 * 80 / 4**block
        inputs += 4 * cells * (n_in + n_out)
        n_in = n_out
    # Checkpointing installs hooks of its own inside of ours: what ours see
    # are the inputs, norm0 and the pooling.
    assert inputs <= kept < 1.1 * inputs + 4 * feats.numel()
    assert kept < 0.4 * all_saved


def test_statistics_are_tracked_again_after_an_error():
    norm = torch.nn.BatchNorm1d(1)
    with pytest.raises(RuntimeError), untracked(norm):
        raise RuntimeError
    norm(torch.tensor([[1.0], [3.0]]))
    assert norm.num_batches_tracked == 1


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(recompute, "n_ranks", lambda: 2)
    with pytest.raises(InputError, match="True on 2 processes; use one"):
        recompute_blocks(Cnn14(mel_bins=80, width=1))
