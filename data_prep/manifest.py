"""Manifests: the schema of all corpora, their checks, reading and writing.

A manifest is a csv file per split: ``ID, duration, wav, start, stop, label,
patient_id, site``. Times are in seconds; ``wav`` begins with ``$data_root``, so
that the audio can be moved; unlabelled recordings have an empty label.
"""

import json
import math
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from data_prep.audio.folder import holds
from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError
from data_prep.files.identifiers import identity
from data_prep.files.shapes import read_json
from data_prep.files.tables import read_table, write_table, write_text

DATA_ROOT = "$data_root"
SPLITS = ("train", "valid", "test")
CORPUS_FILE = "corpus.json"
#: Shape of its content.
CORPUS = {
    "name": (str, float),
    "synthetic?": bool,
    "licence?": (str, None),
    "shareable_audio?": bool,
    "is_named?": bool,
    str: object,
}
#: Options and sources that the manifests of a folder were prepared from.
PREPARED_FILE = "prepared.json"

#: Durations are rounded; a stop may exceed one by this much, seconds.
TOLERANCE_S = 1e-3


@dataclass
class Recording:
    """One row of a manifest."""

    ID: str  #: unique over all splits
    duration: float  #: length of the file, seconds
    wav: str  #: path, relative to the data folder
    start: float  #: of the part that is used, seconds
    stop: float  #: of the part that is used, seconds
    label: str  #: class, empty if unlabelled
    #: unit that must not be divided between splits: the patient, the video,
    #: the source recording
    patient_id: str
    site: str  #: hospital or device, empty if unknown
    source: str = ""  #: file and row it was read from; not written

    @property
    def seconds(self) -> float:
        """Length of the part that is used."""
        return self.stop - self.start


COLUMNS = tuple(f.name for f in fields(Recording) if f.name != "source")


def check(
    splits: Dict[str, List[Recording]],
    data_root: Path,
    classes: Optional[Sequence[str]] = None,
) -> None:
    """Check manifests for faults that falsify metrics or stop a run halfway.

    Refuses a repeated ID, a patient in two splits, a missing file, a label
    outside the classes (None: not checked), and a stop beyond the end.
    """
    seen: Dict[str, str] = {}
    split_of: Dict[str, Tuple[str, str]] = {}
    for split, recordings in splits.items():
        for rec in recordings:
            key = identity(rec.ID, is_name=True)
            if key in seen:
                raise InputError(
                    f"{rec.source}: ID {rec.ID!r} was already used in "
                    f"{seen[key]}; give each recording its own ID"
                )
            seen[key] = rec.source
            _check_signs(rec)
            _check_patient(rec, split, split_of)
            _check_recording(rec, data_root, classes)


def _check_patient(rec, split, split_of):
    if not rec.patient_id:
        raise InputError(
            f"{rec.source}: patient_id of {rec.ID!r} is empty; fill it in, or "
            "a patient can be in two splits"
        )
    other, source = split_of.setdefault(
        identity(rec.patient_id), (split, rec.source)
    )
    if other != split:
        raise InputError(
            f"{rec.source}: patient_id {rec.patient_id!r} is in {split} and in "
            f"{other} ({source}); keep each patient in one split"
        )


def _check_signs(rec):
    """Refuse a ``$`` in any text: SpeechBrain would replace it."""
    if DATA_ROOT[0] in rec.wav:
        raise InputError(
            f"{rec.source}: the path {rec.wav!r} holds a '$', which manifests "
            "use for the data folder; rename the file"
        )
    for name in ("ID", "label", "patient_id", "site"):
        if DATA_ROOT[0] in getattr(rec, name):
            raise InputError(
                f"{rec.source}: {name} holds a '$', which manifests use for "
                "the data folder; write it in another way"
            )


def _check_recording(rec, data_root, classes):
    if not holds(data_root, rec.wav):
        raise InputError(
            f"{rec.source}: {rec.wav} is not in {data_root}; add the file, "
            "correct the path, or remove the row"
        )
    if classes is not None and rec.label not in classes:
        raise InputError(
            f"{rec.source}: label {rec.label!r} is not one of "
            f"{', '.join(classes)}; correct it, or pass --classes"
        )
    if not 0 <= rec.start < rec.stop:
        raise InputError(
            f"{rec.source}: start {rec.start} s and stop {rec.stop} s of "
            f"{rec.ID!r}; they must be 0 <= start < stop"
        )
    if rec.stop > rec.duration + TOLERANCE_S:
        raise InputError(
            f"{rec.source}: stop {rec.stop} s of {rec.ID!r} is beyond the end "
            f"of the file at {rec.duration} s; correct it"
        )


def write(
    splits: Dict[str, List[Recording]],
    save_folder: Path,
    data_root: Path,
    corpus: Dict,
    classes: Optional[Sequence[str]] = None,
) -> None:
    """Check, then write one csv per split and the description of the corpus.

    `corpus` holds at least ``name`` and ``synthetic``.
    """
    check(splits, data_root, classes)
    save_folder = make_folder(save_folder)
    for split, recordings in splits.items():
        rows = [
            [*astuple(rec)[:2], f"{DATA_ROOT}/{rec.wav}", *astuple(rec)[3:-1]]
            for rec in recordings
        ]
        write_table(save_folder / f"{split}.csv", COLUMNS, rows)
    write_text(
        save_folder / CORPUS_FILE,
        json.dumps(corpus, indent=1, ensure_ascii=False) + "\n",
    )


def read(path: Path) -> List[Recording]:
    """Read the recordings of one manifest file."""
    recordings = []
    for source, row in read_table(path, COLUMNS):
        seconds = {
            name: as_seconds(source, name, row[name])
            for name in ("duration", "start", "stop")
        }
        wav = row["wav"].replace(f"{DATA_ROOT}/", "", 1)
        cells = {**{c: row[c] for c in COLUMNS}, **seconds, "wav": wav}
        recordings.append(Recording(**cells, source=source))
    return recordings


def as_seconds(source: str, name: str, cell: str) -> float:
    """Number in a cell of a manifest; refuses other text, such as ``0,5``."""
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InputError(
            f"{source}: {name} is {cell!r}; expected seconds, such as 0.5"
        )
    return seconds


def read_corpus(folder: Path) -> Optional[Dict]:
    """Description of a corpus in a data folder or manifest folder."""
    path = Path(folder) / CORPUS_FILE
    if not path.is_file():
        return None
    cure = 'write {"name": ..., "synthetic": true or false}, or remove it'
    title = f"{path} is not a description of a corpus"
    corpus = read_json(path, CORPUS, cure, title)
    return {**corpus, "name": str(corpus["name"])}


def read_prepared(manifests: Path) -> Optional[List]:
    """Options and sources that manifests were prepared from, None if unknown."""
    try:
        text = (Path(manifests) / PREPARED_FILE).read_text(encoding="utf-8")
        content = json.loads(text)
        return content if isinstance(content[0], dict) else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
