"""Text of annotation files, in the encodings of their programs."""

import re
from pathlib import Path
from typing import List, Optional

from data_prep.files.errors import require
from data_prep.files.spreadsheets import content_of, decoded

#: Encoding of files that are not Unicode: Windows in western Europe.
NOT_UNICODE = "cp1252"
_LINE_END = re.compile("\r\n|\r|\n")


def read_text(path: Path, encoding: Optional[str] = None) -> str:
    """Decode a text file: Unicode with or without a mark, else CP1252."""
    text = decoded(path, content_of(path), encoding, NOT_UNICODE)
    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        require(
            False,
            f"{path} row {row} holds a NUL character, so it is not text or is "
            "damaged",
            "export the annotations again",
        )
    return text


def read_rows(path: Path, encoding: Optional[str] = None) -> List[str]:
    """Lines of a text file, whatever ends them."""
    return _LINE_END.split(read_text(path, encoding))


def in_one_line(text: str) -> str:
    """Text with line ends and tabs as spaces, for formats that have lines."""
    return re.sub(r"[\r\n\t\v\f\x1c-\x1e\x85\u2028\u2029]+", " ", text)
