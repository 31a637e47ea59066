"""Exported recipes train this project's weights: the same losses and, to the
last bit, the same parameters."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import speechbrain
import torch
import yaml

from data_prep.corpora.labelled import prepare_clinical
from data_prep.corpora.unlabelled import prepare_unlabelled
from tools.upstream.checked_copy import GUARD
from tools.upstream.layout import export
from tools.upstream.series import SERIES
from tools.upstream.source import ROOT

COMMON = (
    "--width 2 --batch_size 4 --number_of_epochs 3 --num_workers 0 "
    "--chunk_s 1.0 --device cpu"
).split()


@pytest.fixture(scope="module")
def speechbrain_with_ours(tmp_path_factory):
    """The installed SpeechBrain with all exported files."""
    root = tmp_path_factory.mktemp("speechbrain")
    installed = Path(speechbrain.__file__).parents[1]
    export(root, installed, SERIES)
    # Other modules are links to the installed ones.
    for path in (installed / "speechbrain").rglob("*"):
        target = root / path.relative_to(installed)
        if path.suffix in (".py", ".txt", ".yaml") and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    (root / "block").mkdir()
    # Imports of this project fail.
    (root / "block/sitecustomize.py").write_text(GUARD)
    return root


def run_python(root, *arguments, cwd=None):
    """Run Python with the exported SpeechBrain; returns its output."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd or root,
        env={"PYTHONPATH": f"{root / 'block'}:{root}", "PATH": "/usr/bin",
             "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_exported_tests_and_doctests_pass(speechbrain_with_ours):
    files = [path for request in SERIES for path in request.files]
    files = [p for p in files if p.startswith(("speechbrain/", "tests/"))]
    pytest_options = ("-m", "pytest", "-q", "--doctest-modules")
    run_python(speechbrain_with_ours, *pytest_options, *files)


@pytest.fixture
def theirs(speechbrain_with_ours, tmp_path):
    """Run an exported recipe: ``theirs("VGGSound/...", "cnn14.yaml", ...)``."""

    def run(folder, hparams, *options):
        root, out = speechbrain_with_ours, tmp_path / "theirs"
        options = [*COMMON, *options, "--output_folder", out]
        folder = root / "recipes" / folder
        run_python(root, "train.py", f"hparams/{hparams}", *options, cwd=folder)
        return out

    return run


@pytest.fixture
def ours(script, tmp_path):
    """Run this project's script: ``ours("train_cls.py", "a.yaml", ...)``."""

    def run(name, hparams, *options):
        out = tmp_path / "ours"
        options = [*COMMON, *options, "--output_folder", str(out)]
        script(name, str(ROOT / "hparams" / hparams), *options)
        return out

    return run


PREPARE = """
import sys
sys.path.insert(0, sys.argv[1])
from infant_cry_prepare import prepare_infant_cry, prepare_unlabelled
root, out = sys.argv[2:]
prepare_infant_cry(
    root, f"{out}/labelled", "pain", ["no", "yes"], "error", 0.6, 3
)
prepare_unlabelled(root, f"{out}/unlabelled", [f"{out}/test.csv"], 0.2, 3)
"""


def test_cries_are_prepared_alike(speechbrain_with_ours, noise, tmp_path):
    """A split by patient, a share of the labels, unusable recordings, and
    excluded patients."""
    rows = ["recording_id,patient_id,path,pain,site"]
    for i in range(60):
        seconds, level = 0.3 + i / 100, 0.1
        if i % 7 == 3:
            seconds, level = [(0.05, 0.1), (0.5, 1e-4)][i % 2]
        noise(f"cries/{i}.wav", seconds=seconds, level=level, rate=8000)
        label = ["no", "yes", ""][i % 3]
        rows.append(f"r{i},P{i // 2},{i}.wav,{label},{'ab'[i % 2]}")
    (tmp_path / "cries/recordings.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/test.csv").write_text("patient_id\np4\nP9\n")
    root = speechbrain_with_ours
    cries, recipe = tmp_path / "cries", root / "recipes/InfantCry"
    run_python(root, "-c", PREPARE, recipe, cries, tmp_path / "theirs")
    prepare_clinical(
        str(tmp_path / "cries"),
        str(tmp_path / "ours/labelled"),
        "pain",
        ["no", "yes"],
        label_fraction=0.6,
        seed=3,
    )
    prepare_unlabelled(
        str(tmp_path / "cries"),
        str(tmp_path / "ours/unlabelled"),
        exclude=[str(tmp_path / "theirs/test.csv")],
        excluded="drop",
        valid_share=0.2,
        seed=3,
    )
    for name in (
        *("labelled/train", "labelled/valid", "labelled/test"),
        *("unlabelled/train", "unlabelled/valid"),
    ):
        theirs, ours = (
            (tmp_path / side / f"{name}.csv").read_text()
            for side in ("theirs", "ours")
        )
        assert theirs == ours and ours.count("\n") > 3, name
    rejected = (tmp_path / "theirs/labelled/rejected.csv").read_text()
    assert "too short: 0.050 s" in rejected and "silent: -80" in rejected


MISTAKES = """
import sys
sys.path[:0] = sys.argv[1:3]
from infant_cry_prepare import prepare_infant_cry, prepare_unlabelled
from vggsound_prepare import prepare_vggsound
task = "pain", ["no", "yes"]
for prepare, name, *options in (
    (prepare_infant_cry, "twice", *task),
    (prepare_infant_cry, "absent", *task),
    (prepare_infant_cry, "label", *task),
    (prepare_vggsound, "untested"),
    (prepare_vggsound, "broken"),
    (prepare_unlabelled, "good"),
):
    try:
        prepare(name, f"{name}/out", *options)
    except ValueError as error:
        print(name, error)
"""


@pytest.mark.slow
def test_mistakes_are_named_before_anything_trains(
    speechbrain_with_ours, noise, tmp_path
):
    rows = [f"r{i},p{i},a{i}.wav,{['yes', 'no'][i % 2]}" for i in range(24)]
    text = "\n".join(["recording_id,patient_id,path,pain", *rows])
    for name, *change in (
        ("good", "", ""),
        ("twice", "r5,", "r4,"),
        ("absent", "a5.wav", "b5.wav"),
        ("label", "a5.wav,no", "a5.wav,maybe"),
    ):
        for i in range(24):
            noise(f"{name}/a{i}.wav", seconds=0.2)
        table = tmp_path / name / "recordings.csv"
        table.write_text(text.replace(*change, 1))
    for name, other in (("untested", "train"), ("broken", "test")):
        for i in range(12):
            noise(f"{name}/audio/v{i}_000000.wav", seconds=0.2)
        rows = [f"v{i},0,dog,{['train', other][i % 2]}" for i in range(12)]
        (tmp_path / name / "vggsound.csv").write_text("\n".join(rows))
    (tmp_path / "broken/audio/v1_000000.wav").write_bytes(b"")
    noise("broken/audio/v3_000000.wav", seconds=0)
    root = speechbrain_with_ours
    recipes = (root / "recipes/InfantCry", root / "recipes/VGGSound")
    output = run_python(root, "-c", MISTAKES, *recipes, cwd=tmp_path)
    for message in (
        "twice recordings.csv row 7: recording_id 'r4' was already used in "
        "recordings.csv row 6",
        "absent recordings.csv row 7: b5.wav is not in absent",
        "label recordings.csv row 7: pain is 'maybe', expected one of no, yes",
        "untested no clip of untested is left for test",
        "2 clips are empty or unreadable",
        "No patient is excluded from adaptation",
    ):
        assert message in output, output
    test = (tmp_path / "broken/out/test.csv").read_text()
    assert test.count("\n") == 5 and "v1_" not in test and "v3_" not in test


def last_checkpoint(folder):
    def epoch(path):
        return yaml.safe_load((path / "CKPT.yaml").read_text())["epoch"]

    return max(folder.glob("save/CKPT*"), key=epoch)


def losses(folder):
    """Logged losses of each epoch, to three digits."""
    text = (folder / "train_log.txt").read_text()
    epochs = [line for line in text.splitlines() if line.startswith("epoch")]
    return [
        re.findall(rf"{split}[ _]loss: ([\d.e+-]+)", line)
        for line in epochs
        for split in ("train", "valid")
    ]


def same_training(a, b, names):
    """Assert equal losses and parameters of two runs."""
    assert len(losses(a)) == 6 and losses(a) == losses(b)
    for name in names:
        first, second = (
            torch.load(last_checkpoint(f) / f"{name}.ckpt", weights_only=True)
            for f in (a, b)
        )
        assert list(first) == list(second)
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def samples(speechbrain_with_ours):
    return speechbrain_with_ours / "tests/samples"


@pytest.fixture
def simclr_options(samples):
    options = f"--data_folder {samples}/VGGSound --min_clips 1"
    return [*options.split(), "--warmup_epochs", "1"]


@pytest.mark.slow
@pytest.mark.representative
def test_simclr(theirs, ours, simclr_options):
    recipe = "VGGSound/self-supervised-learning/simclr"
    a = theirs(recipe, "cnn14.yaml", *simclr_options)
    b = ours("train_simclr.py", "vggsound.yaml", *simclr_options)
    same_training(a, b, ["encoder", "projector"])
    for name in ("encoder", "projector"):  # for other recipes
        assert torch.load(a / f"save/{name}.ckpt", weights_only=True)


@pytest.fixture
def pretrained(ours, simclr_options, tmp_path):
    """A trained encoder with its projector."""
    run = ours("train_simclr.py", "vggsound.yaml", *simclr_options)
    return last_checkpoint(run.rename(tmp_path / "pretraining"))


@pytest.mark.slow
def test_sound_classification(theirs, ours, samples):
    options = f"--data_folder {samples}/VGGSound --min_clips 1".split()
    a = theirs(
        "VGGSound/classification", "cnn14.yaml", *options, "--n_classes", "4"
    )
    b = ours("train_cls.py", "vggsound_supervised.yaml", *options)
    same_training(a, b, ["encoder", "head"])


@pytest.mark.slow
def test_adaptation(theirs, ours, samples, pretrained):
    replay = ["--replay_folder", str(samples / "VGGSound")]
    options = [*replay, "--valid_share", "0.2", "--warmup_epochs", "1"]
    a = theirs(
        "InfantCry/adaptation",
        "cnn14_replay.yaml",
        *["--data_folder", str(samples / "InfantCry"), *options],
        *["--encoder_source", str(pretrained / "encoder.ckpt")],
        *["--projector_source", str(pretrained / "projector.ckpt")],
    )
    b = ours(
        "train_adapt.py",
        "cry_adapt_replay.yaml",
        *["--cry_folder", str(samples / "InfantCry"), *options],
        *["--encoder_source", str(pretrained)],
    )
    same_training(a, b, ["encoder", "projector"])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["neuro", "trigger"])
@pytest.mark.parametrize("mode", ["linear_bn", "end_to_end"])
def test_cry_classification(theirs, ours, samples, pretrained, task, mode):
    options = f"--data_folder {samples}/InfantCry --finetune_mode {mode}"
    source = ["--encoder_source", str(pretrained / "encoder.ckpt")]
    run = f"{task}_linear_bn.yaml", *options.split(), *source
    a = theirs("InfantCry/classification", *run)
    b = ours("train_cls.py", *run)
    same_training(a, b, ["encoder", "head"])
