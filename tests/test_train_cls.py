"""train_cls.py: effects of its options, in forks of one process (conftest)."""

import csv
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.state_dict import read_state_dict
from cry_modules.metrics.choices import choose, pooled
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.predictions import Predictions
from cry_modules.training.experiment import load
from recipes.classification import train_cls
from tests.runs import assert_one_interval_for_one_figure

N_PATIENTS = 18
TINY = ["--width=1", "--batch_size=4", "--device=cpu", "--noprogressbar"]
TINY += ["--bootstrap_draws=100"]
PLAIN = [*TINY, "--controls=False", "--figures=False", "--nuisance=null"]


@pytest.fixture
def train(script, clinic, tmp_path):
    """Run ``train_cls.py`` on the clinic and return the run folder."""
    numbers = iter(range(99))

    def train(mode, *options, output=None, status=0):
        output = output or tmp_path / f"run{next(numbers)}"
        arguments = [f"hparams/neuro_{mode}.yaml", f"--data_folder={clinic}"]
        done = script(
            "train_cls.py",
            *[*arguments, f"--output_folder={output}", *options],
            status=status,
        )
        train.output, train.seconds = done.output, done.seconds
        return output

    return train


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def history(folder):
    return json.loads((folder / "history.json").read_text())


def read(folder, split="test"):
    return Predictions.read(folder / f"predictions_{split}.csv")


@pytest.mark.parametrize("balance", ["sampling", "none"])
def test_batches_have_similar_lengths_and_balanced_labels(balance):
    """The dataset is sorted by length, and its table is not."""
    rng = np.random.default_rng(0)
    seconds = rng.uniform(1, 60, 400)
    rare = rng.random(400) < 0.1
    items = {
        f"r{i}": {
            "start": "0",
            "stop": str(seconds[i]),
            "duration": float(seconds[i]),
            "label": "rare" if rare[i] else "common",
        }
        for i in range(400)
    }
    dataset = DynamicItemDataset(
        items, output_keys=["duration", "label"]
    ).filtered_sorted(sort_key="duration")
    hparams = {"trained_on": "recordings", "chunk_s": 4.0, "batch_size": 16}
    batches = train_cls.train_batches(
        {**hparams, "balance": balance, "seed": 1}, dataset
    )
    batches.set_epoch(1)
    drawn = [[dataset[i] for i in batch] for batch in batches]
    padded = sum(max(r["duration"] for r in b) * len(b) for b in drawn)
    valid = sum(r["duration"] for batch in drawn for r in batch)
    assert 1 - valid / padded < 0.2  # a random batch is half padding
    share = np.mean([r["label"] == "rare" for batch in drawn for r in batch])
    # Binomial(400, 0.5): four standard deviations are 0.1.
    expected = (0.5, 0.1) if balance == "sampling" else (rare.mean(), 1e-9)
    assert share == pytest.approx(expected[0], abs=expected[1])


FOLD = ["--test_fold=0", "--valid_fold=1", "--number_of_epochs=4"]


def test_a_cached_probe_predicts_as_a_recomputed_one(train):
    """Chunks longer than every recording are the recordings, recomputed."""
    cached = train("linear", *PLAIN, *FOLD)
    again = train("linear", *PLAIN, *FOLD, "--trained_on=chunks", "--chunk_s=9")
    for split in ("valid", "test"):
        a, b = read(cached, split), read(again, split)
        assert a.ids == b.ids
        np.testing.assert_allclose(a.scores, b.scores, rtol=1e-3, atol=1e-5)
    for a, b in zip(history(cached), history(again)):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode, chunk_s, agree", [("linear_bn", 9, True), ("linear", 0.5, False)]
)
def test_chunks_are_averaged_and_equal_recordings_that_fit(
    train, mode, chunk_s, agree
):
    a, b = (
        read(train(mode, *PLAIN, *FOLD, f"--chunk_s={chunk_s}", tested_on))
        for tested_on in ("--tested_on=recordings", "--tested_on=chunks")
    )
    if agree:
        np.testing.assert_allclose(a.scores, b.scores, rtol=1e-3, atol=1e-5)
    else:
        assert np.abs(a.scores - b.scores).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["linear_bn", "end_to_end"])
@pytest.mark.parametrize("balance", ["sampling", "none"])
def test_whole_recordings_train_in_every_mode(train, mode, balance):
    run = train(
        mode, *PLAIN, *FOLD, "--trained_on=recordings", f"--balance={balance}"
    )
    assert metrics_of(run)["balance"] == balance
    # A linear probe does not change the encoder, which has the same seed.
    before, after = (
        read_state_dict(EncoderSource(folder).file())
        for folder in (train("linear", *PLAIN, *FOLD), run)
    )
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert "conv_block1.norm1.weight" in moved
    assert ("conv_block1.conv1.weight" in moved) == (mode == "end_to_end")


