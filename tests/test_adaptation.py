"""Adaptation from the command line: corpora, layers, anchors, refusals."""

import json
import re
import shutil

import pytest
import torch

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.state_dict import read_state_dict
from cry_modules.cnn14 import Cnn14

TINY = ["--width=1", "--batch_size=4", "--device=cpu", "--noprogressbar"]
TINY += ["--number_of_epochs=2", "--warmup_epochs=1"]


@pytest.fixture
def adapt(corpus, pretrained, script, tmp_path):
    """Adapt with some options; returns the run folder and the output."""

    def adapt(*options, name="run", status=0, source=pretrained, **how):
        folder = tmp_path / name
        done = script(
            *["train_adapt.py", "hparams/small_adapt.yaml", *TINY],
            *[f"--cry_folder={corpus}/cry", "--valid_share=0.25"],
            *[f"--encoder_source={source}", f"--output_folder={folder}"],
            *options,
            status=status,
            **how,
        )
        return folder, done.output

    return adapt


def weights(folder, name="encoder"):
    path = EncoderSource(folder).file().with_name(f"{name}.ckpt")
    return read_state_dict(path)


def history(folder):
    return json.loads((folder / "history.json").read_text())


def generic(corpus):
    return f"--replay_folder={corpus}/vggsound"


def test_before_during_and_after(adapt, corpus):
    """Cries, held-out generic audio and a probe at each time."""
    folder, output = adapt(
        generic(corpus),
        *[f"--probe={corpus}/cry/recordings.csv:neuro_injury"],
        "--probe_every=1",
        curves=True,
    )
    before = json.loads((folder / "before.json").read_text())
    rows = history(folder)
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in (before, *rows):
        for name in ("loss", "accuracy", "alignment", "uniformity"):
            assert f"valid_{name}_cry" in row and f"valid_{name}_generic" in row
        assert 0 <= row["probe_neuro_injury_map"] <= 1
        assert row["valid_effective_rank"] > 0
    assert before["epoch"] == 0 and "train_loss" not in before
    assert before["valid_loss"] != rows[0]["valid_loss"]
    assert all("train_grad_norm" in row for row in rows)
    cry = "valid_accuracy_cry"
    phrase = f"cries {before[cry]:.3f} before, {rows[1][cry]:.3f} after"
    assert phrase in output.split("\n")[-2]
    assert (folder / "curves.png").stat().st_size > 10000


def test_warns_of_held_out_audio_used_in_pre_training(adapt, corpus):
    """The split follows from the ids: a larger share holds out more of them."""
    _, output = adapt(generic(corpus), name="larger")
    assert "held-out recordings of generic audio were used in" in output
    _, output = adapt("--replay_ratio=0.0", name="none")
    assert "were used in" not in output


def test_the_control_trains_on_no_cries(adapt, corpus):
    folder, output = adapt(generic(corpus), "--control=True")
    other, _ = adapt(generic(corpus), name="cries")
    for control, cries in zip(history(folder), history(other)):
        assert "train_loss_cry" not in control
        assert "train_loss_generic" not in cries
        assert control["lr"] == cries["lr"]  # as many steps
    a, b = (
        torch.load(
            EncoderSource(f).file().with_name("optimizer.ckpt"),
            weights_only=True,
        )
        for f in (folder, other)
    )
    steps = [list(x["state"].values())[0]["step"].item() for x in (a, b)]
    assert steps[0] == steps[1] > 0
    assert "done: 2 epochs on synthetic generic sounds" in output


def test_proportional_replay(adapt, corpus):
    folder, _ = adapt(generic(corpus), "--replay=proportional")
    assert {"train_loss_cry", "train_loss_generic"} <= history(folder)[0].keys()


def test_frozen_layers_do_not_change(adapt, pretrained):
    folder, _ = adapt("--adapt_layers=conv_block5")
    old, new = weights(pretrained), weights(folder)
    moved = {k for k in old if not torch.equal(old[k], new[k])}
    assert moved and all(
        k[:11] in ("conv_block5", "conv_block6") for k in moved
    )


def test_anchors_keep_the_weights_near(adapt, pretrained):
    """The distance to the pre-trained weights shrinks."""
    old = weights(pretrained)

    def distance(folder):
        new = weights(folder)
        return sum(
            (new[k] - old[k]).square().sum().item()
            for k in old
            if k.endswith("weight")
        )

    free, _ = adapt()
    held, _ = adapt("--anchor_weights=1000.0", name="held")
    assert distance(held) < 0.5 * distance(free)
    assert "train_anchor" in history(held)[0]
    assert "train_anchor" not in history(free)[0]
    taught, _ = adapt("--anchor_distillation=1.0", name="taught")
    assert history(taught)[0]["train_anchor"] > 0
    cassle, _ = adapt("--anchor_projection=1.0", name="cassle")
    assert history(cassle)[0]["train_anchor"] > 0
    assert weights(cassle, "anchor_predictor")["0.weight"].shape == (256, 256)


def test_projections_of_an_encoder_without_projector(
    adapt, pretrained, tmp_path
):
    alone = tmp_path / "encoder.ckpt"
    torch.save(weights(pretrained), alone)
    _, output = adapt("--anchor_projection=1.0", source=alone, status=2)
    assert "has no projector.ckpt; adapt from a run of" in output


