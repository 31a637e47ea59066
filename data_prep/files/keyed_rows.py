"""Rows of a csv file by number or by key, parsed on access.

200,000 recordings as Python objects take hundreds of megabytes, and soon one
copy in each loader worker, because reading an object changes its reference
count. Here the file is kept as bytes, with a few numbers per row.
"""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Set, Tuple
from zlib import crc32

import numpy as np

from data_prep.files.errors import InputError
from data_prep.files.identifiers import cleaned
from data_prep.files.spreadsheets import csv_text, parsed_lines
from data_prep.files.tables import checked_header, replace_decimal_commas

_COMMA, _QUOTE, _NEWLINE, _RETURN = b',"\n\r'
#: Bytes scanned at a time, to bound the memory.
_BLOCK = 1 << 18
#: Beginnings of tables that a spreadsheet has exported: a declared or another
#: separator, an empty first row, a column without a name at the end.
_EXPORTED = re.compile(
    rb'\s*"?sep=|[^\r\n,]*[;\t|]|[\r\n]*[ \t]+[\r\n]|\s*[^\r\n]*,[ \t]*[\r\n]'
    rb'|\s*[^\r\n]*, "',
    re.IGNORECASE,
)
#: Bytes of a row of empty cells, which spreadsheets append.
_EMPTY = b' \t",\r\n'


