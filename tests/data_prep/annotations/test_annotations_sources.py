"""Which annotations, recordings and tables are read, and which are refused."""

import csv

import pytest

from data_prep.annotations.event import Event
from data_prep.annotations.formats import write_events
from data_prep.annotations.options import Options, Sources
from data_prep.annotations.pairing import Recordings
from data_prep.annotations.patients import _is_local
from data_prep.annotations.prepare import prepare_annotations
from data_prep.files.errors import InputError
from tests.data_prep.annotations.annotated import CRIES, rows, tone


def test_what_is_not_there_is_counted(annotate, nights):
    (nights / "labels/ghost.txt").write_text("1\t2\tcry\n")
    (nights / "labels/night5.txt").unlink()
    (nights / "audio/p4/night4.wav").write_bytes(b"RIFF")
    status, out, _ = annotate(*CRIES)
    assert status == 0
    assert "recordings of annotations that are not there: 1" in out
    assert "recordings without annotations: 1" in out
    assert "recordings that cannot be opened (try data_prep.convert): 1" in out
    with open(nights / "out/left_out.csv", encoding="utf-8") as file:
        names = [row["recording"] for row in csv.DictReader(file)]
    assert str(nights / "labels/ghost.txt") in names
    assert {"p5/night5.wav", "p4/night4.wav"} <= {*names}


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_damaged_recording_is_left_out_as_a_whole(nights, annotate, share):
    tone(nights / "audio/p0/night0.flac")
    (nights / "audio/p0/night0.wav").unlink()
    path = nights / "audio/p0/night0.flac"
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    (nights / "labels/night0.txt").write_text("3\t4\tcry\n56\t58\tcry\n")
    status, out, _ = annotate(*CRIES)
    assert status == 0
    assert "recordings damaged (" in out and "5 recordings of 5" in out
    assert {row["patient_id"] for row in rows(nights)} == set(
        "p%d" % i for i in range(1, 6)
    )
    assert not list((nights / "out/clips").glob("p0/*/*"))


def test_an_empty_file_is_a_night_without_events(annotate, nights):
    (nights / "labels/night0.txt").write_text("")
    annotate(*CRIES)
    part = [r for r in rows(nights) if r["recording"] == "p0/night0.wav"]
    assert [row["label"] for row in part] == ["other", "other"]


def test_one_name_in_two_folders(annotate, nights):
    tone(nights / "audio/p1/night0.wav")
    status, _, err = annotate(*CRIES)
    assert status == 2
    assert "night0.txt may be of p0/night0.wav or of p1/night0.wav" in err
    for i in (0, 1):
        (nights / f"labels/p{i}").mkdir()
        text = f"{5 + i}\t7\tcry\n"
        (nights / f"labels/p{i}/night0.txt").write_text(text)
    (nights / "labels/night0.txt").unlink()
    annotate(*CRIES)
    starts = {
        row["recording"]: row["start_s"]
        for row in rows(nights)
        if "night0" in row["recording"] and row["label"] == "cry"
    }
    assert starts == {"p0/night0.wav": "5.0", "p1/night0.wav": "6.0"}


def test_a_tier_that_some_recordings_lack(annotate, nights):
    """A night in which Ben, not Anna, has marked a cry is not an empty night."""
    for i, tier in enumerate(("Anna", "Anna", "Anna", "Ben")):
        events = [Event(5, 7, "cry", tier=tier), Event(9, 11, "cry", tier="C")]
        (nights / f"labels/night{i}.txt").unlink()
        write_events(nights / f"labels/night{i}.csv", events)
    out = annotate("--tiers", "Anna", "--patient", "folder")[1]
    assert "3 recordings of 3 patients" in out
    assert "recordings without those --tiers: 3" in out
    assert {row["recording"][:2] for row in rows(nights)} == {"p0", "p1", "p2"}


def test_one_patient_is_not_split(annotate, nights):
    out = annotate("--patient", "(night)", "--labels", "cry")[1]
    assert out.startswith("6 recordings of 1 patient, 6 minutes; ")
    assert out.splitlines()[-1] == (
        f"train_cls.py cannot train on it yet: {nights / 'out/recordings.csv'} "
        "has 1 patient with a label, and training, validation and test need "
        "different ones; add recordings of other patients"
    )
    assert rows(nights) and not list(nights.glob("out/manifest/*.csv"))


def test_one_recording_is_of_one_patient(annotate, nights, caplog):
    for i in range(1, 6):
        (nights / f"audio/p{i}/night{i}.wav").unlink()
        (nights / f"labels/night{i}.txt").unlink()
    out = annotate()[1]
    assert out.startswith("1 recording of 1 patient, 1 minute; ")
    assert "separate patient" not in caplog.text


@pytest.mark.parametrize(
    "name",
    ["night0.Table.1.selections.txt", "Night0.WAV.txt", "night0.labels.txt"],
)
def test_names_that_programs_give(annotate, nights, name):
    (nights / "labels/night0.txt").rename(nights / "labels" / name)
    assert "6 recordings" in annotate(*CRIES)[1]


