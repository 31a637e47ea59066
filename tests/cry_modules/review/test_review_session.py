"""The state that a page shows and changes: blind, in two windows, again."""

import numpy as np
import pytest
import soundfile

from cry_modules.review.clip import wav
from cry_modules.review.decisions import answer
from cry_modules.review.order import Item
from cry_modules.review.session import Changed
from data_prep.files.errors import InputError
from tests.reviews import (
    SCORED,
    make_clinic,
    make_night,
    name_of,
    read_csv,
    sent,
    session_of,
    write_csv,
)


@pytest.fixture
def clinic(tmp_path):
    return make_clinic(tmp_path)


@pytest.fixture
def session(clinic):
    scores = clinic / "predictions_test.csv"
    with session_of(scores, clinic / "db", order="given") as session:
        yield session


def test_a_decision_leads_to_the_next_case(session):
    shown = session.show()
    assert (shown["n"], shown["total"], shown["done"]) == (0, 6, 0)
    assert shown["name"] == name_of(0) and shown["label"] == "healthy"
    assert shown["scores"] == [("healthy", 0.9), ("injury", 0.1)]
    assert shown["decision"] is None and shown["fault"] is None
    after = session.decide(sent(shown, "injury", note=" a\nb ", seconds=2.34))
    assert (after["n"], after["done"]) == (1, 1)
    first = session.show(0)
    assert first["decision"] == {
        "decision": "label", "label": "injury", "note": "a b",
    }  # fmt: skip
    entry = session.decisions.of(Item(0))
    assert (entry["seconds"], entry["reviewer"]) == (2.3, "")
    # After the last one, the first that was passed over.
    session.decide(sent(session.show(3), "unsure"))
    assert session.decide(sent(session.show(5), "excluded"))["n"] == 1
    for _ in range(3):
        shown = session.decide(sent(session.show(), "healthy"))
    assert (shown["done"], shown["next"]) == (6, None)
    assert session.show()["n"] == 0


def test_undo_shows_the_case_again(session):
    with pytest.raises(InputError, match="nothing to undo"):
        session.undo()
    session.decide(sent(session.show(2), "excluded"))
    session.decide(sent(session.show(4), "unsure"))
    shown = session.undo()
    assert (shown["n"], shown["undone"]) == (4, "unsure")
    shown = session.undo()
    assert (shown["n"], shown["done"], shown["decision"]) == (2, 0, None)
    assert shown["undone"] == "excluded"
    session.decide(sent(session.show(2), "injury"))
    assert session.undo()["undone"] == "injury"


def test_two_windows(session):
    """A decision of one window is not changed unseen by the other."""
    first, second = session.show(0), session.show(0)
    session.decide(sent(first, "injury"))
    with pytest.raises(Changed, match="decided in another window"):
        session.decide(sent(second, "healthy"))
    assert answer(session.decisions.of(Item(0))) == "injury"
    session.undo()
    with pytest.raises(Changed):
        session.decide(sent(session.show(0) | {"version": 1}, "healthy"))
    session.decide(sent(session.show(0), "healthy"))
    assert answer(session.decisions.of(Item(0))) == "healthy"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"n": 6}, "case 6 does not exist"),
        ({"n": -1}, "n is -1"),
        ({"n": "0"}, "n is '0'"),
        ({"label": "sheep"}, "'sheep' is not one of the labels"),
        ({"decision": "delete"}, "decision is 'delete'"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"seconds": -1}, "seconds is -1"),
        ({"note": "x" * 1001}, "the note has 1001 letters"),
        ({"note": "\ud800"}, "note"),
        ({"path": "/etc/passwd"}, "path"),
    ],
)
def test_what_no_page_sends_is_refused(session, change, words):
    with pytest.raises(InputError) as error:
        session.decide({**sent(session.show(0), "injury"), **change})
    assert words in str(error.value)
    assert len(session.decisions) == 0