class KeyedRows(Sequence):
    """Rows of a csv file with a header; blank lines and rows of empty cells
    are skipped.

    Keys are compared after ``plain``; the regular expression ``odd`` matches
    the keys that are quoted or that ``plain`` changes. Memory: the file's size
    and 28 bytes per row.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        plain: Callable[[str], str] = str,
        odd: bytes = rb'^[" ]',
        errors: str = "strict",
        skipinitialspace: bool = False,
    ):
        self.path, self._plain = Path(path), plain
        self._errors, self._skip = errors, skipinitialspace
        self._bytes = self._read()
        begins, ends = self._lines()
        if self._has_empty_row(begins[1:], ends[1:]):
            self._bytes = self._read(is_exported=True)
            begins, ends = self._lines()
        self.columns = self._cells(begins[0], ends[0], -1)
        checked_header(path, self.columns, [key])
        if key not in self.columns:
            raise InputError(
                f"{path} has space around the column {key!r}; remove it"
            )
        self._column = self.columns.index(key)
        self._begins, self._ends = begins[1:].copy(), ends[1:].copy()
        # Cached: the key, number and cells of a row are read together.
        self._latest = None, []
        self._check()
        codes = np.fromiter(self._codes(odd), np.uint32, len(self))
        self._order = np.argsort(codes, kind="stable")
        self._sorted = codes[self._order]

    def _read(self, is_exported: bool = False) -> bytes:
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path} cannot be read ({error.strerror})")
        if content.startswith(codecs.BOM_UTF8):
            content = content[len(codecs.BOM_UTF8) :]
        if is_exported or b"\0" in content or _EXPORTED.match(content):
            content = self._rewritten()
        elif not content.isascii():
            try:
                content.decode("utf-8", self._errors)
            except UnicodeDecodeError:
                csv_text(self.path)  # refuses it and names the row
        if not content.strip():
            raise InputError(
                f"{self.path} is empty; expected a header and rows"
            )
        return content if content[-1] in b"\r\n" else content + b"\n"

    def _has_empty_row(self, begins: np.ndarray, ends: np.ndarray) -> bool:
        first = np.frombuffer(self._bytes, np.uint8)[begins]
        may_be = np.isin(first, np.frombuffer(_EMPTY, np.uint8))
        for begin, end in zip(begins[may_be].tolist(), ends[may_be].tolist()):
            row = self._bytes[begin:end]
            if b"," in row and not row.strip(_EMPTY):
                return True
        return False

    def _rewritten(self) -> bytes:
        """The table as this project writes it, from a spreadsheet's export."""
        text, separator = csv_text(self.path)
        lines = parsed_lines(text, separator, self.path)
        lines = [line for line in lines if any(map(cleaned, line))]
        if not lines:
            return b""
        header = checked_header(self.path, lines[0], [])
        if separator != ",":
            self._replace_decimal_commas(header, lines[1:])
        n_columns = len(header)
        file = io.StringIO(newline="")
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for line in lines:
            beyond = any(map(cleaned, line[n_columns:]))
            writer.writerow(line if beyond else line[:n_columns])
        return file.getvalue().encode("utf-8", self._errors)

    def _replace_decimal_commas(self, header, lines) -> None:
        """Write points in columns of numbers, as ``read_table`` does."""
        rows = [dict(zip(header, map(cleaned, line))) for line in lines]
        if not rows or any(len(row) < len(header) for row in rows):
            return  # refused later
        replace_decimal_commas(self.path, rows)
        for line, row in zip(lines, rows):
            for i, name in enumerate(header):
                if row[name] != cleaned(line[i]):
                    line[i] = row[name]

    def _lines(self) -> Tuple[np.ndarray, np.ndarray]:
        """Offsets of the first byte and of the end of each line, header first.

        Raises ``InputError`` where a quote is not closed.
        """
        quotes = self._positions(_QUOTE)
        if len(quotes) % 2:
            raise InputError(
                f"{self.path} is not a csv file; look for an unclosed quote"
            )
        ends = self._positions(_NEWLINE, _RETURN)
        # After an odd number of quotes, a line end is part of a cell.
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
        begins = np.concatenate([[0], ends[:-1] + 1])
        filled = begins < ends
        return begins[filled], ends[filled]

    def _positions(self, *signs: int) -> np.ndarray:
        """Offsets of these byte values in the file."""
        data, positions = np.frombuffer(self._bytes, np.uint8), []
        for first in range(0, len(data), _BLOCK):
            block = data[first : first + _BLOCK]
            is_sign = np.logical_or.reduce([block == sign for sign in signs])
            positions.append(first + np.flatnonzero(is_sign))
        return np.concatenate(positions)

    def _check(self):
        """Raise ``InputError`` for a ragged row."""
        commas = self._positions(_COMMA)
        before = np.searchsorted(commas, self._begins)
        n_commas = np.diff(before, append=len(commas))
        # Parse only these: most merely have a comma in a quoted cell.
        for number in np.flatnonzero(n_commas != len(self.columns) - 1):
            self[number]

    def _codes(self, odd: bytes) -> Iterator[int]:
        """A hash of each key."""
        is_odd, content = re.compile(odd).search, self._bytes
        is_first = self._column == 0 and len(self.columns) > 1
        for number, begin in enumerate(map(int, self._begins)):
            key = content[begin : content.find(b",", begin)]
            if not is_first or is_odd(key):
                key = self._plain(self.key(number))
                key = key.encode("utf-8", self._errors)
            yield crc32(key)

    def _cells(self, begin: int, end: int, number: int) -> List[str]:
        line = self._bytes[begin:end].decode("utf-8", self._errors)
        try:
            return next(csv.reader([line], skipinitialspace=self._skip))
        except csv.Error as error:
            reason = str(error).split(" - ")[0]
            raise InputError(
                f"{self.source(number)} cannot be read ({reason}); look for an "
                "unclosed quote"
            )

    def __len__(self) -> int:
        return len(self._begins)

    def __getitem__(self, number: int) -> List[str]:
        """Cells of a row."""
        latest, cells = self._latest
        if latest != number:
            cells = self._parsed(number)
            self._latest = number, cells
        return list(cells)

    def _parsed(self, number: int) -> List[str]:
        begin, end = self._begins[number], self._ends[number]
        cells = self._cells(begin, end, number)
        if len(cells) != len(self.columns):
            raise InputError(
                f"{self.source(number)} has {len(cells)} cells, the header "
                f"{len(self.columns)}; quote cells that hold a comma"
            )
        return cells

    def matches(self, pattern: bytes) -> Set[str]:
        """Distinct texts that the first group of a regular expression matches
        in the file."""
        matches = re.finditer(pattern, self._bytes)
        return {match[1].decode("utf-8", self._errors) for match in matches}

    def source(self, number: int) -> str:
        """File and row, for messages."""
        return f"{self.path} row {number + 2}"

    def key(self, number: int) -> str:
        """Key of a row as written in the file."""
        return self[number][self._column]

    def find(self, key: str) -> Optional[int]:
        """Number of the last row with this key, None if absent."""
        key = self._plain(key)
        # uint32 like the array, which would be converted at each call.
        code = np.uint32(crc32(key.encode("utf-8", self._errors)))
        first = self._sorted.searchsorted(code)
        last = self._sorted.searchsorted(code, side="right")
        # Different keys can have the same hash.
        for number in self._order[first:last][::-1].tolist():
            if self._plain(self.key(number)) == key:
                return number
        return None

    def duplicate(self) -> Optional[Tuple[int, int]]:
        """Numbers of the first row that repeats a key and of the row it
        repeats; None if all keys differ."""
        same = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        first_of = {}
        for number in np.unique(self._order[[same, same + 1]]).tolist():
            key = self._plain(self.key(number))
            if first_of.setdefault(key, number) != number:
                return number, first_of[key]
        return None
