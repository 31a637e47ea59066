"""Event lists of recordings, from a file or a folder of any format."""

from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import (
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
    TypeVar,
)

from data_prep.annotations.event import Event
from data_prep.annotations.formats import (
    FORMATS,
    SUFFIXES,
    format_of,
    read_events,
)
from data_prep.audio.folder import AUDIO, files_below
from data_prep.files.arguments import nearest
from data_prep.files.errors import InputError, not_a_file, require
from data_prep.files.identifiers import spelling

T = TypeVar("T")
Lists = Mapping[str, List[Event]]
#: What a folder of detections holds if one table has them all.
TABLE = "events.csv"
#: Suffixes of annotation files; Raven's own names of tables among them.
_ANNOTATION = {
    *SUFFIXES,
    *(kind.suffix.lower() for kind in FORMATS.values()),
    ".table.1.selections.txt",
}
#: Formats whose events name their recording: no events, no recording.
_NAMING = ("csv", "rttm")


class Name(NamedTuple):
    """Name of a recording as it is written, and the parts that are compared:
    folders and file name without its suffix, in one spelling."""

    text: str
    parts: Tuple[str, ...]


def name_of(text: str) -> Name:
    """Parts by which the name of a recording is compared; a space is as good
    as the underscore that RTTM has in its place.

    Example
    -------
    >>> name_of("Baby1/Night.WAV").parts, name_of("night.selections.txt").parts
    (('baby1', 'night'), ('night',))
    """
    path = PurePosixPath(text.replace("\\", "/"))
    name = path.name
    for suffixes in (_ANNOTATION, AUDIO):  # night.wav.txt is of night.wav
        for suffix in sorted(suffixes, key=len, reverse=True):
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                name = name[: -len(suffix)]
                break
    folders = [part for part in path.parent.parts if part not in ("/", ".")]
    parts = (part.replace("_", " ") for part in [*folders, name])
    return Name(text, tuple(map(spelling, parts)))


def read_lists(
    source: Path, format: Optional[str], option: str
) -> Dict[str, List[Event]]:
    """Events by the name of their recording as it is written there.

    A folder is read at any depth, or its ``events.csv`` alone where it has one.
    A file without events, in a format of one recording, is a recording without
    events.
    """
    source = Path(source)
    require(
        source.exists(), not_a_file(source), "pass a file or folder of events"
    )
    if source.is_dir():
        files = _files(source, format, option)
    else:
        files = {source: format or format_of(source)}
    lists: Dict[str, List[Event]] = {}
    for file, kind in files.items():
        events = read_events(file, kind)
        relative = file.relative_to(source) if source.is_dir() else file
        if not events and kind not in _NAMING:
            lists.setdefault(relative.as_posix(), [])
        for event in events:
            name = event.recording or relative.as_posix()
            lists.setdefault(name, []).append(event)
    return lists


def _files(folder: Path, format: Optional[str], option: str) -> Dict[Path, str]:
    """Files of events in a folder, which must be of one format."""
    if format in (None, "csv") and (folder / TABLE).is_file():
        return {folder / TABLE: "csv"}
    files = {
        folder / name: format_of(folder / name)
        for name in sorted(files_below(folder))
        if name.lower().endswith(SUFFIXES)
    }
    formats = sorted({*files.values()})
    if format is not None:
        files = {file: kind for file, kind in files.items() if kind == format}
    require(
        bool(files),
        f"{folder} holds no file of events ({', '.join(formats) or 'none'})",
        "pass the folder or file that does",
    )
    require(
        len({*files.values()}) == 1,
        f"{folder} holds files of several formats ({', '.join(formats)}), "
        "perhaps of the same events",
        f"name one with {option}, or pass one file",
    )
    return files


def of_channel(lists: Lists, channel: Optional[int], source: str) -> Lists:
    """Events of one channel, and those that name none. Without a channel,
    events of several in one recording are refused: each sound would count
    twice."""
    result = {}
    for name, events in lists.items():
        channels = sorted({e.channel for e in events} - {None})
        require(
            channel is not None or len(channels) < 2,
            f"{source} has events of channels {', '.join(map(str, channels))} "
            f"of {name}",
            "judge one at a time with --channel",
        )
        kept = (None, channel) if channel else (None, *channels)
        result[name] = [event for event in events if event.channel in kept]
    return result


class Names:
    """Names of recordings from several places, compared by as few parts as
    tell those of one place apart: night.wav is night, and baby1/night.wav is
    baby1/night where there is a baby2/night.wav."""

    def __init__(self, *places: Iterable[str]):
        names = [{name_of(text).parts for text in place} for place in places]
        depths = range(
            1, 1 + max((len(p) for n in names for p in n), default=1)
        )
        self.depth = next(
            (d for d in depths if all(_apart(n, d) for n in names)), depths[-1]
        )

    def key(self, text: str) -> str:
        """Text by which the name of a recording is compared."""
        return "/".join(name_of(text).parts[-self.depth :])


def _apart(names: Iterable[Tuple[str, ...]], depth: int) -> bool:
    names = list(names)
    return len({name[-depth:] for name in names}) == len(names)


class Lookup:
    """A table by names of recordings: the entries whose file name is that of a
    recording, and whose folders agree with it the farthest."""

    def __init__(self, table: Mapping[str, T], where: str, cure: str):
        self.table, self.where, self.cure = table, where, cure
        self._names: Dict[str, List[Name]] = {}
        for name in map(name_of, table):
            self._names.setdefault(name.parts[-1], []).append(name)

    def __call__(self, text: str) -> Dict[str, T]:
        """Entries of a recording; refuse one that the table does not have."""
        parts = name_of(text).parts
        names = self._names.get(parts[-1], [])
        if not names:
            raise unknown_recording(text, self.where, self._names, self.cure)
        agreeing = [_n_agreeing(name.parts, parts) for name in names]
        return {
            name.text: self.table[name.text]
            for name, n in zip(names, agreeing)
            if n == max(agreeing)
        }


def _n_agreeing(parts: Tuple[str, ...], others: Tuple[str, ...]) -> int:
    pairs = zip(reversed(parts), reversed(others))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def unknown_recording(
    text: str, where: str, keys: Iterable[str], cure: str
) -> InputError:
    """Make the ``InputError`` for a recording that a list does not have."""
    near = nearest("/".join(name_of(text).parts), list(keys))
    return InputError(f"{where} does not have {text}{near}; {cure}")
