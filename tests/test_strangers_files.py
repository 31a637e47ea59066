"""A folder that a stranger sent: no file in it can run code, whatever command
reads it, and what is refused is refused in one line."""

import json
import os
import pickle
import shutil

import huggingface_hub
import pytest
import torch
import yaml

from cry_modules.checkpoints.checkpointer import (
    CompleteCheckpointer,
    crc_and_size,
)
from cry_modules.checkpoints.saved_model import load_model
from tests.classifiers import random_model, write_model
from tests.encoder_files import Evil
from tests.planted import code_of, one_line, plant


@pytest.fixture
def theirs(trained, tmp_path, marker):
    """A run of a classifier with code in its checkpoints and settings; with
    ``keep``, those files are as they were."""

    def theirs(*keep):
        folder = tmp_path / f"theirs{len(keep)}"
        shutil.copytree(trained(), folder)
        kept = {
            path: path.read_bytes()
            for pattern in keep
            for path in folder.rglob(pattern)
        }
        plant(folder, marker)
        path = folder / "hyperparams.yaml"
        path.write_text(path.read_text() + code_of("apply", marker))
        for path, content in kept.items():
            path.write_bytes(content)
        return folder

    return theirs


def commands_on(folder, clinic, out):
    """Every command that reads a run's folder, with its arguments."""
    wav = next(clinic.glob("*.wav"))
    cls = ["hparams/neuro_linear.yaml", f"--data_folder={clinic}"]
    tiny = ["--width=1", "--batch_size=4", "--number_of_epochs=1"]
    tiny += ["--device=cpu", "--noprogressbar"]
    adapt = ["hparams/small_adapt.yaml", f"--cry_folder={clinic}", *tiny]
    again = [f"{folder}/hyperparams.yaml", "--device=cpu", "--noprogressbar"]
    return [
        ("cry_modules.inference", [folder, wav]),
        ("cry_modules.export", [folder, out / "exported"]),
        ("cry_modules.demo", [folder, "--port=70000"]),
        ("cry_modules.figures", [folder]),
        ("cry_modules.metrics", [folder]),
        ("cry_modules.views", [wav, "--hparams", again[0]]),
        ("recipes.study.embed", [folder, f"--sounds={folder}/manifest/test.csv",
                                 f"--sound_folder={clinic}",
                                 f"--out={out}/e.npz"]),
        ("train_cls.py", [*cls, *tiny, f"--encoder_source={folder}",
                          f"--output_folder={out}/cls"]),
        ("train_cls.py", [*cls, *tiny, f"--output_folder={folder}"]),
        ("train_adapt.py", [*adapt, f"--encoder_source={folder}",
                            f"--output_folder={out}/adapt"]),
        ("train_cls.py", again),
        ("train_cls.py", [*again, f"--output_folder={out}/again"]),
        ("train_simclr.py", again),
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "keep", [(), ("CKPT.yaml",), ("hyperparams.yaml",), ("*.ckpt", "CKPT.yaml")]
)
def test_no_command_runs_the_code_of_a_runs_folder(
    keep, theirs, clinic, script, command_of, tmp_path, marker
):
    folder = theirs(*keep)
    for name, arguments in commands_on(folder, clinic, tmp_path / "out"):
        if name.endswith(".py"):
            output = script(name, *arguments, status=None).output
        else:
            done = command_of(name)(*arguments)
            output = done.stdout + done.stderr
        assert "Traceback" not in output, (name, arguments, output)
        assert not marker.exists(), (name, arguments)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_resumed_run_reads_tensors_only(
    trained, clinic, script, tmp_path, marker, monkeypatch
):
    """Its checkpoints are complete, so that a resume reads them, too."""
    theirs = shutil.copytree(trained(), tmp_path / "theirs")
    for folder in theirs.glob("save/CKPT*"):
        meta = yaml.safe_load((folder / "CKPT.yaml").read_text())
        for name in meta["files"]:
            if name.endswith(".ckpt") and name != "encoder.ckpt":
                path = folder / name
                torch.save({"a": Evil(marker)}, path)
                meta["files"][name] = crc_and_size(path)
        (folder / "CKPT.yaml").write_text(yaml.safe_dump(meta))
    settings = yaml.safe_load(
        "\n".join(
            line
            for line in (theirs / "hyperparams.yaml").read_text().split("\n")
            if line[:1].isalpha() and "!" not in line and line[-1] != ":"
        )
    )
    same = {
        name: settings[name]
        for name in ("encoder_source", "width", "batch_size", "controls")
    }
    same.update(bootstrap_draws=100, nuisance="null", figures=False)
    checkpointer = CompleteCheckpointer(
        theirs / "save", {"head": torch.nn.Linear(1, 1)}
    )
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert "does not fit" in one_line(checkpointer.recover_if_possible)
    output = script(
        "train_cls.py", "hparams/neuro_linear.yaml",
        f"--data_folder={clinic}", f"--output_folder={theirs}",
        "--number_of_epochs=3", "--device=cpu", "--noprogressbar",
        *[f"--{name}={value}" for name, value in same.items()], status=2,
    ).output  # fmt: skip
    assert "error: " in output.strip().split("\n")[-1]


