"""Small studies for tests: settings, and made-up results of their runs."""

import functools
import json
import zlib
from contextlib import contextmanager

import numpy as np
import pytest

from cry_modules.metrics.choices import choose
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.predictions import Predictions
from recipes.study.encoders import ENCODERS, OBJECTIVES, is_outside, parts_of
from recipes.study.plan import Plan
from recipes.study.report import pictures, results
from recipes.study.settings import check_settings
from recipes.study.stages import MODES


def signal(encoder):
    """Signal in an encoder's made-up predictions."""
    if is_outside(encoder):
        return 0.5
    base, objective = parts_of(encoder)
    place = list(ENCODERS).index(base), list(OBJECTIVES).index(objective)
    return 0.1 + 0.1 * place[0] + 0.01 * place[1]


#: The task of most tests.
NEURO = {"label_column": "neuro_injury", "classes": ["healthy", "injury"]}


def settings(folder, **changes):
    """Settings of a small synthetic study, as in a yaml file."""
    supervised = {"number_of_epochs": 1, "batch_size": 8, "valid_share": 0.4}
    short = {**supervised, "warmup_epochs": 0}
    return {
        "title": "a small study",
        "output_folder": str(folder),
        "synthetic": {"scale": "tiny", "seed": 1},
        "tasks": {"neuro": {**NEURO}},
        "modes": ["linear"],
        "width": 1,
        "seeds": [1],
        "pretraining_seeds": [1],
        "fractions": [1.0],
        "confounds": False,
        "stages": {
            "simclr": {"yaml": "small_simclr", **short},
            "supervised": {"yaml": "small_supervised", **supervised},
            "adapt": {"yaml": "small_adapt", **short},
            "adapt_replay": {"yaml": "small_adapt_replay", **short},
            **{
                mode: {"number_of_epochs": 2, "bootstrap_draws": 100}
                for mode in MODES
            },
        },
        **changes,
    }


def whole(folder, **changes):
    """Settings of a study with both tasks, all modes and few labels."""
    trigger = {"label_column": "trigger", "hparams": "trigger"}
    trigger["classes"] = ["discomfort", "hunger", "pain"]
    return settings(
        folder,
        **{
            "tasks": {"neuro": {**NEURO}, "trigger": trigger},
            "modes": [*MODES],
            "seeds": [1, 2],
            "fractions": [0.1, 1.0],
            **changes,
        },
    )


def plan_of(values):
    """The plan of such settings."""
    return Plan(check_settings(values, "study.yaml"))


def real(folder, cries, **changes):
    """Settings of a small study of a cry database, and sounds with labels,
    whose files are not read."""
    for split in ("train", "test"):
        sound = folder / f"sounds/{split}/dog/a.wav"
        sound.parent.mkdir(parents=True, exist_ok=True)
        sound.touch()
    return settings(
        folder / "out", synthetic=None, cries=str(cries),
        generic=str(folder / "sounds"), **changes,
    )  # fmt: skip


def pretend(plan, n_patients=60):
    """Write results of a plan's classifiers: predictions of made-up
    recordings, and their metrics."""
    tasks = {task.name: task for task in plan.settings.tasks}
    for run in plan.of_rule("train_cls"):
        classes = list(tasks[run.facts["task"]].classes)
        rng = np.random.default_rng(zlib.crc32(run.name.encode()))
        truth = np.random.default_rng(0)
        labels = truth.integers(len(classes), size=2 * n_patients)
        # Both recordings of a patient are of one class.
        labels[1::2] = labels[::2]
        logits = rng.normal(size=(len(labels), len(classes)))
        logits[np.arange(len(labels)), labels] += signal(run.facts["encoder"])
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        write_results(run, Predictions(
            [f"SECRET-r{i}" for i in range(len(labels))],
            [f"SECRET-p{i // 2}" for i in range(len(labels))],
            labels, scores, classes,
        ))  # fmt: skip


@contextmanager
def fewer_draws(n=100):
    """Use fewer bootstrap draws."""
    with pytest.MonkeyPatch.context() as patch:
        compare = functools.partial(results.compare, n_draws=n)
        patch.setattr(results, "compare", compare)
        patch.setattr(pictures, "N_DRAWS", n)
        yield


def write_results(run, predictions):
    """Write a run's predictions and metrics."""
    run.folder.mkdir(parents=True)
    predictions.write(run.folder / "predictions_test.csv")
    block = {
        unit: evaluate(p, choose(p), n_draws=0)
        for unit, p in (
            ("recording", predictions),
            ("patient", predictions.by_patient("mean_log_odds")),
        )
    }
    metrics = {
        "task": run.facts["task"],
        "seed": run.facts["seed"],
        "balance": "loss",
        "n_trainable": 8194,
        "n_parameters": 75485666,
        "test": block,
        "controls": {},
    }
    (run.folder / "metrics.json").write_text(json.dumps(metrics))
