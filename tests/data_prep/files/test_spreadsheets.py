"""Tables as spreadsheets export them: read, or refused in one line."""

import logging

import pytest

from data_prep.files.errors import InputError
from data_prep.files.keyed_rows import KeyedRows
from data_prep.files.tables import read_lines, read_table

PLAIN = "ID,label\nr1,pain\nr2,\u00e4rger\n"
ROWS = [{"ID": "r1", "label": "pain"}, {"ID": "r2", "label": "\u00e4rger"}]

EXPORTS = {
    "plain": PLAIN,
    "two empty columns": PLAIN.replace("\n", ",,\n"),
    "empty columns without separators in some rows": (
        "ID,label,,\nr1,pain\nr2,\u00e4rger,\n"
    ),
    "declared separator": "sep=,\n" + PLAIN,
    "declared semicolon": "sep=;\r\n"
    + PLAIN.replace(",", ";").replace("\n", "\r\n"),
    "declared tab": "sep=\t\n" + PLAIN.replace(",", "\t"),
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "bars": PLAIN.replace(",", "|"),
    "quoted declaration": '"sep=,"\n' + PLAIN,
    "quotes after spaces": PLAIN.replace("ID,label", '"ID", "label"').replace(
        ",pain", ', "pain"'
    ),
    "declaration saved again": "sep=,,,\n" + PLAIN,
    "blank first line": "\n \n" + PLAIN,
    "empty first row": ",\n" + PLAIN,
    "empty rows at the end": PLAIN + ",\n,\n\n,,,\n",
    "old Mac": PLAIN.replace("\n", "\r"),
    "Windows": PLAIN.replace("\n", "\r\n"),
    "no end of line": PLAIN[:-1],
    "unnamed empty column": "ID,,label\nr1,,pain\nr2,,\u00e4rger\n",
    "invisible signs": PLAIN.replace("ID", "\u200bID").replace(
        "pain", "pain\u200b\u00a0"
    ),
    "all of it": "sep=;\n\n"
    + PLAIN.replace(",", ";").replace("\n", ";;\n")
    + ";;;\n",
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", EXPORTS)
def test_exports_are_read(tmp_path, name, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes(EXPORTS[name].encode(encoding))
    assert [row for _, row in read_table(path, ["label"])] == ROWS


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", sorted({*EXPORTS} - {"unnamed empty column"}))
def test_manifests_are_read_alike(tmp_path, name, encoding):
    path = tmp_path / "a.csv"
    text = EXPORTS[name].replace("\u200b", "").replace("\u00a0", "")
    path.write_bytes(text.encode(encoding))
    rows = KeyedRows(path, "ID")
    assert rows.columns == ["ID", "label"]
    assert [dict(zip(rows.columns, row)) for row in rows] == ROWS
    assert rows.find("r2") == 1


def test_a_quoted_cell_may_hold_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('sep=,\nx,y,\n"two\nlines",1,\nz,2,\n')
    rows = read_table(path, [])
    assert [(source, row["x"]) for source, row in rows] == [
        ("a.csv row 2", "two\nlines"),
        ("a.csv row 3", "z"),
    ]
    assert read_lines(path)[0] == ["x", "y", ""]


def test_decisions_are_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "a.csv"
    path.write_bytes(("sep=;\n" + PLAIN.replace(",", ";")).encode("utf-16"))
    read_table(path, [])
    assert f"{path} is read as UTF-16-LE" in caplog.messages
    assert f"{path} declares its separator: ';'" in caplog.messages


def test_cells_of_ids_are_not_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "a.csv"
    path.write_text("patient_id,mother,label\nZoe\u200b, Eve,x\n")
    read_table(path, ["patient_id", "label"])
    assert "a.csv row 2: patient_id; spaces" in caplog.text
    assert "zoe" not in caplog.text.lower() and "Eve" not in caplog.text


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "a.csv is empty"),
        (b"\n,,\n", "a.csv is empty"),
        (b"sep=,\n", "a.csv is empty"),
        (b"x,y,,\n1,2,,\n1,2,3,\n", "row 3 has 4 cells, the header 2; .*name"),
        (b"x,,y\n1,,2\n1,9,2\n", "a.csv row 3 has a value in a column without"),
        (b"x,y,x\n1,2,3\n", "has the column 'x' twice; rename one"),
        (b"x,y\n1,\xe4\n", "is not UTF-8; save it as .* in row 2"),
        ("\u00e4,y\n1,2\n".encode("cp1252"), "is not UTF-8; .* in row 1"),
        (b"x,y\n1,2\n3,\0\n", "row 3 holds a NUL character"),
        (b"PK\x03\x04...", "a workbook or an archive, not a csv file; save it"),
        (b"\xd0\xcf\x11\xe0...", "is a workbook, not a csv file"),
        (b'x,y\n1,2\n3,"4\n5,6\n', "row 3: unexpected end.*unclosed quote"),
        (b'x,y\n1,2\n3,"4', "row 3: unexpected end.*unclosed quote"),
        (b"<!DOCTYPE html>\n<html>", "is a web page, not a csv file"),
    ],
)
def test_faults_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_table(path, [])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("title", ["Cries of 2023\n", "Cries,\n\n", "a\nb,,\n"])
def test_titles_above_the_header_are_left_out(tmp_path, caplog, title):
    """Issue 30: handled and said."""
    caplog.set_level("INFO")
    path = tmp_path / "a.csv"
    path.write_text(f"{title}x,y\n1,2\n")
    row = title.count("\n") + 1
    expected = [(f"a.csv row {row + 1}", {"x": "1", "y": "2"})]
    assert read_table(path, ["x", "y"]) == expected
    said = f"{path}: row {row} is the header; what is above is left out"
    assert said in caplog.text


@pytest.mark.parametrize("above", ["a,b\n", "Cries\na,b\n1,2\n"])
def test_other_rows_above_the_header_are_refused(tmp_path, above):
    """Another table may stand there."""
    path = tmp_path / "a.csv"
    path.write_text(f"{above}x,y\n1,2\n")
    row = above.count("\n") + 1
    with pytest.raises(InputError, match=f"row {row} is the header; remove"):
        read_table(path, ["x", "y"])
