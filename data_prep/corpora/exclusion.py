"""Exclude held-out patients and their recordings from adaptation.

A patient is recognised by the id, in any spelling, and by the sound: the
same decoded samples (``Audit.digest``) under another name, id or lossless
format. Copies that were resampled or compressed to MP3 are not detected.
Messages name rows, never patient ids or paths, which may hold an id.
"""

import logging
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Dict, List, NamedTuple, Optional, Sequence

from data_prep.audio.audits import MOST_COMPARED, audit_files
from data_prep.audio.folder import find_file, find_files
from data_prep.corpora.database import Row
from data_prep.corpora.listing import prepared_from
from data_prep.files.errors import InputError, not_a_file, require
from data_prep.files.identifiers import identity
from data_prep.files.missing import is_missing, refuse_damaged
from data_prep.files.tables import Named, read_table
from data_prep.manifest import DATA_ROOT, Recording

logger = logging.getLogger(__name__)

REFUSE, DROP = "refuse", "drop"
#: Folder below the manifest folder with the audits of the tables' audio.
FOLDER = "excluded"


@dataclass
class HeldOut:
    """Held-out patients and recordings, with their rows of the tables."""

    #: Row by patient, see ``identity``.
    patients: Dict[str, str] = field(default_factory=dict)
    #: Row by digest of the decoded samples.
    samples: Dict[str, str] = field(default_factory=dict)


class Shared(NamedTuple):
    """Recording of the database with the patient or the samples of a held-out
    row."""

    recording: Recording
    row: str  #: of the table
    by_patient: bool  #: same patient; else the same samples


def check_options(
    tables: Sequence[Path], excluded: str, folder: Optional[str]
) -> None:
    """Check ``--exclude``, ``--excluded`` and ``--exclude_folder``."""
    require(
        excluded in (REFUSE, DROP),
        f"--excluded is {excluded!r}",
        f"expected {REFUSE} or {DROP}",
    )
    for table in tables:
        require(
            table.is_file(),
            f"--exclude {not_a_file(table)}",
            "pass a manifest or a recordings.csv, or leave it out",
        )
    require(
        folder is None or Path(folder).is_dir(),
        f"--exclude_folder {folder} is not a folder",
        "pass the folder that paths in the --exclude table are relative to",
    )


def read_held_out(
    tables: Sequence[Path],
    rows_here: List[Row],
    root: Path,
    save_folder: Path,
    folder: Optional[str] = None,
    named: Optional[Named] = None,
) -> HeldOut:
    """Read the held-out patients of tables, and the samples of the audio files
    listed in them.

    Raises ``InputError`` for a table that protects nobody: it lists no patient
    of the database, and no audio to compare.
    """
    held_out = HeldOut()
    here = {identity(rec.patient_id) for rec, _ in rows_here}
    for table in tables:
        rows = read_table(table, ["patient_id"], named)
        listed = listed_patients(table, rows)
        held_out.patients = {**listed, **held_out.patients}
        has_audio = False
        if {"wav", "path"} & set(rows[0][1]):
            for place, row_of in _files(table, rows, root, folder).items():
                has_audio |= _add_samples(
                    held_out, row_of, place, save_folder, table
                )
        else:
            logger.warning(
                "%s has neither path nor wav: compared by patient only, copies "
                "under another patient_id are not detected",
                table,
            )
        _require_effect(table, here, listed, has_audio)
    return held_out


def listed_patients(table: Path, rows) -> Dict[str, str]:
    """First row of each patient of a table, as ``identity`` compares them."""
    listed: Dict[str, str] = {}
    for source, cells in rows:
        # With its folder: several tables may be called test.csv.
        row, patient = str(table.parent / source), cells["patient_id"]
        state = f"is {patient!r}" if patient else "is empty"
        missing = is_missing(patient)
        require(not missing, f"{row}: patient_id {state}", "fill it in")
        refuse_damaged(row, "patient_id", patient, is_id=True)
        listed.setdefault(identity(patient), row)
    return listed


def _require_effect(table, here, listed, has_audio):
    """Refuse a list of ids that are not those of the database; warn if its
    audio is compared anyway."""
    n_here = len(here & listed.keys())
    logger.info(
        "--exclude %s: %d of its %d patients are in the database",
        table,
        n_here,
        len(listed),
    )
    if n_here:
        return
    problem = (
        f"--exclude {table}: no listed id exists here (the database has "
        f"{len(here)} other patients)"
    )
    if has_audio:
        logger.warning("%s; only the sound is compared", problem)
        return
    cure = "correct the ids, or leave out --exclude if all patients are others"
    raise InputError(f"{problem}; {cure}")


