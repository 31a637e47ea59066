"""From a folder of recordings and one of annotations to a database."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from data_prep.annotations.clips import (
    JOURNAL,
    clip_name,
    cut_all,
    recording_facts,
)
from data_prep.annotations.database import (
    Facts,
    Options,
    Segments,
    all_segments,
    summary,
)
from data_prep.annotations.event import Event, time_text
from data_prep.annotations.labels import (
    has_tiers,
    one_spelling,
    require_present,
)
from data_prep.annotations.marks import read_marks
from data_prep.annotations.pairing import (
    Recordings,
    annotation_files,
    by_recording,
    read_all,
)
from data_prep.annotations.patients import by_name, by_table
from data_prep.annotations.segments import Tally
from data_prep.audio.folder import audio_files
from data_prep.corpora.database import TABLE, locate, write_database
from data_prep.corpora.labelled import prepare_clinical
from data_prep.corpora.plain_folder import check_name
from data_prep.corpora.preparation import require_folder, require_out
from data_prep.files.errors import InputError, require
from data_prep.files.folders import require_outside
from data_prep.files.identifiers import identity
from data_prep.files.lock import locked
from data_prep.files.tables import Named, write_table
from data_prep.manifest import SPLITS

logger = logging.getLogger(__name__)

LEFT_OUT = "left_out.csv"
MANIFEST = "manifest"
#: All events in the output of a detector, whose other tables are not events.
DETECTED = "events.csv"

_UNREADABLE = "recordings that cannot be opened (try data_prep.convert)"

Events = Dict[str, List[Event]]


@dataclass
class Sources:
    """Recordings, annotations and tables that make a database."""

    audio_folder: str
    annotations: str  #: a folder, or a file
    format: Optional[str] = None
    encoding: Optional[str] = None
    recordings_csv: Optional[str] = None
    named: Optional[Named] = None  #: columns of the table
    patient: Optional[str] = None  #: regular expression, or ``folder``
    hard_negatives: Optional[str] = None  #: detections: a folder, or a file
    hard_threshold: Optional[float] = None  #: see ``read_marks``


def prepare_annotations(sources: Sources, options: Options, out: str) -> str:
    """Write a database of segments of annotated recordings; return a summary.

    OUT gets ``recordings.csv``, ``clips/``, ``left_out.csv`` and, if there are
    patients enough for a split, ``manifest/``. Segments are cut into files:
    all commands read a database as one row a file, audit whole files, and know
    no channels. The columns ``recording``, ``start_s`` and ``stop_s`` say where
    each was cut. The same command resumes an interrupted run.
    """
    root = require_folder(
        sources.audio_folder, "AUDIO_FOLDER", "the folder of the recordings"
    )
    if Path(sources.annotations).is_dir():
        require_outside(Path(out), Path(sources.annotations))
        require(
            os.path.realpath(out) != os.path.realpath(sources.annotations),
            f"--out {out} holds the annotations themselves",
            "pass another folder",
        )
    save_folder = require_out(Path(out), root, is_listed=True)
    with locked(save_folder):
        require(
            not (save_folder / TABLE).exists()
            or (save_folder / JOURNAL).exists(),
            f"{save_folder / TABLE} is a table of other recordings",
            "pass another --out",
        )
        tally, paths = Tally(), audio_files(root)
        recordings = Recordings(paths)
        cells_of, table = _patients(sources, root, paths)
        events_of = _annotated(sources, table, root, recordings, options, tally)
        for path in paths:
            if path not in events_of:
                tally.leave_out_file(path, "recordings without annotations")
        facts_of = _usable(events_of, cells_of, root, options, tally)
        marks_of = _marks(sources, options, recordings, events_of)
        result = all_segments(events_of, marks_of, facts_of, options, tally)
        for path, reason in cut_all(result.of, root, save_folder).items():
            del result.of[path]
            tally.leave_out_file(path, f"recordings damaged ({reason})")
        rows = _rows(result, cells_of)
        require(bool(rows), f"no recording of {root} is left", "replace them")
        write_table(
            save_folder / LEFT_OUT,
            ("recording", "onset", "offset", "label", "reason"),
            tally.rows,
        )
        write_database(rows, save_folder / TABLE)
        _split(rows, save_folder, options)
        patient_of = {path: cells_of[path]["patient_id"] for path in result.of}
        return summary(result, facts_of, patient_of)


def _patients(sources: Sources, root: Path, paths: Sequence[str]):
    """Cells of the recordings by path, and the table that they are from."""
    if sources.recordings_csv is None:
        return by_name(paths, sources.patient), None
    require(
        sources.patient is None,
        "--patient and --recordings_csv both say who the patients are",
        "leave out one of them",
    )
    _, table = locate(str(root), sources.recordings_csv, "AUDIO_FOLDER")
    return by_table(table, root, sources.named or {}), table


def _annotated(
    sources: Sources,
    table: Optional[Path],
    root: Path,
    recordings: Recordings,
    options: Options,
    tally: Tally,
) -> Events:
    """Events by the path of their recording."""
    folder = Path(sources.annotations)
    files = annotation_files(folder)
    tables = [path for path in files if path.name == TABLE and folder.is_dir()]
    if table is None and tables:
        logger.warning(
            "%s is not read as annotations; if it is a table of the recordings "
            "and their patients, pass it with --recordings_csv",
            tables[0],
        )
    files = annotation_files(folder, [*tables, *([table] if table else [])])
    read = read_all(files, sources.format, sources.encoding)
    events = [event for _, part in read for event in part]
    require_present(events, options.choice)
    spelt = iter(one_spelling(events))
    read = [(path, [next(spelt) for _ in part]) for path, part in read]
    events_of, absent = by_recording(read, folder, recordings)
    if not events_of:
        path, name = absent[0]
        raise InputError(
            f"{path}: {name} is not in {root}{recordings.nearest(name)}, and "
            f"so for all {len(files)} annotation files; name them as the "
            "recordings, or write the recording in a column 'recording'"
        )
    for path, name in absent:
        logger.debug("%s: %s is not in %s", path, name, root)
        tally.leave_out_file(
            str(path), "recordings of annotations that are not there"
        )
    return events_of


def _usable(
    events_of: Events,
    cells_of: Dict,
    root: Path,
    options: Options,
    tally: Tally,
) -> Dict[str, Facts]:
    """Facts of the recordings; those without a patient, without the chosen
    tiers, or that cannot be opened, are left out."""
    facts_of: Dict[str, Facts] = {}
    for path in list(events_of):
        check_name(path)
        facts = recording_facts(root / path)
        if path not in cells_of:
            tally.leave_out_file(path, "recordings in no row of the table")
        elif not has_tiers(events_of[path], options.choice):
            # Not a night without events: others may have marked some.
            tally.leave_out_file(path, "recordings without those --tiers")
        elif facts is None:
            tally.leave_out_file(path, _UNREADABLE)
        else:
            facts_of[path] = Facts(*facts)
            continue
        del events_of[path]
    require(
        bool(events_of),
        "no annotated recording can be used: "
        + ", ".join(f"{n} {reason}" for reason, n in tally.files.items()),
        "add them to the table; convert what cannot be opened with "
        "data_prep.convert",
    )
    return facts_of


def _marks(
    sources: Sources,
    options: Options,
    recordings: Recordings,
    events_of: Events,
) -> Events:
    """Detections by the path of their recording."""
    if sources.hard_negatives is None:
        return {}
    folder = Path(sources.hard_negatives)
    if (folder / DETECTED).is_file():
        folder = folder / DETECTED
    labels = options.choice.labels
    classes = {*labels, *map(identity, labels.values())} or {
        identity(event.label) for part in events_of.values() for event in part
    }
    read = [
        (path, read_marks(path, sources.hard_threshold, classes))
        for path in annotation_files(folder, option="--hard_negatives")
    ]
    marks_of, absent = by_recording(read, folder, recordings)
    require(
        bool(marks_of),
        f"--hard_negatives {folder} names no recording of "
        f"{sources.audio_folder} ({len(absent)} others)",
        "pass detections in these recordings",
    )
    return marks_of


def _rows(result: Segments, cells_of: Dict) -> List[Dict[str, str]]:
    """Rows of the database, one a segment."""
    return [
        {
            **cells_of[path],
            "path": clip_name(path, segment),
            "label": segment.label,
            "recording": path,
            "start_s": time_text(segment.start),
            "stop_s": time_text(segment.stop),
            "channel": str(segment.channel or ""),
            "kind": segment.kind,
        }
        for path, segments in sorted(result.of.items())
        for segment in segments
    ]


def _split(rows: List[Dict], save_folder: Path, options: Options) -> None:
    """Write manifests, split by patient, if there are patients enough."""
    labels = {row["label"] for row in rows}
    negative = options.negative_label  # the first: the last is the positive
    classes = sorted(labels, key=lambda label: (label != negative, label))
    patients = {identity(row["patient_id"]) for row in rows}
    try:
        require(
            len(patients) >= len(SPLITS),
            f"{len(patients)} patients are too few for {len(SPLITS)} splits",
            "add recordings of others",
        )
        require(
            len(classes) > 1,
            f"all labels are {classes[0]!r}",
            "two classes or more are needed",
        )
        prepare_clinical(
            str(save_folder),
            str(save_folder / MANIFEST),
            "label",
            classes,
            positive=options.positive,
            seed=options.seed,
        )
    except InputError as error:
        for split in SPLITS:  # of an earlier run
            (save_folder / MANIFEST / f"{split}.csv").unlink(missing_ok=True)
        logger.warning("Not split into train, valid and test: %s", error)
