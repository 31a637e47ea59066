"""Missing values, and cells that a spreadsheet has damaged."""

import re
from typing import Dict

from data_prep.files.errors import InputError
from data_prep.files.identifiers import spelling

#: Marks of a missing value, in any case: of R, pandas, SAS, and of people.
_MARKS = frozenset(
    "na n/a n.a. n.a <na> #na nan -nan none null <null> - -- --- . ?".split()
)
_LONGEST = max(map(len, _MARKS))
#: An error of a formula, in any language: #NAME?, #REF!, #N/A, Err:508.
_ERROR = re.compile(r"#(\S+[!?]|N/A|N/D|NV|#+)|Err:\d{3}", re.IGNORECASE)
#: Ids that became numbers or dates: 100000 is 1E+05 or 100,000, 3-1 is 3-Jan.
_FORMATTED = re.compile(
    r"\d([.,]\d+)?E[+-]\d{2,}|\d{1,3}(,\d{3})+", re.IGNORECASE
)
_DATE = re.compile(
    r"\d{1,2}[-. ]{1,2}(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
    re.IGNORECASE,
)
#: Columns of paths, which are kept as they are.
PATHS = ("path", "wav", "file_name", "filename")


def is_missing(cell: str) -> bool:
    """Check that a cell is empty or a mark of a missing value."""
    # A cell of two or three code points can be a mark of one dash.
    if len(cell) > 3 * _LONGEST:
        return False
    return not cell or spelling(cell) in _MARKS


def without_marks(cells: Dict[str, str]) -> Dict[str, str]:
    """Cells of a row with marks of missing values as empty cells."""
    return {
        name: "" if name not in PATHS and is_missing(cell) else cell
        for name, cell in cells.items()
    }


def refuse_damaged(source: str, name: str, cell: str, is_id: bool = False):
    """Raise ``InputError`` for an error of a spreadsheet's formula, and for an
    id that became a number or a date."""
    changed = _ERROR.fullmatch(cell)
    if is_id:
        changed = changed or _FORMATTED.fullmatch(cell) or _DATE.fullmatch(cell)
    if changed:
        noun = "ids" if is_id else "cells"
        raise InputError(
            f"{source}: {name} is {cell!r}, which a spreadsheet has changed; "
            f"restore the {noun} and format the column as text before saving"
        )
