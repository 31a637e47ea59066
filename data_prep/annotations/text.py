"""Text of annotation files, in the encodings of their programs."""

import re
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from data_prep.files.errors import require
from data_prep.files.identifiers import cleaned
from data_prep.files.spreadsheets import content_of, decoded

#: Encoding of files that are not Unicode: Windows in western Europe.
NOT_UNICODE = "cp1252"
_LINE_END = re.compile("\r\n|\r|\n")


def read_text(path: Path, encoding: Optional[str] = None) -> str:
    """Decode a text file: Unicode with or without a mark, else CP1252."""
    text = decoded(path, content_of(path), encoding, NOT_UNICODE)
    row = text.partition("\0")[0].count("\n") + 1
    require(
        "\0" not in text,
        f"{path} row {row} holds a NUL character, so it is not text or is "
        "damaged",
        "export the annotations again",
    )
    return text


def read_rows(
    path: Path, encoding: Optional[str] = None
) -> List[Tuple[str, str]]:
    """Lines of a text file that are not empty, whatever ends them, with file
    and row for messages."""
    lines = _LINE_END.split(read_text(path, encoding))
    return [
        (f"{path} row {n}", line)
        for n, line in enumerate(lines, start=1)
        if line.strip()
    ]


def cells_of(
    source: str, header: Sequence[str], line: Sequence[str]
) -> Dict[str, str]:
    """Cells of a line by column."""
    require(
        len(line) >= len(header) and not any(map(cleaned, line[len(header) :])),
        f"{source} has {len(line)} cells, the header {len(header)}",
        "quote cells that hold a separator, such as 1,5, or separate them by "
        "semicolons or tabs",
    )
    return dict(zip(header, map(str.strip, line)))


def in_one_line(text: str) -> str:
    """Text with line ends and tabs as spaces, for formats that have lines."""
    return re.sub(r"[\r\n\t\v\f\x1c-\x1e\x85\u2028\u2029]+", " ", text)


def tab_line(cells: Sequence) -> str:
    """Line of cells between tabs."""
    return "\t".join(in_one_line(str(cell)) for cell in cells) + "\n"
