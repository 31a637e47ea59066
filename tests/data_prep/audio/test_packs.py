"""Index of a pack, compared with a dict of rows read by csv."""

import csv
import json
import pickle
from pathlib import PurePosixPath

import numpy as np
import pytest

from data_prep.audio.packs import Pack, Packed, pack_at, read_index, write_index
from data_prep.files.errors import InputError

PATHS = [
    "audio/a.wav",
    "./b.wav",
    "audio//c d.wav",
    "audio/./e.wav",
    '"quoted".wav',
    "comma, and/f.wav",
    "../outside.wav",
    " space.wav",
    "ends in a dot./g.wav",
    b"\xff.wav".decode(errors="surrogateescape"),
    "two\nlines.wav",
    "a carriage\rreturn.wav",
    *(f"audio/{i:06d}.wav" for i in range(300)),
]
#: How Python reads an index.
INDEX = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
HEAD = {"pack": 1, "rate": 16000, "parts": 2}


def packed(path, shard="x.i16"):
    number = len(path)
    return Packed(path, shard, 7 * number, 100, 2.0**-15, number, 44100, 276)


@pytest.fixture
def folder(tmp_path):
    """A pack in two parts, which share some recordings."""
    samples = np.arange(-4000, 4000, dtype="<i2")
    samples.tofile(tmp_path / "x.i16")
    recordings = [packed(path) for path in PATHS]
    again = [packed(p)._replace(scale=1.0) for p in ("b.wav", "audio/a.wav")]
    (tmp_path / "pack.json").write_text(json.dumps(HEAD))
    for number, part in ((1, recordings), (2, again)):
        write_index(tmp_path / f"pack-{number}of2.csv", part)
        facts = {"head": HEAD, "name": "x"}
        facts["files"] = {"x.i16": {"bytes": samples.nbytes}}
        file = tmp_path / f"pack-{number}of2.json"
        file.write_text(json.dumps(facts))
    return tmp_path


def twin(folder):
    """Recordings by path, as a dict."""
    recordings = {}
    for number in (1, 2):
        with open(folder / f"pack-{number}of2.csv", **INDEX) as file:
            for row in list(csv.reader(file))[1:]:
                numbers = [int(row[i]) for i in (2, 3, 5, 6, 7)]
                numbers.insert(2, float(row[4]))
                recording = Packed(row[0], row[1], *numbers)
                recordings[PurePosixPath(row[0]).as_posix()] = recording
    return recordings


def test_lookup_equals_a_dict(folder):
    index, expected = read_index(folder / "pack-1of2.csv"), twin(folder)
    assert list(index) == [packed(path) for path in PATHS]
    pack = Pack(folder)
    assert pack.paths == [recording.path for recording in expected.values()]
    for path, recording in expected.items():
        for name in (path, f"./{path}", path.replace("/", "//")):
            assert name in pack
            stored = pack.stored(name, 0, 1)
            assert len(stored.samples) == recording.samples
            assert stored.samples[0] == -4000 + recording.offset
            assert stored.scale == recording.scale
            assert stored.peak == recording.peak * recording.scale
    for path in ("c d.wav", "audio", "audio/000300.wav", "space.wav", ""):
        assert (
            path not in pack and PurePosixPath(path).as_posix() not in expected
        )
        assert pack.stored(path, 0, 1) is None


def test_is_pickled_as_its_folder(folder):
    pack = pack_at(folder)
    assert len(pickle.dumps(pack)) < 300
    assert pickle.loads(pickle.dumps(pack)) is pack


@pytest.mark.parametrize(
    "text",
    ["", "path,shard\na.wav\n", "name,shard\na.wav,x\n", 'path,x\n"a,b\n'],
)
def test_a_damaged_index_is_refused(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match="a.csv is damaged; copy it again"):
        read_index(tmp_path / "a.csv")


def test_a_damaged_number_is_refused(tmp_path):
    write_index(tmp_path / "a.csv", [packed("a.wav")._replace(samples="1O")])
    with pytest.raises(InputError, match="a.csv row 2 is damaged .*copy the f"):
        read_index(tmp_path / "a.csv")[0]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"shard": "../x.i16"}, "is '../x.i16', not the name of a file"),
        ({"shard": "/etc/hostname"}, "not the name of a file"),
        ({"shard": "pack.json"}, "beyond the end of pack.json"),
        ({"offset": -8000}, "not a whole number from 0"),
        ({"offset": 7901}, "beyond the end of x.i16"),
        ({"samples": 1 << 40}, "beyond the end of x.i16"),
        ({"samples": -1}, "not a whole number from"),
        ({"scale": float("nan")}, "is nan, not a number"),
        ({"peak": 1 << 20}, "from 0 to 32768"),
        ({"rate": 0}, "not a whole number from 1"),
    ],
)
def test_an_index_row_of_another_shape_is_refused(folder, changes, message):
    write_index(folder / "pack-1of2.csv", [packed("z.wav")._replace(**changes)])
    with pytest.raises(InputError, match=message):
        Pack(folder).stored("z.wav", 0, 1)


@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("pack.json", {"parts": 10**9}, "parts is 1000000000, not a whole"),
        ("pack.json", {"parts": "2"}, "parts is '2', not a whole number"),
        ("pack.json", {"rate": None}, "rate is None, not a whole number"),
        ("pack.json", {"pack": True}, "pack is True, not"),
        ("pack-1of2.json", {"head": []}, r"head is \[\], not a map"),
        ("pack-1of2.json", {"name": 7}, "name is 7, not a text"),
        ("pack-1of2.json", {"files": {"../x.i16": {"bytes": 1}}}, "the key"),
        ("pack-1of2.json", {"files": {"x.i16": {"bytes": "1"}}}, "x.i16.bytes"),
        ("pack-1of2.json", {"files": {"link.i16": {"bytes": 9}}}, "leads out"),
    ],
)
def test_a_description_of_another_shape_is_refused(
    folder, name, changes, message
):
    (folder.parent / "secret").write_bytes(b"123456789")
    (folder / "link.i16").symlink_to(folder.parent / "secret")
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**content, **changes}))
    with pytest.raises(InputError, match=message) as refusal:
        pack_at(folder)
    assert name in str(refusal.value) or "link.i16" in str(refusal.value)


def test_an_index_with_columns_in_another_order_is_refused(folder):
    path = folder / "pack-1of2.csv"
    text = path.read_text(**{k: INDEX[k] for k in ("encoding", "errors")})
    path.write_text(text.replace("rate,frames", "frames,rate"), errors="ignore")
    with pytest.raises(InputError, match="is damaged; copy it again"):
        Pack(folder)
