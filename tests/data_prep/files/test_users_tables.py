"""Tables as people keep them: separators, decimal commas, names of
columns, titles, workbooks."""

import logging

import pytest

from data_prep.files.errors import InputError
from data_prep.files.keyed_rows import KeyedRows
from data_prep.files.tables import read_columns, read_table

ROWS = [
    {"Baby": "AMJ", "File": "a.wav", "Weight": "3.5"},
    {"Baby": "BOZ", "File": "b, c.wav", "Weight": "4"},
]
GERMAN = '\ufeffBaby;File;Weight\nAMJ;a.wav;3,5\nBOZ;"b, c.wav";4\n'
NAMED = {"patient_id": "Baby", "path": "File"}


def table(tmp_path, text, name="babies.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


@pytest.mark.parametrize("sign, words", [(";", "semicolons"), ("\t", "tabs")])
def test_separator_and_decimal_commas_are_found_and_said(
    tmp_path, caplog, sign, words
):
    caplog.set_level(logging.INFO)
    path = table(tmp_path, GERMAN.replace(";", sign))
    for _ in range(2):
        assert [cells for _, cells in read_table(path, ["Baby"])] == ROWS
    assert [m for m in caplog.messages if str(path) in m] == [
        f"{path} is separated by {words}",
        f"{path}: decimal commas in Weight",
    ]
    assert list(KeyedRows(path, "Baby")) == [[*row.values()] for row in ROWS]


@pytest.mark.parametrize(
    "text, cells",
    [
        ("a,note\n1,x;y\n2,z\n", ["1", "x;y"]),  # a comma in every line
        ("a;b;note\n1;2;x, y\n3;4;z, y\n", ["1", "2", "x, y"]),
        ('a;"b, c";d\n1;2,5;3,5\n', ["1", "2.5", "3.5"]),
        ("patient_id\nP1\nP2\n", ["P1"]),  # one column
        # An id, a path or a version is not a number.
        ("patient_id;v\n1,5;1,5,2\n", ["1,5", "1,5,2"]),
        ('a,b\n"1,5",2\n', ["1,5", "2"]),  # 1,5 may be thousands
        ("a;b\n1,5;NA\nNA;2\n", ["1.5", "NA"]),
    ],
)
def test_signs_within_cells_do_not_count(tmp_path, text, cells):
    [(_, row), *_] = read_table(table(tmp_path, text), [])
    assert list(row.values()) == cells
    key = next(iter(row))
    assert list(KeyedRows(tmp_path / "babies.csv", key))[0] == cells


def test_the_users_names_of_columns(tmp_path):
    path = table(tmp_path, GERMAN)
    rows = read_table(path, ["patient_id", "path"], NAMED)
    assert [row["patient_id"] for _, row in rows] == ["AMJ", "BOZ"]
    ours = table(tmp_path, "patient_id,path\nP1,a.wav\n", "ours.csv")
    assert read_table(ours, ["patient_id"], NAMED)[0][1]["path"] == "a.wav"
    both = table(tmp_path, "path,Baby,File\nx.wav,P1,a.wav\n", "both.csv")
    assert read_table(both, ["path"], NAMED)[0][1]["path"] == "a.wav"


@pytest.mark.parametrize(
    "named, required, message",
    [
        (
            {"patient_id": "patient_id", "path": "path"},
            ["patient_id", "path", "pain"],
            "has no column 'patient_id', no column 'path', no column 'pain', "
            "only Baby, File, Weight; pass --patient_column NAME and "
            "--path_column NAME, or rename",
        ),
        (
            {"patient_id": "Babys", "path": "file"},
            ["patient_id", "path"],
            r"no column 'Babys' \(Baby\?\), no column 'file' \(File\?\)",
        ),
        (None, ["Weigh"], r"no column 'Weigh' \(Weight\?\), only Baby"),
    ],
)
def test_all_missing_columns_are_named_with_the_nearest(
    tmp_path, named, required, message
):
    with pytest.raises(InputError, match=message) as error:
        read_table(table(tmp_path, GERMAN), required, named)
    assert "\n" not in str(error.value)


TITLE = "Aufnahmen der Klinik, 2023;;\n;;\n"


def test_a_merged_title_is_left_out(tmp_path, caplog):
    """Issue 30: handled and said."""
    caplog.set_level(logging.INFO)
    plain = read_table(table(tmp_path, GERMAN), ["patient_id", "path"], NAMED)
    path = table(tmp_path, TITLE + GERMAN[1:])
    rows = read_table(path, ["patient_id", "path"], NAMED)
    assert [cells for _, cells in rows] == [cells for _, cells in plain]
    assert "row 3 is the header; what is above is left out" in caplog.text
    # Columns are sought below the title, too.
    with pytest.raises(InputError, match="has no column 'patient_id'.*Baby"):
        read_table(path, ["patient_id", "path"], {})


def test_a_workbook(tmp_path, caplog):
    openpyxl = pytest.importorskip("openpyxl")
    from datetime import datetime

    caplog.set_level(logging.INFO)
    book = openpyxl.Workbook()
    book.active.title = "Babys"
    book.create_sheet("Notes")
    for row in (
        ["Baby", "File", "Weight", "Date", "Age"],
        ["AMJ", "a, b.wav", 3.5, datetime(2023, 3, 14), 4.0],
        ["Ärger", "c.wav", None, datetime(2023, 3, 14, 10, 30), 5],
    ):
        book.active.append(row)
    book.save(tmp_path / "babies.xlsx")
    rows = read_table(tmp_path / "babies.xlsx", ["patient_id", "path"], NAMED)
    assert [list(cells.values()) for _, cells in rows] == [
        ["AMJ", "a, b.wav", "3.5", "2023-03-14", "4"],
        ["Ärger", "c.wav", "", "2023-03-14T10:30:00", "5"],
    ]
    assert rows[1][0] == "babies.xlsx row 3"
    assert "the sheet 'Babys' is read; its other 1 are not read" in caplog.text
    assert KeyedRows(tmp_path / "babies.xlsx", "Baby").find("AMJ") == 0


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04...", b"a,b\n1,2\n"])
def test_a_workbook_that_is_none(tmp_path, content):
    pytest.importorskip("openpyxl")
    (tmp_path / "a.xlsx").write_bytes(content)
    with pytest.raises(InputError, match="cannot? be read|not a workbook"):
        read_table(tmp_path / "a.xlsx", [])


def test_a_workbook_without_openpyxl(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04...")
    with pytest.raises(
        InputError, match="CSV UTF-8.*pip install .cry-ssl.xlsx"
    ):
        read_table(tmp_path / "a.xlsx", [])


def test_a_header_in_two_rows_is_refused_with_its_row(tmp_path):
    """Merged cells of a workbook leave such a header."""
    path = table(tmp_path, "Baby;Aufnahme;\n;File;Condition\n" + GERMAN[1:])
    named = {"patient_id": "Baby", "path": "File"}
    with pytest.raises(InputError, match="row 2 holds 'Condition', 'File', na"):
        read_table(path, ["patient_id", "path", "Condition"], named)


@pytest.mark.parametrize(
    "text",
    [
        'a,b,c\n1,"x, ""y""",3\n4,"5\n6",\n',
        "a;b;c\n1;x;3\n",
        "a,b,c,\n1,2,3,\n\n ,,,\n4,5,6,\n",  # an empty row: read_table's
    ],
)
def test_columns_of_own_tables_are_those_of_a_careful_reader(tmp_path, text):
    path = table(tmp_path, text)
    careful = [(row["c"], row["a"]) for _, row in read_table(path, "abc")]
    assert read_columns(path, ["c", "a"]) == careful


def test_faults_of_own_tables_are_named(tmp_path):
    assert read_columns(table(tmp_path, "a,b\n"), ["a", "b"]) == []
    for text in ("a,b\n1,2\n3\n", 'a,b\n1,"2\n3,4\n', "a,c\n1,2\n", ""):
        with pytest.raises(InputError, match="babies.csv"):
            read_columns(table(tmp_path, text), ["a", "b"])
