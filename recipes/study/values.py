"""Checks of the values in a study's yaml file: each returns its value, or
names the setting that is wrong."""

import math
from pathlib import Path
from typing import Tuple

from data_prep.files import option_values
from data_prep.files.errors import require

#: Upper limit of numbers without one of their own.
_MOST = 10**6


def check(condition, name, value, cure):
    """Check a condition on a value."""
    require(condition, f"{name} is {value!r}", cure)
    return value


def check_text(name, value):
    """Check a text that is not blank."""
    valid = isinstance(value, str) and value.strip()
    return check(valid, name, value, "it must be a text")


def check_text_or_none(name, value):
    """Check a text, or nothing."""
    return None if value is None else check_text(name, value)


def check_flag(name, value):
    """Check True or False."""
    valid = isinstance(value, bool)
    return check(valid, name, value, "it must be true or false")


def check_path(name, value):
    """Check a path; ~ is the home folder."""
    return Path(
        option_values.convert(name, option_values.path, check_text(name, value))
    )


def check_path_or_none(name, value):
    """Check a path, or nothing."""
    return None if value is None else check_path(name, value)


def check_numbers(name, values, kind, least, most=_MOST) -> Tuple:
    """Check a list of different numbers of a kind, ``int`` or ``float``."""
    valid = isinstance(values, list) and values
    check(valid, name, values, "it must be a list of numbers")
    kinds = (int,) if kind is int else (int, float)
    noun = "a whole number" if kind is int else "a number"
    for value in values:
        # By type: a bool is an int, too.
        valid = type(value) in kinds and least <= value < math.inf
        check(valid, name, value, f"it must be {noun}, {least} or more")
        check(value <= most, name, value, f"it must be {most} or less")
        unique = values.count(value) == 1
        check(unique, name, values, f"{value} is repeated; remove one")
    return tuple(map(kind, values))


def check_mapping(name, value):
    """Check settings by name."""
    valid = isinstance(value, dict) and value
    return check(valid, name, value, "it must hold settings by name")


def check_known(name, keys, allowed):
    """Check that all keys are allowed."""
    for key in keys:
        check(key in allowed, name, key, f"use {', '.join(allowed)}")
