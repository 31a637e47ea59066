"""State files of another shape are refused in one line that names the key."""

import json
import os

import pytest

from data_prep.files.errors import InputError
from data_prep.files.folders import FILE_NAME, RELATIVE, file_inside
from data_prep.files.journal import Journal
from data_prep.files.shapes import (
    MOST_BYTES,
    checked,
    number,
    one_of,
    read_json,
    whole,
)

ROWS = [{"epoch": whole(1), str: (float, None)}]
#: A shape, data of it, and pairs of other data and the refusal.
TABLE = [
    (int, 3, [(True, "the content is True, not a whole number"), (3.0, "3.0")]),
    (float, 3, [(float("nan"), "nan"), (10**400, "not a finite number")]),
    (bool, False, [(0, "not true or false"), ("no", "'no'")]),
    (str, "\u00e9\n", [("\ud800", "not a text"), (7, "7"), (None, "None")]),
    (number(0, 1), 0.5, [(1.5, "not a number from 0 to 1"), (True, "True")]),
    (one_of("a", "b"), "b", [("c", "not 'a' or 'b'"), (["a"], "['a']")]),
    ((float, None), None, [("x", "not a finite number or null")]),
    (
        ROWS,
        [{"epoch": 1, "loss": None}, {"epoch": 2, "loss": 0.5}],
        [
            ({}, "the content is {}, not a list"),
            ([[]], "[0] is [], not a map"),
            ([{"loss": 1}], "[0].epoch is missing"),
            ([{"epoch": 1}, {"epoch": 0}], "[1].epoch is 0, not a whole"),
            ([{"epoch": 1, "loss": "x"}], "[0].loss is 'x', not a finite"),
        ],
    ),
    (
        {"a": [int, str], "b?": {"c": bool}},
        {"a": [1, "x"]},
        [
            ({"a": [1]}, "a has 1 of 2 values"),
            ({"a": ["x", 1]}, "a[0] is 'x'"),
            ({"a": [1, "x"], "b": {}}, "b.c is missing"),
            ({"a": [1, "x"], "more": 1}, "more is unknown"),
        ],
    ),
    (
        {FILE_NAME: int},
        {"a.csv": 1},
        [({"../a": 1}, "the key ../a is not the name of a file"), ([], "[]")],
    ),
    ([({"kind": one_of("a")}, None)], [None], [([{"kind": 1}], "kind is 1")]),
    (RELATIVE, "a/b.wav", [("/a", "'/a'"), ("a/../../b", "below its folder")]),
]


@pytest.mark.parametrize("shape, right, others", TABLE)
def test_data_of_another_shape_is_refused(shape, right, others):
    assert checked(right, shape, "a.json", "delete it") is right
    for data, message in others:
        with pytest.raises(InputError) as refusal:
            checked(data, shape, "a.json", "delete it")
        text = str(refusal.value)
        assert text.startswith("a.json: ") and text.endswith("; delete it")
        assert message in text and text.isprintable() and len(text) < 300


def test_a_long_value_is_shortened():
    for data in ("x" * 10**6, [[0] * 10**6], {"k" * 10**6: "x\n"}):
        with pytest.raises(InputError) as refusal:
            checked(data, {str: int}, "a.json", "delete it")
        assert len(str(refusal.value)) < 300 and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not JSON"),
        (b"\xff\xfe[", "not JSON"),
        (b"[" * 10**6, "not JSON"),
        (b"1" * 10**5, "not JSON"),
        (b"[NaN]", "[0] is nan"),
        (b"[1e999]", "[0] is inf"),
        (b"[" + b" " * MOST_BYTES, "more than 32 MiB"),
        (None, "is missing"),
    ],
)
def test_a_file_that_is_not_json_is_refused(content, message, tmp_path):
    path = tmp_path / "a.json"
    if content is None:
        os.mkfifo(path)  # must not block
    else:
        path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_json(path, [float], "delete it")
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)
    assert str(refusal.value).endswith("; delete it")


def test_links_must_not_lead_out_of_the_folder(tmp_path):
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").symlink_to("../secret")
    (folder / "b").symlink_to("c")
    (folder / "c").write_text("y")
    assert file_inside(folder, "b").read_text() == "y"
    for name, message in (("a", "leads out"), ("none", "copy it again")):
        with pytest.raises(InputError, match=message):
            file_inside(folder, name, "copy it again")


LINES = [
    ["a.wav", "unreadable"],
    ["a.wav", "unreadable", {"n": "x"}],
    ["a.wav", [1], {"n": 1}],
    [["a.wav"], "unreadable", {"n": 1}],
    [{"a": 1}, "unreadable", {"n": 1}],
    {"a.wav": 1},
    7,
    None,
]


@pytest.mark.parametrize("line", LINES)
def test_an_entry_of_another_shape_is_said_and_ignored(line, tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    good = json.dumps(["b.wav", "unreadable", {"n": 1}])
    path.write_text(f'{{"v": 1}}\n{json.dumps(line)}\n{good}\n[1, 2\n')
    with Journal(path, {"v": 1}, {"n": int}) as journal:
        assert journal.get("a.wav", tmp_path / "a.wav") is None
        assert journal.get("b.wav", tmp_path / "b.wav") == {"n": 1}
    (record,) = caplog.records
    assert f"{path} has 1 entries" in record.getMessage()
    assert "delete it" in record.getMessage()