def test_early_stopping_stops_after_the_best_epoch(train):
    options = [*PLAIN, *FOLD[:2], "--number_of_epochs=12", "--patience=2"]
    run = train("linear_bn", *options, "--lr=1e-9")
    scores = [row["score"] for row in history(run)]
    best = scores.index(max(scores))  # an equal score does not count as better
    assert len(scores) == min(12, best + 1 + 2)
    before = history(run)
    train("linear_bn", *options, "--lr=1e-9", output=run)
    assert history(run) == before  # it stays stopped


def test_folds_pool_predictions_on_what_each_model_did_not_see(train, clinic):
    run = train("linear", *TINY, "--folds=all", "--number_of_epochs=3",
                "--figures=False", "--subgroups=site")  # fmt: skip
    metrics = metrics_of(run)
    assert len(metrics["folds"]) == 3 and "valid" not in metrics
    common = np.mean(
        [metrics_of(run / name)["prevalence"] for name in metrics["folds"]],
        axis=0,
    )
    assert metrics["prevalence"] == pytest.approx(common.tolist())
    parts = []
    for k, name in enumerate(metrics["folds"]):
        patients = {
            split: set(read_column(run / name / "manifest" / f"{split}.csv"))
            for split in ("train", "valid", "test")
        }
        for split, fold in (("test", k), ("valid", (k + 1) % 3)):
            expected = {f"patient-{6 * fold + i}" for i in range(6)}
            assert patients[split] == expected
            assert not patients["train"] & expected
        prevalence = np.array(metrics_of(run / name)["prevalence"])
        valid, test = (
            read(run / name, split).at_prevalence(prevalence, common)
            for split in ("valid", "test")
        )
        parts.append((test, choose(valid, common)))
    IDs = read(run).ids
    assert len(IDs) == 2 * N_PATIENTS == len(set(IDs))
    assert read(run).folds == list(np.repeat(["0", "1", "2"], 12))
    for name, value in evaluate(*pooled(parts), 2022, 100).items():
        if isinstance(value, float):
            assert metrics["test"]["recording"][name] == pytest.approx(value)
    folds = [evaluate(*part, n_draws=0)["auc"] for part in parts]
    valid = [
        metrics_of(run / name)["valid"]["recording"]["auc"]
        for name in metrics["folds"]
    ]
    each = metrics["by_fold"]["each"]
    assert [block["valid_auc"] for block in each] == pytest.approx(valid)
    report = (run / "report.md").read_text("utf-8")
    assert f"on average: {np.mean(valid):.3f}. Epoch, penalty" in report
    by_fold = metrics["by_fold"]["auc"]
    assert by_fold["folds"] == pytest.approx(folds)
    assert by_fold["mean"] == pytest.approx(np.mean(folds))
    assert by_fold["sd"] == pytest.approx(np.std(folds, ddof=1))
    assert set(metrics["controls"]) == {
        "logmel_logistic", "logmel_svm", "logmel_spread", "acoustic_logistic",
    }  # fmt: skip
    assert set(metrics["subgroups"]) == {"site"}
    last = train.output.strip().split("\n")[-1]
    assert last.startswith("done: neuro_injury linear") and "3 folds" in last
    assert "within 3 folds" in last
    text = (run / "report.md").read_text()
    assert "recordings are compared within 3 folds" in text
    assert_one_interval_for_one_figure(run)


