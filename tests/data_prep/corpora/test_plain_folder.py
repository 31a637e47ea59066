"""Folders of audio and tables as a newcomer keeps them."""

import logging
import unicodedata

import pytest

from data_prep.corpora.database import named_columns, read_database
from data_prep.corpora.labelled import classes_of, prepare_clinical
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.errors import InputError
from data_prep.vggsound_prepare import prepare_vggsound

NAMES = ["a.wav", "street/a.wav", "house/kitchen/b c.wav", "2021/\u00e9.wav"]
NAMES += [f"2021/take {i}.wav" for i in range(8)]
NAMED = {"patient_column": "Baby", "path_column": "File"}


@pytest.fixture
def sounds(write, tmp_path):
    for name in NAMES:
        write(name)
    (tmp_path / "src/notes.txt").write_text("x")
    return tmp_path / "src"


def audio_of(splits):
    return {rec.wav for recordings in splits.values() for rec in recordings}


@pytest.mark.parametrize("prepare", [prepare_vggsound, prepare_unlabelled])
def test_any_folder_is_taken_without_a_table(sounds, prepared, prepare, caplog):
    """Nested, with any names, two of one name; other files are said."""
    splits = prepared(prepare, sounds, valid_share=0.25)
    assert audio_of(splits) == {*NAMES}
    assert len(splits["valid"]) == 3
    assert {rec.label for rec in splits["train"]} == {""}
    assert "1 files" in caplog.text and "not audio" in caplog.text
    assert "notes" not in caplog.text  # names may identify patients


@pytest.mark.parametrize("prepare", [prepare_vggsound, prepare_unlabelled])
@pytest.mark.parametrize("unit", ["folder", r"take (\d)|.*"])
def test_held_out_by_folder_or_pattern(sounds, prepared, prepare, unit):
    if unit != "folder":
        with pytest.raises(InputError, match="--group_by .* finds no patient"):
            prepared(prepare, sounds, group_by=unit)
        return
    splits = prepared(prepare, sounds, group_by=unit)
    train, valid = (
        {rec.wav.rpartition("/")[0] for rec in splits[split]}
        for split in ("train", "valid")
    )
    assert train and valid and not train & valid


@pytest.mark.parametrize("prepare", [prepare_vggsound, prepare_unlabelled])
def test_new_files_are_seen(sounds, prepared, prepare, write):
    prepared(prepare, sounds)
    write("house/kitchen/new.wav")
    splits = prepared(prepare, sounds)
    assert audio_of(splits) == {*NAMES, "house/kitchen/new.wav"}


def test_vggsounds_form_is_kept(write, sounds, prepared, caplog):
    write("train/dog/x_000000.wav")
    write("train/dog/y_000000.wav")
    write("test/dog/z_000000.wav")
    splits = prepared(prepare_vggsound, sounds)
    assert len(audio_of(splits)) == 3 == sum(map(len, splits.values()))
    assert "12 audio files elsewhere in it are left out" in caplog.text


def test_grouping_is_not_ignored(babies, write, tmp_path):
    folder, out = babies(), tmp_path / "out"
    with pytest.raises(
        InputError, match="--group_by is 'folder', and .*babies"
    ):
        prepare_unlabelled(
            *(str(folder), str(out), f"{folder}/babies.csv"),
            group_by="folder", **NAMED,
        )  # fmt: skip
    write("train/dog/x_000000.wav")
    with pytest.raises(InputError, match="VGGSound's form says what is held"):
        prepare_vggsound(str(folder), str(out), group_by="folder")


def test_labels_need_a_form(sounds, tmp_path):
    with pytest.raises(InputError, match="neither vggsound.csv nor train/"):
        prepare_vggsound(
            str(sounds), str(tmp_path / "out"), require_all_classes=True
        )


def test_both_code_points_of_one_name(write, tmp_path):
    for form in ("NFC", "NFD"):
        write(unicodedata.normalize(form, "M\u00fcller.wav"))
    with pytest.raises(InputError, match="differ only in what cannot be seen"):
        prepare_vggsound(str(tmp_path / "src"), str(tmp_path / "out"))


def test_silence_and_duplicates_are_found(sounds, prepared, noise, output):
    noise("src/silent.wav", level=0.0)
    (sounds / "street/copy.wav").write_bytes((sounds / "a.wav").read_bytes())
    splits = prepared(prepare_vggsound, sounds)
    assert "silent.wav" not in audio_of(splits)
    verdicts = {row["path"]: row["verdict"] for row in output("rejected.csv")}
    assert verdicts == {"silent.wav": "rejected", "street/copy.wav": "flagged"}
    assert output("duplicates.csv")


@pytest.fixture
def babies(write, tmp_path):
    """A German table of cries, of another name."""

    def write_table(change=str, rows=None):
        lines = ["Baby;File;Condition"]
        for i in range(24):
            write(f"{i}.wav")
            label = ("Vaccination", "Bath")[i % 2]
            lines.append(f"B{i // 2};{i}.wav;{label}")
        lines = lines if rows is None else [lines[0], *rows]
        table = tmp_path / "src/babies.csv"
        table.write_text(change("\n".join(lines) + "\n"), "utf-8-sig")
        return tmp_path / "src"

    return write_table


def prepare(folder, tmp_path, table="babies.csv", **options):
    prepare_clinical(
        str(folder), str(tmp_path / "out"), "Condition",
        recordings_csv=table, **{**NAMED, **options},
    )  # fmt: skip


