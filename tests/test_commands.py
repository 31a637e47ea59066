"""The commands as a user types them, in the root; where a test runs many of
them, in forks (see conftest.py)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.state_dict import read_state_dict

TINY = ["--width=1", "--batch_size=4", "--device=cpu", "--noprogressbar"]
SIMCLR = ["train_simclr.py", "hparams/small_simclr.yaml", *TINY]
SIMCLR += ["--number_of_epochs=2", "--warmup_epochs=1"]


def run(*arguments, status=0):
    """Run a command; its output must not hold a traceback."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def refused(script):
    """The last line of a command that refuses its input."""

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
    """The last script in a process of its own, as a user starts it."""
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
    assert (
        done.stdout.strip()
        .split("\n")[-1]
        .startswith("done: neuro_injury linear")
    )
    assert same(weights(adapted), weights(tmp_path / "cls"))
    metrics = json.loads((tmp_path / "cls/metrics.json").read_text())
    assert metrics["encoder_source"] == str(adapted)
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


def test_without_data_one_line_says_what_to_do(tmp_path, refused):
    for command, folder in (
        (["train_simclr.py", "hparams/vggsound.yaml"], "--data_folder"),
        (["train_cls.py", "hparams/neuro_linear_bn.yaml"], "--data_folder"),
        (
            ["train_adapt.py", "hparams/cry_adapt_replay.yaml"],
            "--cry_folder",
        ),
    ):
        output = f"--output_folder={tmp_path}/out"
        line = refused(*command, f"{folder}={tmp_path}/no", output)
        assert f"{tmp_path}/no does not exist" in line
        assert folder in line and "make demo-data" in line


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["hparams/no.yaml"], ["hparams/no.yaml does not exist"]),
        (
            ["hparams/small_simclr.yaml", "--epochs=3"],
            ["--epochs is not an opt"],
        ),
        (
            ["hparams/small_simclr.yaml", "--number_of_epochs=many"],
            ["--number_of_epochs is 'many'", "'100' (a whole number)"],
        ),
        (
            ["hparams/small_simclr.yaml", "--temperature=-1"],
            ["temperature is -1", "above 0"],
        ),
        (
            ["hparams/small_simclr.yaml", "--width=0"],
            ["width 0"],
        ),
        (
            ["hparams/small_simclr.yaml", "--dropout=1"],
            ["dropout is 1", "0 to 0.9"],
        ),
        (
            ["hparams/small_simclr.yaml", "--batch_size=1"],
            ["batch_size is 1", "2 or more"],
        ),
        (
            ["hparams/small_simclr.yaml", "--n_views=1"],
            ["n_views is 1", "2 or more"],
        ),
        (
            ["hparams/small_simclr.yaml", "--chunk_s=0.2"],
            ["chunk_s is 0.2", "0.31 s or more"],
        ),
        (
            ["hparams/vggsound.yaml", "--lr=fast"],
            ["--lr is 'fast'", "'0.015' (a number)"],
        ),
        (
            ["hparams/small_simclr.yaml", "--seed=1", "--seed=2"],
            ["--seed is given twice"],
        ),
        (
            ["hparams/small_simclr.yaml", "--output_folder=runs/lr=1"],
            ["--output_folder=runs/lr=1 holds an '='", "rename"],
        ),
        (
            ["hparams/small_simclr.yaml", "--output_foldr=x"],
            ["did you mean --output_folder?"],
        ),
        (["hparams/neuro_linear.yaml"], ["not for this script"]),
        (["README.md"], ["README.md is not a yaml file of settings"]),
        (
            ["hparams/small_simclr.yaml", "--base=x"],
            ["--base is not an option"],
        ),
        (
            ["hparams/small_simclr.yaml", "--output_folder=README.md"],
            ["README.md is a file"],
        ),
        (
            ["hparams/small_simclr.yaml", "--precision=fp16", "--device=cpu"],
            ["fp16 needs a GPU"],
        ),
        (["--width=8"], ["--width=8 is where the yaml file must be"]),
    ],
)
def test_wrong_usage(arguments, parts, refused):
    line = refused("train_simclr.py", *arguments)
    for part in parts:
        assert part in line


