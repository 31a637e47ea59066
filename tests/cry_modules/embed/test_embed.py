"""Embeddings and acoustic measures as a table."""

import contextlib
import json
import shutil
import sys

import numpy as np
import pytest
import soundfile
import torch
from pyarrow import parquet

from cry_modules.audio import RecordingReader, level_dbfs, shortest_input
from cry_modules.checkpoints.saved_model import load_run
from cry_modules.embed import numbers as embed_numbers
from cry_modules.embed.__main__ import main
from cry_modules.embed.encoder import caution, load_embedder
from cry_modules.embed.inputs import list_items
from cry_modules.embed.table import KeptRows
from cry_modules.evaluation.acoustics import acoustic_measures
from cry_modules.training.probe import Probe
from tests.classifiers import changing, random_model, write_model

RATE = 16000


@pytest.fixture
def embedder(encoder):
    return load_embedder(str(encoder), front_end="fbank")


def test_numbers_are_those_of_the_probe(clinic, table, embedder):
    """The probe embeds padded batches of whole recordings, as training does
    for a frozen encoder."""
    rows, embs = table(clinic / "recordings.csv")
    shortest = shortest_input(embedder.features.logmel.hop)
    spec = f"{clinic}/recordings.csv:neuro_injury"
    probe = Probe(spec, None, RecordingReader(RATE), shortest, 0)
    expected = probe._embed(embedder.features, embedder.encoder, "cpu")
    assert embs.shape == expected.shape == (36, 32)
    scale = np.abs(expected).max()
    assert np.abs(embs - expected).max() < 1e-6 * scale
    assert np.ptp(embs, axis=0).max() > 1e-3 * scale  # not all the same
    assert [row["patient_id"] for row in rows] == probe.patients
    assert rows[0]["id"] == "cry_p0_0" and rows[0]["start_s"] == "0.000"
    assert float(rows[0]["stop_s"]) == 0.6 and rows[0]["error"] == ""


