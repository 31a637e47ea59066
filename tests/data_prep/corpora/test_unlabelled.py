"""Held-out patients are never in the manifests for adaptation."""

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

EVERYONE = {f"P{i}" for i in range(20)}


def prepare(folder, tmp_path, *tables, **options):
    """Patients for adaptation, and rows of ``rejected.csv``."""
    out = tmp_path / "out"
    exclude = [str(table) for table in tables]
    prepare_unlabelled(str(folder), str(out), exclude=exclude, **options)
    kept = {
        r.patient_id for s in ("train", "valid") for r in read(out / f"{s}.csv")
    }
    return kept, read_lines(out / "rejected.csv")[1:]


@pytest.fixture
def table(tmp_path):
    """Write an exclude table: ``table("patient_id", "p0")``."""

    def write(*lines, folder="."):
        path = tmp_path / folder / "held_out.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


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
        path = tmp_path / "test/recordings.csv"
        path.write_text("\n".join(rows) + "\n")
        return path

    return write


def test_held_out_patients_are_left_out(database, table, tmp_path):
    """With all recordings, also those without a split."""
    splits = ["", "train", "test"]
    folder = database(
        ",split", lambda i: "," + (splits[i // 2 % 3] if i % 2 else "")
    )
    exclude = table("patient_id", "p0", "P1")
    kept, rejected = prepare(folder, tmp_path, exclude, excluded="drop")
    held_out = {"P0", "P1"} | {f"P{i}" for i in range(2, 20, 3)}
    assert kept == EVERYONE - held_out
    assert {r.label for r in read(tmp_path / "out/train.csv")} == {""}
    reasons = [reason for _, _, reason in rejected]
    assert reasons.count("patient of an --exclude table") == 4
    assert reasons.count("patient of the test split") == 12


def test_no_held_out_patient_is_reported(database, tmp_path, caplog):
    prepare(database(), tmp_path)
    assert "No recording is held out from adaptation" in caplog.text


def test_a_held_out_patient_is_refused_by_default(database, table, tmp_path):
    """The message is one line with rows, and without patient ids."""
    folder, exclude = database(), table("patient_id", "nobody", "p7")
    with pytest.raises(InputError) as error:
        prepare(folder, tmp_path, exclude)
    assert str(error.value) == (
        f"2 of 40 recordings of {folder}/recordings.csv must not be adapted "
        f"on, such as recordings.csv row 16, which is of the patient of "
        f"{exclude} row 3; remove those rows, or pass --excluded drop, which "
        "leaves them out and lists them in rejected.csv"
    )
    assert not (tmp_path / "out/train.csv").exists()


def test_a_recording_under_another_id_and_format(
    database, as_flac, tmp_path, caplog
):
    """Refused, or left out with all recordings of its patient."""
    folder, exclude = database(), as_flac(9)
    with pytest.raises(InputError) as error:
        prepare(folder, tmp_path, exclude)
    message = str(error.value)
    assert message.startswith("1 of 40 recordings of ")
    assert (
        f"recordings.csv row 11, which has the samples of {exclude} row 2;"
        in (message)
    )
    assert "zoe" not in message.lower() and "\n" not in message
    caplog.set_level(logging.INFO)
    kept, rejected = prepare(folder, tmp_path, exclude, excluded="drop")
    assert kept == EVERYONE - {"P4"}
    reason = (
        "patient held out under another id: recordings.csv row 11 has the "
        f"same samples as {exclude} row 2"
    )
    assert rejected == [
        ["audio/r8.wav", "excluded", reason],
        ["audio/r9.wav", "excluded", reason],
    ]
    assert "2 recordings held out from adaptation" in caplog.messages


def test_silence_in_both_is_not_shared(database, as_flac, noise, tmp_path):
    folder = database()
    noise("db/audio/r5.wav", level=0.0)
    kept, rejected = prepare(folder, tmp_path, as_flac(5))
    assert kept == EVERYONE
    assert [verdict for _, verdict, _ in rejected] == ["rejected"]


def test_the_databases_test_split_is_left_out_not_refused(
    database, table, as_flac, tmp_path
):
    folder = database(",split", lambda i: ",test" if i < 4 else ",")
    exclude = table("patient_id", "P0", "P1")
    kept, rejected = prepare(folder, tmp_path, exclude, as_flac(0))
    assert kept == EVERYONE - {"P0", "P1"}
    assert {reason for _, _, reason in rejected} == {
        "patient of the test split"
    }


def test_nothing_shared_is_reported(database, table, noise, tmp_path, caplog):
    noise("test/a.wav")
    # A manifest: parts of one file, which is read as a whole.
    row = "$data_root/a.wav,q"
    exclude = table("wav,patient_id", row, row, folder="test")
    caplog.set_level(logging.INFO)
    prepare(database(), tmp_path, exclude)
    assert (
        "40 recordings of 20 patients compared with the 1 patients and 1 "
        "recordings of --exclude: none shared"
    ) in caplog.messages
    assert "No recording is held out" not in caplog.text


def test_tables_without_readable_audio_are_reported(
    database, table, tmp_path, caplog
):
    folder = database()
    exclude = table("patient_id", "nobody", "p7")
    assert prepare(folder, tmp_path, exclude, excluded="drop")[0] == (
        EVERYONE - {"P7"}
    )
    assert f"{exclude} has neither path nor wav: compared by" in caplog.text
    exclude = table("patient_id,path", "P7,zoe.wav", folder="test")
    (tmp_path / "test/zoe.wav").write_text("no audio")
    prepare(folder, tmp_path, exclude, excluded="drop")
    assert (
        f"1 of 1 audio files of {exclude} cannot be read, such as that of "
        f"{exclude} row 2: compared by patient only"
    ) in caplog.messages


def test_missing_audio_is_named_by_its_row(database, as_flac, tmp_path):
    """A path may hold the patient's id."""
    folder = database()
    moved = tmp_path / "zoe.csv"
    as_flac(9).rename(moved)
    with pytest.raises(InputError) as error:
        prepare(folder, tmp_path, moved)
    assert str(error.value) == (
        f"{moved} row 2: its audio file is not in {tmp_path}, {folder}; pass "
        "the folder that the table's paths are relative to with "
        "--exclude_folder"
    )
    with pytest.raises(InputError, match="1 of 40 .* samples of .*zoe.csv row"):
        prepare(folder, tmp_path, moved, exclude_folder=str(tmp_path / "test"))


def test_a_manifests_audio_is_where_it_was_prepared_from(
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
    assert kept == EVERYONE


def test_files_of_one_name_in_two_folders(database, table, tmp_path):
    """Also with the same size and time, as in archives."""
    folder, tables = database(), []
    for i in (9, 3):
        rows = ("patient_id,path", f"z{i},a.wav")
        tables.append(table(*rows, folder=f"test{i}"))
        copy = shutil.copy(
            folder / f"audio/r{i}.wav", tmp_path / f"test{i}/a.wav"
        )
        os.utime(copy, (1, 1))
    kept, _ = prepare(folder, tmp_path, *tables, excluded="drop")
    assert kept == EVERYONE - {"P1", "P4"}


def test_held_out_audio_in_a_pack(database, as_flac, tmp_path):
    folder, exclude = database(), as_flac(9)
    pack(str(exclude.parent), str(tmp_path / "pack"))
    moved = exclude.rename(tmp_path / "test.csv")
    options = {"exclude_folder": str(tmp_path / "pack"), "excluded": "drop"}
    kept, _ = prepare(folder, tmp_path, moved, **options)
    assert kept == EVERYONE - {"P4"}


@pytest.mark.parametrize(
    "lines, options, message",
    [
        ([], {"excluded": "ask"}, "--excluded is 'ask'; expected refuse or"),
        ([], {"exclude_folder": "no"}, "--exclude_folder no is not a folder"),
        ([], {"exclude": ["no.csv"]}, "--exclude no.csv does not exist"),
        ([], {"valid_share": 1}, "valid_share is 1; it must be above 0"),
        (["patient_id,x", ",1"], {}, "held_out.csv row 2: patient_id is empty"),
        (["patient_id", *EVERYONE], {"excluded": "drop"}, "no rec.* is left"),
        (
            ["patient_id", *(EVERYONE - {"P3"})],
            {"excluded": "drop"},
            "only one patient to adapt to",
        ),
    ],
)
def test_refusals(database, table, tmp_path, lines, options, message):
    exclude = [str(table(*lines))] if lines else []
    options = {"exclude": exclude, **options}
    with pytest.raises(InputError, match=message):
        prepare_unlabelled(str(database()), str(tmp_path / "out"), **options)


def test_an_unknown_split_is_refused(database, tmp_path):
    folder = database(",split", lambda i: ",Test" if i > 30 else ",train")
    with pytest.raises(InputError, match="row 33: split is 'Test'"):
        prepare(folder, tmp_path)
