"""Commands around long recordings replace no table of a user, and never write
where they read; odd files have one reason everywhere."""

import csv
import importlib
import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests.classifiers import changing, random_model, write_model

RATE = 16000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model, nights, labels, clips and a corpus; no test changes them."""
    root = tmp_path_factory.mktemp("made")
    write_model(root / "model", random_model(log_prior=[0.0, 0.0]))
    for folder, n, seconds in (("nights", 2, 4), ("clips/cry", 4, 1)):
        (root / folder).mkdir(parents=True)
        for i in range(n):
            sound = changing(seconds, seed=i)
            soundfile.write(root / folder / f"{i}.wav", sound, RATE)
    (root / "labels").mkdir()
    for i in range(2):
        (root / f"labels/{i}.txt").write_text("1.0\t2.0\tcry\n")
    (root / "detected.csv").write_text(
        "recording,onset,offset,label\n0.wav,1,2,cry\n1.wav,1,2,cry\n"
    )
    (root / "corpus").mkdir()
    lines = ["recording_id,patient_id,path,kind"]
    for i in range(8):
        sound = changing(1, seed=10 + i)
        soundfile.write(root / f"corpus/{i}.wav", sound, RATE)
        lines.append(f"{i},p{i},{i}.wav,{'cry' if i % 2 else 'rain'}")
    (root / "corpus/recordings.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def data(made, tmp_path):
    """A copy that a command may change."""
    return shutil.copytree(made, tmp_path / "data")


#: Module and arguments of each command, without --out.
COMMANDS = {
    "detect": (
        "cry_modules.detect.__main__",
        "{0}/model {0}/nights --window_s=0.5 --no_pictures",
    ),
    "judge": (
        "cry_modules.metrics.sound_events.__main__",
        "{0}/labels {0}/detected.csv --audio={0}/nights --n_draws=100",
    ),
    "night": (
        "data_prep.night",
        "{0}/clips {0}/nights --hours=0.05 --per_hour=cry=100",
    ),
    "windows": (
        "data_prep.detection_windows",
        "--sounds {0}/corpus/recordings.csv:kind=cry "
        "--others {0}/corpus/recordings.csv:kind=cry "
        "--backgrounds {0}/corpus/recordings.csv:kind=rain --windows=20 "
        "--window_s=0.5",
    ),
    "annotations": ("data_prep.annotations.__main__", "{0}/nights {0}/labels"),
    "embed": ("cry_modules.embed.__main__", "none {0}/nights --acoustics"),
}


@pytest.fixture
def command(data, capsys, monkeypatch):
    """``command(name, *options)`` runs one; its status, error and output."""

    def run(name, *options):
        module, arguments = COMMANDS[name]
        words = [*arguments.format(data).split(), *map(str, options)]
        monkeypatch.setattr(sys, "argv", [name, *words])
        status = 0
        try:
            importlib.import_module(module).main()
        except SystemExit as stop:
            status = stop.code or 0
        out, err = capsys.readouterr()
        errors = [x for x in err.splitlines() if x.startswith("error: ")]
        assert len(errors) == (status == 2), err
        return SimpleNamespace(
            status=status, error="".join(errors), text=out + err
        )

    return run


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


#: Where each command must not write, below the data.
INPUTS = [
    *(("night", "nights"), ("night", "nights/below"), ("night", "clips")),
    *(("judge", "labels"), ("judge", "labels/below")),
    *(("annotations", "labels"), ("annotations", "labels/below")),
    *(("annotations", "nights"), ("annotations", "nights/below")),
    *(("windows", "corpus"), ("embed", "nights/0.wav")),
]


@pytest.mark.parametrize("name, place", INPUTS)
def test_nothing_is_written_where_it_is_read(name, place, command, data):
    before = contents(data)
    done = command(name, "--out", data / place)
    assert done.status == 2 and "; " in done.error
    assert contents(data) == before


def test_detections_beside_their_annotations_would_be_read_as_such(
    command, data
):
    options = "--target_false_alarms_per_hour=9", "--annotations"
    folder = data / "labels"
    done = command("detect", *options, folder, "--out", folder)
    assert "labels is the folder --annotations, whose files" in done.error


#: Tables that a command writes under names that a user may have given.
TABLES = [
    *[("detect", f"{n}.csv") for n in ("events", "summary", "failures")],
    *(("detect", "hours.csv"), ("judge", "bins.csv")),
    *(("judge", "recordings.csv"), ("night", "annotations.csv")),
    *(("night", "mix.csv"), ("windows", "recordings.csv")),
    ("annotations", "recordings.csv"),
]


@pytest.mark.parametrize("name, table", TABLES)
def test_tables_of_a_user_are_not_replaced(name, table, command, data):
    out = data / "out"
    out.mkdir()
    (out / table).write_text("recording,onset,offset,label\nmine,1,2,cry\n")
    before = contents(data)
    assert table in command(name, "--out", out).error
    assert contents(data) == before


@pytest.mark.parametrize("name", [n for n in COMMANDS if n != "embed"])
def test_own_tables_are_replaced(name, command, data):
    assert command(name, "--out", data / "out").status == 0
    before = {p: c for p, c in contents(data).items() if p.suffix == ".csv"}
    assert command(name, "--out", data / "out").status == 0
    after = {p: c for p, c in contents(data).items() if p.suffix == ".csv"}
    assert after == before


def test_an_exclusion_that_matches_nobody(command, data):
    table = data / "held_out.csv"
    table.write_text("patient_id\nsomebody else\n")
    options = "--exclude", table, "--out", data / "out"
    line = command("windows", *options).error
    assert "held_out.csv: no listed id exists here (the tables have 8" in line
    # In another spelling, and with a missing value.
    table.write_text("patient_id\nP1\n")
    assert "from 10 clips of 7 patients" in command("windows", *options).text
    table.write_text("patient_id\nNA\n")
    assert "row 2: patient_id is 'NA'; fill it in" in (
        command("windows", *options).error
    )


def test_the_home_folder_in_a_choice_of_rows(command, data, monkeypatch):
    monkeypatch.setenv("HOME", str(data))
    module, arguments = COMMANDS["windows"]
    monkeypatch.setitem(
        COMMANDS, "windows", (module, arguments.replace("{0}", "~"))
    )
    assert command("windows", "--out", "~/out").status == 0
    assert (data / "out/recordings.csv").is_file()


def test_annotations_of_other_recordings_are_said(command, data):
    (data / "labels/night7.txt").write_text("1.0\t2.0\tcry\n")
    options = "--annotations", data / "labels", "--annotated_label=cry"
    target = "--target_false_alarms_per_hour=3000"
    text = command("detect", *options, target, "--out", data / "o").text
    assert "not used: those of 1 recording that are not among them" in text
    assert "'night7.txt'" in text


def mark_of(kind, path):
    """Write an odd file; return what is said of it."""
    sound = changing(3, seed=3)
    if kind == "not finite":
        sound[RATE:] = np.nan
        soundfile.write(path, sound, RATE, "FLOAT")
    elif kind == "only NaN":
        soundfile.write(path, np.full(RATE, np.nan), RATE, "FLOAT")
    elif kind == "one Hz":
        soundfile.write(path, sound, 1)
    elif kind == "pipe":
        path.unlink()
        os.mkfifo(path)
    else:
        path.write_bytes(b"")


@pytest.mark.parametrize(
    "kind, of_detect, of_night",
    [
        ("not finite", "not finite: 32000 samples", "NaN or infinite; leave"),
        ("only NaN", "not finite: 16000 samples", "NaN or infinite; leave"),
        ("one Hz", "implausible: a sample rate of 1 Hz", "sample rate of 1 Hz"),
        ("empty", "empty: the file has no bytes", "cannot be decoded ("),
        ("pipe", "unreadable: no regular file", "(it is a pipe, a device"),
    ],
)
def test_odd_files_have_a_true_reason(kind, of_detect, of_night, command, data):
    mark_of(kind, data / "nights/1.wav")
    done = command("detect", "--out", data / "o")
    assert done.status == 1 and f"1.wav ({of_detect}" in done.text
    line = command("night", "--out", data / "n").error
    assert "1.wav " in line and of_night in line
    # As a clip, too.
    shutil.move(data / "nights/1.wav", data / "clips/cry/1.wav")
    line = command("night", "--out", data / "n").error
    assert "1.wav " in line and of_night in line


@pytest.mark.parametrize("kind", ["one Hz", "empty", "pipe"])
def test_a_recording_without_a_length(kind, command, data):
    mark_of(kind, data / "nights/1.wav")
    line = command("judge", "--out", data / "j").error
    assert "1.wav cannot be opened, so its length is unknown; try" in line
    done = command("annotations", "--out", data / "a")
    assert done.status == 0 and "that cannot be opened" in done.text


@pytest.mark.parametrize(
    "name, file", [("judge", "metrics.json"), ("night", "night.json")]
)
def test_what_is_written_about_the_options_names_no_folder(
    name, file, command, data
):
    hospital = data.rename(data.with_name("anna.smith"))
    module, arguments = COMMANDS[name]
    try:
        COMMANDS[name] = module, arguments.format(hospital)
        assert command(name, "--out", hospital / "out").status == 0
    finally:
        COMMANDS[name] = module, arguments
    text = (hospital / "out" / file).read_text()
    assert "anna.smith" not in text and str(hospital.parent) not in text
    assert '"nights"' in text and '"out"' in text


@pytest.mark.parametrize(
    "option, words",
    [
        ("--data_folder={0}/nights", "--data_folder {0}/nights is for the pat"),
        ("--label_column=kind", "--label_column kind is of a table, and CLIPS"),
    ],
)
def test_options_of_tables_where_there_is_none(option, words, command, data):
    done = command("night", option.format(data), "--out", data / "out")
    assert words.format(data) in done.error
    assert not (data / "out").exists()


@pytest.mark.parametrize("label", ["NA", "-", "nan", "."])
def test_a_label_that_a_table_takes_for_missing(label, command, data):
    done = command("windows", f"--label={label}", "--out", data / "out")
    assert f"--label makes a label {label!r}, a mark of a missi" in done.error
    done = command("judge", f"--rename=cry={label}", "--out", data / "out")
    assert f"--rename makes a label {label!r}, a mark" in done.error


def test_events_without_a_label_are_none_however_they_are_marked(command, data):
    """R writes NA, which is not another class of sound."""
    with open(data / "detected.csv", "a") as file:
        file.write("0.wav,3,3.5,NA\n")
    done = command("judge", "--out", data / "out")
    assert "1 events without a label are left out" in done.text
    assert done.status == 0
    with open(data / "detected.csv", "a") as file:
        file.write("0.wav,3,3.5,#NAME?\n")
    line = command("judge", "--out", data / "out").error
    assert "row 5: label is '#NAME?', which a spreadsheet has chang" in line


def test_the_row_of_a_name_with_a_carriage_return(command, data):
    shutil.move(data / "nights/0.wav", data / "nights/a\rb.wav")
    assert command("embed", "--out", data / "a.csv").status == 0
    with open(data / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"][-7:] for row in rows] == ["s/1.wav", "a\rb.wav"]


@pytest.mark.parametrize("option", ["--patient_column", "--path_column"])
def test_a_column_that_the_table_lacks_is_not_another(option, command, data):
    """A misspelt --patient_column Baby must not fall back to patient_id."""
    table = data / "corpus/recordings.csv"
    options = f"{option}=Baby", "--out", data / "a.csv"
    module, _ = COMMANDS["embed"]
    COMMANDS["misspelt"] = module, f"none {table} --acoustics"
    try:
        line = command("misspelt", *options).error
    finally:
        del COMMANDS["misspelt"]
    assert "recordings.csv has no column 'Baby'" in line and option in line