def test_a_row_a_window(noise, table, embedder):
    path = noise("long.wav", seconds=2.3)
    sound, _ = soundfile.read(path)
    sound[RATE : 2 * RATE] = 0
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    rows, embs = table(path, "--window_s", 0.5, "--hop_s", 0.25)
    times = [(float(row["start_s"]), float(row["stop_s"])) for row in rows]
    assert times[:2] == [(0.0, 0.5), (0.25, 0.75)]
    assert times[-1] == (1.8, 2.3)  # ends with the recording
    silent = [row["start_s"] for row in rows if row["error"] == "silent"]
    assert silent == ["1.000", "1.250", "1.500"]
    assert {row["emb_0"] for row in rows if row["error"]} == {""}
    whole = torch.from_numpy(sound).float()
    whole *= 0.9 / whole.abs().max()
    starts = [round(start * RATE) for start, _ in times]
    windows = [whole[at : at + RATE // 2] for at in starts]
    loud = [w for w in windows if level_dbfs(w) >= -60]
    with torch.no_grad():
        expected = embedder(torch.stack(loud)).numpy()
    assert np.abs(embs - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_long_recording_is_the_mean_of_its_chunks(
    noise, table, embedder, monkeypatch
):
    """As in training, where windows of four seconds cover it."""
    monkeypatch.setattr(embed_numbers, "LONGEST_S", 5.0)
    path = noise("long.wav", seconds=9.0)
    sound, _ = soundfile.read(path, dtype="float32")
    sound = torch.from_numpy(sound * (0.9 / np.abs(sound).max()))
    starts = [0, 40000, 80000]  # three windows cover nine seconds
    windows = torch.stack([sound[at : at + 4 * RATE] for at in starts])
    with torch.no_grad():
        expected = embedder(windows).mean(dim=0).numpy()
    (row,), embs = table(path, "--acoustics")
    assert np.abs(embs - expected).max() < 1e-5 * np.abs(expected).max()
    parts = [acoustic_measures(part, RATE) for part in
             (sound[:5 * RATE], sound[4 * RATE:])]  # fmt: skip
    counts = [part["expiration_count"] for part in parts]
    assert float(row["expiration_count"]) == sum(counts)
    means = np.mean([part["level_range_db"] for part in parts])
    assert float(row["level_range_db"]) == pytest.approx(means, rel=1e-4)


def test_acoustic_measures_have_units(clinic, table):
    rows, _ = table(clinic / "recordings.csv", "--acoustics", source="none")
    path = clinic / f"{rows[5]['id']}.wav"
    sig = RecordingReader(RATE)(str(path), 0.0, 10.0)
    expected = acoustic_measures(sig, RATE)
    assert list(rows[5]) == [
        *("id", "patient_id", "start_s", "stop_s", "error"),
        *expected,
    ]
    for name, value in expected.items():
        assert float(rows[5][name]) == pytest.approx(value, rel=1e-5)


def test_acoustic_measures_of_a_tone(table, tmp_path):
    seconds = np.arange(RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 450 * seconds) * (seconds < 0.5)
    soundfile.write(tmp_path / "tone.wav", tone, RATE)
    (row,), _ = table(tmp_path / "tone.wav", "--acoustics", source="none")
    assert float(row["f0_median_hz"]) == pytest.approx(450, abs=1)
    assert float(row["expiration_longest_s"]) == pytest.approx(0.5, abs=0.02)


def test_an_exported_model_and_its_readout(table, tmp_path):
    """The numbers of the model's own embedder, wherever it is read."""
    readout = "block3+embedding+logmel"
    model = random_model(readout=readout)
    folder = write_model(tmp_path / "model", model)
    soundfile.write(tmp_path / "a.wav", changing(2.0), RATE, subtype="FLOAT")
    sig = torch.from_numpy(changing(2.0))
    with torch.no_grad():
        expected = model.embedder((sig * (0.9 / sig.abs().max()))[None])[0]
    _, embs = table(tmp_path / "a.wav", "--readout", readout, source=folder)
    assert embs.shape[1] == len(expected)
    assert (
        np.abs(embs[0] - expected.numpy()).max() < 1e-5 * expected.abs().max()
    )
    _, embs = table(tmp_path / "a.wav", source=folder)
    assert embs.shape[1] == 32
    assert load_embedder(str(folder)).n_samples == 8000  # chunks of 0.5 s


def test_a_run_says_its_front_end_and_width(pretrained, clinic, table):
    rows, embs = table(clinic / "recordings.csv", source=pretrained)
    path = clinic / f"{rows[7]['id']}.wav"
    sig = RecordingReader(RATE)(str(path), 0.0, float(rows[7]["stop_s"]))
    with torch.no_grad():
        expected = load_run(pretrained).embedder(sig[None])[0].numpy()
    assert np.abs(embs[7] - expected).max() < 1e-5 * np.abs(expected).max()


def test_an_array_file_holds_the_same(clinic, table, encoder, tmp_path):
    rows, embs = table(clinic / "recordings.csv")
    out = tmp_path / "table.npz"
    main([str(encoder), str(clinic / "recordings.csv"), "--out", str(out)]
         + ["--front_end", "fbank"])  # fmt: skip
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["id"].tolist() == [row["id"] for row in rows]
        assert arrays["names"].tolist()[:2] == ["emb_0", "emb_1"]
        assert arrays["numbers"].dtype == np.float32
        assert np.array_equal(arrays["numbers"], embs.astype(np.float32))
        assert arrays["stop_s"][0] == 0.6
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "table.csv", "table.npz",
    ]  # fmt: skip


def test_parquet_holds_the_same(clinic, table, encoder, tmp_path):
    """A recording that failed has missing numbers, in each of its columns."""
    copy = shutil.copytree(clinic, tmp_path / "clinic") / "recordings.csv"
    soundfile.write(copy.parent / "cry_p1_0.wav", np.zeros(8000), RATE)
    rows, embs = table(copy, status=1)
    out = tmp_path / "table.parquet"
    with pytest.raises(SystemExit) as stop:
        main(f"{encoder} {copy} --out {out} --front_end fbank".split())
    assert stop.value.code == 1
    read = parquet.read_table(out)
    assert read.column_names == [*rows[0]]
    for name in ("id", "patient_id", "error"):
        assert read[name].to_pylist() == [row[name] for row in rows]
    for i in range(embs.shape[1]):
        column = read[f"emb_{i}"].to_pylist()
        has_failed = [bool(row["error"]) for row in rows]
        assert [number is None for number in column] == has_failed
        kept = [number for number in column if number is not None]
        assert np.array_equal(kept, embs[:, i].astype(np.float32))


def test_pseudonyms_say_nothing(clinic, table, tmp_path):
    rows, _ = table(clinic / "recordings.csv", "--pseudonyms")
    assert rows[0]["id"] == "recording 1" and rows[2]["id"] == "recording 3"
    infants = [row["patient_id"] for row in rows]
    assert infants[:4] == ["infant 1", "infant 1", "infant 2", "infant 2"]
    assert len(set(infants)) == 18
    text = (tmp_path / "table.csv").read_text()
    assert "cry_p" not in text and "patient-" not in text


def test_failures_are_rows(noise, table, tmp_path, capsys):
    noise("a/good.wav", seconds=0.5)
    (tmp_path / "a/empty.wav").write_bytes(b"")
    (tmp_path / "a/text.wav").write_text("no audio")
    soundfile.write(tmp_path / "a/silent.wav", np.zeros(8000), RATE)
    rows, embs = table(tmp_path / "a", status=1)
    errors = {row["id"].rpartition("/")[2]: row["error"] for row in rows}
    assert errors["good.wav"] == "" and len(embs) == 1
    assert errors["empty.wav"] == "empty: the file has no bytes"
    assert errors["text.wav"].startswith("unreadable")
    assert errors["silent.wav"].startswith("silent")
    assert "3 of 4 recordings could not be used, such as" in (
        capsys.readouterr().out
    )
    with open(tmp_path / "a/recordings.csv", "w") as file:
        file.write("patient_id,path\np,good.wav\nq,gone.wav\n")
    rows, _ = table(tmp_path / "a/recordings.csv", status=1)
    assert [row["error"] for row in rows] == ["", "missing"]


@pytest.mark.parametrize("windows", [[], ["--window_s", "0.4"]])
@pytest.mark.parametrize("cut", ["between", "line", "numbers"])
def test_an_interrupted_table_resumes(
    windows, cut, noise, table, encoder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(embed_numbers, "_AT_ONCE", 2)
    monkeypatch.setattr(embed_numbers, "_AT_ONCE_S", 0.8)
    for i in range(5):
        noise(f"a/{i}.wav", seconds=0.5 + i / 4)
    expected, _ = table(tmp_path / "a", *windows)
    capsys.readouterr()
    appended, append = [], KeptRows.append

    def counted(self, rows):
        append(self, rows)
        appended.append(len(rows))
        if len(appended) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(KeptRows, "append", counted)
    out = tmp_path / "again.csv"
    words = [encoder, tmp_path / "a", *windows, "--out", out]
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words), "--front_end", "fbank"])
    assert stop.value.code == 1 and not out.exists()
    assert "Interrupted. Run the same command again" in capsys.readouterr().err
    folder = tmp_path / "again.csv.partial"
    n_kept = sum(appended)
    if cut != "between":
        path = folder / {"line": "rows.jsonl", "numbers": "numbers"}[cut]
        path.write_bytes(path.read_bytes()[:-3])
        n_kept = appended[0]  # what was appended at once is made again
    rows, _ = table(tmp_path / "a", *windows, name="again.csv")
    assert rows == expected
    assert sum(appended[2:]) == len(rows) - n_kept
    assert out.is_file() and not folder.exists()


