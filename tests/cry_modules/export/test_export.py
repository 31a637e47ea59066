"""An exported folder: the same scores, and nothing that it must not hold."""

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
from cry_modules.checkpoints.state_dict import sha256
from cry_modules.cnn14 import Cnn14
from cry_modules.export.__main__ import main
from cry_modules.export.card import limits
from cry_modules.export.facts import (
    corpus_facts,
    operating_point,
    origin,
    subgroup_facts,
)
from cry_modules.export.folder import export
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.predictions import Predictions
from data_prep import manifest
from data_prep.files.errors import InputError

OPTIONS = {"controls": True, "subgroups": "site"}


@pytest.fixture(scope="module")
def run(trained):
    return trained(**OPTIONS)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "model"
    export(str(run), str(out), licence="cc-by-4.0")
    return out


def about_of(folder):
    return json.loads((folder / "model.json").read_text())


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text())


@pytest.mark.parametrize("how", ["safe", "trust", "speechbrain"])
def test_every_way_to_load_it_gives_the_scores_of_the_run(
    how, run, exported, clinic, tmp_path
):
    expected = Predictions.read(run / "predictions_test.csv")
    if how == "speechbrain":
        # SpeechBrain's own class, as its users call it.
        model = EncoderClassifier.from_hparams(
            source=str(exported), savedir=str(tmp_path / "cache")
        )
    else:
        model = CryClassifier.from_hparams(
            source=str(exported), trust=how == "trust"
        )
    for name, scores in zip(expected.ids, expected.scores):
        log_posteriors, _, index, labels = model.classify_file(
            str(clinic / f"{name}.wav")
        )
        found = log_posteriors.exp().numpy()[0]
        np.testing.assert_allclose(found, scores, atol=1e-5)
        assert labels == [expected.classes[int(index)]]
    assert model.hparams.threshold == about_of(exported)["operating_point"]["threshold"]  # fmt: skip


def test_its_encoder_is_a_starting_point(run, exported):
    encoder, other = Cnn14(80, width=1), Cnn14(80, width=1)
    EncoderSource(exported).load(encoder, "fbank")
    EncoderSource(run).load(other, "fbank")
    for a, b in zip(encoder.parameters(), other.parameters()):
        assert torch.equal(a, b)


