"""No reader fails on a damaged or foreign file: it refuses it in one line,
in little time and memory.

The fast tier tries a few mutations of each file, the slow tier 2,000. The same
seeds give the same mutations.
"""

import json

import numpy as np
import pytest
import soundfile
import torch

from cry_modules.checkpoints.checkpointer import (
    CompleteCheckpointer,
    best_checkpoint,
    damage,
)
from cry_modules.checkpoints.saved_model import load_model, run_settings
from cry_modules.checkpoints.state_dict import read_state_dict
from cry_modules.figures.training import read_run
from cry_modules.metrics.choices import choose
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.saved import read_metrics
from cry_modules.training.early_stopping import EarlyStopping
from cry_modules.training.options import parse_arguments
from cry_modules.training.state import EpochTotals, RandomStates
from data_prep import manifest
from data_prep.audio import packs
from data_prep.audio.audits import JOURNAL, audit_files
from data_prep.audio.measure import audit_file
from data_prep.corpora.database import read_database
from data_prep.corpora.listing import read_recordings
from data_prep.files.errors import InputError
from data_prep.files.fingerprint import sha256
from data_prep.files.keyed_rows import KeyedRows
from data_prep.files.tables import read_table
from data_prep.pack import pack
from recipes.study.settings import check_settings, read_study
from tests.classifiers import random_model, write_model
from tests.cry_modules.metrics.made import random_predictions
from tests.fuzz import mutations

FEW, MANY = 40, 2000


