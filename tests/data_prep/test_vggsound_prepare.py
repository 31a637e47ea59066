"""Preparation of VGGSound's published layouts."""

import pytest

from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS, read_corpus
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


@pytest.fixture
def prepare(prepared, tmp_path):
    def prepare(**options):
        return prepared(prepare_vggsound, tmp_path / "vgg", **options)

    return prepare


@pytest.fixture
def change(vggsound):
    """Replace text in vggsound.csv: ``change("dog", "cat", 2)``."""

    def change(*replacement):
        table = vggsound / "vggsound.csv"
        table.write_text(table.read_text().replace(*replacement))

    return change


def labels(splits):
    return {rec.label for recs in splits.values() for rec in recs}


def test_splits_labels_and_missing_videos(
    vggsound, prepare, patients, output, tmp_path
):
    splits = prepare(valid_share=0.25)
    assert len(splits["test"]) == 7
    assert len(splits["train"]) + len(splits["valid"]) == 31
    patients(splits)
    clip = splits["test"][0]
    assert (clip.ID, clip.patient_id) == ("-_00_aBc_de_000000", "-_00_aBc_de")
    assert {r.label for r in splits["train"]} == set(LABELS)
    assert [(m["label"], m["missing"]) for m in output("missing.csv")] == [
        ("child speech, kid speaking", "1"),
        ("dog barking", "1"),
    ]
    corpus = {"name": "vgg (in VGGSound's form)", "synthetic": False}
    corpus["is_named"] = False  # only its folder has this name
    assert read_corpus(tmp_path / "out") == corpus


def test_corpus_json_names_the_corpus(vggsound, prepare, tmp_path):
    (vggsound / "corpus.json").write_text('{"name": "toy", "synthetic": true}')
    prepare()
    assert read_corpus(tmp_path / "out")["name"] == "toy"


def test_class_folders(noise, prepare):
    for split in ("train", "test"):
        for i in range(6):
            for n, label in enumerate(LABELS):
                noise(f"vgg/{split}/{label}/x_{split}{i}_00003{n}.ogg")
    test = prepare(valid_share=0.2)["test"]
    assert {r.label for r in test} == set(LABELS)
    assert {r.patient_id for r in test} == {f"x_test{i}" for i in range(6)}


def test_class_folders_with_other_names(noise, prepare, patients):
    for split in ("train", "test"):
        for label in LABELS:
            for i in range(3):
                noise(f"vgg/{split}/{label}/dog_{i}.wav")
    assert patients(prepare(valid_share=0.2)) == 12  # each file a video


def test_a_larger_share_holds_out_the_videos_of_a_smaller_one(
    vggsound, prepare
):
    splits = [prepare(valid_share=share) for share in (0.1, 0.3)]
    small, large = ({r.patient_id for r in s["valid"]} for s in splits)
    assert small < large


def test_classes_that_are_left_out(prepare, change, caplog):
    change(LABELS[0], "owl", 2)  # only in test
    assert labels(prepare(require_all_classes=True)) == set(LABELS)
    assert (
        "1 classes with fewer than 1 clips to train with, or none in train, "
        "left out: owl"
    ) in caplog.messages
    assert labels(prepare()) == {*LABELS, "owl"}
    assert labels(prepare(min_clips=2)) == set(LABELS)
    change(LABELS[0], "rare", 3)  # one of them in train
    assert labels(prepare(min_clips=5)) == set(LABELS)


@pytest.mark.parametrize(
    "options, words",
    [
        (
            {"min_clips": 50},
            "min_clips is 50 and the largest class, .*, has 1[0-9] clips .* "
            "pass --min_clips 1[0-9] or less",
        ),
        (
            {"min_clips": 16, "require_all_classes": True},
            "min_clips is 16 and the second largest class, .* has 15 clips",
        ),
        ({"valid_share": 0.99}, "valid_share is 0.99 of 23 training videos"),
    ],
)
def test_a_setting_that_leaves_nothing_is_named(
    vggsound, prepare, options, words
):
    with pytest.raises(InputError, match=words):
        prepare(**options)


