"""Rows by key, compared with csv's reader and a dict."""

import csv
import io
import pickle
import tracemalloc

import numpy as np
import pytest

from data_prep.files import keyed_rows
from data_prep.files.errors import InputError
from data_prep.files.identifiers import cleaned
from data_prep.files.keyed_rows import KeyedRows

TABLES = {
    "plain": "ID,label\na,dog\nb,cat\n",
    "no end of line": "ID,label\na,dog\nb,cat",
    "one row": "ID,label\na,dog\n",
    "quoted": 'ID,label\n"a","dog, wet"\n"b, c","says ""woof"""\nd,""\n',
    "lines in cells": 'ID,label\na,"dog\nwet"\nb,"cat\r\n\r\nwet"\n"c\rd",x\n',
    "Windows": 'ID,label\r\na,"dog, wet"\r\nb,cat\r\n',
    "old Mac": "ID,label\ra,dog\rb,cat\r",
    "blank lines": "\nID,label\n\na,dog\n\n\nb,cat\n\n",
    "spaces": "ID, label\n a, dog\nb ,cat \n c d ,x\n",
    "Unicode": "ID,label\ngrå,ø\n犬,wow 🐕\n",
    "key second": 'label,ID\n"dog, wet",a\ncat,"b"\n',
    "one column": 'ID\na\n"b,c"\nd\n',
    "no row": "ID,label\n",
    "empty cells": "ID,label,x\na,,\n,b,\nc,,d\n",
}


def plain_reading(text, **how):
    """The header and rows, as csv's reader has them."""
    lines = csv.reader(io.StringIO(text, newline=""), **how)
    columns, *rows = [line for line in lines if line]
    return columns, rows


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("name", TABLES)
def test_as_csv_reads_it(tmp_path, name, skip):
    text, how = TABLES[name], {"skipinitialspace": skip}
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    columns, expected = plain_reading(text, **how)
    rows = KeyedRows(path, "ID", **how)
    assert rows.columns == columns and len(rows) == len(expected)
    assert list(rows) == expected
    place = columns.index("ID")
    for number, row in enumerate(expected):
        assert rows.key(number) == row[place]
        assert rows.find(row[place]) == number
    for other in ("", "A", "dog", "a,dog", " ", "a\n", "ID"):
        if other not in {row[place] for row in expected}:
            assert rows.find(other) is None


@pytest.mark.parametrize("empty", [",", ' , "" ', '"",""', ",,,"])
@pytest.mark.parametrize("end", ["", "\n", "\n,\n\n"])
def test_rows_of_empty_cells_are_skipped(tmp_path, empty, end):
    path = tmp_path / "a.csv"
    path.write_text(f"ID,label\na,dog\n{empty}\nb,cat\n{empty}{end}")
    rows = KeyedRows(path, "ID")
    assert list(rows) == [["a", "dog"], ["b", "cat"]]
    assert rows.find("") is None and rows.find("b") == 1


@pytest.mark.parametrize("block", [1, 7, 1 << 18])
def test_random_tables_as_csv_writes_them(tmp_path, monkeypatch, block):
    """Cells of characters that are special in csv, for any block size."""
    monkeypatch.setattr(keyed_rows, "_BLOCK", block)
    rng = np.random.default_rng(0)
    signs = np.array(list(',,""\n\r \' ;abcø'))
    path = tmp_path / "a.csv"
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        for _ in range(40):
            cells = [
                ["".join(rng.choice(signs, rng.integers(6))) for _ in range(3)]
                for _ in range(rng.integers(1, 20))
            ]
            if quoting == csv.QUOTE_MINIMAL:  # forgets to quote these
                cells = [[c.replace("\r", "") for c in row] for row in cells]
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n", quoting=quoting)
            writer.writerows([["x", "ID", "y"], *cells])
            path.write_bytes(text.getvalue().encode())
            cells = [row for row in cells if any(map(cleaned, row))]
            last_of = {row[1]: number for number, row in enumerate(cells)}
            rows = KeyedRows(path, "ID")
            assert list(rows) == cells
            assert {k: rows.find(k) for k in last_of} == last_of
            seen = set()
            again = [r[1] for r in cells if r[1] in seen or seen.add(r[1])]
            doubled = rows.duplicate()
            assert (doubled is None) == (not again)
            if again:
                later, first = doubled
                assert first < later
                assert cells[later][1] == cells[first][1] == again[0]


def test_keys_with_the_same_hash(tmp_path, monkeypatch):
    """The hash only narrows the search."""
    monkeypatch.setattr(keyed_rows, "crc32", lambda key: len(key) % 2)
    path = tmp_path / "a.csv"
    keys = [f"{'x' * (i % 7)}{i}" for i in range(300)]
    path.write_text("ID,n\n" + "".join(f"{k},{k}!\n" for k in keys))
    rows = KeyedRows(path, "ID")
    assert [rows.find(key) for key in keys] == list(range(300))
    assert rows.find("y") is None and rows.duplicate() is None


def test_keys_in_another_form(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ID,n\nA,1\nb,2\nC,3\na,4\n")
    rows = KeyedRows(path, "ID", plain=str.lower, odd=rb'["A-Z]')
    assert [rows.find(key) for key in "BcA"] == [1, 2, 3]
    assert rows.duplicate() == (3, 0)


def test_names_that_are_not_unicode(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"ID,n\n\xff.wav,1\n\xfe.wav,2\n")
    rows = KeyedRows(path, "ID", errors="surrogateescape")
    assert rows.find(b"\xfe.wav".decode(errors="surrogateescape")) == 1
    with pytest.raises(InputError, match="a.csv is not UTF-8; save it as"):
        KeyedRows(path, "ID")


def test_rows_are_copies_and_can_be_pickled(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ID,n\na,1\nb,2\n", encoding="utf-8-sig")
    rows = KeyedRows(path, "ID")
    assert rows.columns == ["ID", "n"]  # without the byte-order mark
    rows[0].clear()
    assert rows[0] == ["a", "1"]
    rows = pickle.loads(pickle.dumps(rows))
    assert rows.find("b") == 1 and list(rows) == [["a", "1"], ["b", "2"]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "a.csv is empty; expected a header and rows"),
        ("\n \n", "a.csv is empty"),
        ("name,n\na,1\n", "a.csv has no column 'ID', only name, n; add or"),
        ("ID,n\na,1\nb\n", "a.csv row 3 has 1 cells, the header 2; quote cel"),
        ("ID,n\na,1,2\n", "a.csv row 2 has 3 cells"),
        ('ID,n\na,"1\nb,2\n', "a.csv is not a csv file; look for an unclosed"),
        (
            'ID,n\nb"c,d\ne,f"g\n',
            "row 2 cannot be read .*; look for an unclosed",
        ),
    ],
)
def test_faults_are_refused_at_once(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        KeyedRows(path, "ID")


def test_faults_that_only_parsing_shows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('ID,n,m\na,1,2\nb,"c,d"\n')
    rows = KeyedRows(path, "ID")
    assert rows[0] == ["a", "1", "2"]
    with pytest.raises(InputError, match="a.csv row 3 has 2 cells"):
        rows[1]
    with pytest.raises(InputError, match="no.csv cannot be read .No such"):
        KeyedRows(tmp_path / "no.csv", "ID")


def test_memory_is_the_file_and_28_bytes_a_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ID,n\n" + "".join(f"r{i},{i}\n" for i in range(20000)))
    tracemalloc.start()
    rows = KeyedRows(path, "ID")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 20000
    assert held < path.stat().st_size + 28 * 20000 + 20000