def test_a_german_table_as_it_is(babies, prepared, caplog, write):
    caplog.set_level(logging.INFO)
    folder = babies()
    write("more.wav")
    splits = prepared(
        prepare_clinical, folder, label_column="Condition",
        recordings_csv="babies.csv", **NAMED,
    )  # fmt: skip
    recordings = sum(splits.values(), [])
    assert {rec.ID for rec in recordings} == {f"{i}.wav" for i in range(24)}
    # The user's spelling, and the classes that stand in the table.
    assert {rec.patient_id for rec in recordings} == {
        f"B{i}" for i in range(12)
    }
    assert "classes are Bath, Vaccination; the last is" in caplog.text
    assert "separated by semicolons" in caplog.text
    assert "1 audio files of" in caplog.text and "in no row" in caplog.text


def test_the_positive_class(babies):
    table = babies() / "babies.csv"
    named = named_columns(*NAMED.values())
    classes = [
        classes_of(table, "Condition", named, positive=positive)
        for positive in (None, "Bath", "bath ")
    ]
    assert classes == [["Bath", "Vaccination"], *2 * [["Vaccination", "Bath"]]]
    given = classes_of(table, "Condition", named, ["a", "b", "c"], "b")
    assert given == ["a", "c", "b"]
    with pytest.raises(InputError, match="--positive is 'x', which is not one"):
        classes_of(table, "Condition", named, positive="x")


TWO = "B1;1.wav;x", "B2;2.wav;x"  # rows of other patients


@pytest.mark.parametrize(
    "rows, message",
    [
        (["B0;0.wav;Bath", "B1;9/1.wav;Bath", "B2;2.wav;x"], "row 3: 9/1.wav is"
         " not in .*; write its path, which may be 1.wav, or remove the row"),
        (["B0;0;Bath", *TWO], "row 2: 0 is not .* may be 0.wav, or rem"),
        (["B0;/x/0.wav;Bath", "B1;1.wav;x"], "row 2: path /x/0.wav is absolute"),
        (["B0;x\\0.wav;Bath", *TWO], "row 2: .*write paths with /"),
        (["B0;zz.wav;Bath", *TWO], "row 2: zz.wav is not in .*; add the"),
        (["B0;0.wav;Bath", "B1;1.wav;Bath"], "all labels in Condition are 'Bath'"
         "; two classes or more"),
        (["B0;0.wav;", "B1;1.wav;"], "no row of .* has a label in Condition"),
        (["B0;0.wav;Bath", "B0;0.wav;Vaccination"], "row 3: 0.wav has Condition "
         "'Vaccination' here and 'Bath' in babies.csv row 2"),
        (["B0;0.wav;Bath", "B1;1.wav;bath"], "row 3: Condition is 'bath', and "
         "'Bath' in babies.csv row 2; use one spelling and alphabet"),
        # Three babies: no class can be in all splits.
        (["B0;0.wav;Bath", "B1;1.wav;Vaccination", "B2;2.wav;Vaccination"],
         "valid is empty: .* the 3 patients of .* were split .*: add patients"),
    ],
)  # fmt: skip
def test_bad_tables_are_one_line_with_the_cure(babies, tmp_path, rows, message):
    with pytest.raises(InputError, match=message) as error:
        prepare(babies(rows=rows), tmp_path)
    assert "\n" not in str(error.value)


def test_a_class_of_one_baby_and_a_baby_of_two_classes(
    babies, tmp_path, caplog
):
    """Is trained on, and the consequence is said."""
    rows = [f"B{i // 2};{i}.wav;{'Bath' if i < 20 else 'x'}" for i in range(22)]
    rows[0] = "B0;0.wav;x"
    rows[20:] = ["B0;20.wav;x", "B0;21.wav;Bath"]
    prepare(babies(rows=rows), tmp_path)
    assert "no recording of 'x' in valid: no AUC to choose" in caplog.text


@pytest.mark.parametrize("on_disk, listed", [("NFC", "NFD"), ("NFD", "NFC")])
def test_umlauts_in_either_form(write, tmp_path, on_disk, listed):
    name = "Z\u00fcrich/\u00c4rger.wav"
    write(unicodedata.normalize(on_disk, name))
    rows = [f"B{i};{i}.wav;{'ab'[i % 2]}" for i in range(12)]
    for i in range(12):
        write(f"{i}.wav")
    text = "Baby;File;Condition\n" + "\n".join(rows)
    text += f"\nB12;{unicodedata.normalize(listed, name)};a\n"
    (tmp_path / "src/babies.csv").write_text(text)
    prepare(tmp_path / "src", tmp_path)
    paths = [
        (tmp_path / f"out/{split}.csv").read_text()
        for split in ("train", "valid", "test")
    ]
    assert unicodedata.normalize(on_disk, name) in "".join(paths)


def test_the_table_is_named_if_it_is_the_only_one(babies, tmp_path):
    folder = babies()
    with pytest.raises(InputError, match="if the table is babies.csv, pass"):
        prepare(folder, tmp_path, table=None)


def test_two_files_of_one_name_are_two_recordings(babies):
    rows = ["B0;x/0.wav;a", "B1;y/0.wav;b"]
    table = babies(rows=rows) / "babies.csv"
    named = named_columns(*NAMED.values())
    ids = [rec.ID for rec, _ in read_database(table, ["Condition"], named)]
    assert ids == ["x/0.wav", "y/0.wav"]
