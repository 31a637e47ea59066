"""Fine-tuning modes: the poster's counts, and what moves in a real fit."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.state_dict import read_state_dict
from cry_modules.cnn14 import Cnn14
from cry_modules.finetune import (
    FINETUNE_MODES,
    AdaptedEncoder,
    FinetunedEncoder,
    calibrate_batch_norms,
)
from cry_modules.heads import ClassificationHead
from cry_modules.training.batch_norm import convert_batch_norms
from recipes.classification import train_cls


@pytest.mark.parametrize(
    "mode, n_trainable",
    [("linear", 8_194), ("linear_bn", 24_482), ("end_to_end", 75_485_666)],
)
def test_trained_parameters_of_the_poster(mode, n_trainable):
    encoder = FinetunedEncoder(Cnn14(80, width=64), mode)
    head = ClassificationHead(2048, 2)
    parameters = [*encoder.parameters(), *head.parameters()]
    assert sum(p.numel() for p in parameters) == 75_485_666
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    assert trained == n_trainable


@pytest.mark.parametrize("mode", FINETUNE_MODES)
def test_speechbrains_modules_train_does_not_undo_the_mode(mode):
    modules = torch.nn.ModuleDict(
        {"encoder": FinetunedEncoder(Cnn14(80, width=1), mode)}
    )
    modules.train()
    norm = modules["encoder"].encoder.conv_block3.norm1
    assert norm.training == (mode != "linear")
    before = norm.running_mean.clone()
    modules["encoder"](torch.randn(2, 64, 80))
    assert torch.equal(norm.running_mean, before) == (mode == "linear")
    modules.eval()
    assert not norm.training


class ConvolutionGradients(TorchDispatchMode):
    """Record which gradients each backward pass of a convolution computes."""

    def __init__(self):
        super().__init__()
        self.of_input, self.of_weight = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution_backward.default:
            of_input, of_weight, _ = args[-1]
            self.of_input.append(of_input)
            self.of_weight.append(of_weight)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "mode, n_backward, n_weight",
    [("linear", 0, 0), ("linear_bn", 12, 0), ("end_to_end", 12, 12)],
)
def test_frozen_convolutions_have_no_weight_gradient(
    mode, n_backward, n_weight
):
    """They would be half of the cost of a backward pass."""
    tuned = FinetunedEncoder(Cnn14(80, width=1), mode).train()
    head = ClassificationHead(32, 2)
    loss = head(tuned(torch.randn(4, 64, 80))).square().sum()
    with ConvolutionGradients() as seen:
        loss.backward()
    assert len(seen.of_weight) == n_backward
    assert sum(seen.of_weight) == n_weight


def test_refuses_another_mode():
    message = r"finetune_mode is 'bn'; expected one of \('linear', "
    with pytest.raises(ValueError, match=message):
        FinetunedEncoder(Cnn14(80, width=1), "bn")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkpoint whose statistics are not the initial ones."""
    torch.manual_seed(0)
    encoder = Cnn14(80, width=1)
    calibrate_batch_norms(encoder, [torch.randn(4, 64, 80)])
    path = tmp_path_factory.mktemp("source") / "encoder.ckpt"
    torch.save(encoder.state_dict(), path)
    return path


@pytest.mark.parametrize("mode", FINETUNE_MODES)
def test_what_moves_in_a_real_fit(mode, source, corpus, tmp_path):
    train_cls.main(
        [f"hparams/neuro_{mode}.yaml", "--device=cpu", "--noprogressbar"]
        + [f"--data_folder={corpus}/cry", f"--output_folder={tmp_path}"]
        + [f"--encoder_source={source}", "--width=1", "--batch_size=4"]
        + ["--number_of_epochs=2", "--lr=0.01", "--bootstrap_draws=100"]
        + ["--controls=False", "--figures=False"]
    )
    before = read_state_dict(source)
    after = read_state_dict(EncoderSource(tmp_path).file())
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    statistics = {k for k in before if "running_" in k or "num_batches" in k}
    affine = {k for k in before if "norm" in k} - statistics
    expected = {
        "linear": set(),
        "linear_bn": affine | statistics,
        "end_to_end": set(before),
    }[mode]
    assert moved == expected