def test_annotations_beside_the_audio(annotate, nights):
    for path in nights.glob("labels/*"):
        path.rename(nights / "audio" / path.name)
    assert "6 recordings" in annotate(*CRIES, labels="audio")[1]


@pytest.mark.parametrize(
    "options, words",
    [
        (
            ["--labels", "cri"],
            "no event has the label 'cri' (did you mean 'cry'",
        ),
        (["--labels", "cry=cry,fus"], "(did you mean 'fuss'?)"),
        (["--labels", "NA=cry"], "--labels makes a label 'NA', a mark of a m"),
        (["--negative_label", "none"], "--negative_label makes a label 'no"),
        (["--labels", "cry="], "--labels holds 'cry='; write NEW=OLD"),
        (["--labels", "a=cry", "b=cry"], "makes 'cry' both 'a' and 'b'"),
        (["--tiers", "Anna"], "no event has the tier 'Anna'"),
        (["--negatives", "-1"], "--negatives is -1"),
        (["--negatives", "1e6"], "it must be 100 or less"),
        (["--least_s", "0"], "--least_s is 0"),
        (["--encoding", "latin9x"], "--encoding is 'latin9x'"),
        (["--labels", "cry", "--least_s", "9"], "no event is left (12 of oth"),
        (["--patient", "("], "is not a regular expression"),
        (["--recordings_csv", "x.csv"], "x.csv does not exist"),
        (["--patient", "folder", "--recordings_csv", "x"], "leave out one"),
        (["--hard_negatives", "x", "--negatives", "0"], "pass --negatives 1"),
        (["--hard_negatives", "nowhere"], "--hard_negatives nowhere does not"),
        (["--label", "cry"], "--label is not an option (did you mean --labels"),
    ],
)
def test_refusals_of_options(annotate, options, words):
    status, _, err = annotate(*options)
    assert status == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ") and words in last


def test_refusals_of_annotations(annotate, nights):
    for path in nights.glob("labels/*"):
        path.write_text("5000\t7000\tcry\n")  # milliseconds
    status, _, err = annotate("--labels", "cry")
    assert status == 2
    assert "6 of 6 events are past the end" in err
    assert "check that times are in seconds" in err
    for path in nights.glob("labels/*"):
        path.rename(path.with_name(path.name.replace("night", "nacht")))
    err = annotate("--labels", "cry")[2]
    assert "so for all 6 annotation files" in err
    assert "did you mean night" in err


def test_other_files_of_the_folder(annotate, nights, caplog):
    (nights / "labels/recordings.csv").write_text("patient_id,path\na,b.wav\n")
    assert "6 recordings" in annotate(*CRIES)[1]
    assert "pass it with --recordings_csv" in caplog.text
    (nights / "labels/README.txt").write_text("Labels of Anna\n")
    err = annotate(*CRIES)[2]
    assert "README.txt is in none of the formats" in err


@pytest.mark.parametrize(
    "out, words",
    [
        ("labels", "is the folder ANNOTATIONS, whose files"),
        ("labels/x", "is inside"),
        ("audio", "is the data folder itself"),
        ("audio/x", "is inside"),
    ],
)
def test_output_beside_the_input(nights, out, words):
    sources = Sources(str(nights / "audio"), str(nights / "labels"))
    with pytest.raises(InputError, match=words):
        prepare_annotations(sources, Options(), str(nights / out))


@pytest.mark.parametrize(
    "name, folder, expected",
    [
        ("C:\\rec\\p2\\night.wav", ".", "p2/night.wav"),
        ("/home/anna/p1/night.wav", ".", "p1/night.wav"),
        ("night", "p2", "p2/night.wav"),
        ("night.wav", "anna/p1", "p1/night.wav"),
        ("NIGHT.mp3", "p1", "p1/night.wav"),
        ("day.flac", ".", "day.flac"),
        ("other", ".", None),
    ],
)
def test_recordings_by_the_names_in_annotations(name, folder, expected):
    recordings = Recordings(["p1/night.wav", "p2/night.wav", "day.flac"])
    assert recordings.find(name, folder, "a.csv") == expected


@pytest.mark.parametrize(
    "text, local",
    [
        ("2026-10-24 22:00", True),
        ("24.10.2026 22:00", True),
        ("2026-10-24T22:00+02:00", False),
        ("2026-10-24", False),
        ("", False),
    ],
)
def test_times_without_a_zone(text, local):
    assert _is_local(text) is local


def test_swapped_arguments_are_told(nights):
    audio, labels = str(nights / "audio"), str(nights / "labels")
    with pytest.raises(InputError) as refused:
        prepare_annotations(
            Sources(labels, audio), Options(), str(nights / "o")
        )
    assert str(refused.value) == (
        f"AUDIO_FOLDER {labels} holds no audio file, and ANNOTATIONS {audio} "
        "does; the order is AUDIO_FOLDER ANNOTATIONS"
    )
    assert not (nights / "o").exists()
