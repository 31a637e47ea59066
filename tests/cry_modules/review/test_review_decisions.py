"""Decisions are on disk at once, are undone by a row, and are resumed."""

import json
import os

import pytest

from cry_modules.review.decisions import Decisions, answer
from cry_modules.review.order import Item
from data_prep.files import json_lines as module
from data_prep.files.errors import InputError

HEADER = {"version": 1, "scores": "abc"}
FIRST, SECOND = Item(0), Item(1)


def entry(row=0, label="cry", again=False, **others):
    return {
        "row": row, "again": again, "decision": "label", "label": label,
        "reviewer": "AB", "seconds": 1.5, "note": "", **others,
    }  # fmt: skip


def lines(path):
    return path.read_text().splitlines()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "reviewed.decisions.jsonl"


def test_each_decision_is_on_disk_at_once(path):
    with Decisions(path, HEADER) as journal:
        assert not path.exists()  # nothing is decided
        journal.add(entry(0))
        assert len(lines(path)) == 2  # while the file is open
        journal.add(entry(1, "other", note="Jürgen's"))
        assert json.loads(lines(path)[2])["note"] == "Jürgen's"
    with Decisions(path, HEADER) as journal:
        assert answer(journal.of(FIRST)) == "cry"
        assert answer(journal.of(SECOND)) == "other"
        assert journal.of(Item(2)) is None


def test_undo_is_a_line_and_not_a_deletion(path):
    with Decisions(path, HEADER) as journal:
        journal.add(entry(0, "cry"))
        journal.add(entry(0, "other"))
        journal.add(entry(1, "cry"))
        before = lines(path)
        assert journal.undo([FIRST, SECOND], "AB") == entry(1)
        assert lines(path)[:-1] == before
        assert journal.of(SECOND) is None
        assert journal.undo([FIRST, SECOND], "AB") == entry(0, "other")
        assert answer(journal.of(FIRST)) == "cry"  # the decision before it
    with Decisions(path, HEADER) as journal:  # and so after a restart
        assert answer(journal.of(FIRST)) == "cry"
        assert journal.of(SECOND) is None
        # Only of the cases that are played.
        assert journal.undo([SECOND], "AB") is None
        assert journal.undo([FIRST, SECOND], "AB") == entry(0)
        assert journal.undo([FIRST, SECOND], "AB") is None


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_cut_short_by_a_kill_is_ignored(path, cut, caplog):
    with Decisions(path, HEADER) as journal:
        journal.add(entry(0))
        journal.add(entry(1))
    path.write_bytes(path.read_bytes()[:-cut])
    with Decisions(path, HEADER) as journal:
        assert journal.of(FIRST) and bool(journal.of(SECOND)) == (cut == 1)
        journal.add(entry(2))
        journal.undo([Item(2)], "AB")
    with Decisions(path, HEADER) as journal:
        assert journal.of(FIRST) and journal.of(Item(2)) is None
    assert ("1 lines were cut short" in caplog.text) == (cut != 1)


def test_a_journal_killed_in_its_header_begins_anew(path):
    path.write_text('{"sco')
    with Decisions(path, HEADER) as journal:
        journal.add(entry(0))
    with Decisions(path, HEADER) as journal:
        assert journal.of(FIRST)


def test_damaged_lines_are_said_and_ignored(path, caplog):
    with Decisions(path, HEADER) as journal:
        journal.add(entry(0))
    with open(path, "a") as file:
        for line in ('{"row": -1}', "[]", '{"undo": 7, "reviewer": ""}',
                     json.dumps(entry(1, seconds=1e9)), '"' * 9):  # fmt: skip
            print(line, file=file)
    with Decisions(path, HEADER) as journal:
        assert len(journal) == 1 and journal.of(FIRST)
    assert "5 lines were cut short or changed, the first is line 3" in (
        caplog.text
    )


def test_decisions_on_another_table_are_refused(path):
    with Decisions(path, HEADER) as journal:
        journal.add(entry(0))
    with pytest.raises(InputError, match="on another table of scores"):
        Decisions(path, {**HEADER, "scores": "changed"})


def test_a_folder_in_its_place_is_refused(path):
    path.mkdir()
    with pytest.raises(InputError, match="is a folder; remove it"):
        Decisions(path, HEADER)


def test_a_full_disk_leaves_no_half_decision(path, monkeypatch):
    with Decisions(path, HEADER) as journal:
        journal.add(entry(0))
        before = path.read_bytes()

        def full(descriptor):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(module.os, "fsync", full)
            with pytest.raises(InputError, match="No space left.*free some"):
                journal.add(entry(1))
        assert path.read_bytes() == before and journal.of(SECOND) is None
        journal.add(entry(1, "other"))
    with Decisions(path, HEADER) as journal:
        assert answer(journal.of(SECOND)) == "other"


def test_decisions_made_twice(path):
    with Decisions(path, HEADER) as journal:
        journal.add(entry(0, "cry"))
        journal.add(entry(1, "cry"))
        journal.add(entry(0, "other", again=True))
        journal.add(entry(2, "other", again=True))  # never the first time
        ((first, second),) = journal.twice()
    assert (answer(first), answer(second)) == ("cry", "other")


def test_permissions(path):
    if os.getuid() == 0:
        pytest.skip("root reads everything")
    path.write_text("{}\n")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        Decisions(path, HEADER)
