"""A folder that a stranger sent: no file in it can run code, whatever command
reads it, and what is refused is refused in one line."""

import json
import os
import pickle
import shutil
from contextlib import suppress

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml

from cry_modules.checkpoints.allow_list import check_objects
from cry_modules.checkpoints.saved_model import load_model
from cry_modules.training import experiment, options
from data_prep.files.errors import InputError
from recipes.study import run
from recipes.study.report.page import make_report
from tests.classifiers import write_model
from tests.encoder_files import Evil
from tests.recipes_study import studies

CALL = "builtins.open ['{}', w]"
#: Yaml that runs code in one of its loaders; ``{}`` is the file it would write.
CODE = {
    "new": f"x: !new:{CALL}",
    "new_class": "x: !new:io.FileIO ['{}', w]",
    "apply": f"x: !apply:{CALL}",
    "applyref": f"x: !applyref:{CALL}",
    "verbatim": f"x: !<!apply:builtins.open> {CALL[14:]}",
    "directive": f"%TAG !e! !apply:builtins.\n---\nx: !e!open {CALL[14:]}",
    "name": "x: !name:builtins.open",
    "module": "x: !module:antigravity",
    "python": f"x: !!python/object/apply:{CALL}",
    "tuple": f'x: (!!python/object/apply:{CALL})',
    "in_a_list": f"x: [1, [2, a: !apply:{CALL}]]",
    "as_a_key": f"? !apply:{CALL}\n: 1",
    "known_object": "x: !new:cry_modules.views.SpecAugment\n"
    f"    time_warp: !apply:{CALL}",
    "attribute": "x: !apply:getattr [!new:cry_modules.cnn14.Cnn14 {mel_bins: 80"
    "}, forward]",
    "reference": "y: 1\nx: !ref <y.real>",
    "module_of_ours": "x: !apply:cry_modules.architectures.importlib."
    "import_module [antigravity]",
    "function_of_ours": "x: !apply:data_prep.files.tables.write_text ['{}', '']",
}  # fmt: skip
#: Of these, a recipe that the user starts may have any but the first two.
ALWAYS_REFUSED = ("python", "tuple")
PIECES = "output_folder: out\nnumber_of_epochs: 1\n"


def code_of(name, marker):
    """Yaml that would write the marker."""
    return CODE[name].replace("{}", str(marker))


@pytest.fixture
def marker(tmp_path):
    """The file that planted code writes; none may."""
    path = tmp_path / "it_ran"
    yield path
    assert not path.exists()


