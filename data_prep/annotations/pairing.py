"""Match annotation files with the recordings that they belong to."""

import logging
from pathlib import Path, PurePosixPath
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from data_prep.annotations.event import Event
from data_prep.annotations.formats import SUFFIXES, read_events
from data_prep.annotations.recording_names import RecordingNames, parts_of
from data_prep.audio.folder import files_below
from data_prep.files.arguments import nearest
from data_prep.files.errors import require

#: How files are read is said for up to this many of them.
MOST_SAID = 20

Read = List[Tuple[Path, List[Event]]]


def annotation_files(folder: Path, option: str = "ANNOTATIONS") -> List[Path]:
    """Annotation files of a folder at any depth, sorted; or the one file that
    is passed."""
    if folder.is_file():
        return [folder]
    require(
        folder.is_dir(), f"{option} {folder} does not exist", "correct the path"
    )
    names = sorted(files_below(folder))
    paths = [folder / name for name in names if name.lower().endswith(SUFFIXES)]
    require(
        bool(paths),
        f"{folder} holds no annotations ({' '.join(SUFFIXES)})",
        "pass the folder that does",
    )
    return paths


def read_all(
    paths: Sequence[Path], format: Optional[str], encoding: Optional[str]
) -> Read:
    """Events of each annotation file."""
    if len(paths) > MOST_SAID:
        logging.getLogger("data_prep.files.spreadsheets").setLevel(
            logging.WARNING
        )
    return [(path, read_events(path, format, encoding)) for path in paths]


class Recordings:
    """Audio files by their names, as annotations may give them."""

    def __init__(self, paths: Iterable[str]):
        self._names = RecordingNames(sorted(paths))

    def find(self, name: str, folder: str, source: Path) -> Optional[str]:
        """Path of the recording of a name; None if it is absent.

        Of several, the one in the same folder as the annotation is meant.
        """
        file = PurePosixPath(name.replace("\\", "/")).name
        paths = self._names.find(name) or self._names.find(file)
        if len(paths) > 1:
            paths = self._names.find(f"{folder}/{file}") or paths
        require(
            len(paths) < 2,
            f"{source} may be of {' or of '.join(paths[:2])}, which have one "
            "name",
            "put it in a folder of the same name as the audio's, or write the "
            "path in a column 'recording'",
        )
        return paths[0] if paths else None

    def of_file(self, path: Path, folder: str) -> Optional[str]:
        """Recording of an annotation file by its name, which may be longer than
        the recording's: ``night.labels.txt``."""
        name = path.name
        while "." in name:
            recording = self.find(name, folder, path)
            if recording is not None:
                return recording
            name = name.rpartition(".")[0]
        return self.find(name, folder, path)

    def nearest(self, name: str) -> str:
        """Words on the recording whose name is nearest."""
        return nearest(parts_of(name)[-1], self._names.keys())


def by_recording(
    read: Read, folder: Path, recordings: Recordings
) -> Tuple[Dict[str, List[Event]], List[Tuple[Path, str]]]:
    """Events by the path of their recording, and the annotation file and name
    of each recording that is not there.

    A recording is named by the event, else by the annotation file. A file
    without events says that its recording has none.
    """
    events_of: Dict[str, List[Event]] = {}
    absent: List[Tuple[Path, str]] = []
    root = folder if folder.is_dir() else folder.parent
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