def test_no_command_runs_the_code_of_a_models_folder(
    tmp_path, marker, command_of, noise, monkeypatch
):
    folder = write_model(tmp_path / "model")
    plant(folder, marker)
    text = code_of("apply", marker)
    (folder / "hyperparams.yaml").write_text(text)
    wav = noise("a.wav")
    done = command_of("cry_modules.inference")(folder, wav)
    assert done.returncode == 0, done.stderr
    # From the hub, only the files of a model are loaded.
    requested = []

    def fetch(repository, name, **how):
        requested.append(name)
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    load_model("somebody/model")
    assert requested == ["model.json", "model.safetensors"]
    weights = folder / "model.safetensors"
    weights.write_bytes(pickle.dumps(Evil(marker)))
    description = json.loads((folder / "model.json").read_text())
    description["files"] = {}
    (folder / "model.json").write_text(json.dumps(description))
    one_line(load_model, str(folder))


def test_data_folders_run_no_code(noise, tmp_path, marker, command_of):
    """Tables, indexes and templates among the recordings."""
    formula = f"=cmd|' /C touch {marker}'!A0"
    template = "{{ ''.__class__.__mro__ }} ${__import__('os')}"
    names = [noise(f"src/{i}.wav", 0.5) for i in range(8)]
    plant(tmp_path / "src", marker)
    (tmp_path / "src/report.html.j2").write_text(template)
    rows = [
        f'r{i},"{formula if i == 0 else i}",{path.name},'
        f"{'a' if i % 2 else template!r}"
        for i, path in enumerate(names)
    ]
    table = tmp_path / "src/recordings.csv"
    header = "recording_id,patient_id,path,kind"
    table.write_text("\n".join([header, *rows]) + "\n")
    src, out = tmp_path / "src", tmp_path / "out"
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "pack.json").write_text('{"__class__": "os.system"}')
    for name, arguments in (
        ("data_prep.audit", [src, "--out", out / "audit"]),
        ("data_prep.split", [table, "--data_folder", src, "--out", out / "s",
                             "--label_column", "kind"]),
        ("data_prep.convert", [src, out / "converted"]),
        ("data_prep.confounds", [table, "--data_folder", src, "--out",
                                 out / "c", "--label_column", "kind"]),
        ("data_prep.pack", [table, out / "packed", "--data_folder", src]),
        ("data_prep.audit", [pack, "--out", out / "p"]),
    ):  # fmt: skip
        done = command_of(name)(*arguments)
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        assert not marker.exists(), name


def test_an_onnx_file_reads_no_other_file(tmp_path, marker):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from cry_modules.export.onnx import write_onnx
    from cry_modules.export.run_onnx import OnnxClassifier

    secret = tmp_path / "secret"
    secret.write_bytes(os.urandom(1 << 16))
    model = random_model()
    path = tmp_path / "theirs/model.onnx"
    path.parent.mkdir()
    facts = {"name": "n", "classes": ["no", "yes"], "threshold": None}
    write_onnx(model.embedder, model.posterior, facts, path)
    written = onnx.load(path)
    weight = max(written.graph.initializer, key=lambda w: len(w.raw_data))
    size = str(len(weight.raw_data))
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for place in ("../secret", str(secret), "link"):
        del weight.external_data[:]
        for key, value in {"location": place, "length": size}.items():
            entry = weight.external_data.add()
            entry.key, entry.value = key, value
        (path.parent / "link").unlink(missing_ok=True)
        (path.parent / "link").symlink_to(secret)
        path.write_bytes(written.SerializeToString())
        one_line(OnnxClassifier, str(path))
