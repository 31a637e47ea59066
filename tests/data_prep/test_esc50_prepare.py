"""ESC-50's published layout."""

import numpy as np
import pytest
import soundfile

from data_prep.corpora.labelled import prepare_clinical
from data_prep.esc50_prepare import prepare_esc50
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import SPLITS, read, read_corpus

HEADER = "filename,fold,target,category,esc10,src_file,take"
#: As in the original table: target and whether it is in ESC-10.
CATEGORIES = {
    "crying_baby": (20, True),
    "clock_tick": (38, True),
    "rooster": (1, True),
}


@pytest.fixture
def esc50(tmp_path):
    """Five folds of three categories, two sources each with two takes; one
    source in two folds, as in the original."""
    lines = [HEADER]
    rng = np.random.default_rng(0)
    (tmp_path / "ESC-50-master/audio").mkdir(parents=True)

    def add(fold, category, clip, take):
        target, esc10 = CATEGORIES[category]
        name = f"{fold}-{clip}-{take}-{target}.wav"
        lines.append(f"{name},{fold},{target},{category},{esc10},{clip},{take}")
        soundfile.write(
            tmp_path / "ESC-50-master/audio" / name,
            rng.normal(0, 0.1, 2400),
            8000,
        )

    for fold in range(1, 6):
        for n, category in enumerate(CATEGORIES):
            for source in range(2):
                for take in "AB":
                    add(fold, category, 1000 * fold + 10 * n + source, take)
    add(5, "rooster", 3000, "C")  # source of a baby in fold 3
    (tmp_path / "ESC-50-master/meta").mkdir()
    (tmp_path / "ESC-50-master/meta/esc50.csv").write_text(
        "\n".join(lines) + "\n"
    )
    return tmp_path / "ESC-50-master"


def prepare(folder, **options):
    out = folder.parent / "out"
    prepare_esc50(str(folder), str(out), **options)
    return {split: read(out / f"{split}.csv") for split in SPLITS}


def test_official_folds_sources_and_categories(esc50, caplog):
    splits = prepare(esc50)
    assert [len(splits[s]) for s in SPLITS] == [37, 12, 12]
    assert all(r.wav.startswith("audio/5-") for r in splits["test"])
    assert all(r.wav.startswith("audio/4-") for r in splits["valid"])
    first = splits["train"][0]
    assert (first.ID, first.patient_id, first.label) == (
        "1-1000-A-20",
        "fs1000",
        "crying_baby",
    )
    sources = [{r.patient_id for r in splits[s]} for s in SPLITS]
    assert sum(map(len, sources)) == len(set.union(*sources)) == 30
    assert read_corpus(esc50.parent / "out")["name"] == "ESC-50"
    assert "clips: 61 in total here, 2000 as published" in caplog.text
    assert "categories: 3 in total here, 50 as published" in caplog.text
    assert "crying_baby: 20 clips here, 40 as published" in caplog.text


def test_a_source_in_two_official_folds_is_put_into_one(esc50, caplog):
    splits = prepare(esc50)
    assert "moved to the first: 5-3000-C-1 to fold 3" in caplog.text
    where = {s for s in SPLITS for r in splits[s] if r.patient_id == "fs3000"}
    assert where == {"train"}


def test_other_folds(esc50):
    splits = prepare(esc50, test_fold=1, valid_fold=2)
    assert {r.wav[6] for r in splits["test"]} == {"1"}
    with pytest.raises(InputError, match="test_fold is 9; .* has the folds 1"):
        prepare(esc50, test_fold=9)


def test_cry_against_the_rest_from_its_recordings_csv(esc50):
    prepare(esc50)
    out = esc50.parent / "sound"
    prepare_clinical(
        str(esc50),
        str(out),
        "sound",
        ["other", "crying_baby"],
        recordings_csv=str(esc50.parent / "out/recordings.csv"),
        test_fold=5,
        valid_fold=4,
    )
    labels = [r.label for r in read(out / "test.csv")]
    assert (labels.count("other"), labels.count("crying_baby")) == (8, 4)


def test_overlapping_clips_of_two_sources_are_listed(esc50):
    """As 3-151080-A and 5-151085-A of the original."""
    baby, _ = soundfile.read(esc50 / "audio/3-3000-A-20.wav")
    copy = esc50 / "audio/5-5000-A-20.wav"
    soundfile.write(copy, baby, 8000)
    prepare(esc50)
    copies = read_table(esc50.parent / "out/duplicates.csv", ["path"])
    assert [c["copy"] for _, c in copies] == ["audio/5-5000-A-20.wav"]
    assert copies[0][1]["splits"] == "different: train and test"


@pytest.mark.parametrize(
    "old, new, message",
    [
        (",20,", ",x,", "esc50.csv row 2: target is 'x'; expected a whole"),
        (",1000,A", ",,A", "esc50.csv row 2: src_file is empty"),
        ("1-1000-A-20", "9-9", "row 2: audio/9-9.wav is not in .*remove the"),
        ("category", "label", "esc50.csv has no column 'category'"),
    ],
)
def test_bad_tables(esc50, old, new, message):
    table = esc50 / "meta/esc50.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        prepare(esc50)


def test_other_folders(esc50, tmp_path):
    with pytest.raises(
        InputError, match="has no meta/esc50.csv; pass .*-master"
    ):
        prepare_esc50(str(tmp_path), str(tmp_path / "out"))
    with pytest.raises(InputError, match="is a file; pass the folder"):
        prepare_esc50(str(esc50 / "meta/esc50.csv"), str(tmp_path / "out"))
