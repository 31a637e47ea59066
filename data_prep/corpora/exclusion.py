"""Who must not be heard in adaptation: the patients and recordings that a
classifier will be tested on.

A patient is recognised by the id, in whatever case, and by the sound: the same
decoded samples (``Audit.digest``) under another name, id or lossless format.
Copies that were re-sampled or went through MP3 have other samples and go
unseen here. No message holds a patient id, nor a path, which may hold one:
patients are people, and a row says as much.
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
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import DATA_ROOT, Recording

logger = logging.getLogger(__name__)

REFUSE, DROP = "refuse", "drop"
#: Where in the manifest folder is kept what reading the tables' audio showed.
FOLDER = "excluded"


@dataclass
class HeldOut:
    """Whoever a classifier will be tested on.

    Arguments
    ---------
    patients : dict
        Row of a table by patient id, in lower case.
    samples : dict
        Row of a table by digest of the decoded samples.
    """

    patients: Dict[str, str] = field(default_factory=dict)
    samples: Dict[str, str] = field(default_factory=dict)


class Shared(NamedTuple):
    """A recording that must not be adapted on.

    Arguments
    ---------
    recording : Recording
        Of the database.
    row : str
        Of the table that holds its patient or its sound.
    by_patient : bool
        Whether the patient is the same; else the samples are.
    """

    recording: Recording
    row: str
    by_patient: bool


def check_options(
    tables: Sequence[Path], excluded: str, folder: Optional[str]
) -> None:
    """Refuse options that cannot be followed before anything is read.

    Example
    -------
    >>> check_options([], "ask", None)
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: --excluded is 'ask'; expected refuse or drop
    """
    if excluded not in (REFUSE, DROP):
        raise InputError(
            f"--excluded is {excluded!r}; expected {REFUSE} or {DROP}"
        )
    for table in tables:
        if not table.is_file():
            raise InputError(
                f"--exclude {table} does not exist; pass a manifest or a "
                "recordings.csv, or leave it out"
            )
    if folder is not None and not Path(folder).is_dir():
        raise InputError(
            f"--exclude_folder {folder} is no folder; pass the one where the "
            "paths of the --exclude table begin"
        )


def read_held_out(
    tables: Sequence[Path],
    root: Path,
    save_folder: Path,
    folder: Optional[str] = None,
) -> HeldOut:
    """Read the tables and the audio that they name.

    Example
    -------
    >>> tmp = Path(getfixture("tmpdir"))
    >>> _ = (tmp / "test.csv").write_text("patient_id\\nP1\\n")
    >>> sorted(read_held_out([tmp / "test.csv"], tmp, tmp).patients)
    ['p1']
    """
    held_out = HeldOut()
    for table in tables:
        rows = read_table(table, ["patient_id"])
        for source, cells in rows:
            # Its name alone would not tell one test.csv from another.
            row = str(table.parent / source)
            if not cells["patient_id"]:
                raise InputError(f"{row}: patient_id is empty; fill it in")
            held_out.patients.setdefault(cells["patient_id"].lower(), row)
        if not {"wav", "path"} & set(rows[0][1]):
            logger.warning(
                "%s has neither path nor wav: compared by patient only, so "
                "that copies under another patient_id go unseen",
                table,
            )
            continue
        for place, row_of in _files(table, rows, root, folder).items():
            _add_samples(held_out, row_of, place, save_folder, table)
    return held_out


def _files(table, rows, root, folder) -> Dict[Path, Dict[str, str]]:
    """Row by path of the table's files, by the folder that holds them."""
    places = [folder, prepared_from(table.parent), table.parent, root]
    places = list(dict.fromkeys(Path(p) for p in places if p is not None))
    found: Dict[Path, Dict[str, str]] = {}
    for source, cells in rows:
        path = cells.get("wav") or cells.get("path", "")
        path = path.replace(f"{DATA_ROOT}/", "", 1)
        path = PurePosixPath(path).as_posix()
        row = str(table.parent / source)
        place = next((place for place in places if holds(place, path)), None)
        if place is None:
            raise InputError(
                f"{row}: its audio file is not in {', '.join(map(str, places))}"
                "; pass the folder where the table's paths begin by "
                "--exclude_folder"
            )
        # Whole files: a manifest's start and stop are passed over, since who
        # is heard in one part of a file is heard in all of it.
        found.setdefault(place, {}).setdefault(path, row)
    return found


