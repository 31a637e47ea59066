"""Packs have the same bytes in every way of making them; damage is refused."""

import csv
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import soundfile

from data_prep.audio import shards
from data_prep.audio.audits import audit_corpus
from data_prep.audio.packs import pack_at, read_index
from data_prep.corpora.labelled import prepare_clinical
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS
from data_prep.pack import pack, verify
from data_prep.vggsound_prepare import prepare_vggsound


@pytest.fixture
def run(command_of):
    def run(*args, status=0):
        done = command_of("data_prep.pack")(*args)
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def sounds(tmp_path):
    """A folder of 12 recordings of half a second, 16 kB each; one is bad."""
    (tmp_path / "in/audio").mkdir(parents=True)
    for i in range(12):
        samples = np.random.default_rng(i).normal(0, 0.1, 8000)
        soundfile.write(tmp_path / f"in/audio/{i:02d}.wav", samples, 16000)
    (tmp_path / "in/audio/05.wav").write_bytes(b"nothing")
    (tmp_path / "in/corpus.json").write_text('{"name": "x", "synthetic": true}')
    return tmp_path / "in"


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_shards_and_index(sounds, tmp_path, run):
    done = run(sounds, tmp_path / "out", "--shard_mb", "0.05")
    assert done.stdout.strip() == (
        "Packed 11 recordings (1 rejected), 0.00 hours, 0.00 GB, 3 shards; in "
        f"{tmp_path / 'out'}"
    )
    rows = read_index(tmp_path / "out/pack-1of1.csv")
    assert [row.path for row in rows] == [
        f"audio/{i:02d}.wav" for i in range(12)
    ]
    assert rows[5].samples == 0 and rows[5].shard == ""
    assert rows[4].offset == 0 and rows[6].offset == 8000
    expected, _ = soundfile.read(sounds / "audio/06.wav", dtype="int16")
    shard = np.fromfile(tmp_path / "out/pack-1of1-00001.i16", "<i2")
    assert (shard[8000:16000] == expected).all()
    assert rows[6].peak == abs(expected.astype(int)).max()
    assert len(shard) == 4 * 8000
    assert "undamaged" in run("--verify", tmp_path / "out").stdout
    # Again: nothing to do.
    before = contents(tmp_path / "out")
    assert pack(sounds, tmp_path / "out", shard_mb=0.05).recordings == 11
    assert contents(tmp_path / "out") == before


SLOW = """
import sys, time
from data_prep import pack
from data_prep.audio import shards
decode = shards.decode
shards.decode = lambda *a, **k: (time.sleep(0.1), decode(*a, **k))[1]
sys.argv[0] = "pack"
pack.main()
"""


def test_a_killed_pack_resumes(sounds, tmp_path, run):
    pack(sounds, tmp_path / "whole", shard_mb=0.05)
    out = tmp_path / "out"
    command = [str(sounds), str(out), "--shard_mb", "0.05"]
    slow = subprocess.Popen(
        [sys.executable, "-c", SLOW, *command], stderr=subprocess.DEVNULL
    )
    while not (out / ".pack-1of1-00001.partial.i16").is_file():
        assert slow.poll() is None
        time.sleep(0.01)
    os.kill(slow.pid, signal.SIGKILL)
    slow.wait()
    with pytest.raises(InputError, match="lacks part 1 of 1.*same pack comm"):
        pack_at(out)
    first = (out / "pack-1of1-00000.i16").stat().st_mtime_ns
    run(*command)
    assert contents(out) == contents(tmp_path / "whole")
    assert (out / "pack-1of1-00000.i16").stat().st_mtime_ns == first