@pytest.fixture(params=[FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def n(request):
    """Number of mutations."""
    return request.param


@pytest.fixture
def audio(tmp_path):
    """A folder of three short recordings and their database."""
    folder = tmp_path / "audio"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        sig = rng.normal(0, 0.1, 3200)
        soundfile.write(folder / f"{name}.wav", sig, 16000)
    rows = [
        "recording_id,patient_id,path,neuro_injury,trigger,site,recorded_at"
    ]
    for k, name in enumerate("abc"):
        label = ("healthy", "injury")[k % 2]
        rows.append(f"r{name},p{k},{name}.wav,{label},pain,s1,2020-01-0{k + 1}")
    (folder / "recordings.csv").write_text("\n".join(rows) + "\n")
    return folder


def fuzz(reader, path, mutate, n, check=None):
    """Fail with all faults of a reader."""
    counts, faults = mutations.trial(reader, path, mutate, n, check)
    print(f"fuzz {path.name} {mutate.__name__}: {counts}, {len(faults)} faults")
    assert not faults, "\n".join(faults)


@pytest.fixture
def predictions(tmp_path):
    """Predictions on disk."""
    path = tmp_path / "predictions_test.csv"
    random_predictions(n=12).write(path)
    return path


def write_manifest(audio, folder):
    """Manifests of the recordings."""
    recordings = [
        manifest.Recording(f"r{x}", 0.2, f"{x}.wav", 0.0, 0.2, "", f"p{x}", "s")
        for x in "abc"
    ]
    splits = dict(zip(manifest.SPLITS, ([rec] for rec in recordings)))
    manifest.write(splits, folder, audio, {"name": "x", "synthetic": True})
    return folder


def test_manifest(audio, tmp_path, n):
    folder = write_manifest(audio, tmp_path / "manifest")
    fuzz(manifest.read, folder / "train.csv", mutations.of_table, n)


def test_corpus(audio, tmp_path, n):
    folder = write_manifest(audio, tmp_path / "manifest")
    for mutate in (mutations.of_json, mutations.of_bytes):
        fuzz(lambda path: manifest.read_corpus(path.parent),
             folder / "corpus.json", mutate, n // 2)  # fmt: skip


def test_prepared(tmp_path, n):
    path = tmp_path / "prepared.json"
    path.write_text(json.dumps([{"data_folder": "x"}, [["a.csv", [1, 2]]]]))
    (tmp_path / "x").mkdir()
    (tmp_path / "a.wav").write_bytes(b"x")

    def read(path):
        try:
            read_recordings(path.parent)
        except InputError as error:
            raise InputError(str(error))

    for mutate in (mutations.of_json, mutations.of_bytes):
        fuzz(read, path, mutate, n // 2)


def test_database(audio, n):
    columns = ["neuro_injury", "trigger"]
    fuzz(lambda path: read_database(path, columns),
         audio / "recordings.csv", mutations.of_table, n)  # fmt: skip


def test_keyed_rows(audio, n):
    def read(path):
        rows = KeyedRows(path, "recording_id")
        return [rows[k] for k in range(len(rows))]

    fuzz(read, audio / "recordings.csv", mutations.of_table, n)


def test_another_form_of_a_table_is_read_alike_or_refused(audio, n):
    """Never with rows shifted, lost or renamed."""
    path, columns = audio / "recordings.csv", ["neuro_injury", "trigger"]
    readers = {
        "table": lambda path: [row for _, row in read_table(path, columns)],
        "database": lambda path: [
            (rec.ID, rec.patient_id, rec.wav, cells["neuro_injury"])
            for rec, cells in read_database(path, columns)
        ],
        "keyed": lambda path: list(KeyedRows(path, "recording_id")),
    }
    for name, read in readers.items():
        right = read(path)

        def check(rows, content):
            if name == "table":
                rows = [{k: v for k, v in r.items() if k} for r in rows]
            if name == "keyed":
                # It keeps rows of empty cells, which readers of tables skip.
                rows = [row[: len(right[0])] for row in rows if any(row)]
            return None if rows == right else f"{name} reads {content[:300]}"

        fuzz(read, path, mutations.of_export, n // 4, check)


def test_predictions(predictions, n):
    def check(p, _):
        if not (np.isfinite(p.scores).all() and len(set(p.ids)) == len(p.ids)):
            return "scores that are not finite, or an ID twice"

    def read(path):
        p = Predictions.read(path)
        if len(p.classes) == 2 and len(set(p.labels.tolist())) == 2:
            p.by_patient()
        return p

    fuzz(read, predictions, mutations.of_table, n, check)


@pytest.mark.parametrize(
    "name, options",
    [
        ("a.wav", {"subtype": "PCM_16"}),
        ("b.wav", {"subtype": "FLOAT", "format": "WAVEX"}),
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.mp3", {}),
        ("a.aiff", {}),
    ],
)
def test_audio(name, options, tmp_path, n):
    """A usable file has the length of its samples, and all are finite."""
    path = tmp_path / name
    sig = np.random.default_rng(0).normal(0, 0.1, 4000)
    soundfile.write(path, sig, 8000, **options)
    n_bytes = path.stat().st_size

    def check(audit, content):
        if not audit.usable:
            return None
        if not 0.1 <= audit.duration <= 3600 or not 0 < audit.peak < 2**32:
            return f"usable, with {audit.duration} s and peak {audit.peak}"
        is_cut = name == "a.wav" and audit.verdict == "ok"
        samples = audit.duration * audit.rate * audit.channels
        if is_cut and samples > 8 * len(content):
            return "more samples than the file has bits"
        if is_cut and len(content) < n_bytes - 64 and samples == 4000:
            return "a cut file is whole"

    fuzz(lambda path: audit_file(str(path), True), path, mutations.of_bytes,
         n if name == "a.wav" else n // 4, check)  # fmt: skip


def test_journal(audio, tmp_path, n):
    """What a journal does not tell is read again from the files."""
    names, save = ["a.wav", "b.wav", "c.wav"], tmp_path / "save"
    audit_files(names, audio, save, True)

    def check(audits, _):
        bad = [a for a in audits.values() if a.usable and a.duration < 0.1]
        return f"usable, of {bad[0].duration} s" if bad else None

    fuzz(lambda path: audit_files(names, audio, path.parent, True),
         save / JOURNAL, mutations.of_json_lines, n, check)  # fmt: skip


@pytest.mark.parametrize(
    "name, mutate",
    [
        ("pack.json", mutations.of_json),
        ("pack-1of1.json", mutations.of_json),
        ("pack-1of1.csv", mutations.of_table),
    ],
)
def test_packs(name, mutate, audio, tmp_path, n):
    out = tmp_path / "pack"
    pack(str(audio), str(out))

    def read(path):
        if path.suffix == ".csv":  # as if it were packed so
            part = path.with_suffix(".json")
            facts = json.loads(part.read_text())
            facts["files"][path.name]["bytes"] = path.stat().st_size
            part.write_text(json.dumps(facts))
        opened = packs.Pack(path.parent)
        return [opened.stored(name, 0, 1) for name in opened.paths]

    def check(results, _):
        lengths = [len(stored.samples) for stored in results if stored]
        return None if max(lengths, default=0) <= 3200 else f"{lengths} samples"

    fuzz(read, out / name, mutate, n, check)


@pytest.mark.parametrize("name", ["history.json", "before.json"])
def test_history(name, tmp_path, n):
    row = {"epoch": 1, "lr": 0.1, "train_loss": 2.0, "valid_auc": 0.5}
    (tmp_path / "history.json").write_text(
        json.dumps([row, {**row, "epoch": 2}])
    )
    (tmp_path / "before.json").write_text(json.dumps({**row, "epoch": 0}))
    for mutate in (mutations.of_json, mutations.of_bytes):
        fuzz(lambda path: read_run(str(path.parent)), tmp_path / name, mutate,
             n // 2)  # fmt: skip


def test_metrics(tmp_path, n):
    p = random_predictions()
    block = evaluate(p, choose(p), n_draws=0)
    metrics = {"classes": p.classes, "prevalence": [0.5, 0.5], "controls": {}}
    metrics.update(seed=1, test={"recording": block, "patient": block})
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    for mutate in (mutations.of_json, mutations.of_bytes):
        fuzz(lambda path: read_metrics(path.parent, ("classes", "test")),
             tmp_path / "metrics.json", mutate, n // 2)  # fmt: skip


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_exported_model(name, tmp_path, n):
    folder = write_model(tmp_path / "model", random_model())

    def read(path):
        if path.suffix == ".safetensors":  # as if it were exported so
            facts = json.loads((path.parent / "model.json").read_text())
            facts["files"] = {path.name: sha256(path)}
            (path.parent / "model.json").write_text(json.dumps(facts))
        return load_model(str(path.parent))

    mutate = mutations.of_json if name == "model.json" else mutations.of_bytes
    fuzz(read, folder / name, mutate, n)


def test_settings_of_a_run(tmp_path, n):
    text = (
        "width: 1\nchunk_s: 4.0\nfront_end: fbank\nclasses: [a, b]\nseed: 3\n"
    )
    (tmp_path / "hyperparams.yaml").write_text(text)
    fuzz(lambda path: run_settings(path.parent),
         tmp_path / "hyperparams.yaml", mutations.of_yaml, n)  # fmt: skip


def test_study(tmp_path, n):
    source = "recipes/study/studies/demo.yaml"
    path = tmp_path / "study.yaml"
    with open(source, encoding="utf-8") as file:
        path.write_text(file.read())
    fuzz(lambda path: check_settings(read_study(path), str(path)), path,
         mutations.of_yaml, n)  # fmt: skip


def test_values_of_options(tmp_path, n):
    """Any text as the value of any option."""
    path = tmp_path / "value.txt"
    path.write_text("lr=0.1")
    names = ["lr", "seed", "width", "data_folder", "encoder_source", "chunk_s"]

    def read(path):
        text = path.read_text("utf-8", "replace")
        name = names[len(text) % len(names)]
        parse_arguments(["hparams/small_simclr.yaml", f"--{name}", text[3:]])

    def mutate(content, rng):
        odd = [*map(str, mutations.ODD), *mutations.CELLS, "[1", "{a: b", "!x"]
        return ("x" * rng.randrange(3) + "lr=" + rng.choice(odd)).encode(
            "utf-8", "replace"
        )

    fuzz(read, path, mutate, n)


@pytest.mark.parametrize("mutate", [mutations.of_bytes])
def test_weights(mutate, tmp_path, n):
    path = tmp_path / "encoder.ckpt"
    torch.save({"a.weight": torch.zeros(3, 2), "n": torch.tensor(1)}, path)
    fuzz(read_state_dict, path, mutate, n)


def test_checkpoint_meta(tmp_path, n):
    net = torch.nn.Linear(1, 1)
    saved = CompleteCheckpointer(tmp_path, {"net": net})
    saved.save_checkpoint(meta={"epoch": 1, "score": 0.5})
    (folder,) = tmp_path.glob("CKPT*")

    def read(path):
        damage(path.parent)
        return best_checkpoint(path.parent.parent)

    fuzz(read, folder / "CKPT.yaml", mutations.of_yaml, n)


@pytest.mark.parametrize(
    "part", [EpochTotals(), RandomStates(), EarlyStopping(9, 3)]
)
def test_parts_of_a_checkpoint(part, tmp_path, n):
    """Loaded as a resume does: any error becomes one line."""
    path = tmp_path / "part.ckpt"
    part.save(path)
    checkpointer = CompleteCheckpointer(tmp_path / "save", {"part": part})
    checkpointer.save_checkpoint(meta={"epoch": 1})
    checkpoint = checkpointer.find_checkpoint()

    def read(path):
        checkpoint.paramfiles["part"].write_bytes(path.read_bytes())
        checkpointer._load(checkpoint)

    is_yaml = isinstance(part, EarlyStopping)
    mutate = mutations.of_yaml if is_yaml else mutations.of_bytes
    fuzz(read, path, mutate, n)


def test_onnx(tmp_path, n):
    onnx = pytest.importorskip("onnx", reason="the extra `export`")
    pytest.importorskip("onnxruntime", reason="the extra `export`")
    from cry_modules.export.onnx import write_onnx
    from cry_modules.export.run_onnx import METADATA_KEY, OnnxClassifier

    model = random_model()
    facts = {"classes": ["no", "yes"], "threshold": 0.3, "caution": "x"}
    path, sound = tmp_path / "model.onnx", tmp_path / "a.wav"
    write_onnx(model.embedder, model.posterior, facts, path)
    soundfile.write(sound, np.random.default_rng(0).normal(0, 0.1, 8000), 16000)

    def read(path):
        score = OnnxClassifier(str(path)).score(str(sound))
        return score

    def check(score, _):
        if not score.error and not np.isclose(score.scores.sum(), 1):
            return f"scores {score.scores}"

    def of_facts(content, rng):
        graph = onnx.load_from_string(content)
        (entry,) = graph.metadata_props
        entry.value = mutations.of_json(entry.value.encode(), rng).decode()
        assert entry.key == METADATA_KEY
        return graph.SerializeToString()

    fuzz(read, path, of_facts, n // 2, check)
    fuzz(read, path, mutations.of_bytes, n // 2, check)
