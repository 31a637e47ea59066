"""Folders that a command makes: those still empty go if it is refused."""

from contextlib import suppress
from pathlib import Path

#: Folders that this command made, parents before children.
_made = []


def remember_made(folder: Path) -> None:
    """Remember the folder and its parents that do not exist yet."""
    paths = [path.absolute() for path in (folder, *folder.parents)]
    _made.extend(path for path in reversed(paths) if not path.exists())


def forget_made() -> None:
    """Begin a command: it has made nothing yet."""
    _made.clear()


def remove_empty_made() -> None:
    """Remove the remembered folders that hold nothing."""
    while _made:
        with suppress(OSError):  # it holds something, or is gone
            _made.pop().rmdir()
