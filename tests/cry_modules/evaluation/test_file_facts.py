"""Warnings of classes that the files alone reveal, before training."""

import csv
import json

import numpy as np
import pytest
import scipy.stats
import soundfile

from cry_modules.evaluation import file_facts
from cry_modules.evaluation.baseline import ranks
from cry_modules.evaluation.report import page
from cry_modules.export.card import limits
from data_prep import manifest
from data_prep.corpora.labelled import prepare_clinical
from data_prep.files.tables import read_table
from data_prep.folder_prepare import prepare_folder

WHOLE = {"trained_on": "recordings", "tested_on": "recordings", "chunk_s": 4.0}
CHUNKS = {"trained_on": "chunks", "tested_on": "chunks", "chunk_s": 1.5}


@pytest.fixture(autouse=True)
def forget():
    """Warnings are logged once in a process."""
    file_facts.warn_once.cache_clear()


def write(path, seconds=0.5, rate=8000, level=0.1, seed=0, clip=1.0):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = rng.normal(0, level, round(seconds * rate)).clip(-clip, clip)
    soundfile.write(path, sound / clip if clip < 1 else sound, rate)


def clinic(folder, how, n_patients=24):
    """Two recordings each of patients, a third of them of the class ``a``."""
    rows = []
    for i in range(2 * n_patients):
        patient = i // 2
        label = "ab"[patient % 3 > 0]
        name = f"r{i}.wav"
        write(folder / name, seed=i, **how(i, label))
        rows.append([f"r{i}", f"p{patient}", name, label])
    with open(folder / "recordings.csv", "w", newline="") as file:
        header = ["recording_id", "patient_id", "path", "kind"]
        csv.writer(file).writerows([header, *rows])
    manifests = folder.parent / "manifests"
    prepare_clinical(str(folder), str(manifests), "kind", ["a", "b"])
    return manifests


@pytest.mark.parametrize(
    "fact, cure, how",
    [
        (
            "length",
            "--trained_on chunks --tested_on chunks --chunk_s 0.4",
            lambda i, label: {"seconds": 1.4 if label == "a" else 0.4},
        ),
        (  # one exact length among others around it
            "length",
            "--chunk_s 0.4",
            lambda i, label: {
                "seconds": 0.8 if label == "a" else 0.4 + 0.017 * i
            },
        ),
        (
            "sample rate",
            "data_prep.convert SRC OUT --rate 8000",
            lambda i, label: {"rate": 16000 if label == "a" else 8000},
        ),
        (
            "level",
            "record at one gain",
            lambda i, label: {"level": 0.1 if label == "a" else 0.02},
        ),
        (
            "clipping",
            "leave out what is clipped",
            lambda i, label: {"clip": 0.18 if label == "a" else 1.0},
        ),
    ],
)
def test_each_fact_is_named_with_its_cure(fact, cure, how, tmp_path, caplog):
    manifests = clinic(tmp_path / "data", how)
    caplog.clear()
    entry = file_facts.look_at_files(manifests, "kind", WHOLE)
    warning = entry["class_warning"]
    assert f"{fact} (AUC 1.00, 1.00 to 1.00; a " in warning
    assert cure in warning and "\n" not in warning
    assert [r.message for r in caplog.records].count(warning) == 1
    json.dumps(entry)


def test_files_that_reveal_nothing_are_not_warned_of(tmp_path, caplog):
    rng = np.random.default_rng(0)
    manifests = clinic(
        tmp_path / "data", lambda i, label: {"seconds": rng.uniform(0.3, 0.9)}
    )
    caplog.clear()
    entry = file_facts.look_at_files(manifests, "kind", WHOLE)
    assert entry["class_warning"] is entry["split_warning"] is None
    assert not caplog.records
    assert set(entry["by_class"]) == {"a", "b"}
    assert set(entry["by_split"]) == {"train", "valid", "test"}


def test_too_few_patients_are_not_judged(tmp_path):
    manifests = clinic(
        tmp_path / "data",
        lambda i, label: {"seconds": 1.4 if label == "a" else 0.4},
        n_patients=12,  # four of the class a
    )
    entry = file_facts.look_at_files(manifests, "kind", WHOLE)
    assert entry["class_warning"] is None
    assert entry["by_class"]["a"][1] == "1.4 s"


def cry_and_other(folder):
    """Folders ``cry`` of 7 s and ``other`` of 2 s."""
    for i in range(20):
        write(folder / f"cry/{i}.wav", 7.0, 4000, seed=i)
        write(folder / f"other/{i}.wav", 2.0, 4000, seed=99 + i)
    return folder


def test_chunks_cure_the_length(tmp_path, caplog):
    root = cry_and_other(tmp_path / "sounds")
    prepare_folder(str(root), str(tmp_path / "m"), labels_from_folders=True)
    look = file_facts.look_at_files
    warning = look(tmp_path / "m", "label", WHOLE)["class_warning"]
    assert "label can be predicted from the files alone" in warning
    assert "cry 7 s; other 2 s" in warning and "--chunk_s 2" in warning
    assert look(tmp_path / "m", "label", CHUNKS)["class_warning"] is None
    longer = {**CHUNKS, "chunk_s": 4.0}  # whole recordings of 2 s
    assert look(tmp_path / "m", "label", longer)["class_warning"] == warning


