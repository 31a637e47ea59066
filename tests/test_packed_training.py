"""Training from a pack equals training from the files, to the bit."""

import pytest
import torch

from cry_modules.checkpoints.encoders import EncoderSource
from data_prep.pack import pack
from tests.runs import history

TINY = ["--width=1", "--batch_size=4", "--device=cpu", "--noprogressbar"]
TINY += ["--number_of_epochs=2"]


def results(folder):
    """Saved results that do not depend on the clock or the folder."""
    checkpoint = EncoderSource(folder).file().parent
    weights = [
        torch.load(path, weights_only=True)
        for path in sorted(checkpoint.glob("*.ckpt"))
        if path.stem in ("encoder", "projector", "head", "optimizer")
    ]
    assert len(weights) == 3
    predictions = [p.read_text() for p in sorted(folder.glob("predictions_*"))]
    return history(folder), predictions, weights


def same(a, b):
    assert a[:2] == b[:2]
    torch.testing.assert_close(a[2], b[2], rtol=0, atol=0)


@pytest.mark.slow
def test_the_same_weights_to_the_bit(corpus, tmp_path, script):
    pack(corpus / "vggsound", tmp_path / "vggsound", shard_mb=1)
    pack(corpus / "cry/recordings.csv", tmp_path / "cry", shard_mb=1)
    runs = {}
    for name, data in (("files", corpus), ("pack", tmp_path)):
        simclr = tmp_path / name / "simclr"
        script(
            *["train_simclr.py", "hparams/small_simclr.yaml", *TINY],
            *[f"--data_folder={data}/vggsound", f"--output_folder={simclr}"],
            # Workers, as in a long pre-training.
            *["--warmup_epochs=1", "--num_workers=2", "--cache_mb=0"],
        )
        cls = tmp_path / name / "cls"
        script(
            *["train_cls.py", "hparams/neuro_linear_bn.yaml", *TINY],
            *[f"--data_folder={data}/cry", f"--output_folder={cls}"],
            f"--encoder_source={tmp_path}/files/simclr",
        )
        runs[name] = results(simclr), results(cls)
    for files, packed in zip(runs["files"], runs["pack"]):
        same(files, packed)


def test_the_same_weights_where_only_the_replayed_audio_is_packed(
    corpus, pretrained, tmp_path, script
):
    """Batches then hold chunks of both kinds."""
    pack(corpus / "vggsound", tmp_path / "vggsound", shard_mb=1)
    runs = {}
    for name, generic in (("files", corpus), ("mixed", tmp_path)):
        run = tmp_path / name
        script(
            *["train_adapt.py", "hparams/small_adapt_replay.yaml", *TINY],
            *[f"--cry_folder={corpus}/cry", f"--encoder_source={pretrained}"],
            *[f"--replay_folder={generic}/vggsound", f"--output_folder={run}"],
            *["--warmup_epochs=1", "--valid_share=0.4", "--n_views=3"],
            *["--anchor_weights=0.1", "--anchor_distillation=0.1"],
        )
        runs[name] = results(run)
    same(runs["files"], runs["mixed"])


@pytest.mark.parametrize(
    "name, yaml, corpus_name",
    [
        ("train_simclr.py", "small_simclr", "vggsound"),
        ("train_cls.py", "neuro_linear_bn", "cry"),
    ],
)
def test_a_pack_of_another_rate_is_refused_before_training(
    name, yaml, corpus_name, corpus, tmp_path, script
):
    pack(corpus / corpus_name, tmp_path / "pack", rate=8000)
    done = script(
        *[name, f"hparams/{yaml}.yaml", *TINY, "--num_workers=2"],
        *[f"--data_folder={tmp_path}/pack", f"--output_folder={tmp_path}/run"],
        status=2,
    )
    assert "is a pack of 8000 Hz" in done.output
