"""From a folder of recordings and one of annotations to a database."""

import logging
import shlex
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from data_prep.annotations.clips import JOURNAL, clip_name, cut_all
from data_prep.annotations.database import add_segments, summary
from data_prep.annotations.event import Event, time_text
from data_prep.annotations.labels import in_tiers, one_spelling, require_present
from data_prep.annotations.marks import read_marks
from data_prep.annotations.options import Options, Sources
from data_prep.annotations.pairing import (
    Recordings,
    annotation_files,
    by_recording,
    read_all,
)
from data_prep.annotations.patients import by_name, by_table
from data_prep.annotations.segments import ANNOTATED, Recording, Tally
from data_prep.audio.folder import audio_files, first_audio
from data_prep.audio.measure import header_facts
from data_prep.corpora.database import TABLE, locate, write_database
from data_prep.corpora.labelled import prepare_clinical
from data_prep.corpora.plain_folder import check_name
from data_prep.corpora.preparation import require_folder, require_out
from data_prep.files.errors import AccessError, InputError, require
from data_prep.files.folders import require_other
from data_prep.files.identifiers import identity
from data_prep.files.lock import locked
from data_prep.files.tables import write_table
from data_prep.files.words import count
from data_prep.manifest import SPLITS

logger = logging.getLogger(__name__)

LEFT_OUT, MANIFEST = "left_out.csv", "manifest"
#: Negatives as a table of events, to listen to with cry_modules.review.
DRAWN = "negatives.csv"
#: All events in the output of a detector, whose other tables are not events.
DETECTED = "events.csv"


def prepare_annotations(sources: Sources, options: Options, out: str) -> str:
    """Write a database of segments of annotated recordings; return a summary,
    whose last line says how to train on it, or what it lacks.

    OUT gets ``recordings.csv``, ``clips/``, ``left_out.csv``, ``negatives.csv``
    and, if there are patients enough for a split, ``manifest/``. Segments are
    cut into files: all commands read a database as one row a file, audit whole
    files, and know no channels. The columns ``recording``, ``start_s`` and
    ``stop_s`` say where each was cut. The same command resumes an interrupted
    run.
    """
    root = require_folder(
        sources.audio_folder, "AUDIO_FOLDER", "the folder of the recordings"
    )
    require(
        first_audio(str(root)) or not first_audio(sources.annotations),
        f"AUDIO_FOLDER {root} holds no audio file, and ANNOTATIONS "
        f"{sources.annotations} does",
        "the order is AUDIO_FOLDER ANNOTATIONS",
    )
    save_folder = _checked_out(Path(out), root, Path(sources.annotations))
    with locked(save_folder):
        require(
            not (save_folder / TABLE).exists()
            or (save_folder / JOURNAL).exists(),
            f"{save_folder / TABLE} is a table of other recordings",
            "pass another --out",
        )
        tally, paths = Tally(), audio_files(root)
        cells_of, table = _patients(sources, root, paths)
        names = Recordings(paths)
        events_of = _annotated(sources, table, names, options, tally)
        for path in paths:
            if path not in events_of:
                tally.leave_out_file(path, "recordings without annotations")
        recordings = _usable(events_of, cells_of, root, options, tally)
        _add_marks(recordings, sources, names, options)
        add_segments(recordings, root, options, tally)
        failed = cut_all(recordings, root, save_folder)
        for path, reason in failed.items():
            tally.leave_out_file(path, f"recordings damaged ({reason})")
        recordings = [r for r in recordings if r.path not in failed]
        rows = _rows(recordings)
        require(bool(rows), f"no recording of {root} is left", "replace them")
        columns = ("recording", "onset", "offset", "label", "reason")
        write_table(save_folder / LEFT_OUT, columns, tally.rows)
        negatives = _write_negatives(recordings, save_folder)
        write_database(rows, save_folder / TABLE)
        lines = [summary(recordings, tally)]
        events = [event for r in recordings for event in r.events]
        if negatives and any(event.score is not None for event in events):
            labels = sorted({row["label"] for row in rows})
            lines.append(_caution(negatives, labels, root, save_folder))
        return "\n".join([*lines, _split(rows, save_folder, options)])


def _checked_out(out: Path, root: Path, annotations: Path) -> Path:
    """Create the output folder, apart from the input."""
    require_other(out, "ANNOTATIONS", annotations)
    return require_out(out, root, is_listed=True)


def _patients(
    sources: Sources, root: Path, paths: Sequence[str]
) -> Tuple[Dict[str, Dict[str, str]], Optional[Path]]:
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
    names: Recordings,
    options: Options,
    tally: Tally,
) -> Dict[str, List[Event]]:
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
    others = {path.resolve() for path in (*tables, table) if path}
    files = [path for path in files if path.resolve() not in others]
    require(bool(files), f"{folder} holds no annotations", "pass others")
    read = read_all(files, sources.format, sources.encoding)
    spelt: Dict[str, str] = {}
    read = [(path, one_spelling(events, spelt)) for path, events in read]
    require_present([e for _, events in read for e in events], options)
    events_of, absent = by_recording(read, folder, names)
    if not events_of:
        path, name = absent[0]
        raise InputError(
            f"{path}: {name} is not in {sources.audio_folder}"
            f"{names.nearest(name)}, and so for all {len(files)} annotation "
            "files; name them as the recordings, or write the recording in a "
            "column 'recording'"
        )
    for path, name in absent:
        logger.debug("%s: %s is not in the folder of audio", path, name)
        reason = "recordings of annotations that are not there"
        tally.leave_out_file(str(path), reason)
    return events_of