def test_a_detector_of_lengths_is_warned_of(script, tmp_path):
    """On the console once, in report.md and on the card."""
    root = cry_and_other(tmp_path / "sounds")
    prepare_folder(str(root), str(tmp_path / "m"), labels_from_folders=True)
    out = tmp_path / "run"
    done = script(
        *["train_cls.py", "hparams/neuro_linear.yaml", "--label_column=label"],
        *["--classes=[other, cry]", f"--data_folder={root}", "--device=cpu"],
        *[f"--recordings_csv={tmp_path}/m/recordings.csv", "--width=1"],
        *[f"--output_folder={out}", "--number_of_epochs=1", "--seed=1"],
        *["--bootstrap_draws=100", "--controls=False", "--noprogressbar"],
        *["--figures=False", "--nuisance=null"],
    )
    words = "label can be predicted from the files alone"
    assert done.output.count(words) == 1
    assert done.output.index(words) < done.output.index("done:")
    report = (out / "report.md").read_text()
    assert words in report and "python -m data_prep.confounds" in report
    metrics = json.loads((out / "metrics.json").read_text())
    facts = {"classes": ["other", "cry"], "training_recordings": None}
    assert any("Label can be pred" in text for text in limits(facts, metrics))
    del metrics["files"]  # of a run before
    assert words not in page(metrics)


def test_splits_of_other_files_are_named(tmp_path):
    """Every fourth patient was recorded by another device, and is the test."""
    root = tmp_path / "data"
    clinic(root, lambda i, label: {"rate": 16000 if i // 2 % 4 == 0 else 8000})
    with open(root / "recordings.csv", newline="") as file:
        rows = list(csv.reader(file))
    names = ["test", "a", "b", "b"]
    devices = [names[i // 2 % 4] for i in range(48)]
    with open(root / "recordings.csv", "w", newline="") as file:
        cells = zip(rows, ["device", *devices])
        csv.writer(file).writerows([[*row, cell] for row, cell in cells])
    out = tmp_path / "devices"
    prepare_clinical(
        str(root), str(out), "kind", ["a", "b"],
        fold_column="device", test_fold="test", valid_fold="a",
    )  # fmt: skip
    entry = file_facts.look_at_files(out, "kind", WHOLE)
    assert "sample rate (AUC" in entry["split_warning"]
    assert "test 16000 Hz; train 8000 Hz" in entry["split_warning"]
    assert entry["class_warning"] is None


def test_a_narrow_band_is_named_with_both_rates(tmp_path, caplog):
    manifests = clinic(tmp_path / "data", lambda i, label: {"rate": 8000})
    caplog.clear()
    file_facts.warn_of_narrow_band(manifests, 16000, "cries")
    (record,) = caplog.records
    assert "48 of 48 cries have a sample rate of 8000 Hz" in record.message
    assert "the encoder reads 16000 Hz" in record.message
    assert "--rate 8000" in record.message
    file_facts.warn_of_narrow_band(manifests, 8000, "cries")
    assert len(caplog.records) == 1


def test_a_mix_of_sample_rates_is_said_in_one_line(tmp_path, caplog):
    """Views of one recording can be recognised by an empty upper band."""
    manifests = clinic(
        tmp_path / "data",
        lambda i, label: {"rate": (8000, 16000, 44100)[i % 3]},
    )
    caplog.clear()
    file_facts.warn_of_mixed_rates(manifests, 16000, "sounds")
    (record,) = caplog.records
    assert "(16 of 8000 Hz, 32 of 16000 Hz or more)" in record.message
    assert "those of 8000 Hz are empty above 4000 Hz" in record.message
    file_facts.warn_of_mixed_rates(manifests, 8000, "sounds")
    assert len(caplog.records) == 1


def test_facts_are_those_that_a_careful_reader_finds(tmp_path):
    """Twin of ``read_files``, which does not check what was written by us."""
    rates = 8000, 16000
    manifests = clinic(
        tmp_path / "data",
        lambda i, label: {"rate": rates[i % 2], "seconds": 0.4 + i / 100},
    )
    table = read_table(manifests / "audit.csv", ["path"])
    audits = {row["path"]: row for _, row in table}
    recordings = [
        (split, recording)
        for split in manifest.SPLITS
        for recording in manifest.read(manifests / f"{split}.csv")
    ]
    recordings.sort(key=lambda pair: pair[1].ID)
    files = file_facts.read_files(manifests)
    assert len(files) == len(recordings) == 48
    patients = sorted({recording.patient_id for _, recording in recordings})
    for i, (split, recording) in enumerate(recordings):
        audit = audits[recording.wav]
        assert files.splits[i] == split
        assert files.labels[i] == recording.label
        assert patients[files.patients[i]] == recording.patient_id
        assert files.values["duration"][i] == recording.seconds
        assert files.values["level_dbfs"][i] == float(audit["level_dbfs"])
        for name in ("rate", "format", "channels"):
            assert files.values[name][i] == audit[name]


def test_a_corpus_without_test_recordings_has_rates(tmp_path, caplog):
    """SimCLR needs no test split, in which there may be only a header."""
    manifests = clinic(tmp_path / "data", lambda i, label: {})
    lines = (manifests / "test.csv").read_text().splitlines()
    (manifests / "test.csv").write_text(lines[0] + "\n")
    assert len(file_facts.read_files(manifests)) == 48 - len(lines[1:])


def test_ranks_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=30), rng.integers(4, size=30).astype(float)):
        expected = scipy.stats.rankdata(values) / len(values)
        assert np.array_equal(ranks(values), expected[:, None])
