"""The probe: its figures, its refusals, and that training is not affected."""

import logging
import random

import numpy as np
import pytest
import soundfile
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cry_modules.audio import RecordingReader
from cry_modules.cnn14 import Cnn14
from cry_modules.finetune import FinetunedEncoder
from cry_modules.front_ends import AugmentedFeatures, LogMel
from cry_modules.training import probe as module
from cry_modules.training.probe import Probe, warn_if_trained_on
from cry_modules.views.chunks_and_masks import SpecAugment
from data_prep.files.errors import InputError
from data_prep.manifest import COLUMNS, Recording, write
from data_prep.pack import pack

RATE = 16000
SHORTEST = 4960
TABLE = "recordings.csv"


class Means(nn.Module):
    """Encoder: the level about 300 and 900 Hz, which padding does not change."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(80, affine=False)
        self.drop = nn.Dropout(0.5)
        self.seen = []

    def forward(self, feats, lengths):
        n_frames = torch.round(lengths * feats.shape[1]).long()
        self.seen.append(feats.shape[:2])
        means = [f[:n].mean(dim=0) for f, n in zip(feats, n_frames)]
        bands = [10, 11, 12, 27, 28, 29]
        return self.drop(self.norm(torch.stack(means)))[:, bands]


def make_table(folder, seconds=lambda i: 0.5 + 0.1 * (i % 3), rows=None):
    """Write two recordings each of twelve patients, with a low or a high hum."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    lines = ["recording_id,patient_id,path,sound,site,one,few"]
    for i in range(24):
        label = "low" if i % 4 < 2 else "high"
        time = np.arange(round(RATE * seconds(i))) / RATE
        pitch = 300 if label == "low" else 900
        sig = 0.3 * np.sin(2 * np.pi * pitch * time)
        sig += rng.normal(0, 0.1, len(sig))
        soundfile.write(folder / f"audio/r{i}.wav", sig, RATE)
        few = "xy"[i % 2] if i < 9 else ""
        lines.append(f"r{i},P{i // 2},audio/r{i}.wav,{label},,same,{few}")
    if rows is not None:
        lines = rows(lines)
    (folder / "recordings.csv").write_text("\n".join(lines) + "\n")
    return folder / "recordings.csv"


def make_probe(table, folder=None, column="sound"):
    reader = RecordingReader(RATE)
    return Probe(f"{table}:{column}", folder, reader, SHORTEST, seed=0)