@pytest.mark.parametrize("windows", [[], ["--window_s", "1"]])
def test_a_table_that_is_often_interrupted_makes_progress(
    windows, noise, table, encoder, tmp_path, monkeypatch
):
    """Sixty seconds of sound before each interruption."""
    if windows:
        noise("a/night.wav", seconds=125.0)
    else:
        for i in range(12):
            noise(f"a/{i}.wav", seconds=11.0)
    expected, _ = table(tmp_path / "a", *windows)
    compute, heard = embed_numbers.Numbers.__call__, []

    def interrupted(self, sigs):
        heard.append(sum(map(len, sigs)) / RATE)
        if sum(heard) > 60:
            raise KeyboardInterrupt
        return compute(self, sigs)

    monkeypatch.setattr(embed_numbers.Numbers, "__call__", interrupted)
    words = [encoder, tmp_path / "a", *windows, "--out", tmp_path / "b.csv"]
    runs = 0
    while not (tmp_path / "b.csv").exists() and runs < 12:
        heard.clear()
        runs += 1
        with contextlib.suppress(SystemExit):
            main([*map(str, words), "--front_end", "fbank"])
    assert runs > 1
    monkeypatch.undo()
    rows, _ = table(tmp_path / "a", *windows, name="b.csv")
    assert rows == expected


def test_a_bar_over_windows_has_a_total(noise, table, tmp_path, capsys):
    noise("a/0.wav", seconds=2.3)
    noise("a/1.wav", seconds=1.0)
    numbers = embed_numbers.Numbers(None, True, 0.5, 0.25)
    items = list_items([str(tmp_path / "a")])
    rows = [row for some in numbers.rows(items, {}) for row in some]
    assert numbers.n_windows(items) == len(rows) == 9 + 3
    (tmp_path / "a/2.wav").write_bytes(b"")
    items = list_items([str(tmp_path / "a")])
    assert numbers.n_windows(items) == 9 + 3 + 1  # says that it has no bytes
    table(tmp_path / "a", "--window_s", "0.5", status=1)
    assert "13/13 [" in capsys.readouterr().err