def test_blind(clinic):
    """Nothing tells label or score until the case is decided."""
    scores = clinic / "predictions_test.csv"
    with session_of(scores, clinic / "db", is_blind=True) as session:
        for n in range(6):
            shown = session.show(n)
            assert shown["name"] is shown["label"] is shown["scores"] is None
            text = str({**shown, "window": None})
            assert "healthy" not in text and "injury" not in text
            assert "Säugling" not in text and "0.5" not in text
        session.decide(sent(session.show(0), "injury"))
        assert session.show(0)["label"] == SCORED[3][0]
        assert session.undo()["label"] is None


def test_the_time_of_an_event_is_part_of_many_names(tmp_path):
    folder = make_night(tmp_path)
    rows = read_csv(folder / "events.csv")
    rows = [[*row.values(), "2026-03-12T23:15:02.000+01:00"] for row in rows]
    header = "recording,onset_s,offset_s,label,score,onset_time"
    write_csv(folder / "events.csv", header, rows)
    for is_blind, time in (False, "2026-03-12 23:15:02+01:00"), (True, None):
        with session_of(
            folder / "events.csv", folder / "night", is_blind=is_blind
        ) as session:
            assert session.show()["time"] == time


def test_a_second_time_does_not_show_the_first_decision(clinic):
    scores = clinic / "predictions_test.csv"
    with session_of(scores, clinic / "db", share=1.0) as session:
        assert len(session) == 12
        for n in range(6):
            session.decide(sent(session.show(n), "injury", note="first"))
        for n in range(6, 12):
            shown = session.show(n)
            assert shown["decision"] is None and shown["version"] == 0
            session.decide(sent(shown, "healthy"))
        twice = session.decisions.twice()
        assert [tuple(map(answer, pair)) for pair in twice] == [
            ("injury", "healthy")
        ] * 6


def test_the_window_of_an_event(tmp_path):
    folder = make_night(tmp_path)
    scores, night = folder / "events.csv", folder / "night"
    with session_of(scores, night, order="given") as session:
        windows = [session.show(n)["window"] for n in range(3)]
        assert windows == [[0, 7, 20], [5, 13, 20], [11, 19, 20]]
    with session_of(scores, night, order="given", around_s=0.5) as session:
        assert session.show(1)["window"] == [7.5, 10.5, 20]


@pytest.mark.parametrize(
    "name, content, span, words",
    [
        ("text.wav", b"hello", (0, 1), "Format not recognised"),
        ("empty.wav", b"", (0, 1), "Format not recognised"),
        ("a.raw", b"1234", (0, 1), "samples without a header"),
        ("n.flac", None, (25, 26), "begins at 25.00 s, and the recording has"),
    ],
)
def test_what_cannot_be_played_is_said_without_its_name(
    tmp_path, name, content, span, words
):
    folder = make_night(tmp_path)
    if content is not None:
        (folder / "night" / name).write_bytes(content)
    header = "recording,onset_s,offset_s,label,score"
    path = write_csv(folder / "e.csv", header, [[name, *span, "cry", 0.5]])
    with session_of(path, folder / "night", is_blind=True) as session:
        shown = session.show()
        assert words in shown["fault"] and name not in shown["fault"]
        session.decide(sent(shown, "excluded"))


def test_a_file_that_is_gone_since(session, clinic):
    (clinic / "db" / name_of(1)).unlink()
    assert session.show(1)["fault"]


def test_ten_minutes_of_a_long_recording(tmp_path):
    soundfile.write(tmp_path / "day.wav", np.zeros(4000 * 700), 4000)
    scores = write_csv(tmp_path / "s.csv", "path,label,score",
                       [["day.wav", "cry", 0.5]])  # fmt: skip
    with session_of(scores, tmp_path) as session:
        assert session.show()["window"] == [0, 600, 700]
        assert len(wav(session.clip(0))) == 44 + 2 * 4000 * 600
