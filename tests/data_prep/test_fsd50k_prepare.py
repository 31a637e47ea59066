"""Preparation of FSD50K's published layout."""

import json

import pytest

from data_prep.files.errors import InputError
from data_prep.fsd50k_prepare import prepare_fsd50k
from data_prep.manifest import SPLITS, read_corpus

BY = "http://creativecommons.org/licenses/by/3.0/"
ZERO = "http://creativecommons.org/publicdomain/zero/1.0/"


@pytest.fixture
def fsd50k(write, tmp_path):
    """Six uploaders with two clips in train, three in val and three in eval;
    one uploader is in train and in eval, in another spelling."""
    tables = {"dev": ["fname,labels,mids,split"], "eval": ["fname,labels,mids"]}
    info = {"dev": {}, "eval": {}}
    labels = '"Crying_and_sobbing,Human_voice"', '"Purr,Cat,Animal"', "Rain"

    def add(part, uploader, split=""):
        for n in range(3):
            clip = str(100 + sum(map(len, info.values())))
            write(f"FSD50K.{part}_audio/{clip}.wav")
            tables[part].append(f'{clip},{labels[n]},"/m/1,/m/2"{split}')
            info[part][clip] = {
                "title": "a", "description": "b", "tags": ["c"],
                "license": ZERO if n else BY, "uploader": uploader,
            }  # fmt: skip

    for i in range(6):
        add("dev", f"user{i}", ",train")
    for i in range(3):
        add("dev", f"valid{i}", ",val")
        add("eval", f"test{i}")
    add("eval", "User5")
    root = tmp_path / "src"
    for name in ("ground_truth", "metadata"):
        (root / f"FSD50K.{name}").mkdir()
    for part in tables:
        table = root / f"FSD50K.ground_truth/{part}.csv"
        table.write_text("\n".join(tables[part]) + "\n")
        path = root / f"FSD50K.metadata/{part}_clips_info_FSD50K.json"
        path.write_text(json.dumps(info[part]))
    return root


def test_splits_uploaders_labels_and_licences(
    fsd50k, prepared, patients, output, tmp_path, caplog
):
    chosen = ["Crying_and_sobbing", "Cat"]
    splits = prepared(prepare_fsd50k, fsd50k, labels=chosen)
    assert [len(splits[s]) for s in SPLITS] == [15, 9, 12]
    assert patients(splits) == 12
    assert read_corpus(tmp_path / "out")["name"] == "FSD50K"
    assert output("recordings.csv")[0] == {
        "recording_id": "fs100",
        "patient_id": "fs_user0",
        "path": "FSD50K.dev_audio/100.wav",
        "sound": "Crying_and_sobbing",
        "labels": "Crying_and_sobbing Human_voice",
        "licence": "CC BY",
        "uploader": "user0",
        "split": "train",
    }
    sounds = [row["sound"] for row in output("recordings.csv")]
    assert sounds[:3] == ["Crying_and_sobbing", "Cat", "other"]
    assert output("recordings.csv")[1]["licence"] == "CC0"
    assert "3 of 39 clips are left out: their uploader is" in caplog.text
    assert "train: 18 clips here, 36796 as published" in caplog.messages


@pytest.mark.parametrize(
    "path, old, new, message",
    [
        ("ground_truth/dev.csv", ",train", ",x", "dev.csv row 2: split is 'x'"),
        ("ground_truth/dev.csv", "100,", "99,", "row 2: 99 is not in FSD50K.m"),
        ("metadata/dev_clips_info_FSD50K.json", '"uploader"', '"u"', "100.upl"),
        ("metadata/dev_clips_info_FSD50K.json", "{", "", "damaged, not JSON"),
        ("metadata/dev_clips_info_FSD50K.json", "user0", "", "has no uploader"),
    ],
)
def test_bad_tables(fsd50k, prepared, path, old, new, message):
    table = fsd50k / f"FSD50K.{path}"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        prepared(prepare_fsd50k, fsd50k, labels=["Cat"])


def test_what_is_missing(fsd50k, prepared):
    with pytest.raises(InputError, match="--labels Dog is not a label of any"):
        prepared(prepare_fsd50k, fsd50k, labels=["Dog"])
    (fsd50k / "FSD50K.dev_audio/100.wav").unlink()
    with pytest.raises(InputError, match="100.wav is not in .*unpack all par"):
        prepared(prepare_fsd50k, fsd50k, labels=["Cat"])
    with pytest.raises(InputError, match="neither FSD50K.dev_audio nor"):
        prepared(prepare_fsd50k, fsd50k / "FSD50K.metadata", labels=["Cat"])
