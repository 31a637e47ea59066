"""Errors that the user can fix, and their report in one line."""

import errno
import logging
import os
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from data_prep.files.made_folders import forget_made, remove_empty_made
from data_prep.files.signals import INTERRUPTED, second_signal_ends
from data_prep.files.standard_streams import (
    close_broken_streams,
    escape_unprintable,
    replace_closed_streams,
)

logger = logging.getLogger(__name__)

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: What a disk or network folder that broke or was taken away answers.
_GONE = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN)

#: Errors of torch.distributed where another process has ended.
_LOST_RANK = re.compile("gloo|NCCL|TCPStore|[Cc]onnection closed by peer")
#: Bytes of a name that are not text in the locale.
_BYTES = re.compile("[\udc80-\udcff]")
#: Seconds within which torchrun ends the other processes, and that each waits
#: longer than the one before it.
_TORCHRUN_S, _RANK_S = 4.0, 1.0


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


class AccessError(InputError):
    """A file or folder that cannot be written or read: the same command may
    succeed later."""


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


def not_a_file(path: str) -> str:
    """Words on a path at which there is no regular file.

    Example
    -------
    >>> not_a_file("no/a.csv"), not_a_file("/")
    ('no/a.csv does not exist', '/ is a folder')
    """
    if Path(path).is_dir():
        return f"{path} is a folder"
    if Path(path).is_socket():
        return f"{path} is a socket"
    if Path(path).exists():
        return f"{path} is a pipe or a device (save its content in a file)"
    return f"{path} does not exist"


def cure_of(error: OSError) -> str:
    """Name what the user can do about a file that cannot be written."""
    if error.errno in _NO_SPACE:
        return "free some space, then run the same command again"
    if error.errno in _GONE:
        return "check its disk, then run the same command again"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "bring back its folder, or choose another place to write to"
    return "choose another place to write to"


def other_locale(name: str) -> InputError:
    """Make the ``InputError`` for a file name that the locale does not have."""
    return InputError(
        f"{name}: Python takes names of files for "
        f"{sys.getfilesystemencoding().upper()} in this locale; set "
        "PYTHONUTF8=1, or LC_ALL=C.UTF-8"
    )


def is_of_other_locale(name: str) -> bool:
    """Check for a name that this locale has taken apart into bytes."""
    return sys.getfilesystemencoding() != "utf-8" and bool(_BYTES.search(name))


def is_of_disk(error: OSError) -> bool:
    """Check for an error of a disk that is full, broken or gone."""
    return error.errno in (*_NO_SPACE, *_GONE)


def cannot_access(error: OSError) -> AccessError:
    """Make the ``AccessError`` for the file or folder that an error names."""
    # A copy names its source first, and fails at its target if that is full.
    name = is_of_disk(error) and error.filename2 or error.filename
    cure = cure_of(error)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        cure = (
            "if it was moved or unmounted, bring it back, then run the same "
            "command again"
        )
    elif not is_of_disk(error):
        cure = (
            "change its permissions or place, then run the same command again"
        )
    return AccessError(f"{name or 'the output'}: {error.strerror}; {cure}")


@contextmanager
def one_line_errors():
    """Turn an ``InputError`` into one line on stderr and exit status 2.

    So are errors of files and disks. Folders that the command made and left
    empty are removed. The command ends quietly, with status 1,
    once nobody reads what it prints. Any other exception stays a traceback: it
    is a fault of the program. The second Ctrl-C or SIGTERM ends the command,
    whatever it waits for.
    """
    replace_closed_streams()
    escape_unprintable()
    forget_made()
    try:
        with second_signal_ends():
            yield
            print(end="", flush=True)
    except InputError as error:
        _fail(error)
    except UnicodeEncodeError as error:
        if sys.getfilesystemencoding() == "utf-8":
            raise
        _fail(other_locale(error.object))
    except BrokenPipeError:
        if not close_broken_streams():
            raise
        raise SystemExit(1)
    except OSError as error:
        # Others are errors of a network, or faults of the program.
        if error.errno is None or not (error.filename or is_of_disk(error)):
            raise
        logger.debug("the error was raised here", exc_info=True)
        close_broken_streams()
        _fail(cannot_access(error))
    except KeyboardInterrupt as stop:
        # Training raises it with the command that resumes the run.
        if _local_rank() == 0:
            print(str(stop) or INTERRUPTED, file=sys.stderr)
        raise SystemExit(1)
    except RuntimeError as error:
        if "LOCAL_RANK" not in os.environ or not _LOST_RANK.search(str(error)):
            raise
        # The lost process has its own message.
        time.sleep(_TORCHRUN_S + _RANK_S * _local_rank())
        reason = str(error).strip().partition("\n")[0]
        print(
            f"error: another process of this run has ended ({reason}); start "
            "all of them again to resume",
            file=sys.stderr,
        )
        raise SystemExit(1)


def _fail(error: InputError) -> None:
    remove_empty_made()
    # Most errors are those of all processes of torchrun, which ends the others
    # after the first: let the first one speak.
    if _local_rank() > 0:
        time.sleep(_TORCHRUN_S + _RANK_S * _local_rank())
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)


def _local_rank() -> int:
    text = os.environ.get("LOCAL_RANK", "")  # set by torchrun
    return int(text) if text.isdecimal() else 0
