"""train_cls.py: what its options do, with forks of one process (conftest)."""

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
from recipes.classification import train_cls

N_PATIENTS = 18
TINY = ["--width=1", "--batch_size=4", "--device=cpu", "--noprogressbar"]
TINY += ["--bootstrap_draws=100"]
PLAIN = [*TINY, "--controls=False", "--figures=False", "--nuisance=null"]


@pytest.fixture
def train(script, clinic, tmp_path):
    """Run ``train_cls.py`` on the clinic: its run folder."""
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


def read(folder, split="test"):
    return Predictions.read(folder / f"predictions_{split}.csv")


@pytest.mark.parametrize("balance", ["sampling", "none"])
def test_batches_are_of_the_recordings_they_mean(balance):
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
    batches = train_cls.train_batches(
        {
            "balance": balance,
            "trained_on": "recordings",
            "chunk_s": 4.0,
            "batch_size": 16,
            "seed": 1,
        },
        dataset,
    )
    batches.set_epoch(1)
    drawn = [[dataset[i] for i in batch] for batch in batches]
    longest = sum(max(r["duration"] for r in b) * len(b) for b in drawn)
    heard = sum(r["duration"] for batch in drawn for r in batch)
    assert 1 - heard / longest < 0.2  # a random batch is half padding
    share = np.mean([r["label"] == "rare" for batch in drawn for r in batch])
    # Binomial(400, 0.5): four standard deviations are 0.1.
    expected = (0.5, 0.1) if balance == "sampling" else (rare.mean(), 1e-9)
    assert share == pytest.approx(expected[0], abs=expected[1])


FOLD = ["--test_fold=0", "--valid_fold=1", "--number_of_epochs=4"]


def test_a_cached_probe_says_what_a_recomputed_one_says(train):
    """Chunks longer than every recording are the recordings, recomputed."""
    cached = train("linear", *PLAIN, *FOLD)
    again = train("linear", *PLAIN, *FOLD, "--trained_on=chunks", "--chunk_s=9")
    for split in ("valid", "test"):
        a, b = read(cached, split), read(again, split)
        assert a.ids == b.ids
        np.testing.assert_allclose(a.scores, b.scores, rtol=1e-3, atol=1e-5)
    histories = [
        json.loads((run / "history.json").read_text())
        for run in (cached, again)
    ]
    for a, b in zip(*histories):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-3)


@pytest.mark.slow
def test_chunks_and_recordings_agree_on_what_fits_into_a_chunk(train):
    runs = [
        train("linear_bn", *PLAIN, *FOLD, "--chunk_s=9", f"--tested_on={heard}")
        for heard in ("recordings", "chunks")
    ]
    a, b = (read(run) for run in runs)
    np.testing.assert_allclose(a.scores, b.scores, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_chunks_are_averaged_on_what_does_not(train):
    runs = [
        train("linear", *PLAIN, *FOLD, "--chunk_s=0.5", f"--tested_on={heard}")
        for heard in ("recordings", "chunks")
    ]
    a, b = (read(run) for run in runs)
    assert np.abs(a.scores - b.scores).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["linear_bn", "end_to_end"])
@pytest.mark.parametrize("balance", ["sampling", "none"])
def test_whole_recordings_train_in_every_mode(train, mode, balance):
    run = train(
        mode, *PLAIN, *FOLD, "--trained_on=recordings", f"--balance={balance}"
    )
    assert metrics_of(run)["balance"] == balance
    # A linear probe leaves the encoder, which is of the same seed, as it is.
    before, after = (
        read_state_dict(EncoderSource(folder).file())
        for folder in (train("linear", *PLAIN, *FOLD), run)
    )
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert "conv_block1.norm1.weight" in moved
    assert ("conv_block1.conv1.weight" in moved) == (mode == "end_to_end")


def test_early_stopping_stops_after_the_best_epoch(train):
    run = train(
        "linear_bn", *PLAIN, *FOLD[:2], "--number_of_epochs=12",
        "--patience=2", "--lr=1e-9",
    )  # fmt: skip
    scores = [
        row["score"] for row in json.loads((run / "history.json").read_text())
    ]
    best = scores.index(max(scores))  # an equal score is no better one
    assert len(scores) == min(12, best + 1 + 2)
    before = (run / "history.json").read_text()
    train("linear_bn", *PLAIN, *FOLD[:2], "--number_of_epochs=12",
          "--patience=2", "--lr=1e-9", output=run)  # fmt: skip
    assert (run / "history.json").read_text() == before  # it stays stopped


def test_folds_pool_what_each_model_says_of_what_it_never_heard(train, clinic):
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
        heard = {
            split: set(read_column(run / name / "manifest" / f"{split}.csv"))
            for split in ("train", "valid", "test")
        }
        assert heard["test"] == {f"patient-{6 * k + i}" for i in range(6)}
        after = (k + 1) % 3
        assert heard["valid"] == {f"patient-{6 * after + i}" for i in range(6)}
        assert not heard["train"] & (heard["valid"] | heard["test"])
        prevalence = np.array(metrics_of(run / name)["prevalence"])
        valid, test = (
            read(run / name, split).at_prevalence(prevalence, common)
            for split in ("valid", "test")
        )
        parts.append((test, choose(valid, common)))
    said = read(run)
    assert len(said.ids) == 2 * N_PATIENTS == len(set(said.ids))
    expected = evaluate(*pooled(parts), 2022, 100)
    found = metrics["test"]["recording"]
    for name, value in expected.items():
        if isinstance(value, float):
            assert found[name] == pytest.approx(value), name
    folds = [evaluate(*part, n_draws=0)["auc"] for part in parts]
    assert metrics["by_fold"]["auc"]["folds"] == pytest.approx(folds)
    assert metrics["by_fold"]["auc"]["mean"] == pytest.approx(np.mean(folds))
    assert metrics["by_fold"]["auc"]["sd"] == pytest.approx(
        np.std(folds, ddof=1)
    )
    assert set(metrics["controls"]) == {"logmel_logistic", "logmel_svm"}
    assert set(metrics["subgroups"]) == {"site"}
    last = train.output.strip().split("\n")[-1]
    assert last.startswith("done: neuro_injury linear") and "3 folds" in last
    assert "folds" in (run / "report.md").read_text().lower()


