"""Names and links of files that must stay in their folder."""

import os
from pathlib import Path

from data_prep.files.errors import InputError
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


def inside(folder: Path, name: str, cure: str = "get the model again") -> Path:
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
