"""An exported folder: the scores of its run, and no personal data."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from speechbrain.inference.classifiers import EncoderClassifier

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.saved_model import load_model
from cry_modules.cnn14 import Cnn14
from cry_modules.export import folder as folder_module
from cry_modules.export.__main__ import main
from cry_modules.export.card import limits
from cry_modules.export.facts import operating_point, origin, subgroup_facts
from cry_modules.export.folder import export
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.predictions import Predictions
from data_prep import manifest
from data_prep.files.errors import InputError
from data_prep.files.fingerprint import sha256


@pytest.fixture(scope="module")
def run(trained):
    return trained(controls=True, subgroups="site")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "model"
    export(str(run), str(out), licence="cc-by-4.0")
    return out


@pytest.fixture(scope="module")
def exported_onnx(run, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    out = tmp_path_factory.mktemp("exported") / "onnx"
    export(str(run), str(out), onnx=True, int8=True)
    return out


def description_of(folder):
    return json.loads((folder / "model.json").read_text())


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text())


def card_of(folder):
    return " ".join((folder / "README.md").read_text().split())


@pytest.mark.parametrize("loader", ["safe", "trust", "speechbrain"])
def test_every_loader_gives_the_scores_of_the_run(
    loader, run, exported, clinic, tmp_path
):
    expected = Predictions.read(run / "predictions_test.csv")
    if loader == "speechbrain":
        model = EncoderClassifier.from_hparams(
            source=str(exported), savedir=str(tmp_path / "cache")
        )
    else:
        model = CryClassifier.from_hparams(
            source=str(exported), trust=loader == "trust"
        )
    for name, scores in zip(expected.ids, expected.scores):
        log_posteriors, _, index, labels = model.classify_file(
            str(clinic / f"{name}.wav")
        )
        posteriors = log_posteriors.exp().numpy()[0]
        np.testing.assert_allclose(posteriors, scores, atol=1e-5)
        assert labels == [expected.classes[int(index)]]
    point = description_of(exported)["operating_point"]
    assert model.hparams.threshold == point["threshold"]


def test_the_encoder_is_an_encoder_source(run, exported):
    encoder, other = Cnn14(80, width=1), Cnn14(80, width=1)
    EncoderSource(exported).load(encoder, "fbank")
    EncoderSource(run).load(other, "fbank")
    for a, b in zip(encoder.parameters(), other.parameters()):
        assert torch.equal(a, b)


def test_the_onnx_files_give_the_scores_of_the_run(
    run, exported_onnx, clinic, tmp_path
):
    """Scored by the runner in the folder, without the project."""
    expected = Predictions.read(run / "predictions_test.csv")
    paths = [str(clinic / f"{name}.wav") for name in expected.ids]
    for model, within in (("model.onnx", 1e-4), ("model_int8.onnx", 0.05)):
        out = tmp_path / f"{model}.csv"
        subprocess.run(
            [sys.executable, "run_onnx.py", model, *paths, "--csv", out],
            cwd=exported_onnx,
            check=True,
            capture_output=True,
            env={"OMP_NUM_THREADS": "1"},
        )
        with open(out, newline="") as file:
            rows = list(csv.DictReader(file))
        scores = [[float(row[c]) for c in expected.classes] for row in rows]
        np.testing.assert_allclose(scores, expected.scores, atol=within)
    names = set(description_of(exported_onnx)["files"])
    assert {"model.onnx", "model_int8.onnx", "run_onnx.py"} <= names


def contents(folder):
    """Bytes of all files, and of the members of those that are archives."""
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        yield path.name, data
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    assert info.date_time[0] <= 1980, info.filename
                    yield f"{path.name}/{info.filename}", archive.read(info)


def test_no_patient_path_date_or_optimizer_is_inside(
    run, exported_onnx, clinic
):
    with open(clinic / "recordings.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ("patient_id", "recording_id", "path")
    personal = {row[column] for row in rows for column in columns}
    assert len(personal) == 18 + 36 + 36
    words = rb"|".join(re.escape(name.encode()) for name in personal)
    forbidden = {
        "name": re.compile(rb"(?<![\w.])(" + words + rb")(?![\w])"),
        "path": re.compile(rb"/(tmp|home|root|work|var|usr)/|[A-Z]:\\\\"),
        "run": re.compile(re.escape(str(run).encode())),
        "date": re.compile(rb"20\d\d-\d\d-\d\d|20\d\d/\d\d/\d\d"),
        "optimizer": re.compile(rb"exp_avg|param_groups|momentum_buffer"),
    }
    for name, data in contents(exported_onnx):
        for kind, pattern in forbidden.items():
            match = pattern.search(data)
            assert not match, f"{name} holds a {kind}: {match}"
    # The patterns match where there is something to find.
    assert forbidden["date"].search(str(next(run.glob("save/CKPT*"))).encode())
    assert forbidden["name"].search((run / "predictions_test.csv").read_bytes())


def test_only_the_model_is_inside(exported):
    assert {path.name for path in exported.iterdir()} == {
        *("model.json", "model.safetensors", "hyperparams.yaml", "README.md"),
        *("encoder.ckpt", "head.ckpt", ".gitattributes"),
    }
    with safe_open(exported / "model.safetensors", "pt") as weights:
        assert weights.metadata() == {"format": "pt"}
        names = set(weights.keys())
    assert names == set(load_model(str(exported)).state())


def test_the_description_is_that_of_the_run(run, exported):
    description, metrics = description_of(exported), metrics_of(run)
    assert description["model"]["classes"] == ["healthy", "injury"]
    assert description["model"]["architecture"] == "cnn14"
    point, block = description["operating_point"], metrics["valid"]["recording"]
    # Half-way to the next lower score; above all scores, as it is.
    scores = Predictions.read(run / "predictions_valid.csv").scores[:, 1]
    expected = chosen = block["threshold"]
    if chosen <= scores.max():
        lower = max(scores[scores < chosen], default=0)
        expected = (chosen + lower) / 2
    assert point["threshold"] == pytest.approx(expected)
    name = "specificity_at_threshold"
    assert point["valid"][name] == block[name]
    figures = description["figures"]["patient"]
    assert figures["auc"] == metrics["test"]["patient"]["auc"]
    for name, checksum in description["files"].items():
        assert checksum == sha256(exported / name)
    assert "encoder_source" not in json.dumps(description)


def test_small_numbers_of_patients_are_withheld(run, exported):
    """Neither the number nor another that it follows from: of 18 patients, 6
    are injured, most of them in training."""
    description = description_of(exported)
    for split, facts in description["corpus"]["splits"].items():
        recordings = manifest.read(run / f"manifest/{split}.csv")
        for label, n in facts["classes"].items():
            patients = {r.patient_id for r in recordings if r.label == label}
            few = len(patients) < 5
            assert n["patients"] == ("fewer than 5" if few else len(patients))
    test = description["corpus"]["splits"]["test"]["classes"]
    assert test["injury"]["patients"] == "fewer than 5"
    # All patients less those of the other class would be that number.
    for figures in description["figures"].values():
        assert "n_patients" not in figures
    assert "n" not in description["figures"]["patient"]
    assert "n_patients" not in description["operating_point"]["valid"]
    assert "of 4 patients" not in card_of(exported)


def test_the_card_holds_what_a_clinician_must_know(run, exported):
    card, metrics = card_of(exported), metrics_of(run)
    assert card.startswith("--- license: cc-by-4.0 library_name: speechbrain")
    for words in (
        "Not a medical device",
        "must not be used to diagnose",
        "Out of scope",
        "Operating point",
        "Calibration",
        "Subgroups of the test split",
        "log-mel statistics",
        f"{metrics['test']['recording']['auc']:.3f}",
        "Please cite",
        "98 % of its training recordings have length 0.6 to",
        # The interval of few patients includes chance.
        "We found no evidence that it predicts `neuro` better",
    ):
        assert words in card, words
    assert "{{" not in card and "{%" not in card


def test_limits_follow_the_results(run, exported):
    description, metrics = description_of(exported), metrics_of(run)
    metrics["controls"] = {}
    test = metrics["test"]["recording"]
    test.update(calibration_slope=0.8, calibration_slope_ci95=[0.5, 1.2])
    for entry in test["per_class"].values():
        entry["n_patients"] = 100
    few = limits(description, metrics)
    test.update(calibration_slope_ci95=[0.5, 0.9])
    test["per_class"]["injury"]["n_patients"] = 10
    many = limits(description, metrics)
    assert len(many) == len(few) + 2
    assert any("overconfident" in limit for limit in many)
    assert any("`injury` 10)" in limit for limit in many)
    few_patients = [limit for limit in many if "fewer than 40" in limit]
    assert len(few_patients) == 1 and "`healthy`" not in few_patients[0]
    for entry in test["per_class"].values():
        entry["n_patients"] = 22
    metrics["final"] = {"c": 0.01, "n_folds": 5}
    (both,) = [x for x in limits(description, metrics) if "fewer than 40" in x]
    assert both.startswith("All folds together have")
    assert "(`healthy` 22, `injury` 22)" in both


def test_facts_of_subgroups_and_points():
    block = {"n": 8, "n_patients": 3, "auc": 0.5, "auc_ci95": None}
    metrics = {"subgroups": {"site": {"groups": {"a": block}}}}
    facts = subgroup_facts(metrics)["site"]["a"]
    assert facts["patients"] == "fewer than 5" and facts["recordings"] == 8
    assert operating_point({}, None) is None


def test_the_origin_of_an_encoder(tmp_path, run, exported, monkeypatch):
    clinic_manifest = run / "manifest"

    def write(name, text, corpus, **more):
        folder = tmp_path / name
        for place, content in {"manifest": corpus, **more}.items():
            (folder / place).mkdir(parents=True)
            (folder / place / "corpus.json").write_text(json.dumps(content))
        text = f"width: 8\nchunk_s: 1.0\n{text}"
        (folder / "hyperparams.yaml").write_text(text)
        return str(folder)

    generic = write("ssl", "", {"name": "Sounds"})
    cries = write(
        "adapted",
        f"cry_folder: x\nencoder_source: {generic}",
        {"name": "Cries", "synthetic": True},
        **{"manifest/replay": {"name": "Sounds"}},
    )
    steps = [
        "SimCLR pre-training on Sounds",
        "SimCLR adaptation on Cries (synthetic), with replay of Sounds",
    ]
    # With manifests, how many recordings.
    counted = shutil.copytree(clinic_manifest, tmp_path / "counted/manifest")
    n = len(manifest.read(counted / "train.csv"))
    settings = "width: 8\nchunk_s: 1.0\n"
    (tmp_path / "counted/hyperparams.yaml").write_text(settings)
    (step,) = origin(str(tmp_path / "counted"))
    assert step.endswith(f", {n} recordings")
    # The run, and paths in it.
    (tmp_path / "adapted/save/CKPT+1").mkdir(parents=True)
    for inside in ("", "/save", "/save/CKPT+1", "/save/CKPT+1/encoder.ckpt"):
        assert origin(f"{cries}{inside}") == steps
    labelled = write("sup", "finetune_mode: end_to_end", {"name": "Sounds"})
    assert origin(labelled) == ["supervised training on Sounds (end_to_end)"]
    assert origin(str(exported)) == [
        "random weights with BatchNorm statistics of the corpus",
        "linear training on " + description_of(exported)["corpus"]["name"],
    ]
    # A run that names itself has an end.
    loop = write("loop", f"encoder_source: {tmp_path}/loop", {"name": "L"})
    assert len(origin(loop)) < 30
    for public in ("speechbrain/cnn14-esc50", "Cnn14_16k_mAP=0.438.pth"):
        assert origin(public) == [public]
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/hyperparams.yaml").write_text("n_mels: 80\n")
    monkeypatch.chdir(tmp_path)
    for private in (
        str(tmp_path / "foreign"),
        "clinic_smith/run_anna",
        "data/StMary_2019-03-14",
        str(tmp_path / "gone/run"),
    ):
        assert origin(private) == ["another encoder"]


def refusal(*arguments):
    with pytest.raises(InputError) as error:
        export(*map(str, arguments))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_incomplete_runs_and_folders_in_use_are_refused(
    run, tmp_path, monkeypatch
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a").write_text("")
    assert "is not empty" in refusal(run, tmp_path / "full")
    assert "is a file" in refusal(run, tmp_path / "full/a")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert "is the current folder" in refusal(run, ".")
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(copy / "manifest")
    assert "corpus.json" in refusal(copy, tmp_path / "out")
    shutil.rmtree(copy / "save")
    assert "save does not exist" in refusal(copy, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("copy", "empty", "full"),
    ]


def test_the_command(run, tmp_path, capsys):
    out = tmp_path / "out"
    main([str(run), str(out), "--name", "My  model"])
    captured = capsys.readouterr()
    assert "done: My model" in captured.out
    assert "nobody may use the weights without asking" in captured.err
    assert load_model(str(out)).facts["name"] == "My model"
    for arguments in ([str(out)], [f"{out}2", "--licence", "my own"]):
        with pytest.raises(SystemExit) as stop:
            main([str(run), *arguments])
        assert stop.value.code == 2


def test_a_folder_may_be_typed_in_any_way(run, tmp_path, monkeypatch):
    (tmp_path / "mine.partial").mkdir()
    (tmp_path / "mine.partial/notes.txt").write_text("keep")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    for out in ("mine/", "empty", "a/b/c/"):
        export(str(run), out)
        assert load_model(out.rstrip("/")).blueprint.width == 1
    assert (tmp_path / "mine.partial/notes.txt").read_text() == "keep"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a", "empty", "mine", "mine.partial"),
    ]


def test_a_full_disk_is_one_line(run, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_module, "write_text", full)
    assert "free some space" in refusal(run, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_may_have_any_name(run, tmp_path):
    name = "St|Mary <img src=x onerror=alert(1)>"
    description = export(str(run), str(tmp_path / "a"), corpus_name=name)
    assert description["corpus"]["name"] == name
    card = card_of(tmp_path / "a")
    assert "<img" not in card and "St|Mary" not in card
    assert "St\\|Mary &lt;img" in card


def test_a_corpus_named_after_a_folder_is_not_named(run, tmp_path, caplog):
    """The folder may have the name of a person or a hospital."""
    copy = shutil.copytree(run, tmp_path / "run")
    file = copy / "manifest/corpus.json"
    corpus = json.loads(file.read_text())
    file.write_text(json.dumps({**corpus, "is_named": False, "name": "StMary"}))
    export(str(copy), str(tmp_path / "a"))
    for path in (tmp_path / "a").iterdir():
        assert b"StMary" not in path.read_bytes(), path
    assert "an unnamed corpus" in card_of(tmp_path / "a")
    assert "--corpus_name" in caplog.text
    assert "StMary" not in str(origin(str(copy)))


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    for folder in (copy / "save").glob("CKPT*"):
        (folder / "head.ckpt").write_bytes(b"half")
    message = refusal(copy, tmp_path / "out")
    assert "head.ckpt is not what was saved" in message
    assert "let its run finish" not in message


def test_an_operating_point_above_every_score(run, tmp_path):
    """See ``ranking.threshold_at_specificity``."""
    copy = shutil.copytree(run, tmp_path / "run")
    metrics, threshold = metrics_of(copy), float(np.nextafter(1, 2))
    for split in ("valid", "test"):
        metrics[split]["recording"]["threshold"] = threshold
    (copy / "metrics.json").write_text(json.dumps(metrics))
    export(str(copy), str(tmp_path / "out"))
    assert load_model(str(tmp_path / "out")).threshold == threshold
    assert "`injury` is never predicted" in card_of(tmp_path / "out")
