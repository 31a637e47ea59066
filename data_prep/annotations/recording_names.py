"""Names of recordings, as audio folders, annotations and tables write them.

Two names are of one recording if their file names are alike without suffix,
and so are as many of the last folders as tell the recordings of that name
apart: ``night.wav`` is ``x/Night.TextGrid``, and of ``baby1/night.wav`` and
``baby2/night.wav`` the first is ``/data/baby1/night``.
"""

from functools import lru_cache
from pathlib import PurePosixPath
from typing import Dict, Iterable, List, Optional, Tuple

from data_prep.annotations.formats import FORMATS, SUFFIXES
from data_prep.audio.folder import AUDIO
from data_prep.files.errors import require
from data_prep.files.identifiers import spelling

#: Suffixes of annotation files, Raven's own names of tables among them, then of
#: audio, the longest first: night.wav.txt is of night.wav.
_SUFFIXES = [
    sorted(suffixes, key=len, reverse=True)
    for suffixes in (
        {*SUFFIXES, *(kind.suffix.lower() for kind in FORMATS.values())}
        | {".table.1.selections.txt"},
        AUDIO,
    )
]

Parts = Tuple[str, ...]


@lru_cache(maxsize=1 << 16)
def parts_of(text: str) -> Parts:
    """Folders and file name without suffix, in one spelling; a space is as
    good as the underscore that RTTM has in its place.

    Example
    -------
    >>> parts_of("Baby_1/Night.WAV"), parts_of("C:\\\\n\\\\night.wav.txt")
    (('baby 1', 'night'), ('c:', 'n', 'night'))
    """
    path = PurePosixPath(text.replace("\\", "/"))
    name = path.name
    for suffixes in _SUFFIXES:
        for suffix in suffixes:
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                name = name[: -len(suffix)]
                break
    folders = [part for part in path.parent.parts if part not in ("/", ".")]
    return tuple(spelling(p.replace("_", " ")) for p in [*folders, name])


class RecordingNames:
    """Names of recordings of one place, found by names in another.

    Parameters
    ----------
    names : iterable of str
        The names that are found.
    others : iterable of str
        Names in the other place, if they are known: as many folders are
        compared as tell those apart, too.

    Example
    -------
    >>> names = RecordingNames(["baby1/night.wav", "baby2/night.wav", "day"])
    >>> names.find("C:/baby2/NIGHT.txt"), names.find("x/day.wav")
    (['baby2/night.wav'], ['day'])
    >>> names.find("baby3/night"), names.find("night")
    ([], ['baby1/night.wav', 'baby2/night.wav'])
    """

    def __init__(self, names: Iterable[str], others: Iterable[str] = ()):
        self._texts = dict.fromkeys(names)
        self._names = _by_file_name(self._texts)
        places = self._names, _by_file_name(others)
        self._depths = {
            name: max(_depth(place.get(name, ())) for place in places)
            for name in {*places[0], *places[1]}
        }
        self._by_key: Dict[Parts, List[str]] = {}
        for text in self._texts:
            self._by_key.setdefault(self._key(text), []).append(text)

    def find(self, text: str) -> List[str]:
        """Names of the recording of a name: none, one, or several between
        which it does not decide."""
        if text in self._texts:
            return [text]
        parts, matching = parts_of(text), []
        for n in range(len(self._key(text)), 0, -1):  # or one without folders
            matching = matching or self._by_key.get(parts[-n:], [])
        if len(parts) < self._depths.get(parts[-1], 1):  # or without its own
            names = self._names.get(parts[-1], ())
            matching = [x for x in names if parts_of(x)[-len(parts) :] == parts]
        for alike in (parts_of, _file_name):
            same = [x for x in matching if alike(x) == alike(text)]
            matching = same or matching
        return matching

    def unique(self, text: str, where: str) -> Optional[str]:
        """Name of the recording of a name, None without one; refuse several,
        which are entries of a file or folder `where`."""
        matching = self.find(text)
        require(
            len(matching) < 2,
            f"{where} has {len(matching)} entries for {text}, such as "
            f"{', '.join(matching[:2])}",
            "keep one, or name the recording with its folder",
        )
        return matching[0] if matching else None

    def _key(self, text: str) -> Parts:
        parts = parts_of(text)
        return parts[-self._depths.get(parts[-1], 1) :]

    def key(self, text: str) -> str:
        """Text that is the same for all names of a recording."""
        return "/".join(self._key(text))

    def keys(self) -> List[str]:
        """Texts by which the names are compared."""
        return ["/".join(parts) for parts in self._by_key]


def _by_file_name(texts: Iterable[str]) -> Dict[str, List[str]]:
    result: Dict[str, List[str]] = {}
    for text in texts:
        result.setdefault(parts_of(text)[-1], []).append(text)
    return result


def _depth(texts: Iterable[str]) -> int:
    """Number of last parts that tell names apart."""
    names = set(map(parts_of, texts))
    depth, longest = 1, max(map(len, names), default=1)
    while depth < longest and len({n[-depth:] for n in names}) < len(names):
        depth += 1
    return depth


def _file_name(text: str) -> str:
    return spelling(PurePosixPath(text.replace("\\", "/")).name)
