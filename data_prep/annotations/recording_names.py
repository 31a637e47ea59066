"""Names of recordings, as audio folders, annotations and tables write them.

Two names are of one recording if their file names are alike without suffix,
and so are as many of the last folders as tell the recordings of that name
apart: ``night.wav`` is ``x/Night.TextGrid``, and of ``baby1/night.wav`` and
``baby2/night.wav`` the first is ``/data/baby1/night``.
"""

from pathlib import PurePosixPath
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from data_prep.annotations.formats import FORMATS, SUFFIXES
from data_prep.audio.folder import AUDIO
from data_prep.files.errors import require
from data_prep.files.identifiers import spelling

#: Suffixes of annotation files; Raven's own names of tables among them.
_ANNOTATION = {
    *SUFFIXES,
    *(kind.suffix.lower() for kind in FORMATS.values()),
    ".table.1.selections.txt",
}

Parts = Tuple[str, ...]


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
    for suffixes in (_ANNOTATION, AUDIO):  # night.wav.txt is of night.wav
        for suffix in sorted(suffixes, key=len, reverse=True):
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
        elsewhere = _by_file_name(others)
        places = self._names, elsewhere
        self._depths = {
            name: max(_depth(place.get(name, [])) for place in places)
            for name in {*self._names, *elsewhere}
        }

    def find(self, text: str) -> List[str]:
        """Names of the recording of a name: none, one, or several between
        which it does not decide."""
        if text in self._texts:
            return [text]
        parts = parts_of(text)
        ranks = [
            (_agreement(parts, other, self._depths[parts[-1]]), name)
            for other, name in self._names.get(parts[-1], ())
        ]
        best = max((rank for rank, _ in ranks), default=0)
        found = [name for rank, name in ranks if rank == best > 0]
        same = [name for name in found if _file_name(name) == _file_name(text)]
        return same if len(same) == 1 else found

    def one(self, text: str, where: str) -> Optional[str]:
        """Name of the recording of a name, None without one; refuse several,
        which are entries of a file or folder `where`."""
        found = self.find(text)
        require(
            len(found) < 2,
            f"{where} has {len(found)} entries for {text}, such as "
            f"{', '.join(found[:2])}",
            "keep one, or name the recording with its folder",
        )
        return found[0] if found else None

    def key(self, text: str) -> str:
        """Text that is the same for all names of a recording."""
        parts = parts_of(text)
        return "/".join(parts[-self._depths.get(parts[-1], 1) :])

    def keys(self) -> List[str]:
        """File names without suffixes of all recordings."""
        return list(self._names)


def _by_file_name(texts: Iterable[str]) -> Dict[str, List[Tuple[Parts, str]]]:
    """Parts and texts of names, by file name."""
    result: Dict[str, List[Tuple[Parts, str]]] = {}
    for text in texts:
        parts = parts_of(text)
        result.setdefault(parts[-1], []).append((parts, text))
    return result


def _depth(pairs: Sequence[Tuple[Parts, str]]) -> int:
    """Number of last parts that tell names apart."""
    names = {parts for parts, _ in pairs}
    depth, longest = 1, max(map(len, names), default=1)
    while depth < longest and len({n[-depth:] for n in names}) < len(names):
        depth += 1
    return depth


def _agreement(name: Parts, other: Parts, depth: int) -> float:
    """Number of last parts that are alike, somewhat more for all; 0 if any of
    those that must be alike is not."""
    n = min(depth, len(name), len(other))
    return (n + (name == other) / 2) * (name[-n:] == other[-n:])


def _file_name(text: str) -> str:
    return spelling(PurePosixPath(text.replace("\\", "/")).name)
