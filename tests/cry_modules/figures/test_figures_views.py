"""The picture of views: what it shows is what the encoder gets."""

from pathlib import Path

import pytest
import torch
from hyperpyyaml import resolve_references

from cry_modules.figures.views import make_pairs, settings_of
from cry_modules.views.__main__ import main
from data_prep.manifest import Recording, read, write

YAML = "hparams/small_simclr.yaml"


@pytest.fixture
def pairs(manifest):
    """Views of the manifest's recordings."""
    root = str(manifest.parent.parent / "corpus")
    return lambda hparams, epoch: make_pairs(
        hparams, read(manifest), root, epoch
    )


@pytest.fixture
def manifest(noise, tmp_path):
    """A manifest of five recordings, the last shorter than a chunk."""
    recordings = []
    for i, seconds in enumerate((3.0, 2.5, 2.0, 1.5, 0.4)):
        noise(f"corpus/r{i}.wav", seconds=seconds)
        recordings.append(
            Recording(
                f"r{i}", seconds, f"r{i}.wav", 0, seconds, "", f"p{i}", ""
            )
        )
    corpus = {"name": "noise", "synthetic": True}
    folder = tmp_path / "manifest"
    write({"train": recordings}, folder, tmp_path / "corpus", corpus)
    return folder / "train.csv"


def test_the_command_writes_the_same_picture_again(
    manifest, tmp_path, command_of
):
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    data = tmp_path / "corpus"
    done = command_of("cry_modules.views")(
        manifest, "--n", "2", "--data_folder", data, "--out", first
    )
    assert done.returncode == 0, done.stderr
    command = [str(manifest), "--data_folder", str(data), "--n", "2"]
    main([*command, "--out", str(second)])
    assert first.read_bytes() == second.read_bytes()
    main([*command, "--out", str(second), "--epoch", "2"])
    assert first.read_bytes() != second.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.png", "b.png", "corpus", "manifest",
    ]  # fmt: skip


def test_views_are_those_of_training(manifest, pairs):
    """Without warp and masks, a view is the chunk's normalised features."""
    hparams = settings_of([YAML, "--n_masks=0"])
    hparams["views"].augment.warp.window = 0
    root = str(manifest.parent.parent / "corpus")
    for rec, pair in zip(read(manifest), pairs(hparams, 3)):
        sig = hparams["reader"](f"{root}/{rec.wav}", rec.start, rec.stop)
        chunks = hparams["chunks"](sig, rec.ID, 2)
        feats, _ = hparams["views"].eval()(torch.stack(chunks))
        torch.testing.assert_close(pair.views, feats)
        assert not pair.masked.any() and pair.shifts == [0, 0]
    assert pair.starts == (0, 0) and pair.seconds == 0.4
    assert pair.whole.shape == (101, 80)  # repeated to the chunk's length


def test_what_is_mixed_in_is_shown(manifest, pairs, tmp_path):
    """Views with noise, and words that say so."""
    noisy = [f"--noise_snr={[5, 5]}", f"--background_snr={[10, 20]}"]
    plain = pairs(settings_of([YAML]), 1)
    mixed = pairs(settings_of([YAML, *noisy]), 1)
    for before, after in zip(plain, mixed):
        added = after.wavs - before.wavs
        ratio = before.wavs.square().mean(1) / added.square().mean(1)
        # 5 dB below the recording and its background, which is quieter.
        assert bool((ratio > 1.5).all() and (ratio < 10**0.5).all())
        assert torch.equal(before.masked, after.masked)
        assert not torch.equal(before.views, after.views)
    picture = tmp_path / "views.svg"
    command = [str(manifest), "--data_folder", str(tmp_path / "corpus")]
    main([*command, "--out", str(picture), "--frequency_response=6", *noisy])
    words = picture.read_text(encoding="utf-8")
    for text in ("filter of 6 dB", "10 to 20 dB below", "5 to 5 dB below"):
        assert text in words


@pytest.mark.parametrize("before_norm", [False, True])
def test_masks_and_warps_shown_are_those_drawn(pairs, before_norm):
    hparams = settings_of([YAML])
    hparams["views"].augment_before_norm = before_norm
    shown = pairs(hparams, 1)
    masked = torch.stack([pair.masked for pair in shown])
    views = torch.stack([pair.views for pair in shown])
    assert 0.1 < masked.float().mean() < 0.6
    assert bool((views[masked] == 0).all()) != before_norm
    assert (views[~masked] == 0).float().mean() < 1e-3
    shifts = torch.tensor([pair.shifts for pair in shown])
    assert 0 < shifts.max() <= 0.08 + 1e-6


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["no.csv", "--data_folder=corpus"], "no.csv does not exist"),
        (["{}"], "--data_folder"),
        (["{}", "--data_folder=no"], "r0.wav is not in no"),
        (["{}", "--data_folder=."], "train.csv row 2: r0.wav is not in"),
        (["{}", "--data_folder=damaged"], "r0.wav cannot be decoded"),
        *(
            (["{}", "--data_folder=corpus", option], message)
            for option, message in (
                ("--n=0", "--n is 0"),
                ("--n=900", "--n is 900"),
                ("--epoch=-1", "--epoch is -1"),
                ("--hparams=no.yaml", "no.yaml"),
                ("--hparams=hparams/neuro_linear.yaml", "neuro_linear.yaml"),
                ("--hparams=plain.yaml", "plain.yaml has no 'temperature'"),
                ("--n_mask=1", "did you mean --n_masks"),
                ("--out=a.doc", "a.doc is not a picture's name"),
                ("--out=no/a.png", "could not be written"),
            )
        ),
    ],
)
def test_wrong_input_is_refused_in_one_line(
    arguments, message, capsys, manifest, tmp_path, monkeypatch
):
    hparams = Path("hparams").resolve()
    monkeypatch.chdir(tmp_path)
    Path("hparams").symlink_to(hparams)
    Path("plain.yaml").write_text("output_folder: run\n")
    Path("damaged").mkdir()
    for i in range(5):
        Path(f"damaged/r{i}.wav").write_text("no audio")
    with pytest.raises(SystemExit) as stopped:
        main([argument.format(manifest) for argument in arguments])
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().split("\n")
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1 and lines[-1] == errors[0]
    assert message in errors[0]
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("yaml", [YAML, "hparams/vggsound.yaml"])
def test_settings_of_a_run_may_be_given(yaml, manifest, tmp_path):
    """A run's hyperparams.yaml is resolved; its folder is left alone."""
    run = "results/no_such_run"
    with open(yaml, encoding="utf-8") as file:
        text = resolve_references(file, {"output_folder": run, "width": 1})
    of_run = tmp_path / "hyperparams.yaml"
    of_run.write_text(f"# Generated\n{text.read()}")
    out = tmp_path / "a.pdf"
    arguments = ["--data_folder", tmp_path / "corpus", "--n", 9, "--out", out]
    main([*map(str, [manifest, *arguments, "--hparams", of_run])])
    assert out.is_file() and not Path(run).exists()