def test_calibration_sets_the_statistics_of_the_data_and_learns_nothing():
    torch.manual_seed(0)
    encoder = Cnn14(80, width=1, dropout=0.0)
    weights = [p.clone() for p in encoder.parameters()]
    batches = [3 + 2 * torch.randn(8, 64, 80) for _ in range(3)]
    calibrate_batch_norms(encoder, batches)
    # Before the input BatchNorm there is only the data itself.
    frames = torch.stack(batches)
    torch.testing.assert_close(
        encoder.norm0.running_mean, frames.mean(dim=(0, 1, 2))
    )
    assert all(torch.equal(a, b) for a, b in zip(weights, encoder.parameters()))
    assert encoder.norm0.momentum == 0.1


def test_calibration_against_the_mean_of_the_batches_without_dropout():
    torch.manual_seed(0)
    encoder = Cnn14(80, width=1, dropout=0.5)
    plain = Cnn14(80, width=1, dropout=0.0)
    plain.load_state_dict(encoder.state_dict())
    seen = {}
    for name, norm in plain.named_modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):

            def keep(module, inputs, output, name=name):
                values = inputs[0].transpose(0, 1).flatten(1)
                seen.setdefault(name, []).append(
                    (values.mean(dim=1), values.var(dim=1))
                )

            norm.register_forward_hook(keep)
    batches = [torch.randn(4, 64, 80) for _ in range(3)]
    with torch.no_grad():
        for batch in batches:
            plain.train()(batch)
    random_state = torch.get_rng_state()
    calibrate_batch_norms(encoder.eval(), batches)
    assert torch.equal(random_state, torch.get_rng_state())
    assert not any(module.training for module in encoder.modules())
    assert len(seen) == 13
    for name, values in seen.items():
        norm = encoder.get_submodule(name)
        mean, variance = (sum(part) / 3 for part in zip(*values))
        close = dict(rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(norm.running_mean, mean, **close)
        torch.testing.assert_close(norm.running_var, variance, **close)


def names_that_moved(before, encoder):
    """Parameters and running statistics that changed."""
    return {
        name
        for name, value in encoder.state_dict().items()
        if not torch.equal(value, before[name])
        and not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize(
    "layers", ["all", "batchnorm", "norm0", "conv_block3", "conv_block6"]
)
def test_only_the_layers_that_adapt_move(layers):
    encoder = Cnn14(mel_bins=32, width=1)
    adapted = AdaptedEncoder(encoder, layers)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    optimizer = torch.optim.AdamW(adapted.parameters(), weight_decay=0.1)
    adapted.train()  # as SpeechBrain does, whatever was set before
    adapted(torch.randn(4, 40, 32)).square().sum().backward()
    optimizer.step()
    moved = names_that_moved(before, encoder)
    every = {k for k in before if not k.endswith("num_batches_tracked")}
    if layers == "batchnorm":
        expected = {k for k in every if "norm" in k}
    elif layers in ("all", "norm0"):
        expected = every
    else:
        first = int(layers[-1])
        expected = {
            k
            for k in every
            if k.startswith("conv_block") and int(k[10]) >= first
        }
    assert moved == expected


def test_refuses_unknown_layers():
    with pytest.raises(ValueError, match="adapt_layers is 'top'; expected all"):
        AdaptedEncoder(Cnn14(mel_bins=32, width=1), "top")


@pytest.mark.parametrize(
    "convert",
    [convert_batch_norms, torch.nn.SyncBatchNorm.convert_sync_batchnorm],
)
def test_frozen_layers_stay_frozen_under_data_parallelism(convert):
    """It replaces the encoder's BatchNorm layers by others."""
    adapted = convert(AdaptedEncoder(Cnn14(32, width=1), "conv_block5")).train()
    assert not adapted.encoder.norm0.training
    assert not adapted.encoder.conv_block4.norm2.training
    assert adapted.encoder.conv_block5.norm1.training


def test_linear_bn_trains_layer_norms_and_group_norms():
    """The counterpart of linear+BN in an encoder without BatchNorm."""
    encoder = nn.Sequential(
        nn.Conv1d(1, 4, 3), nn.GroupNorm(2, 4), nn.LayerNorm(6), nn.Linear(6, 2)
    )
    tuned = FinetunedEncoder(encoder, "linear_bn").train()
    trained = [n for n, p in encoder.named_parameters() if p.requires_grad]
    assert trained == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert tuned.encoder.training
