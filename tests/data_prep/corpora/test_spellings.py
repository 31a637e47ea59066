"""One patient, label or file in several spellings, at each entry."""

import logging
import unicodedata

import pytest

from cry_modules.evaluation.confounds import confounds
from cry_modules.evaluation.cross_validation import Settings
from data_prep.audio.folder import find_file
from data_prep.corpora.database import read_database
from data_prep.corpora.labelled import prepare_clinical
from data_prep.corpora.listing import read_recordings
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import SPLITS, read
from data_prep.split import split_database
from recipes.study.cry_tables import write_tables

#: Of one name, in every second recording of a patient.
ODD = (
    lambda name: unicodedata.normalize("NFD", name),
    lambda name: f"{name}\u200b",
    lambda name: name.replace(" ", "  "),
    lambda name: name.replace(" ", "\u00a0"),
    lambda name: name.upper(),
    lambda name: f"\ufeff{name}",
    lambda name: name.replace("m", "\u043c"),  # Cyrillic
    lambda name: name.replace("\u00e9", "\u0435\u0301"),
    lambda name: name.replace("n", "\u039d"),  # Greek
)


def spelt(i, row):
    """The database's row, its patient in another spelling."""
    name = f"\u00e9m\u00e9 n{i // 2}"
    other = ODD[i // 2 % len(ODD)](name) if i % 2 else name
    return row.replace(f"P{i // 2},", f"{other},", 1)


def with_marks(marks):
    """Replace the labels of the last rows."""

    def change(i, row):
        if i < 40 - len(marks):
            return row
        return row.replace("healthy", marks[i - 40 + len(marks)])

    return change


def recordings_csv(folder, rows, name="recordings.csv"):
    path = folder / name
    head = "recording_id,patient_id,path,label"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_twenty_babies_in_two_spellings_are_twenty(database, tmp_path, caplog):
    folder = database(change=spelt)
    rows = read_database(folder / "recordings.csv", [])
    assert len({rec.patient_id for rec, _ in rows}) == 20
    prepare_clinical(
        str(folder), str(tmp_path / "out"), "neuro_injury",
        ["healthy", "injury"],
    )  # fmt: skip
    of_split = [
        {rec.patient_id for rec in read(tmp_path / f"out/{split}.csv")}
        for split in SPLITS
    ]
    assert sum(map(len, of_split)) == len(set.union(*of_split)) == 20
    _, splits = read_recordings(folder / "recordings.csv")
    assert len({rec.patient_id for rec in splits[""]}) == 20
    assert "\u00e9m\u00e9" not in caplog.text.lower()


def test_excluded_in_another_spelling(database, tmp_path):
    folder, table = database(change=spelt), tmp_path / "list.csv"
    names = [ODD[(i + 1) % len(ODD)](f"\u00e9m\u00e9 n{i}") for i in range(18)]
    table.write_text("\n".join(["patient_id", *names]), encoding="utf-8")
    exclude = [str(table)]
    prepare_unlabelled(
        str(folder), str(tmp_path / "out"), exclude=exclude, excluded="drop"
    )
    kept = [
        r for s in ("train", "valid") for r in read(tmp_path / f"out/{s}.csv")
    ]
    assert {rec.patient_id for rec in kept} == {
        "\u00e9m\u00e9 n18",
        "\u00e9m\u00e9 n19",
    }
    with pytest.raises(InputError, match="36 of 40 recordings .* must not be"):
        prepare_unlabelled(str(folder), str(tmp_path / "b"), exclude=exclude)


def numbered(text):
    return lambda i, row: row.replace(f"P{i // 2},", text(i) + ",", 1)


@pytest.mark.parametrize("listed, known", [("007", "7"), ("7.0", "007")])
def test_a_number_excluded_as_a_spreadsheet_writes_it(
    database, tmp_path, listed, known
):
    names = [f"q{i}" for i in range(20)]
    names[7] = known
    folder = database(change=numbered(lambda i: names[i // 2]))
    (tmp_path / "list.csv").write_text(f"patient_id\n{listed}\n")
    with pytest.raises(InputError, match="2 of 40 recordings .* row 16, which"):
        prepare_unlabelled(
            str(folder), str(tmp_path / "a"), exclude=[f"{tmp_path}/list.csv"]
        )


@pytest.mark.parametrize("others", [("007", "7"), ("7.0", "7"), ("07", "7,0")])
def test_ids_that_differ_in_zeros_are_refused(tmp_path, others):
    rows = [f'r{i},"{other}",{i}.wav,a' for i, other in enumerate(others)]
    table = recordings_csv(tmp_path, rows)
    for reader in (
        lambda: read_database(table, []),
        lambda: read_recordings(table),
        lambda: split_database(str(table), str(tmp_path / "out"), "label"),
    ):
        with pytest.raises(InputError) as error:
            reader()
        assert str(error.value).startswith(
            "recordings.csv row 3: patient_id differs from that of "
            "recordings.csv row 2 in zeros only"
        )
        assert "\n" not in str(error.value)


def test_a_list_that_protects_nobody_is_refused(database, tmp_path, noise):
    table = tmp_path / "list.csv"
    table.write_text("patient_id\nbaby1\nbaby2\n")
    with pytest.raises(
        InputError, match="no listed id exists here .* 20 other"
    ):
        prepare_unlabelled(
            str(database()), str(tmp_path / "out"), exclude=[str(table)]
        )
    assert not (tmp_path / "out/train.csv").exists()


def test_a_list_without_patients_here_warns_if_audio_is_compared(
    database, tmp_path, noise, caplog
):
    noise("other.wav")
    table = tmp_path / "list.csv"
    table.write_text("patient_id,path\nbaby1,other.wav\n")
    prepare_unlabelled(
        str(database()), str(tmp_path / "out"), exclude=[str(table)]
    )
    assert "no listed id exists here" in caplog.text


MARKS = ("NA", "nan", "N/A", "None", "-", "")


def test_marks_of_missing_labels_are_one_rule(
    database, tmp_path, caplog, capsys
):
    """In `split`, `confounds` and the training's tables."""
    folder = database(change=with_marks(MARKS))
    table = folder / "recordings.csv"
    split_database(str(table), str(tmp_path / "split"), "neuro_injury")
    assert "5 cells of neuro_injury are marks of a missing value" in caplog.text
    classes = {
        r["class"] for _, r in read_table(tmp_path / "split/table.csv", [])
    }
    assert classes == {"healthy", "injury", "all"}
    prepare_clinical(
        str(folder), str(tmp_path / "task"), "neuro_injury",
        ["healthy", "injury"],
    )  # fmt: skip
    n = sum(len(read(tmp_path / f"task/{split}.csv")) for split in SPLITS)
    assert n == 34
    settings = Settings(folds=2, repeats=1, permutations=19)
    lines = confounds(
        str(table), str(tmp_path / "report"), "neuro_injury", settings
    )
    assert lines and "nan" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "labels, message",
    [
        (
            ("#NAME?",),
            "row 41: neuro_injury is '#NAME\\?', which a spreadsheet",
        ),
        (("#N/A",), "row 41: neuro_injury is '#N/A', which a spreadsheet has"),
        (("Healthy",), "row 41: neuro_injury is 'Healthy', and 'healthy' in"),
        (("h\u0435althy",), "row 41: .* 'h\u0435althy', and .* and alphabet"),
    ],
)
def test_labels_that_are_refused_at_each_entry(
    database, tmp_path, labels, message
):
    folder = database(change=with_marks(labels))
    table, out = str(folder / "recordings.csv"), str(tmp_path / "out")
    classes = ["healthy", "injury"]
    for entry in (
        lambda: split_database(table, out, "neuro_injury"),
        lambda: confounds(table, out, "neuro_injury", Settings()),
        lambda: prepare_clinical(str(folder), out, "neuro_injury", classes),
        lambda: prepare_clinical(
            str(folder), out, "neuro_injury", classes, other_labels="drop"
        ),
        lambda: write_tables(str(folder), table, out, ["neuro_injury"]),
    ):
        with pytest.raises(InputError, match=message):
            entry()


def test_a_mark_is_not_a_class(database, tmp_path):
    with pytest.raises(InputError, match="'none', which marks a missing value"):
        prepare_clinical(
            str(database()), str(tmp_path / "out"), "site", ["none", "s1"]
        )


def test_a_class_in_another_spelling_is_not_dropped(database, tmp_path):
    with pytest.raises(InputError, match="'injury', and the class 'Injury'"):
        prepare_clinical(
            str(database()), str(tmp_path / "out"), "neuro_injury",
            ["healthy", "Injury"], other_labels="drop",
        )  # fmt: skip


def test_files_in_another_form_of_their_names(database, tmp_path, noise):
    """macOS writes accents in two code points; a table has them in one."""
    folder = database()
    decomposed = unicodedata.normalize("NFD", "b\u00e9b\u00e9")
    noise(f"db/audio/{decomposed}/a b.wav")
    typed = "audio/b\u00e9b\u00e9/a\u00a0b.wav"
    assert find_file(folder, typed) == f"audio/{decomposed}/a b.wav"
    assert find_file(folder, "audio/b\u00e9b\u00e9/c.wav") is None
    table = folder / "recordings.csv"
    rows = table.read_text().replace("audio/r39.wav", typed)
    table.write_text(rows, encoding="utf-8")
    out = tmp_path / "out"
    prepare_unlabelled(str(folder), str(out))
    paths = {r.wav for s in ("train", "valid") for r in read(out / f"{s}.csv")}
    assert len(paths) == 40 and f"audio/{decomposed}/a b.wav" in paths
    _, splits = read_recordings(table)  # of audit and pack
    assert {rec.wav for rec in splits[""]} == paths
    again = rows + f"r40,P0,audio/{decomposed}/a b.wav,,\n"
    table.write_text(again, encoding="utf-8")
    with pytest.raises(InputError, match="row 42: .* listed in .* row 41"):
        prepare_unlabelled(str(folder), str(tmp_path / "b"))


def test_further_cries_of_a_patient_in_another_spelling(database, tmp_path):
    """The study's tables: a held-out patient stays held out."""
    folder = database(",split", lambda i: ",test" if i < 12 else ",train")
    more = recordings_csv(
        folder,
        ["m1,p0\u200b,audio/r0.wav,", "m2,new,audio/r1.wav,"],
        "more.csv",
    )
    write_tables(
        str(folder), str(folder / "recordings.csv"), str(tmp_path / "out"),
        ["neuro_injury"], more=str(more),
    )  # fmt: skip
    split_of = {
        row["recording_id"]: row["split"]
        for _, row in read_table(tmp_path / "out/all.csv", [])
    }
    assert split_of["m1"] == "test" and split_of["m2"] == ""


def test_what_is_joined_is_said(database, caplog):
    caplog.set_level(logging.INFO)
    read_database(database(change=spelt) / "recordings.csv", [])
    assert (
        "recordings.csv row 3: patient_id; spaces and invisible" in caplog.text
    )
    assert (
        "rows spell patient_id differently from an earlier row" in caplog.text
    )
