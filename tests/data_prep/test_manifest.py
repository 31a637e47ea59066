"""Each kind of bad input is refused with file, row, value and cure."""

from dataclasses import replace

import pytest

from data_prep import manifest
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import Recording, check, read, write

CORPUS = {"name": "noise", "synthetic": True}


@pytest.fixture
def recordings(noise, tmp_path):
    """Four recordings of three patients, files and all."""
    return [
        Recording(
            ID=f"r{i}",
            duration=1.0,
            wav=noise(f"audio/r{i}.wav").relative_to(tmp_path).as_posix(),
            start=0.0,
            stop=1.0,
            label="ab"[i % 2],
            patient_id=f"p{i // 2}",
            site="north",
            source=f"recordings.csv row {i + 2}",
        )
        for i in range(4)
    ]


def refused(splits, tmp_path, *parts, classes=("a", "b")):
    with pytest.raises(InputError) as error:
        check(splits, tmp_path, classes)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_good_splits_pass(recordings, tmp_path):
    check(
        {"train": recordings[:2], "test": recordings[2:]}, tmp_path, ["a", "b"]
    )


def test_patient_in_two_splits(recordings, tmp_path):
    splits = {"train": recordings[:3], "test": recordings[3:]}
    refused(
        splits,
        tmp_path,
        "recordings.csv row 5",
        "'p1'",
        "recordings.csv row 4",
        "keep each patient in one split",
    )


def test_duplicate_id(recordings, tmp_path):
    recordings[3].ID = "r0"
    refused(
        {"train": recordings},
        tmp_path,
        "recordings.csv row 5",
        "'r0'",
        "recordings.csv row 2",
        "give each",
    )


@pytest.mark.parametrize(
    "change, parts",
    [
        ({"wav": "audio/no.wav"}, ("audio/no.wav", "add the file")),
        ({"label": "c"}, ("label 'c'", "a, b", "--classes")),
        ({"label": ""}, ("label ''",)),
        ({"stop": 1.5}, ("stop 1.5 s", "at 1.0 s", "correct it")),
        ({"start": 1.0}, ("start 1.0 s", "0 <= start < stop")),
        ({"start": -0.1}, ("start -0.1 s",)),
        ({"stop": float("nan")}, ("stop nan s",)),
        ({"patient_id": ""}, ("patient_id of 'r3' is empty",)),
        ({"wav": "audio/$x.wav"}, ("$", "rename")),
    ],
)
def test_bad_cells(recordings, tmp_path, change, parts):
    recordings[3] = replace(recordings[3], **change)
    refused({"train": recordings}, tmp_path, "recordings.csv row 5", *parts)


def test_unlabelled_recordings_pass_without_classes(recordings, tmp_path):
    recordings[0].label = ""
    check({"train": recordings}, tmp_path)


def test_what_is_written_is_read(recordings, tmp_path):
    recordings[0].ID = 'a, "quoted" é id'
    write({"train": recordings}, tmp_path / "manifest", tmp_path, CORPUS)
    path = tmp_path / "manifest/train.csv"
    header, first, *_ = path.read_text(encoding="utf-8").splitlines()
    assert header == "ID,duration,wav,start,stop,label,patient_id,site"
    assert "$data_root/audio/r0.wav" in first
    back = [replace(r, source="") for r in read(path)]
    assert back == [replace(r, source="") for r in recordings]
    assert manifest.read_corpus(tmp_path / "manifest") == CORPUS


def test_nothing_is_written_where_something_is_refused(recordings, tmp_path):
    recordings[0].label = "c"
    with pytest.raises(InputError):
        write({"train": recordings}, tmp_path / "m", tmp_path, CORPUS, ["a"])
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "content, parts",
    [
        (b"", ("is empty",)),
        (b"x,y\n", ("a header and no rows",)),
        (b"x;y\n1;2\n", ("semicolons",)),
        (b"x,x\n1,2\n", ("'x' twice", "rename")),
        (b"y,z\n1,2\n", ("no column 'x'", "y, z")),
        (b"x,y\n1,2\n3\n", ("row 3", "1 cells, the header 2")),
        (b"x,y\n1,2,3\n", ("row 2", "3 cells")),
        (b"x,y\n\xff,2\n", ("not UTF-8",)),
    ],
)
def test_bad_tables(tmp_path, content, parts):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_table(path, ["x"])
    for part in ("a.csv", *parts):
        assert part in str(error.value)


def test_tables_of_other_programs_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfx,y\r\n a ,"b,c"\r\n,\r\n')
    assert read_table(path, ["x"]) == [("a.csv row 2", {"x": "a", "y": "b,c"})]


def test_missing_table(tmp_path):
    with pytest.raises(InputError, match="no.csv does not exist"):
        read_table(tmp_path / "no.csv", [])


def test_a_number_that_is_none(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        ",".join(manifest.COLUMNS) + "\nr,long,$data_root/a.wav,0,1,,p,\n"
    )
    with pytest.raises(InputError, match="a.csv row 2: duration is 'long'"):
        read(path)


def test_a_broken_corpus_description(tmp_path):
    (tmp_path / "corpus.json").write_text("{}")
    with pytest.raises(InputError, match="corpus.json is not a description"):
        manifest.read_corpus(tmp_path)
