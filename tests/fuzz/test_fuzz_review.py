"""Tables of scores to review, and decisions on disk, that are damaged or odd."""

import pytest

from cry_modules.review.cases import read_scores
from cry_modules.review.decisions import Decisions
from cry_modules.review.order import ORDERS, Item, make_queue, ordered
from data_prep.files.errors import InputError
from tests.fuzz import mutations
from tests.reviews import make_clinic, make_night, write_csv

FEW, MANY = 40, 2000


@pytest.fixture(params=[FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def n(request):
    """Number of mutations."""
    return request.param


def fuzz(reader, path, mutate, n, check=None):
    """Fail with all faults of a reader."""
    _, faults = mutations.trial(reader, path, mutate, n, check)
    assert not faults, "\n".join(faults)


def read(path):
    """Read a table, and put its cases into every order."""
    table = read_scores(path)
    for order in ORDERS:
        try:
            make_queue(ordered(table, order), 0.5)
        except InputError as error:
            assert order == "surprising", error
    return table


def check(table, _):
    """Fault of a table that was accepted."""
    numbers = [p for c in table.cases for p in c.scores.values()]
    if not all(abs(p) < float("inf") for p in numbers):
        return "a score is not finite"
    if not all(case.recording and case.label for case in table.cases):
        return "a case without a recording or a label"
    return None


@pytest.mark.parametrize("name", ["predictions", "scores", "events"])
def test_tables(name, tmp_path, n):
    path = make_clinic(make_night(tmp_path)) / "predictions_test.csv"
    if name == "events":
        path = tmp_path / "events.csv"
    elif name == "scores":
        header = "path,seconds,call,n_windows,error,unlike_training,"
        header += "training_distance,a,b"
        rows = [[f"{i}.wav", 1, "ab"[i % 2], 1, "", "", "", 0.4, 0.6]
                for i in range(4)]  # fmt: skip
        path = write_csv(tmp_path / "scores.csv", header, rows)
    fuzz(read, path, mutations.of_table, n, check)


def test_decisions(tmp_path, n):
    path, header = tmp_path / "reviewed.decisions.jsonl", {"scores": "x"}
    with Decisions(path, header) as decisions:
        for row in (0, 1, 1, 2):
            decisions.add({
                "row": row, "again": False, "decision": "label", "label": "a",
                "reviewer": "é", "seconds": 1.5, "note": "n",
            })  # fmt: skip
        decisions.undo([Item(1)], "é")

    def resume(path):
        with Decisions(path, header) as decisions:
            decisions.twice()
            decisions.undo([Item(row) for row in range(3)], "b")
            return len(decisions)

    for mutate in (mutations.of_json_lines, mutations.of_bytes):
        fuzz(resume, path, mutate, n // 2)
