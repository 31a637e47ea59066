"""Shapes of state files: JSON or yaml that a program wrote and reads again.

A shape is written like the data that it describes:

* ``str`` (Unicode), ``bool``, ``int``, ``float`` (finite, whole or not),
  ``object`` (anything), ``None``, or a ``Rule``;
* ``[shape]``, a list; ``[first, second]``, a list of so many;
* ``{"key": shape, "key?": shape}``, a map; the second key may be missing;
  ``str: shape`` or ``Rule: shape`` describes all other keys, which are refused
  otherwise;
* ``(shape, shape)``, one of several.
"""

import json
import os
import reprlib
import sys
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from data_prep.files.errors import InputError, require

#: Largest state file that is read, bytes: its objects take 20 times as much.
MOST_BYTES = 1 << 25

_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    None: "null",
}


@dataclass(frozen=True)
class Rule:
    """A test of a value, and the values that pass it in words."""

    holds: Callable[[Any], bool]
    words: str


#: Any number, also infinity and NaN.
ANY_NUMBER = Rule(lambda value: type(value) in (int, float), "a number")


def whole(least: int, most: int = 1 << 53) -> Rule:
    """Rule for a whole number in a range."""
    return Rule(
        lambda value: type(value) is int and least <= value <= most,
        f"a whole number from {least} to {most}",
    )


def number(least: float, most: float = sys.float_info.max) -> Rule:
    """Rule for a finite number in a range."""
    return Rule(
        lambda value: type(value) in (int, float) and least <= value <= most,
        f"a number from {least:g} to {most:g}",
    )


def one_of(*values) -> Rule:
    """Rule for one of a few texts."""
    words = " or ".join(map(repr, values))
    return Rule(lambda value: isinstance(value, str) and value in values, words)


def checked(data: Any, shape: Any, where: str, cure: str) -> Any:
    """Return data of a shape; the ``InputError`` for other data names the key."""
    problem = mismatch(data, shape)
    require(problem is None, f"{where}: {problem}", cure)
    return data


def read_json(
    path: Path,
    shape: Any,
    cure: str,
    title: str = "",
    most_bytes: int = MOST_BYTES,
) -> Any:
    """Read a JSON file of a shape; refuse any other in one line.

    ``title`` begins the message, instead of the path.
    """
    title = title or str(path)
    # A pipe would block.
    require(os.path.isfile(path), f"{title}: the file is missing", cure)
    try:
        with open(path, "rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise InputError(
            f"{title}: it cannot be read ({error.strerror}); {cure}"
        )
    is_short = len(content) <= most_bytes
    require(is_short, f"{title}: more than {most_bytes >> 20} MiB", cure)
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{title}: it is damaged, not JSON ({error}); {cure}")
    return checked(data, shape, title, cure)


def mismatch(value: Any, shape: Any, key: str = "") -> Optional[str]:
    """First difference of a value from a shape, with its key; None if none."""
    if isinstance(shape, tuple):
        if any(mismatch(value, option, key) is None for option in shape):
            return None
        # If one alternative is a list or a map, give its reason.
        for option in shape:
            if isinstance(option, type(value)) and value is not None:
                return mismatch(value, option, key)
    elif isinstance(shape, dict) and isinstance(value, dict):
        return _in_map(value, shape, key)
    elif isinstance(shape, list) and isinstance(value, list):
        return _in_list(value, shape, key)
    elif _is_plain(value, shape):
        return None
    return f"{key or 'the content'} is {_shown(value)}, not {_words(shape)}"


def _is_plain(value, shape) -> bool:
    if isinstance(shape, Rule):
        return shape.holds(value)
    if shape is float:
        most = sys.float_info.max
        return type(value) in (int, float) and -most <= value <= most
    if shape is str:
        return isinstance(value, str) and is_unicode(value)
    if shape in (None, object):
        return shape is object or value is None
    return type(value) is shape


def is_unicode(text: str) -> bool:
    r"""Check that a text can be written: JSON may hold half a character.

    Old file names may also hold other bytes.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _in_map(value, shape, key):
    others = [kind for kind in shape if not isinstance(kind, str)]
    known = {n.rstrip("?"): n for n in shape if isinstance(n, str)}
    for name, written in known.items():
        if name not in value and not written.endswith("?"):
            return f"{_joined(key, name)} is missing"
    for name, part in value.items():
        inner = _joined(key, name)
        if name not in known and not others:
            return f"{inner} is unknown"
        if name not in known and not _is_plain(name, others[0]):
            return f"the key {inner} is not {_words(others[0])}"
        problem = mismatch(part, shape[known.get(name) or others[0]], inner)
        if problem is not None:
            return problem
    return None


def _in_list(value, shape, key):
    if len(shape) > 1 and len(value) != len(shape):
        return f"{key or 'the content'} has {len(value)} of {len(shape)} values"
    for number, part in enumerate(value):
        inner = f"{key}[{number}]"
        problem = mismatch(part, shape[number % len(shape)], inner)
        if problem is not None:
            return problem
    return None


def _joined(key, name):
    """Key of an entry of a map."""
    plain = isinstance(name, str) and name.isprintable() and len(name) <= 60
    return ".".join(filter(None, [key, name if plain else _shown(name)]))


def _words(shape) -> str:
    if isinstance(shape, tuple):
        return " or ".join(map(_words, shape))
    if isinstance(shape, Rule):
        return shape.words
    if isinstance(shape, (dict, list)):
        return "a map" if isinstance(shape, dict) else "a list"
    return _WORDS[shape]


def _shown(value) -> str:
    """Show a value in a few characters of one line."""
    return reprlib.repr(value).encode("ascii", "backslashreplace").decode()


def fields_of(kind: type, without=(), **narrower) -> Dict[str, Any]:
    """Shape of a dataclass or named tuple, with narrower shapes of fields."""
    hints = typing.get_type_hints(kind)
    return {
        name: narrower[name] if name in narrower else _of_hint(hint)
        for name, hint in hints.items()
        if name not in without
    }


def _of_hint(hint):
    parts = tuple(map(_of_hint, typing.get_args(hint)))
    if typing.get_origin(hint) is typing.Union:
        return parts
    if typing.get_origin(hint) is list:
        return list(parts)
    if typing.get_origin(hint) is dict:
        return {str: parts[1]}
    return None if hint is type(None) else hint
