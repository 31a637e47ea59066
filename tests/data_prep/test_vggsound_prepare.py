"""Preparation of VGGSound's published layouts."""

import pytest

from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import SPLITS, read, read_corpus
from data_prep.vggsound_prepare import prepare_vggsound

LABELS = ["dog barking", "child speech, kid speaking"]


@pytest.fixture
def vggsound(noise, tmp_path):
    """40 clips of 32 videos; ids begin with - and hold _; two are missing."""
    rows = []
    for i in range(40):
        video = f"-_{min(i, 31):02d}_aBc_de"
        split = "test" if i < 8 else "train"
        rows.append(f'{video},{i},"{LABELS[i % 2]}",{split}')
        if i not in (3, 20):
            noise(f"vgg/audio/{video}_{i:06d}.wav", seconds=0.5)
    (tmp_path / "vgg/vggsound.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "vgg"


def prepare(folder, **options):
    prepare_vggsound(str(folder), str(folder.parent / "out"), **options)
    return {s: read(folder.parent / f"out/{s}.csv") for s in SPLITS}


def test_splits_labels_and_missing_videos(vggsound):
    splits = prepare(vggsound, valid_share=0.25)
    assert len(splits["test"]) == 7
    assert len(splits["train"]) + len(splits["valid"]) == 31
    videos = [{r.patient_id for r in splits[s]} for s in SPLITS]
    assert not (videos[0] & videos[1] or videos[1] & videos[2])
    clip = splits["test"][0]
    assert (clip.ID, clip.patient_id) == ("-_00_aBc_de_000000", "-_00_aBc_de")
    assert {r.label for r in splits["train"]} == set(LABELS)
    out = vggsound.parent / "out"
    missing = [row for _, row in read_table(out / "missing.csv", ["label"])]
    assert [(m["label"], m["missing"]) for m in missing] == [
        ("child speech, kid speaking", "1"),
        ("dog barking", "1"),
    ]
    assert read_corpus(out) == {
        "name": "vgg (in VGGSound's form)",
        "synthetic": False,
    }


def test_corpus_json_names_the_corpus(vggsound):
    (vggsound / "corpus.json").write_text('{"name": "toy", "synthetic": true}')
    prepare(vggsound)
    assert read_corpus(vggsound.parent / "out")["name"] == "toy"


def test_class_folders(noise, tmp_path):
    for split in ("train", "test"):
        for i in range(6):
            for n, label in enumerate(LABELS):
                noise(f"vgg/{split}/{label}/x_{split}{i}_00003{n}.ogg")
    splits = prepare(tmp_path / "vgg", valid_share=0.2)
    assert {r.label for r in splits["test"]} == set(LABELS)
    assert {r.patient_id for r in splits["test"]} == {
        f"x_test{i}" for i in range(6)
    }


def test_class_folders_of_any_names(noise, tmp_path):
    for split in ("train", "test"):
        for label in LABELS:
            for i in range(3):
                noise(f"vgg/{split}/{label}/dog_{i}.wav")
    splits = prepare(tmp_path / "vgg", valid_share=0.2)
    clips = [clip for s in SPLITS for clip in splits[s]]
    assert len({clip.patient_id for clip in clips}) == len(clips) == 12


def test_a_larger_share_holds_out_the_videos_of_a_smaller_one(vggsound):
    small = prepare(vggsound, valid_share=0.1)
    large = prepare(vggsound, valid_share=0.3)
    videos = [{r.patient_id for r in s["valid"]} for s in (small, large)]
    assert videos[0] < videos[1]


def test_a_class_that_is_only_in_test_is_left_out_of_labels(vggsound, caplog):
    table = vggsound / "vggsound.csv"
    table.write_text(table.read_text().replace(LABELS[0], "owl", 2))
    splits = prepare(vggsound, require_all_classes=True)
    assert {r.label for s in SPLITS for r in splits[s]} == set(LABELS)
    assert (
        "1 classes with fewer than 1 clips to train with, or none in train, "
        "left out: owl"
    ) in caplog.messages
    splits = prepare(vggsound)
    assert {r.label for r in splits["test"]} == {*LABELS, "owl"}
    splits = prepare(vggsound, min_clips=2)
    assert {r.label for r in splits["test"]} == set(LABELS)


def test_without_labels_one_clip_a_class_is_enough(vggsound, caplog):
    table = vggsound / "vggsound.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text(
        "\n".join(f"{r[0]},{r[1]},class {r[1]},{r[-1]}" for r in rows)
    )
    splits = prepare(vggsound, valid_share=0.25)
    assert [len(splits[s]) for s in SPLITS] == [25, 6, 7]
    assert "left out" not in caplog.text


def test_files_that_are_added_are_found(vggsound, noise):
    before = prepare(vggsound)
    noise("vgg/audio/-_20_aBc_de_000020.wav")
    after = prepare(vggsound)
    assert sum(map(len, after.values())) == sum(map(len, before.values())) + 1


def test_rare_classes_are_left_out(vggsound):
    table = vggsound / "vggsound.csv"
    table.write_text(table.read_text().replace(LABELS[0], "rare", 5))
    splits = prepare(vggsound, min_clips=5)
    assert "rare" not in {r.label for s in SPLITS for r in splits[s]}


def test_an_empty_class_is_an_error_only_where_labels_are_used(vggsound):
    with open(vggsound / "vggsound.csv", "a") as table:
        table.write("gone0000000,1,whale,train\n")
    prepare(vggsound)
    with pytest.raises(InputError, match="'whale' has no clip left"):
        prepare(vggsound, require_all_classes=True)


def test_only_the_official_csv_is_compared_with_its_counts(
    vggsound, caplog, monkeypatch
):
    prepare(vggsound)
    assert "as published" not in caplog.text
    monkeypatch.setattr("data_prep.vggsound_prepare.OFFICIAL_ROWS", 40)
    prepare(vggsound, valid_share=0.2)
    assert [m for m in caplog.messages if "published" in m] == [
        "train: 32 in total here, 183730 as published",
        "test: 8 in total here, 15446 as published",
        "classes: 2 in total here, 309 as published",
    ]
    assert read_corpus(vggsound.parent / "out")["name"] == "VGGSound"


@pytest.mark.parametrize(
    "row, message",
    [
        ("a,1,dog", "row 41: 3 cells"),
        ("a,1,child speech, kid speaking,train", "row 41: 5 cells, .*quote"),
        ("a,one,dog,train", "row 41: start is 'one'"),
        ("a,1,dog,valid", "row 41: split is 'valid'"),
    ],
)
def test_bad_rows(vggsound, row, message):
    with open(vggsound / "vggsound.csv", "a") as table:
        table.write(row + "\n")
    with pytest.raises(InputError, match=message):
        prepare(vggsound)


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="no does not exist.*make demo-data"):
        prepare(tmp_path / "no")
    (tmp_path / "vgg").mkdir()
    with pytest.raises(InputError, match="neither vggsound.csv nor train/"):
        prepare(tmp_path / "vgg")


def test_prepared_once(vggsound, monkeypatch):
    before = prepare(vggsound)
    monkeypatch.setattr("data_prep.corpora.preparation.audit", None)
    assert prepare(vggsound) == before
    with pytest.raises(TypeError):  # other options: prepared again
        prepare(vggsound, valid_share=0.3)
