"""README's "how to add": each addition is one file or one row, and goes through
training, evaluation, export and inference."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml as pyyaml
from sklearn.metrics import f1_score

from cry_modules.architectures import ARCHITECTURES, Architecture
from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from cry_modules.evaluation.report import page
from cry_modules.export.facts import figures_of_test
from cry_modules.export.folder import export
from cry_modules.export.run_onnx import OnnxClassifier
from cry_modules.finetune import FINETUNE_MODES
from cry_modules.front_ends import FRONT_ENDS
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.__main__ import main as compare_runs
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.predictions import Predictions
from data_prep.manifest import SPLITS, read
from recipes.adaptation import train_adapt
from recipes.classification import train_cls
from recipes.simclr import train_simclr
from recipes.study.cost import Estimate
from recipes.study.encoders import ENCODERS
from recipes.study.report.page import make_report
from tests.recipes_study import studies
from tests.toys import study_row
from tests.toys.corpus_prepare import prepare_tones
from tests.toys.front_end import CubeRootMel
from tests.toys.metric import ROW

TOYS = Path(__file__).with_name("toys")
HPARAMS = Path(__file__).resolve().parents[1] / "hparams"
#: Options of the smallest runs.
TINY = {
    "width": 2,
    "batch_size": 4,
    "number_of_epochs": 1,
    "chunk_s": 0.5,
    "device": "cpu",
}
#: Options of the shortest evaluation.
EVALUATION = {"controls": False, "figures": False, "nuisance": "null"}
EVALUATION["bootstrap_draws"] = 100


def options(**settings):
    merged = {**TINY, **settings}
    return ["--noprogressbar", *(f"--{k}={v}" for k, v in merged.items())]


def copy_of(yaml, folder, change):
    """A yaml file of hparams/, copied by a user and changed."""
    (folder / "models").symlink_to(HPARAMS / "models")
    path = folder / "toy.yaml"
    path.write_text(change((HPARAMS / yaml).read_text("utf-8")), "utf-8")
    return str(path)


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text())


def check_use(run, out, clinic):
    """Export a run; the exported models give the scores of the run."""
    has_onnx = find_spec("onnx") and find_spec("onnxruntime")
    export(str(run), str(out), onnx=bool(has_onnx))
    expected = Predictions.read(run / "predictions_test.csv")
    paths = [str(clinic / f"{name}.wav") for name in expected.ids]
    classifier = CryClassifier.from_hparams(source=str(out))
    scores = [score.scores for score in classifier.classify_files(paths)]
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    if has_onnx:
        onnx = OnnxClassifier(str(out / "model.onnx"))
        scores = [onnx.score(path).scores for path in paths]
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)


def test_an_encoder_reaches_every_step(corpus, clinic, tmp_path, monkeypatch):
    """One module, one yaml file and one line of the registry."""
    monkeypatch.setitem(
        ARCHITECTURES,
        "toy",
        Architecture(
            "tests.toys.encoder.ToyEncoder",
            marker="layer.weight",
            yaml=str(TOYS / "encoder.yaml"),
        ),
    )
    pretrained, adapted, run, out = (
        tmp_path / name for name in ("simclr", "adapted", "cls", "exported")
    )
    train_simclr.main(
        ["hparams/small_simclr.yaml"]
        + options(
            architecture="toy",
            data_folder=corpus / "vggsound",
            warmup_epochs=0,
            output_folder=pretrained,
        )
    )
    train_adapt.main(
        ["hparams/small_adapt.yaml"]
        + options(
            architecture="toy",
            cry_folder=corpus / "cry",
            encoder_source=pretrained,
            adapt_layers="block",
            warmup_epochs=0,
            valid_share=0.2,
            output_folder=adapted,
        )
    )
    classify = {**EVALUATION, "data_folder": clinic}
    classify.update(encoder_source=adapted, output_folder=run)
    with pytest.raises(SystemExit):  # the registry tells the weights apart
        other = options(**classify, architecture="cnn14")
        train_cls.main(["hparams/neuro_linear.yaml", *other])
    # Not typed, it is that of the encoder.
    train_cls.main(["hparams/neuro_linear.yaml", *options(**classify)])
    check_use(run, out, clinic)
    assert "`toy`" in (out / "README.md").read_text()


def noisy_predictions(n=60, seed=0):
    """Two recordings of each patient, half of them positive."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) // 2 % 2
    positive = 1 / (1 + np.exp(1 - 2 * labels - rng.normal(size=n)))
    return Predictions(
        [f"r{i}" for i in range(n)],
        [f"p{i // 2}" for i in range(n)],
        labels,
        np.stack([1 - positive, positive], axis=1),
        ["healthy", "injury"],
    )