def test_one_class_is_too_few_to_classify(prepare, change):
    change(f'"{LABELS[1]}"', f'"{LABELS[0]}"')
    with pytest.raises(InputError, match="of one class, 'dog barking'; add"):
        prepare(require_all_classes=True)


def test_without_labels_one_clip_per_class_is_enough(vggsound, prepare, caplog):
    table = vggsound / "vggsound.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text(
        "\n".join(f"{r[0]},{r[1]},class {r[1]},{r[-1]}" for r in rows)
    )
    splits = prepare(valid_share=0.25)
    assert [len(splits[s]) for s in SPLITS] == [25, 6, 7]
    assert "left out" not in caplog.text


def test_prepared_again_only_after_a_change(
    vggsound, prepare, noise, monkeypatch
):
    before = prepare()
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.corpora.preparation.audit", None)
        assert prepare() == before
        with pytest.raises(TypeError):  # other options
            prepare(valid_share=0.3)
    noise("vgg/audio/-_20_aBc_de_000020.wav")
    after = prepare()
    assert sum(map(len, after.values())) == sum(map(len, before.values())) + 1


def test_an_empty_class_is_an_error_only_with_labels(vggsound, prepare):
    with open(vggsound / "vggsound.csv", "a") as table:
        table.write("gone0000000,1,whale,train\n")
    prepare()
    with pytest.raises(InputError, match="'whale' has no clip left"):
        prepare(require_all_classes=True)


def test_only_the_official_csv_is_compared_with_its_counts(
    vggsound, prepare, tmp_path, caplog, monkeypatch
):
    prepare()
    assert "as published" not in caplog.text
    monkeypatch.setattr("data_prep.vggsound_prepare.OFFICIAL_ROWS", 40)
    prepare(valid_share=0.2)
    assert [m for m in caplog.messages if "published" in m] == [
        "train: 32 in total here, 183730 as published",
        "test: 8 in total here, 15446 as published",
        "classes: 2 in total here, 309 as published",
    ]
    assert read_corpus(tmp_path / "out")["name"] == "VGGSound"


@pytest.mark.parametrize(
    "row, message",
    [
        ("a,1,dog", "row 41: 3 cells"),
        ("a,1,child speech, kid speaking,train", "row 41: 5 cells, .*quote"),
        ("a,one,dog,train", "row 41: start is 'one'"),
        ("a,1,dog,valid", "row 41: split is 'valid'"),
        ("#NAME?,1,dog,train", "row 41: the video's id is '#NAME\\?', which a"),
        ("1.2E+11,1,dog,train", "row 41: the video's id is '1.2E"),
        ("a,1,#REF!,train", "row 41: label is '#REF!', which a spreadsheet"),
        ("a,1,NA,train", "row 41: label is 'NA'; fill it in"),
        ("a,1,,train", "row 41: label is ''; fill it in"),
    ],
)
def test_bad_rows(vggsound, prepare, row, message):
    with open(vggsound / "vggsound.csv", "a") as table:
        table.write(row + "\n")
    with pytest.raises(InputError, match=message):
        prepare()


def test_a_spreadsheets_export(vggsound, prepare, change, caplog):
    """A declared separator, empty columns, invisible signs, two spellings."""
    change('dog barking",train', 'Dog\u00a0 barking\u200b",train', 2)
    change("\n", ",,\n")
    change("-_00", "sep=,\n\n-_00", 1)
    assert labels(prepare()) == set(LABELS)
    assert "rows spell label differently from an earlier row" in caplog.text


@pytest.mark.parametrize("out", ["manifest", "results/1/manifest"])
def test_manifests_inside_the_listed_folder_are_refused(vggsound, out):
    with pytest.raises(InputError, match="is inside .*outside it"):
        prepare_vggsound(str(vggsound), str(vggsound / out))


def test_other_folders(prepare, tmp_path):
    with pytest.raises(InputError, match="vgg does not exist.*make demo-data"):
        prepare()
    (tmp_path / "vgg").mkdir()
    with pytest.raises(InputError, match="vgg holds no audio file"):
        prepare()
    with pytest.raises(InputError, match="neither vggsound.csv nor train/"):
        prepare(require_all_classes=True)