def test_wrong_input_of_adaptation(corpus, pretrained, tmp_path, refused):
    command = ["train_adapt.py", "hparams/small_adapt.yaml"]
    command += [f"--cry_folder={corpus}/cry", f"--output_folder={tmp_path}"]
    line = refused(*command, f"--encoder_source={pretrained}")
    assert "it has width 1: pass --width 1" in line
    line = refused(
        *[*command, "--width=1", f"--encoder_source={pretrained}"],
        "--replay_ratio=0.5",
    )
    assert "pass --replay_folder" in line
    line = refused(
        *[*command, "--width=1", "--encoder_source=null"],
        *["--batch_size=500", "--valid_share=0.25"],
    )
    assert "a batch needs 500 recordings" in line


def test_wrong_input_of_classification(corpus, tmp_path, refused):
    command = ["train_cls.py", "hparams/neuro_linear.yaml", *TINY]
    command += [f"--data_folder={corpus}/cry", f"--output_folder={tmp_path}"]
    line = refused(*command, "--finetune_mode=bn")
    assert "finetune_mode is 'bn'; expected one of ('linear'," in line
    line = refused(*command, "--classes=[healthy, sick]")
    assert "recordings.csv row" in line and "--other_labels drop" in line
    line = refused(*command, "--label_fraction=2")
    assert "label_fraction is 2" in line
    line = refused(*command, "--balance=some")
    assert "balance is some; expected one of loss, sampling, none" in line
    line = refused(*command, "--trained_on=chunk")
    assert "trained_on is chunk; expected one of recordings, chunks" in line
    line = refused(*command, "--patient_score=mean")
    assert "patient_score is mean; expected one of mean_log_odds" in line
    line = refused(
        *command, "--finetune_mode=end_to_end", "--readout=encoder+logmel"
    )
    assert "log-mel statistics are for frozen modes" in line
    line = refused(*command, "--folds=all", "--test_fold=0")
    assert "leave out --test_fold and --valid_fold, or --folds" in line
    line = refused(*command, "--folds=all")
    assert "fold" in line and "recordings.csv" in line
    line = refused(*command, "--folds=ward")
    assert "no column 'ward'" in line
    line = refused(*command, "--subgroups=site,weight")
    assert "'weight'" in line and "--subgroups" in line
    line = refused(*command, "--nuisance=phone")
    assert "'phone'" in line and "--nuisance" in line


def test_another_experiment_in_the_same_folder(corpus, pretrained, refused):
    line = refused(
        *[*SIMCLR, f"--data_folder={corpus}/vggsound"],
        *[f"--output_folder={pretrained}", "--lr=0.5"],
    )
    assert "lr: 0.002, now it is 0.5; pass another --output_folder" in line


LIGHT = ["audit", "clinical_prepare", "convert", "split"]
HEAVY = [
    *(f"train_{name}.py" for name in ("simclr", "adapt", "cls")),
    *("data_prep.confounds", "data_prep.pack", "data_prep.synthetic"),
    *(
        "cry_modules.figures",
        "cry_modules.demo",
        "cry_modules.export",
    ),
    *(
        "cry_modules.inference",
        "cry_modules.metrics",
        "cry_modules.views",
    ),
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


def test_recipes_run_from_any_folder(corpus, tmp_path):
    """Without the launchers, as in a SpeechBrain checkout."""
    script = Path("recipes/adaptation/train_adapt.py").resolve()
    yaml = Path("hparams/small_adapt.yaml").resolve()
    done = subprocess.run(
        [sys.executable, script, yaml, f"--cry_folder={tmp_path}/no"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "no does not exist" in done.stderr