def test_a_metric_is_one_row(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(METRICS, "f1", ROW)
    p, even = noisy_predictions(), np.array([0.5, 0.5])
    outcome = Outcome(noisy_predictions(seed=1), p, even)
    site = {ID: "ab"[i % 4 // 2 != i // 4 % 2] for i, ID in enumerate(p.ids)}
    metrics = evaluate_outcomes(
        [outcome],
        {"logmel_svm": [outcome]},
        EvaluationOptions(n_draws=100, columns={"site": site}),
    )
    block = metrics["test"]["recording"]
    expected = f1_score(p.labels, p.scores.argmax(axis=1))
    assert block["f1"] == pytest.approx(expected)
    low, high = block["f1_ci95"]
    assert low < block["f1"] < high
    assert "f1_ci95" in metrics["controls"]["logmel_svm"]["patient"]
    assert "f1_ci95" in metrics["subgroups"]["site"]["groups"]["a"]

    words = f"{block['f1']:.3f} ({low:.3f} to {high:.3f})"
    metrics.update(label_column="neuro", finetune_mode="linear", corpus="toy")
    metrics.update(encoder_source=None, classes=p.classes)
    report = page({**metrics, "patient_score": "mean_log_odds"})
    assert f"| F1 score | {words} |" in report  # as in the model card
    assert " | accuracy | F1 score | " in report  # the table of controls
    card = figures_of_test(metrics)["recording"]
    assert card["f1"] == block["f1"] and card["f1_ci95"] == [low, high]

    p.write(tmp_path / "a.csv")
    compare_runs([str(tmp_path / "a.csv"), "--metric=f1", "--n_draws=100"])
    printed = capsys.readouterr().out
    assert "F1 score by recording: 60 recordings" in printed
    assert f"| {block['f1']:.3f} |" in printed


def test_an_objective_is_a_class_and_a_yaml_file(corpus, clinic, tmp_path):
    loss = "\nloss: !new:tests.toys.objective.Agreement\n"
    yaml = copy_of("small_simclr.yaml", tmp_path, lambda text: text + loss)
    pretrained, run = tmp_path / "pretrained", tmp_path / "run"
    tiny = {"warmup_epochs": 0, "data_folder": corpus / "vggsound"}
    train_simclr.main([yaml, *options(**tiny, output_folder=pretrained)])
    for row in json.loads((pretrained / "history.json").read_text()):
        assert row["valid_cosine"] == pytest.approx(1 - row["valid_loss"])
        assert "train_cosine" in row and "valid_accuracy" not in row
    classify = {**EVALUATION, "data_folder": clinic, "output_folder": run}
    classify["encoder_source"] = pretrained
    train_cls.main(["hparams/neuro_linear.yaml", *options(**classify)])
    assert metrics_of(run)["encoder_source"] == pretrained.name
    check_use(run, tmp_path / "model", clinic)


def test_a_fine_tuning_mode_is_a_line_and_a_yaml_file(
    clinic, tmp_path, monkeypatch
):
    # Only the running statistics of BatchNorm move.
    monkeypatch.setitem(FINETUNE_MODES, "statistics", ("none", True))
    mode = ("finetune_mode: linear", "finetune_mode: statistics")
    yaml = copy_of("neuro_linear.yaml", tmp_path, lambda t: t.replace(*mode))
    run = tmp_path / "run"
    classify = {**EVALUATION, "data_folder": clinic, "output_folder": run}
    train_cls.main([yaml, *options(**classify)])
    metrics = metrics_of(run)
    assert metrics["finetune_mode"] == "statistics"
    # The head alone: BatchNorm and Linear.
    assert metrics["n_trainable"] == 2 * 64 + 64 * 2 + 2
    check_use(run, tmp_path / "model", clinic)


def test_a_front_end_is_a_class_and_a_yaml_file(clinic, tmp_path, monkeypatch):
    monkeypatch.setitem(FRONT_ENDS, CubeRootMel.name, CubeRootMel)
    name = ("front_end: fbank", "front_end: cube_root")
    yaml = copy_of("neuro_linear_bn.yaml", tmp_path, lambda t: t.replace(*name))
    run = tmp_path / "run"
    classify = {**EVALUATION, "data_folder": clinic, "output_folder": run}
    train_cls.main([yaml, *options(**classify)])
    check_use(run, tmp_path / "model", clinic)
    model = json.loads((tmp_path / "model/model.json").read_text())["model"]
    assert model["front_end"] == "cube_root"


def test_a_corpus_is_one_preparation(clinic, tmp_path):
    tones, prepared, run = (tmp_path / n for n in ("tones", "prepared", "run"))
    tones.mkdir()
    for path in clinic.glob("*.wav"):
        _, patient, take = path.stem.split("_")
        pitch = "low" if int(patient[1:]) % 3 else "high"
        (tones / f"{patient}_{pitch}_{take}.wav").symlink_to(path)
    prepare_tones(str(tones), str(prepared))
    splits = {s: read(prepared / f"{s}.csv") for s in SPLITS}
    patients = [{rec.patient_id for rec in splits[s]} for s in SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 18
    assert {rec.label for rec in splits["test"]} == {"low", "high"}

    classify = {**EVALUATION, "data_folder": tones, "output_folder": run}
    classify["recordings_csv"] = prepared / "recordings.csv"
    classify.update(label_column="pitch", classes="[low, high]")
    train_cls.main(["hparams/neuro_linear.yaml", *options(**classify)])
    metrics = metrics_of(run)
    assert metrics["classes"] == ["low", "high"]
    assert metrics["test"]["patient"]["n"] == len(patients[2])
    check_use(run, tmp_path / "model", tones)


def test_an_encoder_of_the_study_is_one_row(monkeypatch, tmp_path):
    """Plan, commands, workflow, tables and page follow the row."""
    name, row = study_row.NAME, study_row.ROW
    monkeypatch.setitem(ENCODERS, name, row)
    settings = studies.whole(tmp_path, encoders=["simclr", name])
    plan = studies.plan_of(settings)
    trained = plan.encoder(name, 1)
    assert trained.command[0] == "train_adapt.py"
    assert "--replay_ratio=0.25" in trained.command
    assert "hparams/small_adapt_replay.yaml" in trained.command
    for mode, fraction in (("linear", 1.0), ("linear_bn", 0.1)):
        run = plan.classifier("neuro", name, mode, fraction, 1)
        assert f"--encoder_source={trained.folder}" in run.command
        assert trained.name in run.parents
    assert Estimate(plan).seconds[trained.name] > 0

    studies.pretend(plan)
    (tmp_path / "study.yaml").write_text(pyyaml.safe_dump(settings))
    with studies.fewer_draws():
        text = make_report(tmp_path).read_text("utf-8")
    assert row.label in text
    tables = json.loads((tmp_path / "results.json").read_text())["tables"]
    for table in ("table_2", "table_3", "few_labels"):
        labels = [cells["label"] for cells in tables[table]]
        assert any(label.startswith(row.label) for label in labels)

    pytest.importorskip("snakemake")
    done = subprocess.run(
        [sys.executable, "-m", "tests.toys.study_row", "--dry-run", "--nolock"]
        + ["--snakefile", "recipes/study/Snakefile"]
        + ["--configfile", str(tmp_path / "study.yaml"), "--cores", "1"]
        + [str(trained.result)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^train_adapt +1$", done.stdout + done.stderr, re.M)
