"""Canonical forms of identifiers: all spellings of one patient are one.

Spellings that look alike must not become two patients, one to train on and one
to test on: accents in one or two code points, invisible characters, any kind of
space or dash, upper and lower case, letters of another alphabet, and 007, 7 and
7.0 as a spreadsheet writes them.
"""

import logging
import re
import unicodedata
from functools import lru_cache
from typing import Dict, List, Tuple

from data_prep.files.errors import InputError

logger = logging.getLogger(__name__)

#: Invisible, and not of the categories Cc and Cf: fillers, joiners, and
#: selectors of variants.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
#: Any space but the ends of lines within a cell.
_SPACES = re.compile(r"[^\S\r\n]+")
#: ="007" and '007, by which programs and people keep a spreadsheet from
#: changing a cell, and quotes that a space before them made part of the cell.
_KEPT_AS_TEXT = re.compile(r"""=?"([^"]*)"|['\u2019](\d+(?:[.,]\d*)?)""")
#: Thousands as a spreadsheet shows them in many countries.
_GROUPED = re.compile(r"\d{1,3}( \d{3})+")
#: The Turkish capital with a dot in lower case, and the letter without one.
_TURKISH = re.compile("i\u0307+|\u0131")
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u2018\u2019\u201b\u02bc\u2032\u00b4`", "'"),
    }
)
#: Letters whose small or capital form looks like that of another alphabet. Two
#: of one alphabet never become one, so that ids in it alone stay apart.
_LATIN = str.maketrans(
    # Cyrillic, Greek, Armenian and phonetic letters; then Cyrillic and Greek.
    "авекмнорстухіјѕԁԛԝӏαβεζηικμνορτυχϳօսհոյɑɡгпф",
    "abekmhopctyxijsdqwlabezhikmnoptyxjouhnjagγπφ",
)
_NUMBER = re.compile(r"\+?(\d+)(?:[.,](\d*))?", re.ASCII)


def cleaned(text: str) -> str:
    """Remove what cannot be seen: accents in two code points become one,
    invisible characters disappear, and any space becomes a single one.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        text = text.strip()
    else:
        visible = "".join(sign for sign in text if _is_visible(sign))
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", visible))
        text = _SPACES.sub(" ", text).strip()
    while kept := _KEPT_AS_TEXT.fullmatch(text):
        text = (kept[1] or kept[2] or "").strip()
    return text


def _is_visible(sign: str) -> bool:
    return sign.isspace() or unicodedata.category(sign) not in ("Cc", "Cf")


def spelling(text: str) -> str:
    """Form of a text in which case, width, dashes, spaces and the alphabet of
    letters that look alike do not count."""
    text = unicodedata.normalize("NFKC", cleaned(text)).translate(_ALIKE)
    # Letters apart from their accents, which are alike in all alphabets.
    text = unicodedata.normalize("NFD", text.casefold()).translate(_LATIN)
    text = unicodedata.normalize("NFKC", _TURKISH.sub("i", text))
    return " ".join(text.split())


@lru_cache(maxsize=4096)  # labels are repeated
def identity(text: str, is_name: bool = False) -> str:
    """Key by which identifiers are compared: ``spelling``, and numbers without
    the zeros that a spreadsheet removes or adds. In names of files and videos
    (``is_name``) only what cannot be seen does not count.

    Example
    -------
    >>> [identity(text) for text in ("007", "7.0", "P7", "p\\u200b7")]
    ['7', '7', 'p7', 'p7']
    """
    text = cleaned(text) if is_name else spelling(text)
    if not is_name and _GROUPED.fullmatch(text):
        text = text.replace(" ", "")
    if not text.isascii():
        digits = (unicodedata.decimal(sign, sign) for sign in text)
        number = _NUMBER.fullmatch("".join(map(str, digits)))
    else:
        number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    whole = number[1].lstrip("0") or "0"
    fraction = (number[2] or "").rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


class Spellings:
    """First spelling of each identifier of a column.

    Called with the row and the cell, it returns the first spelling; ``report``
    says in one line how many rows had another. The lines name rows and no
    cells, which may identify patients. With ``refuse_zeros``, identifiers that
    differ only in zeros (007 and 7) are refused: a spreadsheet may have changed
    one, or they may be two patients.
    """

    def __init__(self, column: str, refuse_zeros: bool = False):
        self.column, self.refuse_zeros = column, refuse_zeros
        self._first: Dict[str, Tuple[str, str]] = {}
        self._others: List[Tuple[str, str]] = []

    def __call__(self, source: str, text: str) -> str:
        text = cleaned(text)
        key = identity(text)
        first, row = self._first.setdefault(key, (text, source))
        if text == first:
            return first
        if self.refuse_zeros and spelling(text) != spelling(first):
            raise InputError(
                f"{source}: {self.column} differs from that of {row} in zeros "
                "only, as 007, 7 and 7.0 do, or in spaces; write an id in one "
                "way, in a column that is formatted as text, and give two "
                "patients ids that differ in more"
            )
        self._others.append((source, row))
        column = self.column
        logger.debug("%s: %s %r is %r in %s", source, column, text, first, row)
        return first

    def report(self) -> None:
        """Warn once about all rows with another spelling."""
        if self._others:
            logger.warning(
                "%d rows spell %s differently from an earlier row, such as %s "
                "and %s (case, dashes, zeros, forms of a letter, alphabets); "
                "they count as one",
                len(self._others),
                self.column,
                *self._others[0],
            )
