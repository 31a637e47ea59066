"""The commands as a user types them in the root, and their refusals.

Where a test runs many commands, they run in forks (see conftest.py).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.state_dict import read_state_dict
from data_prep.files.lock import locked

TINY = ["--width=1", "--batch_size=4", "--device=cpu", "--noprogressbar"]
SIMCLR = ["train_simclr.py", "hparams/small_simclr.yaml", *TINY]
SIMCLR += ["--number_of_epochs=2", "--warmup_epochs=1"]


def run(*arguments, status=0, cwd=None):
    """Run a command in a process of its own, without a traceback."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def refused(script):
    """Run a train script that refuses its input; return its error."""

    def refused(*arguments):
        lines = script(*arguments, status=2).output.strip().split("\n")
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1 and lines[-1] == errors[0]
        return errors[0]

    return refused


def weights(folder):
    return read_state_dict(EncoderSource(folder).file())


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def test_the_pipeline(corpus, pretrained, tmp_path, refused, script):
    """The classifier in a process of its own, as a user starts it."""
    adapted = tmp_path / "adapted"
    script(
        *["train_adapt.py", "hparams/small_adapt_replay.yaml", *TINY],
        *["--number_of_epochs=1", "--warmup_epochs=0", "--valid_share=0.25"],
        *[f"--cry_folder={corpus}/cry", f"--encoder_source={pretrained}"],
        *[f"--replay_folder={corpus}/vggsound"],
        *[f"--output_folder={adapted}"],
    )
    assert not same(weights(pretrained), weights(adapted))
    done = run(
        *["train_cls.py", "hparams/neuro_linear.yaml", *TINY],
        *[f"--data_folder={corpus}/cry", f"--encoder_source={adapted}"],
        *["--number_of_epochs=3", f"--output_folder={tmp_path}/cls"],
        *["--controls=False", "--figures=False"],
    )
    last = done.stdout.strip().split("\n")[-1]
    assert last.startswith("done: neuro_injury linear")
    assert same(weights(adapted), weights(tmp_path / "cls"))
    metrics = json.loads((tmp_path / "cls/metrics.json").read_text())
    assert metrics["encoder_source"] == adapted.name
    # The same from the run's own resolved settings.
    script(
        *["train_cls.py", tmp_path / "cls/hyperparams.yaml"],
        *["--device=cpu", "--noprogressbar"],
        *[f"--output_folder={tmp_path}/again"],
    )
    assert list(tmp_path.glob("again/save/CKPT*"))
    again = json.loads((tmp_path / "again/metrics.json").read_text())
    assert again["test"] == metrics["test"]
    line = refused(
        "train_cls.py", tmp_path / "cls/hyperparams.yaml", "--seed=7"
    )
    assert "--seed cannot change" in line


def test_same_seed_same_weights_to_the_bit(
    corpus, pretrained, tmp_path, script
):
    command = [*SIMCLR, f"--data_folder={corpus}/vggsound"]
    script(*command, f"--output_folder={tmp_path}/a")
    assert same(weights(pretrained), weights(tmp_path / "a"))
    script(*command, f"--output_folder={tmp_path}/b", "--seed=1")
    assert not same(weights(pretrained), weights(tmp_path / "b"))


@pytest.mark.parametrize(
    "command, option",
    [
        ("train_simclr.py hparams/vggsound.yaml", "--data_folder"),
        ("train_cls.py hparams/neuro_linear_bn.yaml", "--data_folder"),
        ("train_adapt.py hparams/cry_adapt_replay.yaml", "--cry_folder"),
    ],
)
def test_missing_data_is_one_line_with_the_cures(
    command, option, tmp_path, refused
):
    data, output = f"{option}={tmp_path}/no", f"--output_folder={tmp_path}/out"
    line = refused(*command.split(), data, output)
    assert f"{tmp_path}/no does not exist" in line
    assert option in line and "make demo-data" in line


@pytest.mark.parametrize(
    "command, options",
    [
        (SIMCLR, ["--data_folder={}/vggsound"]),
        (
            ["train_adapt.py", "hparams/small_adapt.yaml", *TINY],
            ["--cry_folder={}/cry", "--encoder_source=null"],
        ),
        (
            ["train_cls.py", "hparams/neuro_linear.yaml", *TINY],
            ["--data_folder={}/cry", "--encoder_source=null"],
        ),
    ],
)
def test_a_second_start_names_the_first_and_touches_nothing(
    command, options, corpus, tmp_path, refused
):
    out = tmp_path / "out"
    with locked(out):
        before = {p: p.stat().st_mtime_ns for p in out.rglob("*.*")}
        options = [option.format(corpus) for option in options]
        line = refused(*command, *options, f"--output_folder={out}")
        after = {p: p.stat().st_mtime_ns for p in out.rglob("*.*")}
    assert f"{out} is in use by process {os.getpid()} on " in line
    assert before == after


SMALL = "hparams/small_simclr.yaml"