def _files(table, rows, root, folder) -> Dict[Path, Dict[str, str]]:
    """Rows by path of the table's files, by the folder that holds them."""
    places = [folder, prepared_from(table.parent), table.parent, root]
    places = list(dict.fromkeys(Path(p) for p in places if p is not None))
    rows_in: Dict[Path, Dict[str, str]] = {}
    paths = [_path(cells) for _, cells in rows]
    # By name only where the table belongs: elsewhere a file of the same name
    # may be another recording.
    own = {Path(folder) if folder else None, table.parent}
    by_name = {p: find_files(p, paths) for p in places if p in own}
    for (source, _), path in zip(rows, paths):
        row = str(table.parent / source)
        spelt = (
            (p, by_name[p][path] if p in own else find_file(p, path))
            for p in places
        )
        place, path = next((pair for pair in spelt if pair[1]), (None, path))
        if place is None:
            raise InputError(
                f"{row}: its audio file is not in {', '.join(map(str, places))}"
                "; pass the folder that the table's paths are relative to with "
                "--exclude_folder"
            )
        # Whole files, without a manifest's start and stop: all parts of a
        # recording are of the same patient.
        rows_in.setdefault(place, {}).setdefault(path, row)
    return rows_in


def _path(cells: Dict[str, str]) -> str:
    """Path of a row of a manifest or of a database, below its data folder."""
    path = cells.get("wav") or cells.get("path", "")
    return PurePosixPath(path.replace(f"{DATA_ROOT}/", "", 1)).as_posix()


def _add_samples(held_out, row_of, place, save_folder, table) -> bool:
    """Add the samples of files; return whether any can be compared."""
    # One journal per folder: files of two folders may have the same name, size
    # and time.
    name = blake2b(str(place.resolve()).encode(), digest_size=8).hexdigest()
    audits = audit_files(list(row_of), place, save_folder / FOLDER / name)
    for path, audit in audits.items():
        if audit.digest:
            held_out.samples.setdefault(audit.digest, row_of[path])
    unread = [path for path, audit in audits.items() if not audit.digest]
    if unread:
        logger.warning(
            "%d of %d audio files of %s cannot be read, such as that of %s: "
            "compared by patient only",
            len(unread),
            len(audits),
            table,
            row_of[unread[0]],
        )
    return len(unread) < len(audits)


def find_shared(
    rows: List[Row], root: Path, save_folder: Path, held_out: HeldOut
) -> List[Shared]:
    """Recordings that share the patient or the samples of a held-out row."""
    recordings = [rec for rec, _ in rows]
    digests = {}
    if held_out.samples:
        others = [
            rec.wav
            for rec in recordings
            if identity(rec.patient_id) not in held_out.patients
        ]
        # With the landmarks that the preparer's audit needs: files are read
        # once. Usable files only: all silent files are alike.
        audits = audit_files(
            others, root, save_folder, len(others) <= MOST_COMPARED
        )
        digests = {path: a.digest for path, a in audits.items() if a.usable}
    shared = []
    for rec in recordings:
        row = held_out.patients.get(identity(rec.patient_id))
        by_patient = row is not None
        if not by_patient:
            row = held_out.samples.get(digests.get(rec.wav))
        if row is not None:
            shared.append(Shared(rec, row, by_patient))
    if not shared:
        logger.info(
            "%d recordings of %d patients compared with the %d patients and "
            "%d recordings of --exclude: none shared",
            len(recordings),
            len({rec.patient_id for rec in recordings}),
            len(held_out.patients),
            len(held_out.samples),
        )
    return shared


def refuse(shared: List[Shared], n_recordings: int, table: Path) -> None:
    """Raise ``InputError`` if any recording is shared with a held-out row."""
    if not shared:
        return
    first = shared[0]
    match = "is of the patient of" if first.by_patient else "has the samples of"
    raise InputError(
        f"{len(shared)} of {n_recordings} recordings of {table} must not be "
        f"adapted on, such as {first.recording.source}, which {match} "
        f"{first.row}; remove those rows, or pass --excluded {DROP}, which "
        "leaves them out and lists them in rejected.csv"
    )


def reason_by_patient(shared: List[Shared]) -> Dict[str, str]:
    """Patients to leave out, each with the reason.

    A recording with the same samples excludes its patient: that is a held-out
    patient under another id.
    """
    reason_of: Dict[str, str] = {}
    for rec, row, by_patient in shared:
        reason = "patient of an --exclude table"
        if not by_patient:
            reason = (
                f"patient held out under another id: {rec.source} has the "
                f"same samples as {row}"
            )
        reason_of.setdefault(rec.patient_id, reason)
    return reason_of
