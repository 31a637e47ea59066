"""Command lines with errors of one line that name the option as typed."""

import argparse
import difflib
import re
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence

from data_prep.files.option_values import Number, path, seed, text
from data_prep.files.processors import fit_processors
from data_prep.files.tables import NAMED_BY

#: Names of arguments that are paths: ~ is the home folder.
PATHS = {
    *("source", "out", "data_folder", "cry_folder", "sound_folder"),
    *("recordings_csv", "recordings", "exclude", "exclude_folder", "raw"),
    *("manifest", "hparams", "csv", "audio", "verify", "more", "exported"),
    *("cries", "sounds", "study", "profile", "run", "runs", "sets"),
    *("results", "model", "data", "folder", "before", "after"),
    *("audio_folder", "annotations", "hard_negatives", "scores"),
    *("others", "backgrounds"),
}
#: Upper limits of numbers. The commands know the lower ones.
_PROCESSES = ("jobs", "workers", "threads")
_MOST = {
    **dict.fromkeys(_PROCESSES, 1000),
    **dict.fromkeys(("n_draws", "permutations"), 1_000_000),
    **{"folds": 1000, "repeats": 10_000, "rate": 384_000},
    **{"shard_mb": 1_000_000, "longest_s": 86_400, "channel": 1000},
}


class Arguments(argparse.ArgumentParser):
    """An ``ArgumentParser`` for careless users.

    Options cannot be abbreviated or given twice, a misspelt one is answered
    with the nearest name, and errors are one line and exit status 2. Values
    without a ``type`` are paths, seeds or texts by the name of the argument.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def add_argument(self, *names, **options):
        """Add an argument; one with a value has a type."""
        action = super().add_argument(*names, **options)
        if action.nargs != 0:
            action.type = _type_of(action.dest, action.type)
        return action

    def _get_values(self, action, arg_strings):
        # argparse removes it, also where it is a value, as in --out=--.
        if action.option_strings and "--" in arg_strings:
            self.error(f"{action.option_strings[-1]} is --; pass a value")
        return super()._get_values(action, arg_strings)

    def parse_known_args(self, args=None, namespace=None):
        """Parse, unless an option is given twice."""
        args = list(sys.argv[1:] if args is None else args)
        refuse_repeated(self, args)
        return super().parse_known_args(args, namespace)

    def parse_args(self, args=None, namespace=None):
        """Parse; refuse arguments that are left over."""
        return self._whole(*self.parse_known_args(args, namespace))

    def parse_intermixed_args(self, args=None, namespace=None):
        """Parse with options anywhere; refuse arguments that are left over."""
        return self._whole(*self.parse_known_intermixed_args(args, namespace))

    def _whole(self, args, left):
        if left:
            self.error(unknown(left[0], self._option_string_actions))
        return args

    def error(self, message: str) -> None:
        """Print one line on stderr and exit."""
        missing = message.partition("arguments are required: ")[2].split(", ")
        message += self._order(missing)
        # argparse: "argument --rate: is 3", "argument -h/--help: ..."
        message = re.sub(r"^argument (\S+): is ", r"\1 is ", message)
        message = re.sub(r"^argument (\S+: )", r"\1", message)
        self.exit(2, f"error: {' '.join(message.split())}\n")

    def _order(self, missing: Sequence[str]) -> str:
        """Order of the arguments without names, where one of several lacks."""
        actions = self._get_positional_actions()
        names = [str(action.metavar or action.dest) for action in actions]
        is_one_of_several = len(names) > 1 and set(missing) & set(names)
        return f"; the order is {' '.join(names)}" if is_one_of_several else ""


def _type_of(name: str, given: Optional[Callable]) -> Callable:
    if name == "seed":
        return seed
    if given in (int, float):
        number = Number(most=_MOST.get(name, 10**9), whole=given is int)
        if name in _PROCESSES:
            return lambda value: fit_processors(number(value))
        return lambda value: given(number(value))
    if given in (None, str):
        return path if name in PATHS else text
    return given


def add_columns(parser: Arguments) -> None:
    """Add the options that name columns of a user's table of recordings."""
    for ours, option in NAMED_BY.items():
        words = f"column of the table; default: {ours}"
        parser.add_argument(option, default=ours, metavar="NAME", help=words)


def take_columns(args: argparse.Namespace) -> Dict[str, Any]:
    """Arguments, with those of ``add_columns`` as one, ``named``."""
    values = vars(args)
    options = {ours: name.lstrip("-") for ours, name in NAMED_BY.items()}
    named = {ours: values.pop(name) for ours, name in options.items()}
    return {**values, "named": named}


def texts(values: Optional[Sequence[str]]) -> Optional[List[str]]:
    """Texts typed as words, or as one word with commas.

    Example
    -------
    >>> texts(["a,b"]), texts(["a, b", "c"])
    (['a', 'b'], ['a, b', 'c'])
    """
    if values and len(values) == 1:
        return [value.strip() for value in values[0].split(",")]
    return list(values) if values else None


def refuse_repeated(parser: Arguments, args: Sequence[str]) -> None:
    """Refuse an option that is given twice: one value would be ignored."""
    once = {
        name
        for action in parser._actions
        for name in action.option_strings
        if not isinstance(action, argparse._AppendAction)
    }
    names = []
    for arg in args:
        if arg == "--":
            break
        names.append(arg.partition("=")[0])
    for name in once.intersection(names):
        if names.count(name) > 1:
            parser.error(f"{name} is given twice; keep one of them")


def unknown(arg: str, names: Sequence[str]) -> str:
    """Explain an argument that no option takes."""
    name = arg.partition("=")[0]
    if not name.startswith("--"):
        hint = "options begin with two hyphens, --"
        if arg.startswith("-") or not arg.isascii():
            return f"{name} is not an option; {hint}"
        return f"{arg} is one argument too many; quote values with spaces"
    near = nearest(name, names)
    return f"{name} is not an option{near}; --help lists them"


def nearest(name: str, names: Sequence[str]) -> str:
    """Suggest the name nearest to a misspelt one; empty if none is near."""
    close: Optional[Sequence[str]] = difflib.get_close_matches(
        name.lower(), names, n=1
    )
    return f" (did you mean {close[0]}?)" if close else ""
