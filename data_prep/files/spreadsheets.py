"""Text of tables as spreadsheets save them: encodings, separators, workbooks."""

import codecs
import csv
import datetime
import io
import logging
import re
from collections import Counter
from pathlib import Path
from typing import List, Optional, Set, Tuple

from data_prep.files.errors import InputError, not_a_file

logger = logging.getLogger(__name__)

#: The longer marks first: that of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: First bytes of files that are not text.
_NOT_TEXT = {
    b"PK\x03\x04": "a workbook or an archive",
    b"\xd0\xcf\x11\xe0": "a workbook",
    b"\x1f\x8b": "compressed",
    b"%PDF": "a PDF",
    b"<": "a web page",
}
#: First line in which a spreadsheet declares its separator.
_DECLARED = re.compile(
    r'\s*"?sep=([,;|\t])"?[ ,;\t]*(\r\n|\r|\n|$)', re.IGNORECASE
)
_SAVE = "save it as 'CSV UTF-8'"
_NAMES = {";": "semicolons", "\t": "tabs", "|": "bars"}
_said: Set[str] = set()
#: Text in quotes, where a separator is part of a cell.
_IN_QUOTES = re.compile('"[^"]*"')
#: Appended as a last row: it is swallowed if a quote is open.
_END = "\N{END OF TEXT}"


def csv_text(
    path: Path, encoding: Optional[str] = None, otherwise: Optional[str] = None
) -> Tuple[str, str]:
    """Decode a table: its text without marks and declarations, and the
    separator, which the first line declares (``sep=;``) or the first lines
    show. The first sheet of a workbook (.xlsx) becomes the text of a csv file.
    The encodings are those of ``decoded``.

    Raises ``InputError`` for a file that is empty, not text or not Unicode.
    """
    content = content_of(path)
    if Path(path).suffix.lower() in (".xlsx", ".xlsm"):
        return _workbook_text(path, content), ","
    for first, kind in _NOT_TEXT.items():
        if content.startswith(first):
            raise InputError(f"{path} is {kind}, not a csv file; {_SAVE}")
    text = decoded(path, content, encoding, otherwise)
    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        raise InputError(
            f"{path} row {row} holds a NUL character, so the file is damaged; "
            f"copy it again, or {_SAVE}"
        )
    declared = _DECLARED.match(text)
    if declared:
        separator, text = declared[1], text[declared.end() :]
        logger.info("%s declares its separator: %r", path, separator)
    else:
        separator = _separator(text)
        if separator in _NAMES:
            say_once(f"{path} is separated by {_NAMES[separator]}")
    if not text.strip():
        raise InputError(f"{path} is empty; expected a header and rows")
    return text, separator


def say_once(words: str) -> None:
    """Log how a table is read; a command may read it several times."""
    # Before an experiment begins, nothing is shown.
    if logger.isEnabledFor(logging.INFO) and words not in _said:
        _said.add(words)
        logger.info("%s", words)


def _separator(text: str) -> str:
    """The sign that divides most of the first lines into as many cells; the
    one of more cells where two do. A comma if none does."""
    head = _IN_QUOTES.sub("", text[:20_000])
    lines = [line for line in head.splitlines()[:20] if line.strip()]

    def agreement(sign):
        counts = Counter(line.count(sign) for line in lines if sign in line)
        return counts.most_common(1)[0][::-1] if counts else (0, 0)

    return max((",", *_NAMES), key=agreement)


