"""Values as a user types them, on a command line or in a yaml file.

Each function takes the typed text and returns the value, or raises ``Unfit``
with words that follow the name of the option: "is -1; it must be 0 or more".
"""

import math
import os
import re
from argparse import ArgumentTypeError
from typing import Callable, NamedTuple, Union

from data_prep.files.errors import InputError, is_of_other_locale, other_locale

#: Largest seed of NumPy.
MOST_SEED = 2**32 - 1
#: Long digits are a mistake, and slow to convert.
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(
    r"[+-]?([0-9]{1,30}(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.I
)
#: Bytes of a file name that is not Unicode, as Python shows them.
_NOT_UNICODE = re.compile("[\udc80-\udcff]")
#: What a template, a shell or a document left in a path.
_PLACEHOLDER = re.compile(r"<[^<>]*>|\$\w+|\$?\{(?!fold\})[^{}]*\}|%\w+%")


class Unfit(ArgumentTypeError, ValueError):
    """A value that an option cannot take, in the words after its name."""


def convert(option: str, kind: Callable, value: str):
    """Convert the value of an option, which errors name."""
    try:
        return kind(value)
    except Unfit as error:
        raise InputError(f"{option} {error}")


def text(value: str) -> str:
    """Check that a text is not empty, on one line and in Unicode."""
    if not value.strip():
        raise Unfit(
            "is empty; pass a value, or leave the option out (a variable of "
            "the shell that is not set is empty)"
        )
    if is_of_other_locale(value):
        raise Unfit(f"is {other_locale(value)}")
    if not value.isprintable():
        raise Unfit(
            f"is {value!r}, with a line break or another character that "
            "cannot be printed; remove it"
        )
    return value


def path(value: str) -> str:
    """Expand ``~`` in a path, and refuse what a template left in it."""
    expanded = os.path.expanduser(value)
    if value.strip() and os.path.lexists(expanded):
        return expanded  # whatever its name holds
    text(_NOT_UNICODE.sub("?", value))  # names of files are bytes
    if value.startswith("~") and expanded == value:
        raise Unfit(
            f"is {value}; {value.split('/')[0]} is not a user of this machine: "
            f"type the folder, or ./{value}"
        )
    left = _PLACEHOLDER.search(expanded)
    if left is not None:
        raise Unfit(f"is {value}; type a value in place of {left[0]}")
    return expanded


class Number(NamedTuple):
    """Range of a number, which converts its text."""

    least: float = -math.inf
    most: float = math.inf
    whole: bool = False  #: without a fraction
    above: bool = False  #: `least` itself is out of range
    below: bool = False  #: `most` itself is out of range

    def __call__(self, value: str) -> Union[int, float]:
        """Convert a text; refuse what is out of range."""
        value = value.strip()
        if not _NUMBER.fullmatch(value):
            raise Unfit(f"is {value or 'empty'}; {self._words(math.nan)}")
        if self.whole and not _WHOLE.fullmatch(value):
            raise Unfit(f"is {value}; it must be a whole number")
        number = (int if _WHOLE.fullmatch(value) else float)(value)
        low = number <= self.least if self.above else number < self.least
        high = number >= self.most if self.below else number > self.most
        if low or high or not math.isfinite(number):
            raise Unfit(f"is {value}; {self._words(number)}")
        return number

    def _words(self, number: float) -> str:
        least, most = f"{self.least:.10g}", f"{self.most:.10g}"
        if self.most <= 1:
            low = f"above {least} and" if self.above else f"{least} to"
            high = "below " if self.below else "up to " if self.above else ""
            return f"it must be {low} {high}{most}"
        if number > self.least:
            return f"it must be {most} or less"
        if math.isinf(self.least):
            return "it must be a number"
        low = f"above {least}" if self.above else f"{least} or more"
        return f"it must be {low}"


def whole_number(least: int, most: int) -> Number:
    """Range of a whole number, bounds included."""
    return Number(least, most, whole=True)


#: The seed of an experiment.
seed = whole_number(0, MOST_SEED)
