"""Nobody who is held out is adapted on."""

import logging
import os
import shutil

import pytest
import soundfile

from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.errors import InputError
from data_prep.files.tables import read_lines
from data_prep.manifest import read
from data_prep.pack import pack


def prepare(folder, tmp_path, *tables, **options):
    """Patients that are adapted on, and what ``rejected.csv`` says."""
    out = tmp_path / "out"
    exclude = [str(table) for table in tables]
    prepare_unlabelled(str(folder), str(out), exclude=exclude, **options)
    kept = {
        r.patient_id for s in ("train", "valid") for r in read(out / f"{s}.csv")
    }
    rejected = read_lines(out / "rejected.csv")[1:]
    return kept, rejected


@pytest.fixture
def as_flac(tmp_path):
    """Recordings of the database as FLAC, of other patients, with a table:
    ``as_flac(3, 8)``."""

    def write(*numbers):
        (tmp_path / "test/audio").mkdir(parents=True)
        rows = ["patient_id,path"]
        for n, i in enumerate(numbers):
            samples, rate = soundfile.read(tmp_path / f"db/audio/r{i}.wav")
            name = f"audio/t{n}.flac"
            soundfile.write(tmp_path / "test" / name, samples, rate)
            rows.append(f"Zoe{n},{name}")
        table = tmp_path / "test/recordings.csv"
        table.write_text("\n".join(rows) + "\n")
        return table

    return write