@pytest.mark.parametrize(
    "arguments, error",
    [
        ("hparams/no.yaml", "hparams/no.yaml does not exist"),
        ("--width=8", "--width=8 is where the yaml file must be"),
        ("README.md", "README.md is not a yaml file of settings"),
        ("hparams/neuro_linear.yaml", "not for this script"),
        (f"{SMALL} --epochs=3", "--epochs is not an option of"),
        (f"{SMALL} --output_foldr=x", "did you mean --output_folder?"),
        (f"{SMALL} --base=x", "--base is not an option"),
        (f"{SMALL} --seed=1 --seed=2", "--seed is given twice"),
        (f"{SMALL} --data_folder=runs/lr=1", "runs/lr=1 does not exist"),
        (f"{SMALL} --output_folder=README.md", "README.md is a file"),
        (f"{SMALL} --number_of_epochs=many", "'100' (a whole number)"),
        ("hparams/vggsound.yaml --lr=fast", "'0.015' (a number)"),
        (f"{SMALL} --batch_size=1", "--batch_size is 1; it must be 2 or more"),
        (f"{SMALL} --temperature=-1", "temperature is -1; it must be above 0"),
        (f"{SMALL} --width=0", "width 0"),
        (f"{SMALL} --dropout=1", "dropout is 1; it must be 0 to 0.9"),
        (f"{SMALL} --chunk_s=0.2", "chunk_s is 0.2; fbank needs 0.31 s or"),
        (f"{SMALL} --precision=fp16 --device=cpu", "fp16 needs a GPU"),
    ],
)
def test_wrong_usage(arguments, error, refused):
    assert error in refused("train_simclr.py", *arguments.split())


@pytest.mark.parametrize(
    "options, error",
    [
        (
            "--encoder_source={source} --width=2",
            "has 1; leave out --width, or pass another encoder",
        ),
        (
            "--width=1 --encoder_source={source} --replay_ratio=0.5",
            "pass --replay_folder",
        ),
        (
            "--width=1 --encoder_source=null --batch_size=500 "
            "--valid_share=0.25",
            "a batch needs 500 recordings",
        ),
    ],
)
def test_wrong_input_of_adaptation(
    options, error, corpus, pretrained, tmp_path, refused
):
    command = ["train_adapt.py", "hparams/small_adapt.yaml"]
    command += [f"--cry_folder={corpus}/cry", f"--output_folder={tmp_path}"]
    assert error in refused(
        *command, *options.format(source=pretrained).split()
    )


@pytest.mark.parametrize(
    "options, parts",
    [
        ("--finetune_mode=bn", ["'bn'; expected one of ('linear',"]),
        ("--classes=[healthy,sick]", ["csv row", "--other_labels drop"]),
        ("--label_fraction=2", ["label_fraction is 2"]),
        ("--trained_on=chunk", ["--trained_on is chunk; expected one of"]),
        (
            "--finetune_mode=end_to_end --readout=embedding+logmel",
            ["log-mel statistics are for frozen modes"],
        ),
        ("--readout=block7", ["readout is 'block7'; expected one or more of"]),
        ("--solver=sgd", ["--solver is sgd; expected one of"]),
        ("--solver=lbfgs --trained_on=chunks", ["pass --solver adamw, or"]),
        ("--folds=all --test_fold=0", ["leave out --test_fold and --valid_f"]),
        ("--folds=all", ["fold", "recordings.csv"]),
        ("--folds=ward", ["no column 'ward'"]),
        ("--subgroups=site,weight", ["'weight'", "--subgroups"]),
        ("--nuisance=phone", ["'phone'", "--nuisance"]),
    ],
)
def test_wrong_input_of_classification(
    options, parts, corpus, tmp_path, refused
):
    command = ["train_cls.py", "hparams/neuro_linear.yaml", *TINY]
    command += [f"--data_folder={corpus}/cry", f"--output_folder={tmp_path}"]
    line = refused(*command, *options.split())
    for part in parts:
        assert part in line


def test_another_experiment_in_the_same_folder(corpus, pretrained, refused):
    line = refused(
        *[*SIMCLR, f"--data_folder={corpus}/vggsound"],
        *[f"--output_folder={pretrained}", "--lr=0.5"],
    )
    assert "lr: 0.002, now it is 0.5; pass another --output_folder" in line


LIGHT = ["audit", "clinical_prepare", "convert", "split"]
HEAVY = [
    *("train_simclr.py", "train_adapt.py", "train_cls.py"),
    *("data_prep.confounds", "data_prep.pack", "data_prep.synthetic"),
    *("cry_modules.figures", "cry_modules.demo", "cry_modules.export"),
    "cry_modules.detect",
    *("cry_modules.inference", "cry_modules.metrics", "cry_modules.views"),
    "recipes.study.run",
]


@pytest.mark.parametrize(
    "name",
    [
        *(f"data_prep.{name}" for name in LIGHT),
        *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY),
    ],
)
def test_each_command_starts_in_a_process_of_its_own(name):
    """Other tests run them in forks of one that has imported everything."""
    start = [name] if name.endswith(".py") else ["-m", name]
    assert "usage: " in run(*start, "--help").stdout


def test_recipes_run_from_any_folder(tmp_path):
    """Without the launchers, as in a SpeechBrain checkout."""
    script = Path("recipes/adaptation/train_adapt.py").resolve()
    yaml = Path("hparams/small_adapt.yaml").resolve()
    absent = f"--cry_folder={tmp_path}/no"
    done = run(script, yaml, absent, status=2, cwd=tmp_path)
    assert "no does not exist" in done.stderr
