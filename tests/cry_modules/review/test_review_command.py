"""The command: its refusals, one reviewer at a time, and what it resumes."""

import fcntl
import json
import shutil
from pathlib import Path

import pytest

from cry_modules.demo.server import listen
from cry_modules.review import __main__ as command
from data_prep.annotations.formats import read_events
from tests.reviews import make_clinic, make_night, read_csv, sent


@pytest.fixture
def clinic(tmp_path, monkeypatch):
    make_clinic(tmp_path)
    make_night(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def review(monkeypatch, capsys):
    """Run the command with a reviewer who makes decisions on what is next;
    return its lines."""

    def review(arguments, *decisions):
        def serve(args, session):
            for decision in decisions:
                if decision == "undo":
                    session.undo()
                else:
                    session.decide(sent(session.show(), decision))

        monkeypatch.setattr(command, "_serve", serve)
        command.main(arguments.split())
        return capsys.readouterr().out.splitlines()

    return review


PREDICTIONS = "predictions_test.csv db"


def test_the_same_command_resumes(clinic, review):
    first = review(f"{PREDICTIONS} --reviewer AB", "injury", "injury", "undo")
    assert first[0].startswith("1 of 6 cases are reviewed: 1 kept")
    second = review(f"{PREDICTIONS} --reviewer CD", "unsure", "healthy")
    assert second[0].startswith("3 of 6 cases are reviewed: 2 kept")
    rows = read_csv(clinic / "reviewed.csv")
    reviewers = {r["ID"]: r["reviewer"] for r in rows}
    assert [reviewers[f"r{i}"] for i in (3, 1, 4)] == ["AB", "CD", "CD"]
    # A session without a decision writes the table of the earlier ones.
    (clinic / "reviewed.csv").unlink()
    assert review(f"{PREDICTIONS} --order random --limit 1")[0] == second[0]
    assert read_csv(clinic / "reviewed.csv") == rows


def test_the_choice_of_cases(clinic, review, monkeypatch):
    shown = []

    def serve(args, session):
        shown.append([session.case(n).row for n in range(len(session))])

    monkeypatch.setattr(command, "_serve", serve)
    for options in (
        "--class injury",
        "--class injury --limit 1",
        "--order given --limit 2",
        "--order given --again 0.5",
    ):
        command.main(f"{PREDICTIONS} {options}".split())
    assert shown[:3] == [[3, 1, 5], [3], [0, 1]]
    assert shown[3][:6] == [0, 1, 2, 3, 4, 5] and len(shown[3]) == 9
    assert not (clinic / "reviewed.csv").exists()  # nothing is decided


def test_more_labels(clinic, review):
    lines = review("events.csv night --classes cat other", "cat")
    assert "1 relabelled" in lines[0]
    rows = read_csv(clinic / "reviewed.csv")
    assert [r["reviewed_label"] for r in rows] == ["", "cat", ""]


def test_a_false_alarm_is_a_negative(clinic, review):
    """Its label needs no option, and another command reads it."""
    lines = review("events.csv night", "other", "cry", "excluded")
    assert "1 kept, 1 relabelled, 1 excluded" in lines[0]
    events = read_events(clinic / "reviewed.csv")
    assert [e.label for e in events] == ["", "other", "cry"]


def make_detected():
    """Output of detect, with label tracks."""
    detected = Path("detected")
    (detected / "audacity/B01").mkdir(parents=True)
    shutil.copy("events.csv", detected)
    (detected / "summary.csv").write_text("recording,hours\nn.flac,0.01\n")
    (detected / "few.txt").write_text("recording\thours\nn.flac\t0.01\n")
    (detected / "more").mkdir()
    for name in ("n.txt", "B01/n.txt"):
        track = detected / "audacity" / name
        track.write_text("2.0\t4.0\tcry\n8.0\t10.0\tcry\n")
    shutil.copy(track, "track.txt")
    raven = "Selection\tBegin Time (s)\tEnd Time (s)\n1\t2\t4\n"
    (detected / "n.selections.txt").write_text(raven)


TRACK = "is a label track of Audacity, not a table of scores; pass "


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("detected night", "detected is a folder; pass detected/events.csv"),
        ("detected/summary.csv night", "pass detected/events.csv"),
        ("detected/few.txt night", "pass detected/events.csv"),
        ("detected/audacity/n.txt night", f"{TRACK}detected/events.csv"),
        ("detected/audacity/B01/n.txt night", f"{TRACK}detected/events.csv"),
        ("track.txt night", f"{TRACK}events.csv"),
        ("detected/n.selections.txt night", "is a selection table of Raven"),
        (
            "night events.csv",
            "night is a folder, and events.csv a table of scores; the order is "
            "SCORES RECORDINGS: pass events.csv night",
        ),
        ("night db/recordings.csv", "night is a folder; pass the csv file"),
        ("night night/n.flac", "night is a folder; pass the csv file"),
        ("detected/more night", "more is a folder; pass the csv file in it"),
    ],
)
def test_other_files_are_refused_with_the_right_one(
    clinic, capsys, arguments, words
):
    make_detected()
    with pytest.raises(SystemExit):
        command.main(arguments.split())
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("none.csv db", "none.csv does not exist"),
        ("predictions_test.csv none", "none does not exist; pass a recordings"),
        ("db db", "db is a folder"),
        ("events.csv night/n.flac", "n.flac is an audio file; as RECORDINGS"),
        ("predictions_test.csv night", "row 2: audio/Säugling's 0.wav is not"),
        ("db/recordings.csv db", "not those of doubtful.csv"),
        (
            f"{PREDICTIONS} --class sheep",
            "is the label of no case; pass one of",
        ),
        (f"{PREDICTIONS} --out new.txt", "new.txt is not a csv file"),
        (f"{PREDICTIONS} --out .", "--out . is not a csv file"),
        (f"{PREDICTIONS} --out /dev/stdout", "is not a csv file"),
        (f"{PREDICTIONS} --out predictions_test.csv", "would replace pred"),
        (f"{PREDICTIONS} --out link.csv", "would replace predictions"),
        (f"{PREDICTIONS} --out taken.csv", "taken.csv exists, and taken.dec"),
        (f"{PREDICTIONS} --out db/recordings.csv", "recordings.csv exists"),
        (f"{PREDICTIONS} --again 2", "--again is 2; it must be 0 to 1"),
        (f"{PREDICTIONS} --limit 0", "--limit is 0; it must be 1 or more"),
        (f"{PREDICTIONS} --label_column x", "of a table of recordings; pass"),
        (f"{PREDICTIONS} --data_folder db", "is the folder of a table"),
        (f"{PREDICTIONS} --classes NA", "--classes makes a label 'NA', a mar"),
        (
            f"{PREDICTIONS} --classes unsure",
            "unsure is a label, and a decision",
        ),
        ("events.csv night --order surprising", "only what the model calls"),
        (f"{PREDICTIONS} --order best", "--order: invalid choice: 'best'"),
    ],
)
def test_refusals_are_one_line(clinic, capsys, monkeypatch, arguments, words):
    monkeypatch.setattr(command, "_serve", lambda *_: pytest.fail("served"))
    (clinic / "link.csv").symlink_to("predictions_test.csv")
    (clinic / "taken.csv").write_text("a,b\n1,2\n")
    before = {p: p.read_bytes() for p in clinic.rglob("*") if p.is_file()}
    with pytest.raises(SystemExit) as stop:
        command.main(arguments.split())
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    after = {p: p.read_bytes() for p in clinic.rglob("*") if p.is_file()}
    assert after == before


