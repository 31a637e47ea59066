"""Files that a folder may hold, and output that must be outside the input."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Collection, Dict, Iterator, Mapping

from data_prep.files.errors import InputError, require
from data_prep.files.shapes import Rule


def is_file_name(name) -> bool:
    """Check that a text is the name of a file, not a path to elsewhere."""
    if not isinstance(name, str) or name in ("", ".", ".."):
        return False
    return name.isprintable() and not set(name) & set("/\\")


#: Shape of a name in a state file.
FILE_NAME = Rule(is_file_name, "the name of a file in its folder")

#: Shape of a path in a state file, relative to its folder.
RELATIVE = Rule(
    lambda path: isinstance(path, str)
    and not os.path.isabs(path)
    and ".." not in Path(path).parts,
    "a path below its folder",
)


def file_inside(
    folder: Path, name: str, cure: str = "get the model again"
) -> Path:
    """Path of a file in a folder; a link must not lead out of it."""
    path = Path(folder) / name
    # Not Path.resolve, which raises where links form a circle.
    root, real = (Path(os.path.realpath(p)) for p in (folder, path))
    allowed = [root]
    if root.parent.name == "snapshots":  # of Hugging Face's cache
        allowed.append(root.parent.parent / "blobs")
    if real.parent not in allowed:
        raise InputError(
            f"{path} is a link that leads out of the folder; put the file "
            "itself there"
        )
    if not real.is_file():
        raise InputError(f"{path} does not exist; {cure}")
    return path


def require_regular_files(folder: Path, depth: int = 4) -> None:
    """Refuse a folder to work in that holds a pipe, a socket or a device:
    reading or writing it could wait for ever."""
    for path in _irregular(folder, depth):
        require(
            False,
            f"{path} is a pipe, a socket or a device",
            "remove it, or pass another folder",
        )


def _irregular(folder: Path, depth: int) -> Iterator[str]:
    """Yield what is neither a file nor a folder; broken links are absent."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _irregular(entry.path, depth - 1) if depth else ()
            elif not entry.is_file() and os.path.exists(entry.path):
                yield entry.path


def named_only(options: Mapping[str, Any], paths: Collection[str]) -> Dict:
    """Options of a command for a file that may be shared: `paths` among them
    as names of files and folders, since where they are may name people."""
    return {
        name: Path(value).name if name in paths and value else value
        for name, value in options.items()
    }


def require_outside(out: Path, source: Path) -> None:
    """Refuse an output folder inside the input folder: the next command that
    lists the input would read the output, too."""
    target, root = (Path(os.path.realpath(p)) for p in (out, source))
    require(
        root not in target.parents,
        f"{out} is inside {source}, whose files are read",
        "choose an output folder outside it",
    )


def require_other(out: Path, option: str, source: Path) -> None:
    """Refuse an output folder that is a folder of input, or inside one: the
    next command that lists the input would read the output, too."""
    if not Path(source).is_dir():
        return
    require(
        os.path.realpath(out) != os.path.realpath(source),
        f"--out {out} is the folder {option}, whose files are read",
        "pass another folder",
    )
    require_outside(out, source)


def require_apart(out: Path, source: Path) -> None:
    """Refuse an output folder inside the input folder, and one that the input
    is in: an original could be overwritten."""
    require_outside(out, source)
    target, root = (Path(os.path.realpath(p)) for p in (out, source))
    where = "" if target == root else f" ({source} is inside it)"
    require(
        target not in (root, *root.parents),
        f"OUT {out} holds the recordings themselves{where}",
        "choose another OUT, so that no original can be overwritten",
    )