def _usable(
    events_of: Dict[str, List[Event]],
    cells_of: Dict[str, Dict[str, str]],
    root: Path,
    options: Options,
    tally: Tally,
) -> List[Recording]:
    """Annotated recordings; those without a patient, without the chosen tiers,
    or that cannot be opened, are left out."""
    recordings = []
    for path, events in events_of.items():
        check_name(path)
        facts = header_facts(root / path)
        if path not in cells_of:
            reason = "recordings in no row of the table"
        elif events and not any(in_tiers(event, options) for event in events):
            # Not a night without events: others may have marked some.
            reason = "recordings without those --tiers"
        elif facts is None:
            reason = "recordings that cannot be opened (try data_prep.convert)"
        else:
            recordings.append(Recording(path, cells_of[path], *facts, events))
            continue
        tally.leave_out_file(path, reason)
    require(
        bool(recordings),
        "no annotated recording can be used: "
        + ", ".join(f"{n} {reason}" for reason, n in tally.files.items()),
        "add them to the table; convert what cannot be opened with "
        "data_prep.convert",
    )
    return recordings


def _add_marks(
    recordings: List[Recording],
    sources: Sources,
    names: Recordings,
    options: Options,
) -> None:
    """Add detections to their recordings."""
    if sources.hard_negatives is None:
        return
    folder = Path(sources.hard_negatives)
    if (folder / DETECTED).is_file():
        folder = folder / DETECTED
    labels = options.labels
    classes = {*labels, *map(identity, labels.values())} or {
        identity(event.label) for r in recordings for event in r.events
    }
    files = annotation_files(folder, "--hard_negatives")
    read = [(p, read_marks(p, sources.hard_threshold, classes)) for p in files]
    marks_of, absent = by_recording(read, folder, names)
    require(
        bool(marks_of),
        f"--hard_negatives {folder} names no recording of "
        f"{sources.audio_folder} ({len(absent)} others)",
        "pass detections in these recordings",
    )
    for recording in recordings:
        recording.marks = marks_of.get(recording.path, [])


def _rows(recordings: Sequence[Recording]) -> List[Dict[str, str]]:
    """Rows of the database, one a segment."""
    return [
        {
            **recording.cells,
            "path": clip_name(recording.path, segment),
            "label": segment.label,
            "recording": recording.path,
            "start_s": time_text(segment.start),
            "stop_s": time_text(segment.stop),
            "channel": str(segment.channel or ""),
            "kind": segment.kind,
        }
        for recording in sorted(recordings, key=lambda r: r.path)
        for segment in recording.segments
    ]


def _write_negatives(
    recordings: Sequence[Recording], save_folder: Path
) -> List[Tuple]:
    """Write the negatives between events as a table; return its rows."""
    negatives = [
        (
            r.path,
            s.channel or "",
            time_text(s.start),
            time_text(s.stop),
            s.label,
        )
        for r in recordings
        for s in r.segments
        if s.kind != ANNOTATED
    ]
    columns = ("recording", "channel", "onset_s", "offset_s", "label")
    write_table(save_folder / DRAWN, columns, negatives)
    return negatives


def _caution(
    negatives: List[Tuple], labels: List[str], root: Path, save_folder: Path
) -> str:
    """Line on events that a detector may have missed."""
    listen = ["python", "-m", "cry_modules.review", save_folder / DRAWN, root]
    listen += ["--classes", *labels, "--out", "reviewed_negatives.csv"]
    return (
        "warning: the events have scores, so a detector found them, and what "
        f"it missed can be among the {count(len(negatives), 'negative')}, "
        f"labelled {negatives[0][-1]}: listen to them ("
        f"{shlex.join(map(str, listen))}), then pass a folder of both reviewed "
        "tables as ANNOTATIONS, with --negatives 0"
    )


def _split(rows: List[Dict], save_folder: Path, options: Options) -> str:
    """Write manifests, split by patient, if there are patients enough; return
    the command that trains, or what it lacks."""
    labels = {row["label"] for row in rows}
    negative = options.negative_label  # the first: the last is the positive
    classes = sorted(labels, key=lambda label: (label != negative, label))
    try:
        require(
            len(classes) > 1,
            f"all labels are {classes[0]!r}, and two or more are needed",
            "add events of another, or pass --negatives 1",
        )
        prepare_clinical(
            str(save_folder),
            str(save_folder / MANIFEST),
            "label",
            classes,
            seed=options.seed,
        )
    except AccessError:
        raise
    except InputError as error:
        for split in SPLITS:  # of an earlier run
            (save_folder / MANIFEST / f"{split}.csv").unlink(missing_ok=True)
        return f"train_cls.py cannot train on it yet: {error}"
    command = ["python", "train_cls.py", "hparams/small_linear.yaml"]
    command += ["--data_folder", str(save_folder), "--label_column", "label"]
    command += ["--classes", ",".join(classes), "--encoder_source", "ENCODER"]
    return f"to train on it: {shlex.join(command)}"
