"""The recordings of a data folder, be it of files or a pack, and what kind a
file really is.
"""

import os
from pathlib import Path, PurePosixPath
from typing import List, Optional

from data_prep.audio.packs import pack_at
from data_prep.files.errors import InputError

#: What soundfile reads.
READABLE = (
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au",
    ".w64",
)  # fmt: skip
#: What ``data_prep.convert`` makes readable.
CONVERTIBLE = (
    ".3g2", ".3ga", ".3gp", ".3gpp", ".aac", ".ac3", ".aifc", ".alac", ".amr",
    ".ape", ".asf", ".avi", ".awb", ".caf", ".flv", ".m4a", ".m4b", ".m4v",
    ".mka", ".mkv", ".mov", ".mp2", ".mp4", ".mpeg", ".mpg", ".ogv", ".qt",
    ".snd", ".webm", ".wma", ".wmv", ".wv",
)  # fmt: skip
AUDIO = READABLE + CONVERTIBLE

#: First bytes (offset, bytes) of the kinds that turn up under other names.
_SIGNATURES = (
    (0, b"RIFF", "WAV"),
    (0, b"RF64", "WAV"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "OGG"),
    (0, b"ID3", "MP3"),
    (0, b"FORM", "AIFF"),
    (0, b".snd", "AU"),
    (0, b"caff", "CAF"),
    (0, b"#!AMR", "AMR"),
    (4, b"ftyp", "3GP or MP4"),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (0, b"0&\xb2u", "WMA"),
)


def kind_of(head: bytes) -> Optional[str]:
    """What a file is by its first bytes.

    Example
    -------
    >>> kind_of(b"RIFF....WAVEfmt "), kind_of(b"....ftyp3gp4"), kind_of(b"abc")
    ('WAV', '3GP or MP4', 'text')
    """
    for offset, signature, kind in _SIGNATURES:
        if head[offset:].startswith(signature):
            return kind
    if head[:1] == b"\xff" and head[1:2] and head[1] & 0xE0 == 0xE0:
        return "MP3"
    text = head.decode("utf-8", errors="replace")
    if head and (text.isprintable() or text.isspace() or "\n" in text):
        return "text"
    return None


def holds(root: Path, path: str) -> bool:
    """Whether a data folder holds a recording.

    Example
    -------
    >>> holds(getfixture("tmpdir"), "a.wav")
    False
    """
    pack = pack_at(root)
    if pack is not None:
        return path in pack
    # Not Path.is_file(), which raises where a name is too long.
    return os.path.isfile(os.path.join(root, path))


def matching(root: Path, pattern: str) -> List[str]:
    """Paths in a data folder that follow a pattern.

    Example
    -------
    >>> tmp = getfixture("tmpdir")
    >>> tmp.mkdir("audio").join("a.wav").write("")
    >>> matching(tmp, "audio/*")
    ['audio/a.wav']
    """
    pack = pack_at(root)
    if pack is None:
        found = [
            path.relative_to(root).as_posix()
            for path in Path(root).glob(pattern)
            if not path.name.startswith(".")  # ._x.wav of a Mac
        ]
    else:
        # From the root: else the pattern's folder could be anywhere.
        found = [
            path
            for path in pack.paths
            if PurePosixPath("/", path).match("/" + pattern)
        ]
    return sorted(found, key=lambda path: path.split("/"))


def name_of(root: Path) -> str:
    """What a data folder is called; a pack as the folder it was made of.

    Example
    -------
    >>> name_of(Path("data/clinic"))
    'clinic'
    """
    pack = pack_at(root)
    return Path(root).resolve().name if pack is None else pack.name


def audio_files(root: Path, suffixes=AUDIO) -> List[str]:
    """Paths of a folder's audio files, at any depth.

    Example
    -------
    >>> audio_files(getfixture("tmpdir"))
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: ... holds no audio file (.wav, .flac, .ogg and the like); pass the folder that does
    """
    pack = pack_at(root)
    if pack is None:
        there = (
            (Path(folder) / name).relative_to(root).as_posix()
            for folder, names in _walk(root)
            for name in names
            if not name.startswith(".")
        )
    else:
        there = pack.paths
    found = [path for path in there if path.lower().endswith(suffixes)]
    if not found:
        raise InputError(
            f"{root} holds no audio file ({', '.join(suffixes[:3])} and the "
            "like); pass the folder that does"
        )
    return sorted(found)


def _walk(root: Path):
    """(folder, file names) at any depth; links are followed, each once."""
    seen = set()
    for folder, folders, names in os.walk(
        root, followlinks=True, onerror=_unreadable
    ):
        folders[:] = [name for name in folders if not name.startswith(".")]
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above it has no end
            folders[:] = []
            continue
        seen.add(real)
        yield folder, names


def _unreadable(error: OSError):
    raise InputError(
        f"{error.filename} cannot be read ({error.strerror}); allow it, or "
        "move it away"
    )