def test_changed_recordings_are_embedded_again(
    noise, table, tmp_path, monkeypatch
):
    noise("a/0.wav", seconds=0.5)
    table(tmp_path / "a")
    before = (tmp_path / "table.csv").read_bytes()
    folder = tmp_path / "table.csv.partial"
    folder.mkdir()
    (folder / "key.json").write_text(json.dumps({"version": 0}))
    (folder / "rows.jsonl").write_text('[0, 0, 0.0, 9.0, "", true]\n')
    (folder / "numbers").write_bytes(bytes(4 * 32))
    table(tmp_path / "a")
    assert (tmp_path / "table.csv").read_bytes() == before


def test_a_manifest_says_where_recordings_begin(clinic, tmp_path, table):
    (tmp_path / "m").mkdir()
    path = tmp_path / "m/train.csv"
    header = "ID,duration,wav,start,stop,label,patient_id,site"
    line = "a,0.5,$data_root/cry_p0_0.wav,0.1,0.5,,p,"
    path.write_text(f"{header}\n{line}\n")
    rows, _ = table(path, "--data_folder", clinic)
    assert (rows[0]["start_s"], rows[0]["stop_s"]) == ("0.100", "0.500")
    state = json.dumps([{"data_folder": str(clinic)}, []])
    (tmp_path / "m/prepared.json").write_text(state)
    assert list_items([str(path)])[0].path == f"{clinic}/cry_p0_0.wav"
    path.write_text(f"{header}\n{line.replace('0.5,,', '9.5,,')}\n")
    rows, _ = table(path, status=1)
    assert rows[0]["error"] == "from 0.1 to 9.5 s of 0.6 s"


@pytest.mark.parametrize(
    "words, message",
    [
        ("{enc} {db} --out a.csv", "does not say which front end it was train"),
        ("{enc} {db} --front_end x --out a.csv", "is 'x'; expected one"),
        ("{enc} {db} --out a.txt", "is not the name of a table; end it in"),
        ("none {db} --out a.csv", "ENCODER is none, and no measures are req"),
        ("none {db} --acoustics --readout embedding --out a.csv", "leave out"),
        ("null {db} --out a.csv", "ENCODER null has random weights"),
        ("a/b/c {db} --out a.csv", "ENCODER a/b/c does not exist"),
        ("none gone.wav --acoustics --out a.csv", "gone.wav does not exist"),
        ("none {db} {db} --acoustics --out a.csv", "is a table, and 2 names"),
        ("none {db} --acoustics --out {db}", "is one of the inputs"),
        ("none {folder} --acoustics --out a.csv", "whose patients would be l"),
        ("none {db} --acoustics --hop_s 1 --out a.csv", "pass --window_s too"),
        ("none {db} --acoustics --window_s 0 --out a.csv", "--window_s is 0"),
        (
            "none {db} --acoustics --window_s 1 --hop_s 2 --out a.csv",
            "--hop_s is 2; pass seconds from 0.001 to 1",
        ),
        (
            "{enc} {db} --front_end fbank --readout block9 --out a.csv",
            "--readout is 'block9'; expected one or more of",
        ),
        (
            "none {db} --acoustics --data_folder /none --out a.csv",
            "is not a folder; pass --data_folder",
        ),
    ],
)
def test_refusals(
    words, message, clinic, encoder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    places = {"enc": encoder, "db": clinic / "recordings.csv"}
    text = words.format(**places, folder=clinic)
    with pytest.raises(SystemExit) as stop:
        main(text.split())
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_parquet_needs_a_package(clinic, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out = tmp_path / "a.parquet"
    with pytest.raises(SystemExit):
        main(["none", str(clinic / "recordings.csv"), "--acoustics"]
             + ["--out", str(out)])  # fmt: skip
    assert "'cry-ssl[parquet]', or write .csv or .npz" in (
        capsys.readouterr().err
    )


def test_the_warning_has_the_figure_where_it_was_measured(tmp_path):
    assert caution("hear:x").endswith("with or without names")
    probe = {"auc": 0.931, "n_patients": 18}
    metrics = {"nuisance": {"infant": {"embedding": probe}}}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert "(AUC 0.93 of telling the same infant from another, over 18" in (
        caution(str(tmp_path))
    )
    (tmp_path / "metrics.json").write_text('{"nuisance": {}}')
    assert caution(str(tmp_path)).endswith("with or without names")