def test_full_disk_leaves_no_half_shard(sounds, tmp_path, monkeypatch):
    class Full(np.ndarray):
        def tobytes(self):
            raise OSError(28, "No space left on device")

    full = (np.zeros(3, "<i2").view(Full), 1.0)
    monkeypatch.setattr(shards, "decode", lambda *a, **k: full)
    with pytest.raises(InputError, match="00000.i16 could not be.*No space"):
        pack(sounds, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.i16"))
    monkeypatch.setattr(
        shutil, "disk_usage", lambda p: shutil._ntuple_diskusage(9, 9, 9)
    )
    with pytest.raises(InputError, match="needs 0.00 GB and 0.00 GB are free"):
        pack(sounds, tmp_path / "out")


def test_parts_are_put_together(sounds, tmp_path):
    """Two in one folder, two elsewhere; read as the pack made at once."""
    pack(sounds, tmp_path / "whole")
    for part, name in ((1, "a"), (2, "a"), (3, "b"), (4, "c")):
        pack(sounds, tmp_path / name, part=f"{part}/4")
    with pytest.raises(InputError, match=r"a lacks part 3 of 4 \(pack-3of4.j"):
        pack_at(tmp_path / "a")
    for name in ("b", "c"):
        for file in (tmp_path / name).iterdir():
            shutil.copy(file, tmp_path / "a")
    whole, parts = pack_at(tmp_path / "whole"), pack_at(tmp_path / "a")
    assert whole.paths == parts.paths
    for path in whole.paths:
        if path != "audio/05.wav":
            a, b = (p.stored(path, 0, 0.5) for p in (whole, parts))
            assert (a.samples == b.samples).all()
            assert a[1:] == b[1:]
    audits = [
        audit_corpus(whole.paths, tmp_path / name, tmp_path / f"out_{name}")
        for name in ("whole", "a")
    ]
    assert (
        audits[0].files["audio/05.wav"].reason == "unreadable: text, not audio"
    )
    assert filecmp.cmp(
        tmp_path / "out_whole/audit.csv", tmp_path / "out_a/audit.csv", False
    )
    assert "undamaged" in verify(tmp_path / "a")


@pytest.mark.parametrize(
    "source, target, options, message",
    [
        ("in", "in", {}, "holds the recordings themselves"),
        ("in", ".", {}, "holds the recordings themselves"),
        ("in", "in/packed", {}, "in/packed is inside"),
        ("in", "in/a/b", {}, "in/a/b is inside"),
        ("in", "other", {}, "other holds other files"),
        ("no", "out", {}, "no does not exist"),
        ("pack", "out", {}, "pack is itself a pack"),
        ("r.csv", "out", {}, "zz.wav, listed .*--data_folder"),
        ("in", "out", {"part": "1/20"}, "--part 1/20 asks for more parts than"),
        ("in", "out", {"part": "3/2"}, "--part 3/2 is not a part"),
        ("in", "out", {"part": "half"}, "--part half is not a part"),
        ("in", "out", {"rate": 16}, "--rate 16 is outside"),
        ("in", "out", {"shard_mb": 0}, "--shard_mb 0 is not above 0"),
    ],
)
def test_refusals(sounds, tmp_path, source, target, options, message):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x").touch()
    (tmp_path / "r.csv").write_text("path,patient_id\nzz.wav,p\n")
    pack(sounds, tmp_path / "pack")
    with pytest.raises(InputError, match=message):
        pack(tmp_path / source, tmp_path / target, **options)


def test_a_table_with_another_data_folder(sounds, tmp_path, run):
    table = tmp_path / "r.csv"
    table.write_text("path,patient_id\n00.wav,p\n")
    pack(table, tmp_path / "db", data_folder=sounds / "audio")
    assert pack_at(tmp_path / "db").paths == ["00.wav"]
    assert "MANIFEST or OUT is missing" in run(table, status=2).stderr
    line = run("--verify", sounds, status=2).stderr
    assert line.startswith("error: ") and "is not a pack" in line


def test_parts_of_different_packs_are_refused(sounds, tmp_path):
    pack(sounds, tmp_path / "a", part="1/2")
    pack(sounds, tmp_path / "b", part="2/2", rate=8000)
    for file in (tmp_path / "b").glob("pack-2of2*"):
        shutil.copy(file, tmp_path / "a")
    with pytest.raises(InputError, match="2of2.json is of a pack with rate 80"):
        pack_at(tmp_path / "a")


def test_other_settings_and_changed_recordings_are_refused(sounds, tmp_path):
    out = tmp_path / "out"
    pack(sounds, out)
    for options, message in (
        ({"rate": 8000}, "out is a pack with rate 16000, not 8000; pass anoth"),
        ({"part": "1/2"}, "a pack with parts 1, not 2"),
        ({"shard_mb": 1}, "a pack with shard_mb 512, not 1"),
    ):
        with pytest.raises(InputError, match=message):
            pack(sounds, out, **options)
    first = sounds / "audio/00.wav"
    os.utime(first, (1, 1))
    assert pack(sounds, out).recordings == 11  # the same content
    *samples, last = first.read_bytes()
    first.write_bytes(bytes([*samples, last ^ 1]))  # of the same size
    with pytest.raises(InputError, match="in has changed since"):
        pack(sounds, out)
    shutil.copy(sounds / "audio/00.wav", sounds / "audio/zz.wav")
    with pytest.raises(InputError, match="a pack of other or of changed"):
        pack(sounds, out)


def test_damage_is_found(sounds, tmp_path, run):
    out = tmp_path / "out"
    pack(sounds, out, shard_mb=0.05)
    shard = out / "pack-1of1-00001.i16"
    good = shard.read_bytes()
    shard.write_bytes(good[:-1] + b"x")
    line = run("--verify", out, status=2).stderr.strip().split("\n")[-1]
    assert line.startswith("error: ") and "pack-1of1-00001.i16 differ" in line
    # Wrong sizes are detected by any preparer, before training.
    os.utime(out / "pack.json", (1, 1))  # not the pack in the cache
    shard.write_bytes(good[:-2])
    with pytest.raises(InputError, match="00001.i16 has 63998 bytes, not 640"):
        prepare_vggsound(str(out), str(tmp_path / "m"))
    shard.unlink()
    with pytest.raises(InputError, match="out lacks pack-1of1-00001.i16; copy"):
        prepare_vggsound(str(out), str(tmp_path / "m"))
    shard.write_bytes(good)
    head = json.loads((out / "pack.json").read_text())
    (out / "pack.json").write_text(json.dumps({**head, "pack": 2}))
    with pytest.raises(InputError, match="version 2, not 1"):
        pack_at(out)


def tables(folder):
    """All output of a preparer that does not depend on the folder."""
    names = [*(f"{split}.csv" for split in SPLITS), "corpus.json"]
    names += ["audit.csv", "rejected.csv", "duplicates.csv", "table.md"]
    return {
        name: (folder / name).read_text()
        for name in names
        if (folder / name).is_file()
    }


def same_from_pack(tmp_path, folder, prepare, source=None, **options):
    """Prepare from files and from their pack."""
    out = tmp_path / f"pack{len(list(tmp_path.glob('pack*')))}"
    pack(source or folder, out, **options)
    prepare(str(folder), str(tmp_path / "files"))
    prepare(str(out), str(tmp_path / "packed"))
    packed = tables(tmp_path / "packed")
    assert packed == tables(tmp_path / "files")
    with open(tmp_path / "packed/rejected.csv", encoding="utf-8") as file:
        return packed, list(csv.DictReader(file))


def test_vggsound_form(noise, tmp_path):
    rows = []
    for i in range(40):
        rows.append(f"-_{i:02d}_a,{i},dog,{'test' if i < 8 else 'train'}")
        if i not in (3, 20):
            # At another rate, durations are not whole samples.
            how = {"rate": 22050, "channels": 2} if i % 3 else {}
            noise(f"vgg/audio/-_{i:02d}_a_{i:06d}.wav", 0.50003, **how)
    noise("vgg/audio/-_11_a_000011.wav", level=0)
    audio = tmp_path / "vgg/audio"
    copy = (audio / "-_05_a_000005.wav").read_bytes()
    (audio / "-_30_a_000030.wav").write_bytes(copy)
    (tmp_path / "vgg/vggsound.csv").write_text("\n".join(rows) + "\n")
    packed, rejected = same_from_pack(
        tmp_path, tmp_path / "vgg", prepare_vggsound
    )
    assert rejected[0]["reason"] == "silent: -inf dBFS"
    assert packed["duplicates.csv"].count("exact,") == 1
    assert "vgg (in VGGSound's form)" in packed["corpus.json"]
    # The same from the manifests, which name the data folder.
    packed, rejected = same_from_pack(
        tmp_path, tmp_path / "vgg", prepare_vggsound, tmp_path / "files"
    )
    assert rejected[0]["reason"] == "silent: -inf dBFS"


def test_class_folders(noise, tmp_path):
    for split in ("train", "test"):
        for i in range(6):
            for label in ("dog", "dog-2"):
                noise(f"vgg/{split}/{label}/x{split}{i}_00003{len(label)}.ogg")
    noise("vgg/train/dog/y_000000.wav", level=0)
    same_from_pack(tmp_path, tmp_path / "vgg", prepare_vggsound)


@pytest.mark.parametrize("source", ["recordings.csv", ""])
def test_clinical_databases(noise, database, tmp_path, source):
    folder = database(",fold,site2", lambda i: f",{i // 2 % 5},s")
    noise("db/audio/r7.wav", level=0)
    clinical = partial(
        prepare_clinical,
        label_column="neuro_injury",
        classes=["healthy", "injury"],
    )
    for prepare in (
        partial(clinical, label_fraction=0.6),
        partial(clinical, test_fold=1, valid_fold=2, seed=3),
        prepare_unlabelled,
    ):
        _, rejected = same_from_pack(tmp_path, folder, prepare, folder / source)
        assert rejected[0] == {
            "path": "audio/r7.wav",
            "verdict": "rejected",
            "reason": "silent: -inf dBFS",
        }