def read_column(path, name="patient_id"):
    with open(path, newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_killed_run_of_folds_resumes_and_can_be_repeated(
    train, clinic, script, tmp_path
):
    options = [*PLAIN, "--folds=all", "--number_of_epochs=2"]
    run = train("linear", *options)
    expected = (run / "predictions_test.csv").read_bytes()
    killed = tmp_path / "killed"
    command = ["train_cls.py", "hparams/neuro_linear.yaml", *options]
    command += [f"--data_folder={clinic}", f"--output_folder={killed}"]
    for share in (0.3, 0.6):  # within the first or second fold
        after = share * train.seconds
        script(*command, status=None, signal=signal.SIGKILL, after=after)
    script(*command)
    assert (killed / "predictions_test.csv").read_bytes() == expected
    # From what it left, as a whole and one fold of it.
    for name in (".", "fold_1_1"):
        again = tmp_path / f"again_{name}"
        script(
            *["train_cls.py", run / name / "hyperparams.yaml"],
            *["--device=cpu", "--noprogressbar", f"--output_folder={again}"],
        )
        assert (again / "predictions_test.csv").read_bytes() == (
            run / name / "predictions_test.csv"
        ).read_bytes()


def test_a_folder_of_folds_keeps_its_settings(train):
    options = [*PLAIN, "--folds=all", "--number_of_epochs=1"]
    run = train("linear", *options)
    before = (run / "hyperparams.yaml").read_bytes()
    train("linear", *options, "--lr=0.5", output=run, status=2)
    assert "lr: 0.003, now it is 0.5" in train.output
    train("linear", *options[:-2], "--folds=site", "--number_of_epochs=1",
          output=run, status=2)  # fmt: skip
    assert "folds: all, now it is site" in train.output
    assert (run / "hyperparams.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "option, words",
    [
        (
            "--folds=patient_id",
            "folds is patient_id, which identifies patients",
        ),
        (
            "--subgroups=recording_id",
            "subgroups is recording_id, which identifies",
        ),
        ("--nuisance=2020", "--nuisance names '2020', and"),
        (
            "--patient_score=[max]",
            "patient_score is [max]; it must be one text",
        ),
        ("--encoder_source=2022", "2022"),
        ("--classes=[healthy, label]", "a column of the predictions"),
    ],
)
def test_wrong_options_stop_before_training(train, option, words):
    run = train("linear", *TINY, "--number_of_epochs=1", option, status=2)
    assert words in train.output.strip().split("\n")[-1]
    assert not list(run.glob("save/CKPT*"))


@pytest.mark.slow
def test_sites_that_cannot_be_ranked(train, clinic, tmp_path):
    """One site of one class, one patient in two sites, and a single fold that
    can be ranked."""
    rows = (clinic / "recordings.csv").read_text().split("\n")
    header, body = rows[0], [row.split(",") for row in rows[1:] if row]
    for i, row in enumerate(body):
        row[4] = "mixed" if i < 18 else row[3]
    body[-1][4] = "mixed"  # the other recording of its patient is elsewhere
    table = tmp_path / "sites.csv"
    table.write_text("\n".join([header, *map(",".join, body)]))
    run = train(
        "linear", *TINY, "--folds=all", "--fold_column=site",
        "--number_of_epochs=1", f"--recordings_csv={table}", "--figures=False",
    )  # fmt: skip
    metrics = metrics_of(run)
    aucs = metrics["by_fold"]["auc"]["folds"]
    assert [auc is None for auc in aucs] == [True, True, False]
    # External validation: a row for each site, also in what is printed.
    assert metrics["fold_column"] == "site"
    assert metrics["by_fold"]["n_patients_of_several"] == 1
    rows = train.output.strip().split("\n")[-4:-1]
    for row, fold in zip(rows, metrics["by_fold"]["each"]):
        assert row.startswith(f"left-out site {fold['fold']}: AUC ")
    report = (run / "report.md").read_text()
    assert "## External validation: each left-out site" in report
    assert "1 patient of several values of site: in each row" in report
    assert metrics["by_fold"]["auc"]["sd"] is None
    assert metrics["test"]["recording"]["auc"] is not None
    assert metrics["controls"]["logmel_svm"]["patient"]["auc"] is not None


@pytest.mark.slow
def test_sites_left_out_with_an_encoder_for_each(train, clinic):
    """`{fold}` names the encoder that was pre-trained without the fold."""
    first = train("linear", *PLAIN, *FOLD)
    sites = ["north", "south", "west"]
    for site in sites:
        (first.parent / f"encoder_{site}").symlink_to(first)
    source = first.parent / "encoder_{fold}"
    run = train("linear", *PLAIN, "--folds=site", "--number_of_epochs=1",
                f"--encoder_source={source}")  # fmt: skip
    metrics = metrics_of(run)
    assert metrics["encoder_source"] == source.name
    folds = [fold["fold"] for fold in metrics["by_fold"]["each"]]
    assert folds == sites
    for name, site in zip(metrics["folds"], sites):
        loaded = metrics_of(run / name)["encoder_source"]
        assert loaded.endswith(f"encoder_{site}")
        manifest = run / name / "manifest"
        assert set(read_column(manifest / "test.csv", "site")) == {site}
        for split in ("train", "valid"):
            assert site not in read_column(manifest / f"{split}.csv", "site")


@pytest.mark.slow
def test_a_log_mel_readout_has_a_random_encoder_as_control(train):
    run = train(
        "linear", *TINY, *FOLD, "--readout=embedding+logmel", "--figures=False"
    )
    metrics = metrics_of(run)
    # BatchNorm1d and Linear of two classes on 32 + 160 dimensions.
    assert metrics["n_trainable"] == 192 * 4 + 2
    assert "random_encoder" in metrics["controls"]
    control = metrics_of(run / "controls/random_encoder")
    assert control["encoder_source"] == "random_calibrated"
    assert control["readout"] == "embedding+logmel"
    assert "random encoder" in (run / "report.md").read_text().lower()


def test_each_epoch_trains_on_other_chunks(clinic, tmp_path):
    """Also after the dataset was sorted, which copies its functions."""
    options = {
        "data_folder": str(clinic),
        "output_folder": str(tmp_path),
        "chunk_s": 0.4,
        "width": 1,
    }
    hparams = load("hparams/neuro_linear_bn.yaml", options)
    hparams["prepare"](save_folder=f"{tmp_path}/manifest")
    _, classes = train_cls.read_labels(f"{tmp_path}/manifest", None)
    dataset = train_cls.dataio_prepare(
        hparams, f"{tmp_path}/manifest", classes, "chunks"
    )["train"]
    first = [item["sig"] for item in dataset]
    hparams["chunks"].epoch = 1
    second = [item["sig"] for item in dataset]
    assert {len(sig) for sig in first + second} == {6400}
    assert not any(torch.equal(a, b) for a, b in zip(first, second))


def test_a_probe_at_its_optimum_read_at_a_block(train):
    options = ["--solver=lbfgs", "--readout=block3", "--figures=False"]
    options += ["--nuisance=infant"]
    run = train("linear", *TINY, *FOLD, *options)
    metrics = metrics_of(run)
    # Mean and deviation of 4 channels in 10 bands.
    assert metrics["n_trainable"] == 2 * 4 * 10 * 4 + 2
    assert "random_encoder" in metrics["controls"]
    assert [*metrics["nuisance"]] == ["infant"]
    assert 0 <= metrics["nuisance"]["infant"]["embedding"]["auc"] <= 1
    assert "infant from the embedding: AUC" in (run / "report.md").read_text()
    assert not (run / "history.json").exists()  # no epochs
    again = train("linear", *TINY, *FOLD, *options, output=run)
    assert metrics_of(again) == metrics


def test_splits_of_one_class_leave_metrics_undefined(train):
    run = train(
        "linear", *TINY, *FOLD, "--label_column=kind",
        "--classes=[a, b]", "--nuisance=age", "--figures=False",
    )  # fmt: skip
    metrics = metrics_of(run)
    assert metrics["task"] == metrics["label_column"] == "kind"
    for split in ("valid", "test"):
        for unit in ("recording", "patient"):
            assert metrics[split][unit]["auc"] is None
            assert metrics[split][unit]["no_interval"].startswith("all are")
    for row in history(run):  # without AUC, the loss chooses
        assert row["valid_auc"] is None
        assert row["score"] == -row["valid_loss"]
    assert "AUC not defined: all are a" in train.output
    assert "not evaluated" in (run / "report.md").read_text()


def test_files_of_a_run(train):
    run = train("linear", *TINY, *FOLD, "--subgroups=site,age")
    metrics = metrics_of(run)
    assert metrics["figures"]
    for name in metrics["figures"]:
        for suffix in ("png", "svg"):
            assert (run / f"figures/{name}.{suffix}").stat().st_size > 1000
    page = (run / "report.md").read_text()
    assert "nan" not in page.lower().replace("nuisance", "")
    assert "patient-0" not in page and "p0_0" not in page  # they are people
    assert set(metrics["nuisance"]["site"]) == {"embedding", "log-mel"}
    assert set(metrics["subgroups"]) == {"site", "age"}


@pytest.mark.slow
@pytest.mark.representative
def test_two_processes_train_as_one(train, clinic, tmp_path, free_port):
    """A frozen encoder draws nothing: batches, weights and losses are equal."""
    alone = train("linear", *PLAIN, "--number_of_epochs=4", "--balance=loss")
    together = tmp_path / "together"
    command = [sys.executable, "-m", "torch.distributed.run"]
    command += ["--nproc_per_node=2", f"--master_port={free_port}"]
    command += ["train_cls.py", "hparams/neuro_linear.yaml", *PLAIN]
    command += [f"--data_folder={clinic}", f"--output_folder={together}"]
    command += ["--number_of_epochs=4", "--balance=loss"]
    command += ["--distributed_backend=gloo"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("done: neuro_injury linear") == 1
    a, b = (history(folder) for folder in (alone, together))
    for name in ("train_loss", "valid_loss", "valid_auc"):
        assert [row[name] for row in b] == pytest.approx(
            [row[name] for row in a], rel=1e-4
        )
    a, b = read(alone), read(together)
    assert a.ids == b.ids
    np.testing.assert_allclose(a.scores, b.scores, rtol=1e-3)