def one_line(function, *arguments):
    """The message of a refusal."""
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", CODE)
def test_the_settings_of_a_run_build_known_objects_only(
    name, tmp_path, marker, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code = code_of(name, marker)
    path = tmp_path / "theirs/hyperparams.yaml"
    path.parent.mkdir()
    path.write_text(f"{code}\n{PIECES}")
    arguments = [str(path), "--output_folder=mine", "--device=cpu"]
    if name == "tuple":  # a text, which stays one
        assert experiment.load(str(path), {})["x"] == code[3:]
        return
    assert str(path) in one_line(experiment.load, str(path), {})
    assert str(path) in one_line(options.parse_arguments, arguments)
    # Under another name, the first line tells.
    copy = tmp_path / "copy.yaml"
    if name != "directive":
        copy.write_text(f"# Generated 2026\n{code}\n{PIECES}")
        assert str(copy) in one_line(experiment.load, str(copy), {})
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    assert str(link) in one_line(experiment.load, str(link), {})


def test_the_settings_of_our_runs_are_known(trained, pretrained):
    for folder in (trained(), pretrained):
        path = folder / "hyperparams.yaml"
        check_objects(path, path.read_text())


@pytest.mark.parametrize(
    "text", ["{", "[" * 5000, "a: &x [*x]", "a: b: c", "", "- a", "a\n---\nb"]
)
def test_settings_that_are_none_are_one_line(text, tmp_path):
    path = tmp_path / "hyperparams.yaml"
    path.write_text(text)
    one_line(experiment.load, str(path), {})
    with suppress(InputError):
        options.parse_arguments([str(path), "--device=cpu"])


def test_a_value_from_a_table_is_a_text(tmp_path, marker):
    """A fold's name is written into the yaml file of its run."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"fold: null\n{PIECES}")
    for value in (
        code_of("tuple", marker)[3:],
        code_of("apply", marker)[3:],
        "(3, 4)",
        "!!python/name:os.system",
    ):
        experiment.write_variant(
            str(recipe), {}, tmp_path / "fold", {"fold": value}
        )
        variant = str(tmp_path / "fold/hyperparams.yaml")
        assert experiment.load(variant, {})["fold"] == value


def test_variants_build_what_their_recipe_does(tmp_path):
    """A recipe of the user's, with a class of the user's, has folds too."""
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"x: !new:decimal.Context\n{PIECES}")
    experiment.load(str(recipe), {})
    experiment.write_variant(str(recipe), {}, tmp_path / "fold", {})
    experiment.load(str(tmp_path / "fold/hyperparams.yaml"), {})


def plant(folder, marker):
    """Replace the checkpoints of a run, and add what runs code elsewhere."""
    bomb = pickle.dumps(Evil(marker), protocol=2)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("encoder.ckpt", "custom.py", "Snakefile", "conftest.py"):
        (folder / name).write_text(f"open({str(marker)!r}, 'w')\n")
    (folder / "encoder.ckpt").unlink()
    for path in folder.rglob("*.ckpt"):
        path.write_bytes(bomb)
    for path in folder.rglob("CKPT.yaml"):
        meta = "unixtime: 0\nscore: 1.0\n"
        path.write_text(meta + code_of("python", marker))
    (folder / "label_encoder.txt").write_text(
        f"__import__('builtins').open({str(marker)!r}, 'w') => 0\n"
    )
    return bomb


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
    from cry_modules.checkpoints.checkpointer import _checksum

    theirs = shutil.copytree(trained(), tmp_path / "theirs")
    for folder in theirs.glob("save/CKPT*"):
        meta = yaml.safe_load((folder / "CKPT.yaml").read_text())
        for name in meta["files"]:
            if name.endswith(".ckpt") and name != "encoder.ckpt":
                path = folder / name
                torch.save({"a": Evil(marker)}, path)
                meta["files"][name] = _checksum(path)
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
    from cry_modules.checkpoints.checkpointer import CompleteCheckpointer

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
    asked = []

    def fetch(repository, name, **how):
        asked.append(name)
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    load_model("somebody/model")
    assert asked == ["model.json", "model.safetensors"]
    weights = folder / "model.safetensors"
    weights.write_bytes(pickle.dumps(Evil(marker)))
    description = json.loads((folder / "model.json").read_text())
    description["files"] = {}
    (folder / "model.json").write_text(json.dumps(description))
    one_line(load_model, str(folder))


@pytest.fixture
def study(tmp_path, corpus, pretrained):
    """A study whose report shows views of its generic sounds."""
    out = tmp_path / "study"
    settings = studies.settings(out)
    plan = studies.plan_of(settings)
    studies.pretend(plan)
    (out / "study.yaml").write_text(yaml.safe_dump(settings))
    encoder = plan.encoder("simclr", 1).folder
    encoder.parent.mkdir(parents=True)
    shutil.copytree(pretrained, encoder, ignore=shutil.ignore_patterns("save"))
    plan.settings.generic.parent.mkdir(parents=True)
    plan.settings.generic.symlink_to(corpus / "vggsound")
    return out, plan


def test_a_studys_report_runs_no_code(study, marker):
    out, plan = study
    with studies.fewer_draws():
        page = make_report(out).read_text()
        assert "two views of it" in page
    path = plan.encoder("simclr", 1).folder / "hyperparams.yaml"
    text = path.read_text()
    for code in CODE.values():
        path.write_text(
            f"{code.replace('{}', str(marker))}\n{text}".replace("---\n", "")
        )
        with studies.fewer_draws():
            try:
                make_report(out)
            except InputError as error:
                assert "\n" not in str(error)
        assert not marker.exists(), code
    path.write_text(text)
    embeddings = plan["embeddings/simclr"].result
    embeddings.parent.mkdir(parents=True)
    arrays = {"sound_embs": np.array([Evil(marker)], dtype=object)}
    for bomb in (
        lambda: np.savez(embeddings, **arrays),
        lambda: embeddings.write_bytes(pickle.dumps(Evil(marker))),
        lambda: embeddings.write_bytes(b"PK\3\4"),
        lambda: np.savez(embeddings, other=np.zeros(1)),
    ):
        bomb()
        with studies.fewer_draws():
            assert str(embeddings) in one_line(make_report, out)


@pytest.mark.parametrize(
    "name",
    ["../../x/recipe", "{}/recipe", "models/cnn14", "small_simclr.yaml",
     "./small_simclr", ["small_simclr"], None, "hparams/../small_simclr"],
)  # fmt: skip
def test_recipes_of_a_study_are_names_of_hparams(
    name, tmp_path, marker, monkeypatch
):
    (tmp_path / "recipe.yaml").write_text(code_of("apply", marker))
    name = name.format(tmp_path) if isinstance(name, str) else name
    settings = studies.settings(tmp_path / "out")
    settings["stages"]["simclr"]["yaml"] = name
    assert "stages: simclr: yaml is" in one_line(studies.plan_of, settings)
    out = tmp_path / "out"
    out.mkdir()
    (out / "study.yaml").write_text(yaml.safe_dump(settings))
    assert "stages: simclr: yaml is" in one_line(make_report, out)


@pytest.mark.parametrize(
    "line",
    ["snakefile: {}/Snakefile", "cluster-generic-submit-cmd: touch {}",
     "default-resources: [\"mem_mb=__import__('os').system('touch {}')\"]",
     "set-resources: {train_cls: {mem_mb: \"open('{}', 'w')\"}}",
     "jobscript: x.sh", "conda-frontend: x", "envvars: [A]"],
)  # fmt: skip
def test_a_profile_holds_no_code(line, tmp_path, marker, monkeypatch, capsys):
    pytest.importorskip("snakemake")
    folder = tmp_path / "profile"
    folder.mkdir()
    config = (run.PROFILES / "demo/config.yaml").read_text()
    (folder / "config.yaml").write_text(
        config + line.replace("{}", str(marker)) + "\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run.main(["./profile", "--dry_run"])
    assert stop.value.code == 2
    (message,) = capsys.readouterr().err.strip().splitlines()
    assert f"{folder}/config.yaml: " in message and "after --" in message


def test_our_profiles_are_allowed():
    for path in run.PROFILES.glob("*/config.yaml"):
        assert run.read_profile(path.parent)["configfile"]


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
    from tests.classifiers import random_model

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