def test_figures_of_a_recordings_csv(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    probe = make_probe(make_table(tmp_path / "a:b"))
    assert "Probe sound: 24 recordings of 12 patients" in caplog.text
    assert "(high: 12, low: 12)" in caplog.text
    assert probe.name == "sound" and len(probe.paths) == 24
    assert probe.paths[3] == str((tmp_path / "a:b/audio/r3.wav").resolve())
    assert not list(tmp_path.glob("a:b/*.jsonl"))
    encoder = Means()
    figures = probe(LogMel(), encoder, "cpu")
    names = ["probe_sound_knn", "probe_sound_map", "probe_sound_auc"]
    assert list(figures) == names
    assert all(0.9 < value <= 1 for value in figures.values())
    assert figures == probe(LogMel(), encoder, "cpu")


def test_recordings_are_embedded_whole_in_any_batch(tmp_path, monkeypatch):
    table = make_table(tmp_path, seconds=lambda i: 0.11 if i == 5 else 0.9)
    together = Means().eval(), Means().eval()
    joined = make_probe(table)._embed(LogMel(), together[0], "cpu")
    assert together[0].seen == [(24, 91)]
    monkeypatch.setattr(module, "BATCH_S", 0)
    alone = make_probe(table)._embed(LogMel(), together[1], "cpu")
    # The short one is repeated to the encoder's shortest input.
    assert together[1].seen == [(1, 32)] + [(1, 91)] * 23
    np.testing.assert_allclose(joined, alone, atol=1e-4)
    sig = RecordingReader(RATE)(str(tmp_path / "audio/r7.wav"), 0, 0.9)
    expected = together[1](*LogMel()(sig[None], torch.ones(1)))
    np.testing.assert_allclose(alone[7], expected[0].numpy(), atol=1e-4)


def test_a_manifest_from_start_to_stop_and_a_pack(tmp_path):
    make_table(tmp_path / "in", seconds=lambda i: 1.0)
    recordings = [
        Recording(
            *(f"r{i}", 1.0, f"audio/r{i}.wav", 0.2, 0.8),
            *("low" if i % 4 < 2 else "high", f"p{i // 2}", "north"),
        )
        for i in range(24)
    ]
    corpus = {"name": "x", "synthetic": True}
    write({"test": recordings}, tmp_path / "out", tmp_path / "in", corpus)
    pack(tmp_path / "in", tmp_path / "packed")
    table = tmp_path / "out/test.csv"
    embs = []
    for folder in ("in", "packed"):
        encoder = Means()
        probe = make_probe(table, str(tmp_path / folder), "label")
        assert probe(LogMel(), encoder, "cpu")["probe_label_knn"] > 0.9
        assert encoder.seen == [(24, 61)]
        embs.append(probe._embed(LogMel(), encoder, "cpu"))
    np.testing.assert_allclose(*embs, atol=0.1)
    whole = tmp_path / "in/recordings.csv"
    probe = make_probe(whole, str(tmp_path / "packed"))
    assert probe(LogMel(), Means(), "cpu")["probe_sound_knn"] > 0.9


def test_a_real_encoder_modes_and_random_states(tmp_path):
    probe = make_probe(make_table(tmp_path))
    features = AugmentedFeatures(LogMel(), SpecAugment(8, 2, 10), False)
    encoder = FinetunedEncoder(Cnn14(80, width=1), "linear")
    features.train(), encoder.train()
    modes = [m.training for m in [*features.modules(), *encoder.modules()]]
    assert len(set(modes)) == 2  # some train, some do not
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    figures = probe(features, encoder, "cpu")
    assert len(figures) == 3
    assert torch.equal(torch.get_rng_state(), states[0])
    for now, then in zip(np.random.get_state(), states[1]):
        assert np.array_equal(now, then)
    assert random.getstate() == states[2]
    after = [m.training for m in [*features.modules(), *encoder.modules()]]
    assert after == modes
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key])
    assert probe(features, encoder, "cpu") == figures


def test_not_finite_embeddings_give_no_figures(tmp_path, caplog):
    class Diverged(nn.Module):
        def forward(self, feats, lengths):
            return feats.mean(dim=1) * float("nan")

    probe = make_probe(make_table(tmp_path))
    assert probe(LogMel(), Diverged(), "cpu") == {}
    assert "probe sound: embeddings are not finite" in caplog.text


def test_no_auc_where_a_label_has_few_patients(tmp_path, caplog):
    def rename(lines):
        return [
            line.replace("low", "rare") if line[:2] in ("r0", "r4") else line
            for line in lines
        ]

    probe = make_probe(make_table(tmp_path, rows=rename))
    assert "label 'rare' has fewer than 5 patients (2)" in caplog.text
    figures = probe(LogMel(), Means(), "cpu")
    assert set(figures) == {"probe_sound_knn", "probe_sound_map"}


def test_unusable_audio_is_left_out_with_a_warning(tmp_path, caplog):
    table = make_table(tmp_path)
    (tmp_path / "audio/r3.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "audio/r4.wav", np.zeros(RATE), RATE)
    probe = make_probe(table)
    assert len(probe.paths) == len(probe.labels) == len(probe.patients) == 22
    assert "2 recordings of the probe cannot be used" in caplog.text
    # The row, not the name of a recording: log lines are shared.
    assert "that of recordings.csv row 5 (unreadable" in caplog.text


@pytest.mark.parametrize("spec", ["", "x.csv", "x.csv:", ":sound", "a:b/x.csv"])
def test_a_spec_without_a_column_is_refused(spec):
    cure = f"--probe {spec} names no column.*--probe recordings.csv:column"
    with pytest.raises(InputError, match=cure):
        Probe(spec, None, RecordingReader(RATE), SHORTEST, seed=0)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("db"))