def test_two_reviewers_of_one_table(clinic, review, capsys):
    review(PREDICTIONS, "injury")
    with open(clinic / ".reviewed.csv.lock", "w") as file:
        json.dump({"pid": 7, "host": "ward", "since": "9:00"}, file)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SystemExit):
            review(PREDICTIONS, "healthy")
        assert capsys.readouterr().err == (
            "error: reviewed.csv is in use by process 7 on ward since 9:00; "
            "wait for it or stop it, or pass another name\n"
        )
        review(f"{PREDICTIONS} --out mine.csv", "healthy")
    assert review(PREDICTIONS)[0].startswith("1 of 6 cases")


def test_a_table_that_was_changed_since(clinic, review, capsys):
    review(PREDICTIONS, "injury")
    with open(clinic / "predictions_test.csv", "a") as file:
        print("r9,P9,injury,0.5,0.5,audio/r9.wav", file=file)
    with pytest.raises(SystemExit):
        review("predictions_test.csv db")
    assert "is not in db" in capsys.readouterr().err
    text = (clinic / "predictions_test.csv").read_text()
    text = "\n".join(text.splitlines()[:-1]) + "\n\n"
    (clinic / "predictions_test.csv").write_text(text)
    with pytest.raises(SystemExit):
        review(PREDICTIONS)
    assert "on this one before it was changed" in capsys.readouterr().err


def test_a_port_in_use(clinic, capsys):
    with listen(0) as taken, pytest.raises(SystemExit):
        port = taken.getsockname()[1]
        command.main(f"{PREDICTIONS} --port {port}".split())
    assert f"--port {port} cannot be used" in capsys.readouterr().err