def test_unlabelled_leaves_out_held_out_patients(database, tmp_path):
    """All recordings of a test patient, also those without a split."""
    splits = ["", "train", "test"]
    folder = database(
        ",split", lambda i: "," + (splits[i // 2 % 3] if i % 2 else "")
    )
    exclude = tmp_path / "held_out.csv"
    exclude.write_text("patient_id\np0\nP1\n")
    kept, rejected = prepare(folder, tmp_path, exclude, excluded="drop")
    expected = {f"p{i}" for i in range(20) if i % 3 != 2} - {"p0", "p1"}
    assert kept == expected
    assert {r.label for r in read(tmp_path / "out/train.csv")} == {""}
    reasons = [reason for _, _, reason in rejected]
    assert reasons.count("patient of an --exclude table") == 4
    assert reasons.count("patient of the test split") == 12


def test_a_split_that_nobody_knows_is_not_adapted_on(database, tmp_path):
    folder = database(",split", lambda i: ",Test" if i > 30 else ",train")
    with pytest.raises(InputError, match="row 33: split is 'Test'"):
        prepare_unlabelled(str(folder), str(tmp_path / "out"))


def test_adapting_on_everybody_is_said(database, tmp_path, caplog):
    prepare_unlabelled(str(database()), str(tmp_path / "out"))
    assert "No recording is held out from adaptation" in caplog.text


def test_nothing_left_to_adapt_on(database, tmp_path):
    folder = database()
    with pytest.raises(InputError, match="no recording of .* is left"):
        prepare_unlabelled(
            str(folder),
            str(tmp_path / "out"),
            exclude=[str(folder / "recordings.csv")],
            excluded="drop",
        )


def test_an_exclude_table_that_is_not_there(database, tmp_path):
    with pytest.raises(InputError, match="--exclude .*no.csv does not exist"):
        prepare_unlabelled(
            str(database()),
            str(tmp_path / "out"),
            exclude=[str(tmp_path / "no.csv")],
        )


def test_a_patient_that_is_held_out_is_refused_by_default(database, tmp_path):
    """The message is one line with rows, and without anybody's id."""
    folder = database()
    table = tmp_path / "held_out.csv"
    table.write_text("patient_id\nnobody\np7\n")
    with pytest.raises(InputError) as error:
        prepare(folder, tmp_path, table)
    assert str(error.value) == (
        f"2 of 40 recordings of {folder}/recordings.csv must not be adapted "
        f"on, such as recordings.csv row 16, which is of the patient of "
        f"{table} row 3; remove those rows, or pass --excluded drop, which "
        "leaves them out and lists them in rejected.csv"
    )
    assert not (tmp_path / "out/train.csv").exists()


def test_a_recording_under_another_id_and_format_is_refused(
    database, as_flac, tmp_path
):
    folder = database()
    table = as_flac(9, 3)
    with pytest.raises(InputError) as error:
        prepare(folder, tmp_path, table)
    message = str(error.value)
    assert message.startswith("2 of 40 recordings of ")
    # In the order of the database.
    assert (
        f"such as recordings.csv row 5, which has the samples of {table} row 3;"
    ) in message
    assert "zoe" not in message.lower() and "\n" not in message


def test_a_recording_under_another_id_takes_its_patient_along(
    database, as_flac, tmp_path, caplog
):
    folder = database()
    table = as_flac(9)
    caplog.set_level(logging.INFO)
    kept, rejected = prepare(folder, tmp_path, table, excluded="drop")
    assert kept == {f"p{i}" for i in range(20)} - {"p4"}
    reason = (
        "patient held out under another id: recordings.csv row 11 has the "
        f"same samples as {table} row 2"
    )
    assert rejected == [
        ["audio/r8.wav", "excluded", reason],
        ["audio/r9.wav", "excluded", reason],
    ]
    assert "2 recordings held out from adaptation" in caplog.messages


def test_a_silence_in_both_is_no_recording_in_common(
    database, as_flac, noise, tmp_path
):
    folder = database()
    noise("db/audio/r5.wav", level=0.0)
    kept, rejected = prepare(folder, tmp_path, as_flac(5))
    assert len(kept) == 20
    assert [verdict for _, verdict, _ in rejected] == ["rejected"]


def test_held_out_patients_of_the_database_are_left_out_not_refused(
    database, as_flac, tmp_path
):
    folder = database(",split", lambda i: ",test" if i < 4 else ",")
    own = tmp_path / "own.csv"
    own.write_text("patient_id\nP0\nP1\n")
    kept, rejected = prepare(folder, tmp_path, own, as_flac(0))
    assert kept == {f"p{i}" for i in range(2, 20)}
    assert {reason for _, _, reason in rejected} == {
        "patient of the test split"
    }


def test_nothing_in_common_is_said(database, noise, tmp_path, caplog):
    noise("test/a.wav")
    table = tmp_path / "test/test.csv"
    # A manifest: parts of one file, which is read whole.
    table.write_text("wav,patient_id\n" + "$data_root/a.wav,q\n" * 2)
    caplog.set_level(logging.INFO)
    prepare(database(), tmp_path, table)
    assert (
        "40 recordings of 20 patients compared with the 1 patients and 1 "
        "recordings of --exclude: none shared"
    ) in caplog.messages
    assert "No recording is held out" not in caplog.text


def test_a_mere_list_of_patients_is_compared_by_patient(
    database, tmp_path, caplog
):
    table = tmp_path / "patients.csv"
    table.write_text("patient_id\nnobody\n")
    kept, _ = prepare(database(), tmp_path, table)
    assert len(kept) == 20
    assert f"{table} has neither path nor wav: compared by" in caplog.text


def test_held_out_audio_that_cannot_be_read_is_said(database, tmp_path, caplog):
    (tmp_path / "test").mkdir()
    (tmp_path / "test/zoe.wav").write_text("no audio")
    table = tmp_path / "test/test.csv"
    table.write_text("patient_id,path\nZoe,zoe.wav\n")
    prepare(database(), tmp_path, table)
    assert (
        f"1 of 1 audio files of {table} cannot be read, such as that of "
        f"{table} row 2: compared by patient only"
    ) in caplog.messages


def test_held_out_audio_that_is_nowhere(database, as_flac, tmp_path):
    """Named by its row: a path may hold the patient's id."""
    folder = database()
    table = as_flac(9)
    moved = tmp_path / "zoe.csv"
    table.rename(moved)
    with pytest.raises(InputError) as error:
        prepare(folder, tmp_path, moved)
    assert str(error.value) == (
        f"{moved} row 2: its audio file is not in {tmp_path}, {folder}; pass "
        "the folder that the table's paths are relative to with --exclude_folder"
    )
    with pytest.raises(InputError, match="1 of 40 .* samples of .*zoe.csv row"):
        prepare(folder, tmp_path, moved, exclude_folder=str(tmp_path / "test"))


def test_a_manifest_is_looked_up_where_it_was_prepared_from(
    database, noise, tmp_path
):
    """Not in the cry folder, whose files may have the same names."""
    folder = database()
    for i in range(4):
        noise(f"clinic/audio/r{i}.wav", seconds=0.6)
    rows = [f"r{i},q{i},audio/r{i}.wav" for i in range(4)]
    (tmp_path / "clinic/recordings.csv").write_text(
        "\n".join(["recording_id,patient_id,path", *rows])
    )
    prepare_unlabelled(str(tmp_path / "clinic"), str(tmp_path / "manifest"))
    kept, _ = prepare(folder, tmp_path, tmp_path / "manifest/train.csv")
    assert len(kept) == 20


def test_files_of_one_name_in_two_folders_are_two(database, tmp_path):
    """Also where size and time are the same, as archives leave them."""
    folder = database()
    tables = []
    for i in (9, 3):
        (tmp_path / f"test{i}").mkdir()
        copy = shutil.copy(
            folder / f"audio/r{i}.wav", tmp_path / f"test{i}/a.wav"
        )
        os.utime(copy, (1, 1))
        tables.append(tmp_path / f"test{i}/test.csv")
        tables[-1].write_text(f"patient_id,path\nz{i},a.wav\n")
    kept, _ = prepare(folder, tmp_path, *tables, excluded="drop")
    assert kept == {f"p{i}" for i in range(20)} - {"p1", "p4"}


def test_held_out_audio_in_a_pack(database, as_flac, tmp_path):
    folder = database()
    table = as_flac(9)
    pack(str(table.parent), str(tmp_path / "pack"))
    moved = tmp_path / "test.csv"
    table.rename(moved)
    options = {"exclude_folder": str(tmp_path / "pack"), "excluded": "drop"}
    kept, _ = prepare(folder, tmp_path, moved, **options)
    assert kept == {f"p{i}" for i in range(20)} - {"p4"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"excluded": "ask"}, "--excluded is 'ask'; expected refuse or drop"),
        ({"exclude_folder": "no"}, "--exclude_folder no is not a folder"),
    ],
)
def test_wrong_options(database, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        prepare(database(), tmp_path, **options)


def test_a_held_out_row_without_patient(database, tmp_path):
    table = tmp_path / "test.csv"
    table.write_text("patient_id,label\n,x\n")
    with pytest.raises(InputError, match="test.csv row 2: patient_id is empty"):
        prepare(database(), tmp_path, table)