def _add_samples(held_out, row_of, place, save_folder, table):
    # A journal a folder: two may hold files of one name, size and time.
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
    """Recordings of a patient that is held out, or with the same samples as a
    recording that is.

    Example
    -------
    >>> rec = Recording("r1", 0.0, "a.wav", 0.0, 0.0, "", "p1", "")
    >>> held_out = HeldOut({"p1": "test.csv row 2"})
    >>> find_shared([(rec, {})], Path("."), Path("."), held_out)[0].row
    'test.csv row 2'
    """
    recordings = [rec for rec, _ in rows]
    digests = {}
    if held_out.samples:
        others = [
            rec.wav
            for rec in recordings
            if rec.patient_id not in held_out.patients
        ]
        digests = _digests(others, root, save_folder)
    found = []
    for rec in recordings:
        by_patient = rec.patient_id in held_out.patients
        if by_patient:
            row = held_out.patients[rec.patient_id]
        else:
            row = held_out.samples.get(digests.get(rec.wav))
        if row is not None:
            found.append(Shared(rec, row, by_patient))
    if not found:
        logger.info(
            "%d recordings of %d patients compared with the %d patients and "
            "%d recordings of --exclude: none is shared",
            len(recordings),
            len({rec.patient_id for rec in recordings}),
            len(held_out.patients),
            len(held_out.samples),
        )
    return found


def _digests(paths, root, save_folder) -> Dict[str, str]:
    """Of the files that adaptation can use: one silence is like another."""
    # With what the preparer's own audit will ask for: all is read once.
    with_landmarks = len(paths) <= MOST_COMPARED
    audits = audit_files(paths, root, save_folder, with_landmarks)
    return {path: a.digest for path, a in audits.items() if a.usable}


def refuse(shared: List[Shared], n_recordings: int, table: Path) -> None:
    """Refuse to adapt on anything that is shared.

    Example
    -------
    >>> rec = Recording("r", 0, "a.wav", 0, 0, "", "p", "", "a.csv row 2")
    >>> refuse([Shared(rec, "test.csv row 7", False)], 9, Path("a.csv"))
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: 1 of 9 recordings of a.csv must not be adapted on, such as a.csv row 2, which has the samples of test.csv row 7; remove those rows, or pass --excluded drop, which leaves them out and lists them in rejected.csv
    """
    if not shared:
        return
    first = shared[0]
    how = "is of the patient of" if first.by_patient else "has the samples of"
    raise InputError(
        f"{len(shared)} of {n_recordings} recordings of {table} must not be "
        f"adapted on, such as {first.recording.source}, which {how} "
        f"{first.row}; remove those rows, or pass --excluded {DROP}, which "
        "leaves them out and lists them in rejected.csv"
    )


def reasons(shared: List[Shared]) -> Dict[str, str]:
    """Patients to leave out, and why.

    A recording that is shared by its samples takes its patient along: that
    voice is held out under another id.

    Example
    -------
    >>> rec = Recording("r", 0, "a.wav", 0, 0, "", "p", "", "a.csv row 2")
    >>> reasons([Shared(rec, "test.csv row 7", False)])
    {'p': 'patient held out under another id: a.csv row 2 has the same samples as test.csv row 7'}
    """
    why: Dict[str, str] = {}
    for rec, row, by_patient in shared:
        reason = "patient of an --exclude table"
        if not by_patient:
            reason = (
                f"patient held out under another id: {rec.source} has the "
                f"same samples as {row}"
            )
        why.setdefault(rec.patient_id, reason)
    return why
