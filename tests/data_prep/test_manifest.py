"""Checks, writing and reading of manifests; refusals name row, value and cure."""

from dataclasses import replace

import pytest

from data_prep import manifest
from data_prep.corpora.listing import prepared_from
from data_prep.files.errors import InputError
from data_prep.manifest import Recording, check, read, write

CORPUS = {"name": "noise", "synthetic": True}


@pytest.fixture
def recordings(noise, tmp_path):
    """Four recordings of two patients, with their files."""
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


def refused(splits, tmp_path, *parts):
    with pytest.raises(InputError) as error:
        check(splits, tmp_path, ("a", "b"))
    message = str(error.value)
    assert "\n" not in message
    for part in ("recordings.csv row 5", *parts):
        assert part in message


@pytest.mark.parametrize("same", ["P1", "p\u200b1", "p1\u00a0", "P\uff11"])
def test_patient_in_two_splits_in_two_spellings(recordings, tmp_path, same):
    recordings[3] = replace(recordings[3], patient_id=same)
    splits = {"train": recordings[:3], "test": recordings[3:]}
    refused(splits, tmp_path, "recordings.csv row 4", "keep each patient")


def test_good_splits_pass(recordings, tmp_path):
    splits = {"train": recordings[:2], "test": recordings[2:]}
    check(splits, tmp_path, ["a", "b"])
    recordings[0].label = ""
    check(splits, tmp_path)  # unlabelled


def test_patient_in_two_splits(recordings, tmp_path):
    splits = {"train": recordings[:3], "test": recordings[3:]}
    cure = "keep each patient in one split"
    refused(splits, tmp_path, "'p1'", "recordings.csv row 4", cure)


@pytest.mark.parametrize(
    "change, parts",
    [
        ({"ID": "r0"}, ("'r0'", "recordings.csv row 2", "give each")),
        ({"wav": "audio/no.wav"}, ("audio/no.wav", "add the file")),
        ({"label": "c"}, ("label 'c'", "a, b", "--classes")),
        ({"label": ""}, ("label ''",)),
        ({"stop": 1.5}, ("stop 1.5 s", "at 1.0 s", "correct it")),
        ({"start": 1.0}, ("start 1.0 s", "0 <= start < stop")),
        ({"start": -0.1}, ("start -0.1 s",)),
        ({"stop": float("nan")}, ("stop nan s",)),
        ({"patient_id": ""}, ("patient_id of 'r3' is empty",)),
        ({"wav": "audio/$x.wav"}, ("$", "rename")),
        *(
            ({name: text}, (f"{name} holds a '$'",))
            for name in ("ID", "label", "patient_id", "site")
            for text in ("$x", "$data_root/a", "5 $", "$\u00e9")
        ),
        ({"ID": "r\u200b0"}, ("was already used",)),
    ],
)
def test_bad_cells(recordings, tmp_path, change, parts):
    recordings[3] = replace(recordings[3], **change)
    refused({"train": recordings}, tmp_path, *parts)


def test_written_manifests_are_read(recordings, tmp_path):
    recordings[0].ID = 'a, "quoted" é id'
    write({"train": recordings}, tmp_path / "manifest", tmp_path, CORPUS)
    path = tmp_path / "manifest/train.csv"
    header, first, *_ = path.read_text(encoding="utf-8").splitlines()
    assert header == "ID,duration,wav,start,stop,label,patient_id,site"
    assert "$data_root/audio/r0.wav" in first
    back = [replace(r, source="") for r in read(path)]
    assert back == [replace(r, source="") for r in recordings]
    assert manifest.read_corpus(tmp_path / "manifest") == CORPUS


def test_nothing_is_written_after_a_refusal(recordings, tmp_path):
    recordings[0].label = "c"
    with pytest.raises(InputError):
        write({"train": recordings}, tmp_path / "m", tmp_path, CORPUS, ["a"])
    assert not (tmp_path / "m").exists()


def test_bad_files(tmp_path):
    with pytest.raises(InputError, match="no.csv does not exist"):
        read(tmp_path / "no.csv")
    path = tmp_path / "a.csv"
    row = "r,long,$data_root/a.wav,0,1,,p,"
    path.write_text(",".join(manifest.COLUMNS) + f"\n{row}\n")
    with pytest.raises(InputError, match="a.csv row 2: duration is 'long'"):
        read(path)
    (tmp_path / "corpus.json").write_text("{}")
    with pytest.raises(InputError, match="corpus.json is not a description"):
        manifest.read_corpus(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "{}", "1", "[]", "[[], 1]", "null"])
def test_a_damaged_record_of_the_preparation_counts_as_none(text, tmp_path):
    (tmp_path / "prepared.json").write_text(text)
    assert manifest.read_prepared(tmp_path) is None
    assert prepared_from(tmp_path) is None
