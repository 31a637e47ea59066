"""A probe on cached embeddings: its checkpoints, and a resume from them."""

import csv

import numpy as np
import pytest
import soundfile

from cry_modules.checkpoints.checkpointer import read_meta
from cry_modules.training import classification
from cry_modules.training.classification import ClassificationBrain
from cry_modules.training.experiment import load
from cry_modules.training.options import parse_arguments
from recipes.classification import after, train_cls
from tests.runs import checkpoints, history

N_EPOCHS = 9
N_STEPS = 2  # of an epoch


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """Noise, so that the best epoch is arbitrary: 12 training recordings."""
    folder = tmp_path_factory.mktemp("clinic")
    rng = np.random.default_rng(0)
    rows = []
    for split, n in (("train", 12), ("valid", 12), ("test", 4)):
        for i in range(n):
            name = f"{split}{i}"
            soundfile.write(
                folder / f"{name}.wav", rng.normal(0, 0.1, 6000), 16000
            )
            label = ["healthy", "injury"][i % 2]
            rows.append([name, name, f"{name}.wav", label, split])
    header = ["recording_id", "patient_id", "path", "neuro_injury", "split"]
    with open(folder / "recordings.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


def ready(clinic, output, *options, lr=0.3):
    """Brain, settings, embeddings and batches as ``train_cls.py`` makes them."""
    yaml, run_opts, overrides = parse_arguments(
        [
            *["hparams/neuro_linear.yaml", f"--data_folder={clinic}"],
            *[f"--output_folder={output}", f"--number_of_epochs={N_EPOCHS}"],
            *["--width=1", "--batch_size=6", f"--lr={lr}", "--device=cpu"],
            *["--noprogressbar", *options],
        ]
    )
    hparams = load(yaml, overrides)
    hparams["prepare"](save_folder=f"{output}/manifest")
    labels, classes = train_cls.read_labels(
        f"{output}/manifest", hparams["classes"]
    )
    recordings = train_cls.dataio_prepare(
        hparams, f"{output}/manifest", classes, "recordings"
    )
    brain = train_cls.make_brain(hparams, run_opts, labels, classes)
    embs = after.embed_all(
        brain, hparams, recordings, hparams["embedder"], "embedding"
    )
    sets = {s: train_cls.EmbeddingSet(part) for s, part in embs.items()}
    batches = train_cls.train_batches(hparams, recordings["train"])
    return brain, hparams, sets, batches


def train(clinic, output, *options, lr=0.3):
    """Train and predict as ``train_cls.py`` does."""
    brain, hparams, sets, batches = ready(clinic, output, *options, lr=lr)
    train_cls.fit(brain, hparams, sets, batches)
    after.predict(brain, hparams, sets)
    return output


def saved_epochs(folder):
    """Epochs whose ends were saved."""
    metas = map(read_meta, checkpoints(folder))
    return [meta["epoch"] for meta in metas if "epoch" in meta]


def predictions(folder):
    paths = [folder / f"predictions_{s}.csv" for s in ("valid", "test")]
    return [path.read_text() for path in paths]


@pytest.fixture(scope="module")
def whole(clinic, tmp_path_factory):
    """An uninterrupted run, whose best epoch is in the middle."""
    folder = train(clinic, tmp_path_factory.mktemp("whole"))
    assert 1 < best_epoch(folder) < N_EPOCHS - 1
    return folder


def best_epoch(folder):
    """Best epoch; the newest of equal scores."""
    return max(history(folder), key=lambda r: (r["score"], r["epoch"]))["epoch"]


def test_the_best_and_the_last_are_kept(whole):
    assert saved_epochs(whole) == [best_epoch(whole), N_EPOCHS]


def test_of_equal_scores_the_newest_is_kept(clinic, tmp_path):
    folder = train(clinic, tmp_path, lr=1e-12)
    assert len({row["score"] for row in history(folder)}) == 1
    assert saved_epochs(folder) == [N_EPOCHS]


def test_predictions_are_those_of_the_best_epoch(whole, clinic, tmp_path):
    """Compared with a run that ends there, under the same learning rates."""
    brain, hparams, sets, batches = ready(clinic, tmp_path)
    hparams["epoch_counter"].patience = 10**9
    best = best_epoch(whole)

    class Ended(Exception):
        """The best epoch is over."""

    def on_stage_end(stage, loss, epoch=None):
        ClassificationBrain.on_stage_end(brain, stage, loss, epoch)
        if stage.name == "VALID" and epoch == best:
            raise Ended

    brain.on_stage_end = on_stage_end
    with pytest.raises(Ended):
        train_cls.fit(brain, hparams, sets, batches)
    expected = brain.predictions
    with open(whole / "predictions_valid.csv", newline="") as file:
        scores = {
            row["ID"]: [float(row["healthy"]), float(row["injury"])]
            for row in csv.DictReader(file)
        }
    assert scores == dict(zip(expected.ids, expected.scores.tolist()))


class Killed(Exception):
    """Ends a run at once, as SIGKILL does: nothing more is saved."""


@pytest.mark.parametrize(
    "step, pause, interval",
    [(7, 0.0, 0), (7, 1e9, 1), (N_STEPS * N_EPOCHS, 1e9, 0)],
)
def test_a_killed_and_resumed_run_predicts_the_same(
    whole, clinic, tmp_path, monkeypatch, step, pause, interval
):
    monkeypatch.setattr(classification, "_PAUSE", pause)
    options = [f"--ckpt_interval_steps={interval}"]
    steps = iter(range(1, step + 1))

    def on_fit_batch_start(self, batch, should_step):
        if next(steps) == step:
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(
            ClassificationBrain, "on_fit_batch_start", on_fit_batch_start
        )
        train(clinic, tmp_path, *options)
    train(clinic, tmp_path, *options)
    assert history(tmp_path) == history(whole)
    assert predictions(tmp_path) == predictions(whole)
    ends = saved_epochs(tmp_path)
    assert ends[-1] == N_EPOCHS and best_epoch(whole) in ends


def test_recordings_are_embedded_in_workers(clinic, tmp_path, script):
    """Embeddings are then batched without them."""
    script(
        *["train_cls.py", "hparams/neuro_linear.yaml"],
        *[f"--data_folder={clinic}", f"--output_folder={tmp_path}"],
        *["--width=1", "--batch_size=6", "--device=cpu", "--noprogressbar"],
        *["--number_of_epochs=1", "--bootstrap_draws=100", "--figures=False"],
        *["--controls=False", "--num_workers=1"],
    )
    assert (tmp_path / "metrics.json").is_file()