def _workbook_text(path, content: bytes) -> str:
    """The first sheet of a workbook as the text of a csv file."""
    try:
        from openpyxl import load_workbook  # an extra, which few need
    except ImportError:
        raise InputError(
            f"{path} is a workbook, which openpyxl reads; {_SAVE}, or install "
            "that (pip install 'cry-ssl[xlsx]')"
        )
    try:
        # The values that the spreadsheet has computed, not its formulas.
        book = load_workbook(
            io.BytesIO(content), read_only=True, data_only=True
        )
        names, rows = book.sheetnames, book.worksheets[0].values
        text = io.StringIO(newline="")
        lines = [[_cell_text(value) for value in row] for row in rows]
        width = max(map(len, lines), default=0)
        csv.writer(text, lineterminator="\n").writerows(
            line + [""] * (width - len(line)) for line in lines
        )
    except Exception as error:  # of zip, xml or openpyxl: many kinds
        raise InputError(
            f"{path} is not a workbook that can be read ({error}); {_SAVE}"
        )
    others = f"; its other {len(names) - 1} are not read" if names[1:] else ""
    say_once(f"{path}: the sheet {names[0]!r} is read{others}")
    if not text.getvalue().strip(", \n"):
        raise InputError(
            f"{path}: the first sheet, {names[0]!r}, is empty; expected a "
            "header and rows"
        )
    return text.getvalue()


def _cell_text(value) -> str:
    """Text of a cell, as a spreadsheet shows it or as ISO 8601."""
    midnight = datetime.time()
    if isinstance(value, datetime.datetime) and value.time() == midnight:
        value = value.date()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)


def content_of(path: Path) -> bytes:
    """Read the bytes of a file; raise ``InputError`` if there is none."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; pass the csv file in it")
    if not path.is_file():
        raise InputError(f"{not_a_file(path)}; correct the path")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})")


def decoded(
    path: Path,
    content: bytes,
    encoding: Optional[str] = None,
    otherwise: Optional[str] = None,
) -> str:
    """Text of bytes: in Unicode as a mark shows, else in the encoding that the
    user names, else in Unicode, else in `otherwise`."""
    mark, unicode = _byte_order_mark(content)
    content = content[len(mark) :]
    name = unicode if mark or encoding is None else checked_encoding(encoding)
    if name != "utf-8" and encoding is None:
        say_once(f"{path} is read as {name.upper()}")
    try:
        return content.decode(name)
    except UnicodeDecodeError as error:
        if otherwise and not mark and encoding is None:
            say_once(
                f"{Path(path).parent}: texts that are not UTF-8 are read as "
                f"{otherwise.upper()} (another: --encoding)"
            )
            return decoded(path, content, otherwise)
        before = content[: error.start]
        row = max(before.count(b"\n"), before.count(b"\r")) + 1
        raise InputError(
            f"{path} is not {name.upper()}; {_SAVE} (the first fault is in "
            f"row {row})"
        )


def _byte_order_mark(content: bytes) -> Tuple[bytes, str]:
    """Byte order mark of a content, empty without one, and its encoding."""
    for mark, name in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return mark, name
    return b"", _encoding_without_mark(content)


def checked_encoding(name: str) -> str:
    """Check that an encoding exists."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise InputError(
            f"--encoding is {name!r}, which does not exist; pass one such as "
            "utf-8, utf-16, cp1252 or mac-roman"
        )
    return name


def _encoding_without_mark(content: bytes) -> str:
    """Guess UTF-16, which has a zero byte in most characters of a table."""
    head = content[:1000]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = head[first::2].count(0), head[1 - first :: 2].count(0)
        if zeros > len(head) / 4 > 4 * others:
            return encoding
    return "utf-8"


def parsed_lines(text: str, separator: str, path: Path) -> List[List[str]]:
    """Cells of a csv text by line; raise ``InputError`` for an open quote."""
    end = "" if text[-1] in "\r\n" else "\n"
    lines, first = [], text.lstrip().partition("\n")[0]
    spaced = f'{separator} "' in first  # else the quotes are part of cells
    try:
        source = io.StringIO(f"{text}{end}{_END}", newline="")
        for line in csv.reader(
            source, delimiter=separator, skipinitialspace=spaced
        ):
            lines.append(line)
    except csv.Error as error:
        row, reason = len(lines) + 1, str(error).split(" - ")[0]
    else:
        if lines.pop() == [_END]:
            return lines
        row, reason = len(lines) + 1, "unexpected end of the file"
    raise InputError(
        f"{path} is not a csv file (row {row}: {reason}); look for an "
        "unclosed quote"
    )
