"""PANNs' files are converted strictly, and only with our front end."""

import numpy as np
import pytest
import torch

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.cnn14 import Cnn14
from cry_modules.front_ends import make_front_end
from data_prep.files.errors import InputError
from tests.encoder_files import (
    Evil,
    assert_same_layers,
    checkpoint,
    front_end_weights,
    panns,
    quickly,
    save_as_of_2019,
)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file of the real size, and the model in it."""
    torch.manual_seed(0)
    model = panns()
    path = tmp_path_factory.mktemp("panns") / "Cnn14_16k_mAP=0.438.pth"
    torch.save(checkpoint(model), path)
    return path, model


def test_every_layer_is_that_of_the_formulas(published):
    path, model = published
    encoder = quickly(lambda: Cnn14(64, width=64))
    assert EncoderSource(path).load(encoder, "panns") == path
    sound = 0.1 * torch.randn(1, 12000)
    assert_same_layers(encoder, model, make_front_end("panns")(sound)[0])


@pytest.fixture
def small(tmp_path):
    """Save a narrow file: ``small({"fc1.bias": None})`` without that name."""
    torch.manual_seed(1)
    model = panns(width=1)

    def save(changes=(), bare=False, **of_front_end):
        content = checkpoint(model, **of_front_end)
        for name, value in dict(changes).items():
            content["model"][name] = value
            if value is None:
                del content["model"][name]
        path = tmp_path / "panns.pth"
        torch.save(content["model"] if bare else content, path)
        return path

    save.model = model
    return save


def refusal(path, width=1, n_mels=64, front_end="panns"):
    with pytest.raises(InputError) as error:
        EncoderSource(path).load(Cnn14(n_mels, width), front_end)
    message = str(error.value)
    assert "\n" not in message and str(path) in message
    return message


def test_a_bare_state_dict_and_a_file_of_2019(small, tmp_path):
    feats = torch.randn(2, 64, 64) * 10 - 30
    old = save_as_of_2019(checkpoint(small.model), tmp_path / "old.pth")
    for path in (small(bare=True), old):
        encoder = Cnn14(64, width=1).eval()
        EncoderSource(path).load(encoder, "panns")
        assert_same_layers(encoder, small.model, feats)


def test_published_weights_have_their_pooling(small):
    encoder = Cnn14(64, width=1, pooling="frequency")
    with pytest.raises(InputError, match="pass --pooling mean$"):
        EncoderSource(small()).load(encoder, "panns")


def test_every_name_is_converted_or_dropped(small):
    extra = {"att_block.att.weight": torch.ones(1)}
    assert "att_block.att.weight is unexpected" in refusal(small(extra))
    for name in ("conv_block3.bn2.running_var", "bn0.bias"):
        ours = name.replace("bn", "norm")
        assert f"{ours} is missing" in refusal(small({name: None}))
    # Layers after our encoder may be missing.
    left = {"fc1.weight": None, "fc1.bias": None, "fc_audioset.weight": None}
    EncoderSource(small(left)).load(Cnn14(64, width=1), "panns")


def test_another_rate_is_refused_with_the_file_to_download(small):
    for khz, window in ((32, 1024), (8, 256)):
        message = refusal(small(rate_khz=khz))
        assert f"takes {khz} kHz, windows of {window} samples" in message
        assert "Cnn14_16k_mAP=0.438.pth from https://zenodo.org" in message


def test_other_bands_or_another_window_are_refused(small):
    message = refusal(small(fmin=0.0))
    assert "logmel_extractor.melW is off by" in message
    name = "spectrogram_extractor.stft.conv_real.weight"
    sharper = front_end_weights()[name] ** 3
    assert f"{name} is off by" in refusal(small({name: sharper}))
    assert f"no {name}" in refusal(small({name: None}))
    for window in (torch.tensor(0.0), torch.ones(0)):
        assert "takes an unknown rate" in refusal(small({name: window}))


def test_another_front_end_or_width_of_the_run_is_refused_with_the_cure(small):
    for name in ("fbank", "log1p"):
        message = refusal(small(), n_mels=80, front_end=name)
        assert "trained with the front end panns" in message
        assert f"this run has {name}; pass --front_end panns" in message
    assert "pass --width 1" in refusal(small(), width=2)


def test_another_network_of_panns_is_refused(small):
    rest = {
        name: None
        for name in small.model.state_dict()
        if name.startswith(("conv_block5", "conv_block6"))
    }
    assert "conv_block5.conv1.weight is missing" in refusal(
        small(rest)
    )  # CNN10
    resnet = {"resnet.layer1.0.conv1.weight": torch.ones(1)}
    assert "resnet.layer1.0.conv1.weight is unexpected" in refusal(
        small(resnet)
    )


def test_code_in_the_file_does_not_run(small, tmp_path):
    proof, path = tmp_path / "it_ran", tmp_path / "evil.pth"
    torch.save({**checkpoint(small.model), "sampler": Evil(proof)}, path)
    assert "would run code" in refusal(path)
    assert not proof.exists()


def test_other_objects_of_numpy_are_refused(small, tmp_path):
    """Only its arrays and numbers are read."""
    path = tmp_path / "generator.pth"
    content = {**checkpoint(small.model), "sampler": np.random.RandomState(0)}
    torch.save(content, path)
    assert "would run code" in refusal(path)