@pytest.mark.parametrize(
    "name, folder, column, message",
    [
        (TABLE, None, "label", "no column 'label', only recording_id, patient"),
        (TABLE, None, "site", r"has 0 label\(s\) \(none\)"),
        (TABLE, None, "one", r"column 'one' of .* has 1 label\(s\) \(same\)"),
        (TABLE, None, "few", "column 'few' of .* has 9 usable .* 10 or more"),
        (TABLE, None, "patient_id", "no label has recordings of two patients"),
        ("no.csv", None, "sound", "no.csv does not exist"),
        ("", None, "sound", "is a folder; pass the csv file"),
        (TABLE, "no", "sound", "no is not a folder; pass the one"),
        (TABLE, "", "sound", "row 2: audio/r0.wav is not in .*; add the file"),
    ],
)
def test_refused_tables(table, tmp_path, name, folder, column, message):
    folder = folder if folder is None else tmp_path / folder
    with pytest.raises(InputError, match=message):
        make_probe(table.parent / name, folder, column)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"patient_id": ""}, "test.csv row 9: patient_id is empty"),
        ({"stop": "2"}, "test.csv row 9: stop 2.0 s .* beyond the end"),
        ({"ID": "r1"}, "test.csv row 9: ID 'r1' was already used in test.csv"),
        ({"wav": "$data_root/no.wav"}, "test.csv row 9: no.wav is not in"),
    ],
)
def test_refused_rows_of_a_manifest(table, tmp_path, change, message):
    lines = [",".join(COLUMNS)]
    for i in range(12):
        cells = [f"r{i}", "0.5", f"$data_root/audio/r{i}.wav", "0", "0.5"]
        row = dict(zip(COLUMNS, [*cells, "ab"[i % 2], f"p{i}", ""]))
        row.update(change if i == 7 else {})
        lines.append(",".join(row.values()))
    (tmp_path / "test.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=message):
        make_probe(tmp_path / "test.csv", table.parent, "label")


def test_patients_and_recordings_in_training_are_warned_of(
    table, caplog, tmp_path
):
    def as_rows(paths, patient="nobody"):
        return ({"wav": path, "patient_id": patient} for path in paths)

    probe = make_probe(table)
    others = [str(tmp_path / "r0.wav"), "audio/r0.wav"]
    warn_if_trained_on(probe, as_rows(others))
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    (tmp_path / "link").symlink_to(table.parent)
    paths = [f"{tmp_path}/link/audio/../audio/r{i}.wav" for i in (2, 3, 99)]
    warn_if_trained_on(probe, as_rows(paths))
    warn_if_trained_on(probe, as_rows(others, probe.patients[0].upper()))
    recordings, patients = (r.getMessage() for r in caplog.records[-2:])
    assert "probe sound: 2 of its 24 recordings are also" in recordings
    assert "transductive" in recordings
    n = probe.patients.count(probe.patients[0])
    assert f": 0 of its 24 recordings are also trained on, and {n} " in patients


def figures_of(table, batch_s):
    """Figures with several batches, or with one: a rank then has none."""
    module.BATCH_S = batch_s
    torch.manual_seed(0)
    encoder = Means()
    if dist.is_initialized():
        encoder.weight = nn.Parameter(torch.ones(1))
        encoder = DistributedDataParallel(encoder)
    return make_probe(table)(LogMel(), encoder.train(), "cpu")


def figures_of_a_rank(rank, table):
    return [figures_of(table, batch_s) for batch_s in (2.0, 120.0)]


def test_two_ranks_equal_one_process(tmp_path, monkeypatch, two_ranks):
    # Hard to separate, so that the figures depend on the order.
    rng = np.random.default_rng(1)
    table = make_table(tmp_path)
    for i in range(24):
        path = tmp_path / f"audio/r{i}.wav"
        soundfile.write(path, rng.normal(0, 0.1, 8000 + 500 * (i % 5)), RATE)
    monkeypatch.setattr(module, "BATCH_S", 0)  # restored afterwards
    expected = figures_of_a_rank(0, table)
    assert 0.2 < expected[0]["probe_sound_knn"] < 0.8
    for figures in two_ranks(figures_of_a_rank, table):
        for ours, theirs in zip(figures, expected):
            assert ours == pytest.approx(theirs, abs=1e-9)