@pytest.fixture(scope="module")
def exported_onnx(run, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    out = tmp_path_factory.mktemp("exported") / "onnx"
    export(str(run), str(out), onnx=True, int8=True)
    return out


def test_its_onnx_file_gives_the_scores_of_the_run(
    run, exported_onnx, clinic, tmp_path
):
    """By the runner that lies beside it, with nothing of the project."""
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
        found = [[float(row[c]) for c in expected.classes] for row in rows]
        np.testing.assert_allclose(found, expected.scores, atol=within)
    names = set(about_of(exported_onnx)["files"])
    assert {"model.onnx", "model_int8.onnx", "run_onnx.py"} <= names


def contents(folder):
    """Text of all files, and of what lies in those that are archives."""
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
    personal = {row["patient_id"] for row in rows}
    personal |= {row["recording_id"] for row in rows}
    personal |= {row["path"] for row in rows}
    assert len(personal) == 18 + 36 + 36
    words = rb"|".join(re.escape(name.encode()) for name in personal)
    forbidden = {
        "personal": re.compile(rb"(?<![\w.])(" + words + rb")(?![\w])"),
        "path": re.compile(rb"/(tmp|home|root|work|var|usr)/|[A-Z]:\\\\"),
        "run": re.compile(re.escape(str(run).encode())),
        "date": re.compile(rb"20\d\d-\d\d-\d\d|20\d\d/\d\d/\d\d"),
        "optimizer": re.compile(rb"exp_avg|param_groups|momentum_buffer"),
    }
    for name, data in contents(exported_onnx):
        for what, pattern in forbidden.items():
            found = pattern.search(data)
            assert not found, f"{name} holds a {what}: {found}"
    # The search does find them where they are.
    checkpoint = next(run.glob("save/CKPT*"))
    assert forbidden["date"].search(str(checkpoint).encode())
    assert forbidden["personal"].search(
        (run / "predictions_test.csv").read_bytes()
    )


def test_only_the_model_is_inside(exported):
    names = {path.name for path in exported.iterdir()}
    assert names == {
        *("model.json", "model.safetensors", "hyperparams.yaml", "README.md"),
        *("encoder.ckpt", "head.ckpt", ".gitattributes"),
    }
    with safe_open(exported / "model.safetensors", "pt") as weights:
        assert weights.metadata() == {"format": "pt"}
        names = set(weights.keys())
    own = {f"encoder.{name}" for name in Cnn14(80, width=1).state_dict()}
    head = {"norm.weight", "norm.bias", "norm.running_mean"}
    head |= {"norm.running_var", "norm.num_batches_tracked"}
    head |= {"linear.weight", "linear.bias"}
    assert names == own | {f"head.{name}" for name in head}


def test_the_description_is_that_of_the_run(run, exported):
    about, metrics = about_of(exported), metrics_of(run)
    assert about["model"]["classes"] == ["healthy", "injury"]
    assert about["model"]["readout"] == "encoder"
    point = about["operating_point"]
    # Half-way to the next lower score.
    said = Predictions.read(run / "predictions_valid.csv").scores[:, 1]
    chosen = metrics["valid"]["recording"]["threshold"]
    expected = chosen  # above all: nobody is called
    if chosen <= said.max():
        expected = (chosen + max(said[said < chosen], default=0)) / 2
    assert point["threshold"] == pytest.approx(expected)
    block = metrics["valid"]["recording"]
    assert point["valid"]["specificity_at_threshold"] == block["specificity_at_threshold"]  # fmt: skip
    test = about["figures"]["patient"]
    assert test["auc"] == metrics["test"]["patient"]["auc"]
    for name, checksum in about["files"].items():
        assert checksum == sha256(exported / name)
    assert "encoder_source" not in json.dumps(about)


def test_numbers_of_few_patients_cannot_be_told(run, exported):
    """Of the 18 patients 6 are injured, most of them in training: neither
    their number nor one that it follows from."""
    about = about_of(exported)
    for split, found in about["corpus"]["splits"].items():
        recordings = manifest.read(run / f"manifest/{split}.csv")
        for label, n in found["classes"].items():
            patients = {r.patient_id for r in recordings if r.label == label}
            told = "fewer than 5" if len(patients) < 5 else len(patients)
            assert n["patients"] == told
    assert about["corpus"]["splits"]["test"]["classes"]["injury"]["patients"] == "fewer than 5"  # fmt: skip
    # All patients less those of the other class would be that number.
    for figures in about["figures"].values():
        assert "n_patients" not in figures
    assert "n" not in about["figures"]["patient"]
    assert "n_patients" not in about["operating_point"]["valid"]
    assert "of 4 patients" not in (exported / "README.md").read_text()


def test_the_card_says_what_a_clinician_must_know(run, exported):
    card, metrics = (exported / "README.md").read_text(), metrics_of(run)
    text = " ".join(card.split())
    assert text.startswith("--- license: cc-by-4.0 library_name: speechbrain")
    for said in (
        "Not a medical device",
        "must not be used to diagnose",
        "Out of scope",
        "Operating point",
        "Calibration",
        "Subgroups of the test split",
        "log-mel statistics",
        f"{metrics['test']['recording']['auc']:.3f}",
        "Please cite",
    ):
        assert said in text, said
    assert "{{" not in card and "{%" not in card
    # Few patients: an interval is not shown to be above chance.
    assert "We found no evidence that it predicts `neuro` better" in text


def test_limits_follow_the_figures(run, exported):
    about, metrics = about_of(exported), metrics_of(run)
    metrics["controls"] = {}
    test = metrics["test"]["recording"]
    test.update(auc_ci95=[0.6, 0.9], calibration_slope=0.8)
    test.update(calibration_slope_ci95=[0.5, 1.2])
    for found in test["per_class"].values():
        found["n_patients"] = 100
    few = limits(about, metrics)
    test.update(auc_ci95=[0.4, 0.9], calibration_slope_ci95=[0.5, 0.9])
    test["per_class"]["injury"]["n_patients"] = 10
    many = limits(about, metrics)
    assert len(many) == len(few) + 2
    assert any("overconfident" in limit for limit in many)
    assert any("`injury`" in limit for limit in many)


def test_facts_of_subgroups_and_points():
    block = {"n": 8, "n_patients": 3, "auc": 0.5, "auc_ci95": None}
    metrics = {"subgroups": {"site": {"groups": {"a": block}}}}
    found = subgroup_facts(metrics)["site"]["a"]
    assert found["patients"] == "fewer than 5" and found["recordings"] == 8
    assert operating_point({}, None) is None


def test_where_an_encoder_comes_from(tmp_path, exported, monkeypatch):
    def write(name, text, corpus, **more):
        folder = tmp_path / name
        for where, said in {"manifest": corpus, **more}.items():
            (folder / where).mkdir(parents=True)
            (folder / where / "corpus.json").write_text(json.dumps(said))
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
    assert origin(cries) == steps
    # The same of what lies in the run.
    (tmp_path / "adapted/save/CKPT+1").mkdir(parents=True)
    for inside in ("save", "save/CKPT+1", "save/CKPT+1/encoder.ckpt"):
        assert origin(f"{cries}/{inside}") == steps
    labelled = write("sup", "finetune_mode: end_to_end", {"name": "Sounds"})
    assert origin(labelled) == ["supervised training on Sounds (end_to_end)"]
    found = origin(str(exported))
    assert found == [
        "random weights with BatchNorm statistics of the corpus",
        f"linear training on {about_of(exported)['corpus']['name']}",
    ]
    # Itself, round and round: ends.
    loop = write("loop", f"encoder_source: {tmp_path}/loop", {"name": "L"})
    assert len(origin(loop)) < 30
    for public in ("speechbrain/cnn14-esc50", "Cnn14_16k_mAP=0.438.pth"):
        assert origin(public) == [public]
    # A yaml of SpeechBrain's is not of ours.
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "hyperparams.yaml").write_text("n_mels: 80\n")
    monkeypatch.chdir(tmp_path)
    for private in (
        str(foreign),
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


def test_what_cannot_be_exported(run, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a").write_text("")
    assert "is not empty" in refusal(run, tmp_path / "full")
    assert "is a file" in refusal(run, tmp_path / "full/a")
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "manifest")
    assert "corpus.json" in refusal(copy, tmp_path / "out")
    shutil.rmtree(copy / "save")
    assert "save does not exist" in refusal(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_the_command(run, tmp_path, capsys):
    out = tmp_path / "out"
    main([str(run), str(out), "--name", "My  model"])
    captured = capsys.readouterr()
    assert "done: My model" in captured.out
    assert "nobody may use the weights without asking" in captured.err
    assert load_model(str(out)).facts["name"] == "My model"
    with pytest.raises(SystemExit) as stop:
        main([str(run), str(out)])
    assert stop.value.code == 2
    with pytest.raises(SystemExit) as stop:
        main([str(run), str(tmp_path / "b"), "--licence", "my own"])
    assert stop.value.code == 2


def test_a_folder_to_write_to_may_be_typed_in_any_way(
    run, tmp_path, monkeypatch, capsys
):
    (tmp_path / "mine.partial").mkdir()
    (tmp_path / "mine.partial/notes.txt").write_text("keep")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert "is the current folder" in refusal(run, ".")
    monkeypatch.chdir(tmp_path)
    for out in ("mine/", "empty", "a/b/c/"):
        export(str(run), out)
        assert load_model(out.rstrip("/")).blueprint.width == 1
    assert (tmp_path / "mine.partial/notes.txt").read_text() == "keep"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a", "empty", "mine", "mine.partial"),
    ]


def test_a_full_disk_is_one_line(run, tmp_path, monkeypatch):
    from cry_modules.export import folder as module

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_text", full)
    assert "free some space" in refusal(run, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_may_be_called_anything(run, tmp_path):
    name = "St|Mary <img src=x onerror=alert(1)>"
    about = export(str(run), str(tmp_path / "a"), corpus_name=name)
    assert about["corpus"]["name"] == name
    card = (tmp_path / "a/README.md").read_text()
    assert "<img" not in card and "St|Mary" not in card
    assert "St\\|Mary &lt;img" in card


def test_an_operating_point_that_calls_nobody(run, tmp_path):
    """Above every score, as ``ranking.threshold_at_specificity`` may say."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    metrics = metrics_of(copy)
    nobody = float(np.nextafter(1, 2))
    for split in ("valid", "test"):
        metrics[split]["recording"]["threshold"] = nobody
    (copy / "metrics.json").write_text(json.dumps(metrics))
    export(str(copy), str(tmp_path / "out"))
    assert load_model(str(tmp_path / "out")).threshold == nobody
    card = " ".join((tmp_path / "out/README.md").read_text().split())
    assert "No score is called `injury`" in card


def test_corpus_facts_need_the_manifests(tmp_path):
    with pytest.raises(InputError, match="corpus.json"):
        corpus_facts(tmp_path)
