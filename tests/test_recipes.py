"""Every yaml of tests/recipes/*.csv trains, from the tiny synthetic corpus."""

import csv
import importlib
import json
from pathlib import Path

import pytest
import yaml

from data_prep.manifest import COLUMNS


def recipe_rows():
    for path in sorted(Path(__file__).with_name("recipes").glob("*.csv")):
        with open(path, encoding="utf-8") as file:
            yield from csv.DictReader(file)


def train(row, corpus, output_folder, *more):
    """Run a row's script in this process, as the command line would."""
    name = row["Script_file"].removesuffix(".py").replace("/", ".")
    flags = row["test_debug_flags"].replace("CORPUS", str(corpus)).split()
    importlib.import_module(name).main(
        [row["Hparam_file"], *flags, f"--output_folder={output_folder}"]
        + ["--device=cpu", "--noprogressbar", *more]
    )


def params():
    """Rows; the trigger task, which is the other in all but its labels, may
    take its time."""
    for row in recipe_rows():
        name = Path(row["Hparam_file"]).stem
        marks = [pytest.mark.slow] if name.startswith("trigger") else []
        yield pytest.param(row, id=name, marks=marks)


@pytest.mark.parametrize("row", list(params()))
def test_recipe_trains_and_leaves_its_files(row, corpus, tmp_path, capfd):
    train(row, corpus, tmp_path)
    expected = row["test_debug_checks"]
    names = expected[len("file_exists=[") : -1].split(",")
    assert [n for n in names if not (tmp_path / n).is_file()] == []
    assert (tmp_path / "manifest/rejected.csv").is_file()
    assert list(tmp_path.glob("save/CKPT*/encoder.ckpt"))
    last_line = capfd.readouterr().out.strip().split("\n")[-1]
    assert last_line.startswith("done: ") and "synthetic" in last_line

    header = (tmp_path / "manifest/train.csv").read_text().split("\n")[0]
    assert tuple(header.split(",")) == COLUMNS
    if "history.json" in names:  # else it is solved without epochs
        check_history(tmp_path, row)
    yaml.compose((tmp_path / "hyperparams.yaml").read_text())
    if "metrics.json" in names:
        check_metrics(tmp_path, row)


def check_history(folder, row):
    history = json.loads((folder / "history.json").read_text())
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    for epoch in history:
        assert {"train_loss", "lr", "seconds", "clips_per_s"} <= set(epoch)
    if row["Hparam_file"].endswith("adapt_replay.yaml"):
        check_both_corpora(history)


def check_both_corpora(history):
    """Adaptation with replay logs each apart."""
    for epoch in history:
        for stage in ("train", "valid"):
            for name in ("loss", "accuracy"):
                assert f"{stage}_{name}_cry" in epoch
                assert f"{stage}_{name}_generic" in epoch


def check_metrics(folder, row):
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["corpus"].startswith("synthetic")
    assert metrics["encoder_source"] is None
    stem = Path(row["Hparam_file"]).stem
    if stem.startswith(("neuro", "trigger")):
        assert stem == f"{metrics['task']}_{metrics['finetune_mode']}"
    for split in ("valid", "test"):
        lines = (folder / f"predictions_{split}.csv").read_text().split("\n")
        expected = ["ID", "patient_id", "label", *metrics["classes"], "path"]
        assert next(csv.reader(lines)) == expected
        for unit in ("recording", "patient"):
            block = metrics[split][unit]
            assert 0 <= block["auc"] <= 1
            # The tiny corpus has classes of fewer than five patients.
            assert block["auc_ci95"] is None
        assert metrics[split]["recording"]["n"] == len(lines) - 2
