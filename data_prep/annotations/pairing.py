"""Match annotation files with the recordings that they belong to."""

import logging
from itertools import takewhile
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from data_prep.annotations.event import Event
from data_prep.annotations.formats import SUFFIXES, read_events
from data_prep.audio.folder import AUDIO, files_below
from data_prep.files.arguments import nearest
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import cleaned

logger = logging.getLogger(__name__)

#: How files are read is said for up to this many of them.
MOST_SAID = 20


def annotation_files(
    folder: Path, others: Sequence[Path] = (), option: str = "ANNOTATIONS"
) -> List[Path]:
    """Annotation files of a folder at any depth, sorted, without `others`; or
    the one file that is passed."""
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    require(
        folder.is_dir(),
        f"{option} {folder} does not exist",
        "correct the path",
    )
    skipped = {path.resolve() for path in others}
    paths = [
        path
        for path in (folder / name for name in sorted(files_below(folder)))
        if path.suffix.lower() in SUFFIXES and path.resolve() not in skipped
    ]
    require(
        bool(paths),
        f"{folder} holds no annotations ({' '.join(SUFFIXES)})",
        "pass the folder that does",
    )
    return paths


def read_all(
    paths: Sequence[Path], format: Optional[str], encoding: Optional[str]
) -> List[Tuple[Path, List[Event]]]:
    """Events of each annotation file."""
    if len(paths) > MOST_SAID:
        logging.getLogger("data_prep.files.spreadsheets").setLevel(
            logging.WARNING
        )
    return [(path, read_events(path, format, encoding)) for path in paths]


class Recordings:
    """Audio files by their names, as annotations may give them."""

    def __init__(self, paths: Iterable[str]):
        self._by_key: Dict[str, List[str]] = {}
        for path in sorted(paths):
            name = _key(PurePosixPath(path).name)
            for key in {name, name.rpartition(".")[0]}:
                self._by_key.setdefault(key, []).append(path)

    def find(self, name: str, folder: str, source: Path) -> Optional[str]:
        """Path of the recording of a name, with or without its suffix or
        folder; None if it is absent.

        Of several, the one in the same folder as the annotation is meant.
        """
        name = PureWindowsPath(name).as_posix() if "\\" in name else name
        key = _key(PurePosixPath(name).name)
        paths = self._by_key.get(key, [])
        if not paths and key.endswith(AUDIO):  # converted since
            paths = self._by_key.get(key.rpartition(".")[0], [])
        if len(paths) < 2:
            return paths[0] if paths else None
        for parent in (PurePosixPath(name).parent, PurePosixPath(folder)):
            agree = [_agreement(path, _parts(parent)) for path in paths]
            if agree.count(max(agree)) == 1:
                return paths[agree.index(max(agree))]
        raise InputError(
            f"{source} may be of {paths[0]} or of {paths[1]}, which have one "
            "name; put it in a folder of the same name as the audio's, or "
            "write the path in a column 'recording'"
        )

    def of_file(self, path: Path, folder: str) -> Optional[str]:
        """Recording of an annotation file by its name, which may be longer than
        the recording's: ``night.Table.1.selections.txt``."""
        name = path.name
        while "." in name:
            name = name.rpartition(".")[0]
            recording = self.find(name, folder, path)
            if recording is not None:
                return recording
        return None

    def nearest(self, name: str) -> str:
        """Words on the recording whose name is nearest."""
        return nearest(_key(PurePath(name).stem), list(self._by_key))


def _key(name: str) -> str:
    return cleaned(name).lower()


def _parts(folder: PurePosixPath) -> Tuple[str, ...]:
    return tuple(_key(part) for part in folder.parts if part not in "/.")


def _agreement(path: str, parts: Tuple[str, ...]) -> int:
    """Number of folders, from the last one on, that a path has in common with
    these; without any, 1 for a path at the top."""
    folders = _parts(PurePosixPath(path).parent)
    if not parts:
        return int(not folders)
    pairs = zip(reversed(folders), reversed(parts))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def by_recording(
    read: Sequence[Tuple[Path, List[Event]]],
    folder: Path,
    recordings: Recordings,
) -> Tuple[Dict[str, List[Event]], List[Tuple[Path, str]]]:
    """Events by the path of their recording, and the annotation file and name
    of each recording that is not there.

    A recording is named by the event, else by the annotation file. A file
    without events says that its recording has none.
    """
    events_of: Dict[str, List[Event]] = {}
    absent: List[Tuple[Path, str]] = []
    root = folder if Path(folder).is_dir() else Path(folder).parent
    for path, events in read:
        parent = path.relative_to(root).parent.as_posix()
        by_name: Dict[str, List[Event]] = {} if events else {"": []}
        for event in events:
            by_name.setdefault(event.recording, []).append(event)
        for name, part in by_name.items():
            recording = name and recordings.find(name, parent, path)
            # A program may have seen the recording under another name.
            if not recording and len(by_name) == 1:
                recording = recordings.of_file(path, parent)
            if recording:
                events_of.setdefault(recording, []).extend(part)
            else:
                absent.append((path, name or path.name))
    return events_of, absent
