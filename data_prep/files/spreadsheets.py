"""Text of csv files as spreadsheets export them: encodings and separators."""

import codecs
import csv
import io
import logging
import re
from pathlib import Path
from typing import List, Tuple

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
#: Appended as a last row: it is swallowed if a quote is open.
_END = "\N{END OF TEXT}"


def csv_text(path: Path) -> Tuple[str, str]:
    """Decode a csv file: its text without marks and declarations, and the
    separator, which is a comma unless the first line is ``sep=``.

    Raises ``InputError`` for a file that is empty, not text or not Unicode.
    """
    content = _content(path)
    for first, kind in _NOT_TEXT.items():
        if content.startswith(first):
            raise InputError(f"{path} is {kind}, not a csv file; {_SAVE}")
    text = _decoded(path, content)
    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        raise InputError(
            f"{path} row {row} holds a NUL character, so the file is damaged; "
            f"copy it again, or {_SAVE}"
        )
    separator, declared = ",", _DECLARED.match(text)
    if declared:
        separator, text = declared[1], text[declared.end() :]
        logger.info("%s declares its separator: %r", path, separator)
    if not text.strip():
        raise InputError(f"{path} is empty; expected a header and rows")
    return text, separator


def _content(path) -> bytes:
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; pass the csv file in it")
    if not path.is_file():
        raise InputError(f"{not_a_file(path)}; correct the path")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})")


def _decoded(path, content) -> str:
    mark, encoding = b"", _encoding_without_mark(content)
    for mark, encoding_of_mark in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            encoding = encoding_of_mark
            content = content[len(mark) :]
            break
    if encoding != "utf-8":
        logger.info("%s is read as %s", path, encoding.upper())
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        row = max(before.count(b"\n"), before.count(b"\r")) + 1
        raise InputError(
            f"{path} is not {encoding.upper()}; {_SAVE} (the first fault is in "
            f"row {row})"
        )


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
