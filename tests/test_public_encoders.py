"""Published encoders, narrow ones, through the train scripts."""

import pytest
import torch

from cry_modules.checkpoints.checkpointer import read_meta
from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.state_dict import read_state_dict
from cry_modules.cnn14 import Cnn14
from tests.encoder_files import checkpoint, panns

TINY = ["--width=1", "--batch_size=4", "--device=cpu", "--noprogressbar"]


@pytest.fixture
def panns_file(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "panns.pth"
    torch.save(checkpoint(panns(width=1)), path)
    return path


@pytest.fixture
def short(database, noise):
    """Recordings shorter than any front end needs."""
    folder = database()
    for i in range(40):
        noise(f"db/audio/r{i}.wav", seconds=0.2)
    return folder


def options(**settings):
    return [f"--{name}={value}" for name, value in settings.items()]


def test_a_classifier_on_panns(script, short, panns_file, tmp_path):
    """Only with PANNs' front end, which its file and checkpoints tell, so that
    it need not be typed."""

    def train(source, name, *more, status=0):
        settings = options(
            data_folder=short,
            encoder_source=source,
            number_of_epochs=2,
            bootstrap_draws=100,
            controls=False,
            figures=False,
            output_folder=tmp_path / name,
        )
        command = [
            "train_cls.py",
            "hparams/neuro_linear.yaml",
            *TINY,
            *settings,
        ]
        return script(*command, *more, status=status).output

    output = train(panns_file, "run", "--front_end=fbank", status=2)
    assert "--front_end is fbank, and --encoder_source" in output
    assert "has panns; leave out --front_end" in output
    train(panns_file, "run")
    run = tmp_path / "run"
    assert (run / "metrics.json").is_file()
    path = EncoderSource(run).file()
    assert read_meta(path.parent)["front_end"] == "panns"
    # A linear probe leaves the encoder as it came.
    theirs = torch.load(panns_file, weights_only=False)["model"]
    name = "conv_block6.{}2.weight"
    ours = read_state_dict(path)[name.format("norm")]
    assert torch.equal(ours, theirs[name.format("bn")])
    output = train(run, "other", "--front_end=log1p", status=2)
    assert "--front_end is log1p, and --encoder_source" in output


@pytest.mark.slow
def test_adaptation_of_a_log1p_encoder(script, corpus, short, tmp_path):
    """With a probe; it resumes from its own copy of the encoder."""
    torch.save(Cnn14(80, 1).state_dict(), tmp_path / "embedding_model.ckpt")
    run = tmp_path / "run"
    command = ["train_adapt.py", "hparams/small_adapt.yaml", *TINY]
    command += options(
        cry_folder=corpus / "cry",
        encoder_source=tmp_path / "embedding_model.ckpt",
        front_end="log1p",
        number_of_epochs=1,
        warmup_epochs=0,
        chunk_s=0.5,
        valid_share=0.2,
        probe=f"{short}/recordings.csv:neuro_injury",
        output_folder=run,
    )
    script(*command)
    assert "probe_neuro_injury_knn" in (run / "train_log.txt").read_text()
    path = EncoderSource(run).file()
    assert read_meta(path.parent)["front_end"] == "log1p"
    (tmp_path / "embedding_model.ckpt").unlink()
    script(*command)