def test_adaptation_goes_on_with_the_objective(adapt, corpus, script, tmp_path):
    """Keep that of the pre-training; refuse another one by name."""
    source = tmp_path / "masked"
    script(
        *["train_simclr.py", "hparams/small_simclr.yaml", *TINY],
        *[f"--data_folder={corpus}/vggsound", f"--output_folder={source}"],
        "--objective=masked_spectrogram",
    )
    options = ["--anchor_weights=0.1", "--anchor_distillation=0.1"]
    options += ["--two_passes=True", "--checkpoint_activations=True"]
    folder, _ = adapt(generic(corpus), *options, source=source)
    last = history(folder)[-1]
    assert {"valid_explained_cry", "valid_explained_generic"} <= {*last}
    assert last["train_anchor"] > 0
    # The decoder is that of the pre-training, trained on.
    old, new = (weights(f, "projector") for f in (source, folder))
    assert old.keys() == new.keys() and "linear.weight" in new
    assert not torch.equal(old["linear.weight"], new["linear.weight"])
    for option, message in (
        ("--objective=byol", "--objective is byol, and --encoder_source .* has "
         "masked_spectrogram; leave out --objective"),
        ("--anchor_projection=1", "the objective masked_spectrogram has no "
         "projections; leave it out"),
    ):  # fmt: skip
        _, output = adapt(option, source=source, name="other", status=2)
        assert re.search(message, output)
    # The same command resumes.
    adapt(generic(corpus), *options, source=source)


def test_an_older_run_is_one_of_nt_xent(adapt, pretrained, tmp_path):
    """Runs from before the setting; Barlow Twins has as large a projector."""
    source = tmp_path / "older"
    shutil.copytree(pretrained, source)
    path = source / "hyperparams.yaml"
    lines = path.read_text().splitlines(keepends=True)
    lines = [line for line in lines if not line.startswith("objective:")]
    path.write_text("".join(lines))
    option = "--objective=barlow_twins"
    _, output = adapt(option, source=source, status=2)
    assert "has nt_xent; leave out --objective" in output


def test_interpolated_weights_can_be_used(adapt, pretrained):
    folder, _ = adapt("--interpolate=0.25")
    old, new = weights(pretrained), weights(folder)
    between = weights(folder / "interpolated")
    for name in ("conv_block1.conv1.weight", "norm0.running_mean"):
        expected = 0.25 * old[name] + 0.75 * new[name]
        torch.testing.assert_close(between[name], expected)
    EncoderSource(f"{folder}/interpolated").load(Cnn14(80, width=1), "fbank")


def test_the_variants_of_the_closest_public_code(corpus, script, tmp_path):
    command = ["train_simclr.py", "hparams/small_simclr.yaml", *TINY]
    command += [f"--data_folder={corpus}/vggsound"]
    encoders = {}
    for option in ("predictor", "two_passes", "tensorboard"):
        folder = tmp_path / option
        script(*command, f"--{option}=True", f"--output_folder={folder}")
        encoders[option] = weights(folder)
        keys = weights(folder, "projector").keys()
        assert ("layers.8.weight" in keys) == (option == "predictor")
    assert list((tmp_path / "tensorboard/tensorboard").iterdir())
    # Batches of BatchNorm differ.
    plain, apart = encoders["tensorboard"], encoders["two_passes"]
    assert not torch.equal(
        plain["norm0.running_var"], apart["norm0.running_var"]
    )


@pytest.mark.parametrize(
    "options, message",
    [
        (["--control=True"], "pass --replay_folder"),
        (["--replay=proportional"], "pass --replay_folder"),
        (["--replay=some"], "pass --replay_folder"),
        (["--background_snr=[0, 20]"], "pass --replay_folder"),
        (["--negatives=corpus"], "pass --replay_folder"),
        (["--negatives=own"], "negatives is own; expected one of all, corpus"),
        (["--background_snr=10"], "is 10; it must be null, or the lowest and"),
        (["--noise_snr=[20, 0]"], "must be null, or the lowest and the high"),
        (["--frequency_response=6"], "removes from a view without background"),
        (["--adapt_layers=top"], "adapt_layers is 'top'; expected all, batch"),
        (["--anchor_weights=-1"], "anchor_weights is -1"),
        (["--interpolate=2"], "interpolate is 2"),
        (["--excluded=ask"], "excluded is 'ask'; expected refuse or drop"),
        (["--probe_every=0"], "probe_every is 0; it must be 1"),
        (["--probe=no.csv:x"], "no.csv"),
        (["--predictor=True"], "does not fit this model"),
        (["--excluded=drop"], "without --exclude; pass --exclude"),
        (["--probe_folder=x"], "no probe; pass --probe"),
        (["--lr=-1.0"], "lr is -1.0; it must be above 0"),
        (["--final_lr=-1.0"], "final_lr is -1.0; it must be 0 or more"),
        (["--num_workers=-1"], "num_workers is -1; it must be 0 or more"),
        (["--grad_accumulation_factor=0"], "factor is 0; it must be 1 or"),
        (["--ckpt_interval_steps=-3"], "steps is -3; it must be 0 or more"),
    ],
)
def test_wrong_usage(options, message, adapt):
    _, output = adapt(*options, status=2)
    assert message in output.strip().split("\n")[-1]


def test_background_needs_replayed_sounds_in_the_batches(adapt, corpus):
    options = [generic(corpus), "--background_snr=[0, 20]"]
    _, output = adapt(*options, "--replay_ratio=0", status=2)
    assert "without generic audio; pass --replay_ratio" in output
    folder, _ = adapt(*options, "--replay_ratio=0.5", "--negatives=corpus")
    assert len(history(folder)) == 2


def test_an_evaluation_manifest_that_shares_a_patient(adapt, corpus):
    table = f"{corpus}/cry/recordings.csv"
    _, output = adapt(f"--exclude={table}", status=2)
    assert "must not be adapted on" in output and "--excluded drop" in output
