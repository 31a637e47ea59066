"""Errors that the user can fix, and their report in one line."""

import re
import sys
from contextlib import contextmanager


class InputError(ValueError):
    """Wrong input or usage, which the user can fix.

    The message is one line: what is wrong, in which file and row, what to do.
    Line ends and other invisible characters of names are shown as escapes, and
    the middle of a very long word is left out.

    Example
    -------
    >>> print(InputError("a\\nb.wav is missing"))
    a\\nb.wav is missing
    """

    def __init__(self, message: str):
        message = re.sub(r"(\S{200})\S{200,}(\S{100})", r"\1[...]\2", message)
        super().__init__(
            "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        )


def require(condition: bool, problem: str, cure: str) -> None:
    """Raise an ``InputError`` of problem and cure unless the condition holds.

    Example
    -------
    >>> require(False, "--seed is -1", "pass 0 or more")
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: --seed is -1; pass 0 or more
    """
    if not condition:
        raise InputError(f"{problem}; {cure}")


@contextmanager
def one_line_errors():
    """Turn an ``InputError`` into one line on stderr and exit status 2.

    Any other exception stays a traceback: it is a fault of the program.
    """
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2)
    except KeyboardInterrupt as stop:
        # Training raises it with the command that resumes the run.
        print(
            str(stop) or "Interrupted. Run the same command again to resume.",
            file=sys.stderr,
        )
        raise SystemExit(1)
