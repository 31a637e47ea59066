"""Exclude held-out patients and their recordings from adaptation.

A patient is recognised by the id, in upper or lower case, and by the sound: the
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
from data_prep.audio.folder import holds
from data_prep.corpora.database import Row
from data_prep.corpora.listing import prepared_from
from data_prep.files.errors import InputError, require
from data_prep.files.tables import read_table
from data_prep.manifest import DATA_ROOT, Recording

logger = logging.getLogger(__name__)

REFUSE, DROP = "refuse", "drop"
#: Folder below the manifest folder with the audits of the tables' audio.
FOLDER = "excluded"


@dataclass
class HeldOut:
    """Held-out patients and recordings, with their rows of the tables."""

    #: Row by patient id in lower case.
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
            f"--exclude {table} does not exist",
            "pass a manifest or a recordings.csv, or leave it out",
        )
    require(
        folder is None or Path(folder).is_dir(),
        f"--exclude_folder {folder} is not a folder",
        "pass the folder that paths in the --exclude table are relative to",
    )


def read_held_out(
    tables: Sequence[Path],
    root: Path,
    save_folder: Path,
    folder: Optional[str] = None,
) -> HeldOut:
    """Read the held-out patients of tables, and the samples of the audio files
    listed in them."""
    held_out = HeldOut()
    for table in tables:
        rows = read_table(table, ["patient_id"])
        for source, cells in rows:
            # With its folder: several tables may be called test.csv.
            row = str(table.parent / source)
            patient = cells["patient_id"].lower()
            require(bool(patient), f"{row}: patient_id is empty", "fill it in")
            held_out.patients.setdefault(patient, row)
        if not {"wav", "path"} & set(rows[0][1]):
            logger.warning(
                "%s has neither path nor wav: compared by patient only, copies "
                "under another patient_id are not detected",
                table,
            )
            continue
        for place, row_of in _files(table, rows, root, folder).items():
            _add_samples(held_out, row_of, place, save_folder, table)
    return held_out


def _files(table, rows, root, folder) -> Dict[Path, Dict[str, str]]:
    """Rows by path of the table's files, by the folder that holds them."""
    places = [folder, prepared_from(table.parent), table.parent, root]
    places = list(dict.fromkeys(Path(p) for p in places if p is not None))
    rows_in: Dict[Path, Dict[str, str]] = {}
    for source, cells in rows:
        path = cells.get("wav") or cells.get("path", "")
        path = path.replace(f"{DATA_ROOT}/", "", 1)
        path = PurePosixPath(path).as_posix()
        row = str(table.parent / source)
        place = next((place for place in places if holds(place, path)), None)
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


def _add_samples(held_out, row_of, place, save_folder, table):
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
            if rec.patient_id not in held_out.patients
        ]
        # With the landmarks that the preparer's audit needs: files are read
        # once. Usable files only: all silent files are alike.
        audits = audit_files(
            others, root, save_folder, len(others) <= MOST_COMPARED
        )
        digests = {path: a.digest for path, a in audits.items() if a.usable}
    shared = []
    for rec in recordings:
        by_patient = rec.patient_id in held_out.patients
        if by_patient:
            row = held_out.patients[rec.patient_id]
        else:
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