def read_column(path, name="patient_id"):
    with open(path, newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_killed_run_of_folds_goes_on_and_can_be_repeated(
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
        ("--nuisance=2020", "nuisance is 2020; name columns"),
        ("--subgroups=True", "subgroups is True; name columns"),
        ("--subgroups=path", "subgroups is path, which identifies patients"),
        ("--patient_score=[max]", "patient_score is [max]; expected one of"),
        ("--encoder_source=2022", "2022"),
        ("--classes=[healthy, label]", "a column of the predictions"),
    ],
)
def test_wrong_options_stop_before_training(train, option, words):
    run = train("linear", *TINY, "--number_of_epochs=1", option, status=2)
    assert words in train.output.strip().split("\n")[-1]
    assert not list(run.glob("save/CKPT*"))


@pytest.mark.slow
def test_one_site_of_each_kind(train, clinic, tmp_path):
    """One site of one class, one patient in two sites, and one fold alone
    that can be ranked."""
    rows = (clinic / "recordings.csv").read_text().split("\n")
    header, body = rows[0], [row.split(",") for row in rows[1:] if row]
    for i, row in enumerate(body):
        row[4] = "mixed" if i < 18 else row[3]
    body[-1][4] = "mixed"  # the other recording of its patient is elsewhere
    table = tmp_path / "sites.csv"
    table.write_text("\n".join([header, *map(",".join, body)]))
    run = train(
        "linear", *TINY, "--folds=site", "--number_of_epochs=1",
        f"--recordings_csv={table}", "--figures=False",
    )  # fmt: skip
    metrics = metrics_of(run)
    aucs = metrics["by_fold"]["auc"]["folds"]
    assert [auc is None for auc in aucs] == [True, True, False]
    assert metrics["by_fold"]["auc"]["sd"] is None
    assert metrics["test"]["recording"]["auc"] is not None
    assert metrics["controls"]["logmel_svm"]["patient"]["auc"] is not None


@pytest.mark.slow
def test_one_site_left_out_after_the_other(train):
    run = train("linear", *PLAIN, "--folds=site", "--number_of_epochs=2")
    metrics = metrics_of(run)
    left_out = [fold["fold"] for fold in metrics["by_fold"]["each"]]
    assert left_out == ["north", "south", "west"]
    for name, site in zip(metrics["folds"], left_out):
        manifest = run / name / "manifest"
        assert set(read_column(manifest / "test.csv", "site")) == {site}
        for split in ("train", "valid"):
            sites = set(read_column(manifest / f"{split}.csv", "site"))
            assert site not in sites


@pytest.mark.slow
def test_an_encoder_for_each_fold(train, script, clinic):
    """What was pre-trained without the fold that is tested on."""
    first = train("linear", *PLAIN, *FOLD)
    for k in range(3):
        (first.parent / f"encoder_{k}").symlink_to(first)
    source = first.parent / "encoder_{fold}"
    run = train(
        "linear", *PLAIN, "--folds=all", "--number_of_epochs=1",
        f"--encoder_source={source}",
    )  # fmt: skip
    metrics = metrics_of(run)
    assert metrics["encoder_source"].endswith("encoder_{fold}")
    sources = [
        metrics_of(run / name)["encoder_source"] for name in metrics["folds"]
    ]
    assert [s[-2:] for s in sources] == [f"_{k}" for k in range(3)]


@pytest.mark.slow
def test_log_mel_readout_is_shown_beside_a_random_encoder(train):
    run = train(
        "linear", *TINY, *FOLD, "--readout=encoder+logmel", "--figures=False"
    )
    metrics = metrics_of(run)
    # BatchNorm1d and Linear of two classes on 32 + 160 dimensions.
    assert metrics["n_trainable"] == 192 * 4 + 2
    assert "random_encoder" in metrics["controls"]
    beside = metrics_of(run / "controls/random_encoder")
    assert beside["encoder_source"] == "random_calibrated"
    assert beside["readout"] == "encoder+logmel"
    assert "random encoder" in (run / "report.md").read_text().lower()


def test_splits_of_one_class_leave_figures_undefined(train):
    """Nothing to rank in validation and test."""
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
    rows = json.loads((run / "history.json").read_text())
    # Chosen by the loss, where no AUC is.
    assert all(row["valid_auc"] is None for row in rows)
    assert all(row["score"] == -row["valid_loss"] for row in rows)
    assert "AUC not defined: all are a" in train.output
    assert "not evaluated" in (run / "report.md").read_text()


def test_everything_a_run_leaves(train):
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
    one, two = (
        json.loads((folder / "history.json").read_text())
        for folder in (alone, together)
    )
    for name in ("train_loss", "valid_loss", "valid_auc"):
        assert [row[name] for row in two] == pytest.approx(
            [row[name] for row in one], rel=1e-4
        )
    one, two = read(alone), read(together)
    assert one.ids == two.ids
    np.testing.assert_allclose(one.scores, two.scores, rtol=1e-3)
