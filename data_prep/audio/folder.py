"""Recordings of a data folder of files or a pack; formats by first bytes."""

import logging
import os
import sys
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Dict, Iterable, Iterator, List, Optional, Sequence

from data_prep.audio.packs import pack_at
from data_prep.files.errors import InputError, other_locale, require
from data_prep.files.identifiers import cleaned

logger = logging.getLogger(__name__)

#: Suffixes that soundfile reads.
READABLE = (
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au",
    ".w64",
)  # fmt: skip
#: Suffixes that ``data_prep.convert`` converts.
CONVERTIBLE = (
    ".3g2", ".3ga", ".3gp", ".3gpp", ".aac", ".ac3", ".aifc", ".alac", ".amr",
    ".ape", ".asf", ".avi", ".awb", ".caf", ".flv", ".m4a", ".m4b", ".m4v",
    ".mka", ".mkv", ".mov", ".mp2", ".mp4", ".mpeg", ".mpg", ".ogv", ".qt",
    ".snd", ".webm", ".wma", ".wmv", ".wv",
)  # fmt: skip
AUDIO = READABLE + CONVERTIBLE
#: Suffixes of tables that name recordings.
TABLES = (".csv", ".tsv", ".xlsx")

#: Files and folders of a model or of a run that trains one.
_OF_MODELS = (
    "model.json", "hyperparams.yaml", "config.json", "metrics.json", "save",
)  # fmt: skip
#: Offset and bytes of formats that occur under other suffixes.
_SIGNATURES = (
    (0, b"RIFF", "WAV"),
    (0, b"RF64", "WAV"),
    (0, b"BW64", "BW64"),
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
#: First bytes of what is not audio: what it is, and the cure.
_FOREIGN = (
    (b"\x1f\x8b", "compressed with gzip, unpack it"),
    (b"BZh", "compressed with bzip2, unpack it"),
    (b"\xfd7zXZ", "compressed with xz, unpack it"),
    (b"PK\x03\x04", "a ZIP archive, unpack it"),
    (b"7z\xbc\xaf", "a 7z archive, unpack it"),
    (b"Rar!", "a RAR archive, unpack it"),
    (b"%PDF", "a PDF, not audio"),
    (b"version https://git-lfs", "a Git LFS pointer, type git lfs pull"),
    (b"<", "a web page or XML, not audio, download it again"),
)


def foreign(path: str) -> Optional[str]:
    """Name the kind of a file that no decoder of audio reads, and the cure;
    None for others."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            blocks = iter(lambda: file.read(1 << 20), b"")
            if head and not any(head):
                only = "begins with" if any(map(any, blocks)) else "only"
                return f"{only} zero bytes, the copy failed, copy it again"
    except OSError:
        return None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    words = (words for first, words in _FOREIGN if start.startswith(first))
    return next(words, None)


def kind_of(head: bytes) -> Optional[str]:
    """Format of a file by its first bytes, None if unknown."""
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
    """Check that a data folder or pack holds a recording."""
    pack = pack_at(root)
    if pack is not None:
        return path in pack
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        if sys.getfilesystemencoding() != "utf-8":
            raise other_locale(path)
    # Not Path.is_file(), which raises if a name is too long.
    return os.path.isfile(os.path.join(root, path))


def find_file(root: Path, path: str) -> Optional[str]:
    """Path of a recording as the data folder spells it, None if absent.

    Accents in one or two code points (as macOS writes them), invisible
    characters and kinds of space do not count, unless two files differ in
    nothing else.
    """
    if holds(root, path):
        return path
    if pack_at(root) is not None:
        return None
    place = Path(root)
    for part in PurePosixPath(path).parts:
        names = [part]
        if not os.path.exists(place / part) and os.path.isdir(place):
            names = os.listdir(place)
            names = [name for name in names if cleaned(name) == cleaned(part)]
        if len(names) != 1:
            return None
        place /= names[0]
    spelt = place.relative_to(root).as_posix()
    return spelt if holds(root, spelt) else None


def find_files(root: Path, paths: Sequence[str]) -> Dict[str, Optional[str]]:
    """Paths of a table's recordings as the data folder spells them, None for
    those that are absent.

    Where a table has names alone and no file at its top, each is found in any
    sub-folder, with or without its suffix, if one audio file only has it.
    """
    found = {path: find_file(root, path) for path in paths}
    if any(found.values()) or any("/" in path for path in paths):
        return found
    named = FilesByName(root)
    found = {
        path: near[0] if len(near := named[path]) == 1 else None
        for path in paths
    }
    name, path = next((pair for pair in found.items() if pair[1]), ("", ""))
    if path:
        _say_found(str(root), name, path)
    return found


@lru_cache(maxsize=None)  # a table is read several times
def _say_found(root: str, name: str, path: str) -> None:
    words = "%s: files are found by their names, such as %s for %s"
    logger.info(words, root, path, name)


class FilesByName:
    """Audio files of a data folder or pack by their names, with or without
    their suffixes."""

    def __init__(self, root: Path):
        pack = pack_at(root)
        files = files_below(root) if pack is None else pack.paths
        self._paths: Dict[str, List[str]] = {}
        for file in sorted(files):
            if file.lower().endswith(AUDIO):
                name = _bare(file)
                for key in (name, name.rpartition(".")[0]):
                    self._paths.setdefault(key, []).append(file)

    def __getitem__(self, path: str) -> List[str]:
        return self._paths.get(_bare(path), [])


def _bare(path: str) -> str:
    """Name of a file as names are compared, without its folder."""
    return cleaned(PurePosixPath(path).name).lower()


def matching(root: Path, pattern: str) -> List[str]:
    """Paths in a data folder that match a pattern, sorted."""
    pack = pack_at(root)
    if pack is None:
        paths = [
            path.relative_to(root).as_posix()
            for path in Path(root).glob(pattern)
            if not path.name.startswith(".")  # ._x.wav of macOS
        ]
    else:
        # "/": else the pattern would match at any depth.
        paths = [
            path
            for path in pack.paths
            if PurePosixPath("/", path).match("/" + pattern)
        ]
    return sorted(paths, key=lambda path: path.split("/"))


def name_of(root: Path) -> str:
    """Name of a data folder; for a pack, of the folder that was packed."""
    pack = pack_at(root)
    return Path(root).resolve().name if pack is None else pack.name


def audio_files(root: Path, suffixes=AUDIO) -> List[str]:
    """Paths of the audio files of a folder or pack at any depth, sorted."""
    pack = pack_at(root)
    files = files_below(root) if pack is None else pack.paths
    return audio_among(files, root, suffixes)


def audio_among(files: Iterable[str], root: Path, suffixes) -> List[str]:
    """Paths with these suffixes, sorted; refuse a folder without any."""
    paths = [path for path in files if path.lower().endswith(suffixes)]
    require(
        bool(paths),
        f"{root} holds no audio file ({', '.join(suffixes[:3])} and the like)",
        "pass the folder that does",
    )
    return sorted(paths)


def files_below(root: Path) -> Iterator[str]:
    """Yield the paths of a folder's files at any depth, without hidden ones;
    follow each link once."""
    seen = set()
    for folder, folders, names in os.walk(
        root, followlinks=True, onerror=unreadable
    ):
        folders[:] = [name for name in folders if not name.startswith(".")]
        real = os.path.realpath(folder)
        if real in seen:  # a link to a parent folder has no end
            folders[:] = []
            continue
        seen.add(real)
        for name in names:
            if not name.startswith("."):
                yield (Path(folder) / name).relative_to(root).as_posix()


def first_audio(name: str) -> Optional[str]:
    """An audio file of a folder, or the file itself if it is one."""
    is_folder = os.path.isdir(name)
    files = files_below(name) if is_folder else filter(os.path.exists, [name])
    return next((f for f in files if f.lower().endswith(AUDIO)), None)


def refuse_recordings(name: str, order: str) -> None:
    """Refuse a recording, a folder of recordings or a table where a model
    belongs; ``order`` are the arguments in theirs."""
    is_table = name.lower().endswith(TABLES) and os.path.isfile(name)
    what = "is a table" if is_table else "is a recording"
    require(
        not is_table and (first_audio(name) is None or _is_of_model(name)),
        f"{name} {'holds recordings' if os.path.isdir(name) else what}, not a "
        "model",
        f"the order is {order}",
    )


def _is_of_model(name: str) -> bool:
    """Check for a model's folder, which may hold examples."""
    return any(os.path.exists(os.path.join(name, f)) for f in _OF_MODELS)


def unreadable(error: OSError):
    """Refuse a folder that cannot be listed."""
    raise InputError(
        f"{error.filename} cannot be read ({error.strerror}); change its "
        "permissions, or move it away"
    )
