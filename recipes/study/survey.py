"""Survey of a newcomer's recordings: what a study of them can rest on.

Every file is read once; what is written (``audit.csv``, ``rejected.csv``) goes
into a folder of its own, never among the recordings.
"""

import logging
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Dict, List, Optional, Sequence, Set

from data_prep.audio.folder import AUDIO, audio_files, find_files
from data_prep.corpora import preparation
from data_prep.corpora.copies import report_copies
from data_prep.corpora.database import (
    Row,
    check_labels,
    locate_table,
    named_columns,
    read_database,
    report_unlisted,
    usable_rows,
)
from data_prep.corpora.labelled import classes_of
from data_prep.files.errors import require
from data_prep.files.identifiers import cleaned
from data_prep.files.tables import Named, read_lines
from data_prep.manifest import Recording

logger = logging.getLogger(__name__)

#: Names that a column of patients may have, with ``id`` and the like after them.
_PATIENT = re.compile(
    r"(patient(s|en)?|bab(y|ies)|infants?|subjects?|child(ren)?|newborns?|"
    r"participants?|säuglinge?|proband(en)?|kind(er)?|enfants?|bébés?|niñ[oa]s?)"
    r"([ _.-]?(id|no|nr|nummer|number|code|name)\.?)?",
    re.IGNORECASE,
)
#: Most files of a folder that are read; of more, as many, evenly spaced.
_MOST_READ = 2000


@dataclass
class Cries:
    """Labelled cries and their table."""

    table: Path
    root: Path  #: paths in the table are relative to it
    named: Named  #: the user's names of columns
    label_column: str
    classes: List[str]  #: the positive one last
    columns: Set[str]
    listed: List[Recording]  #: with a label
    rows: List[Row]  #: of those, the usable ones
    digests: Dict[str, str]  #: source of a row by the digest of its samples
    patients: Dict[str, Set[str]]  #: by class

    @property
    def n_patients(self) -> int:
        """Number of patients with a label."""
        return len(set.union(*self.patients.values()))

    @property
    def rarest(self) -> str:
        """Class of the fewest patients."""
        return min(self.classes, key=lambda name: len(self.patients[name]))

    @property
    def seconds(self) -> List[float]:
        """Length of each recording."""
        return [rec.duration for rec, _ in self.rows]


@dataclass
class Folder:
    """A folder of audio without a table of patients."""

    root: Path
    n: int  #: usable recordings, as far as files were read
    median_s: float
    #: Files with the samples of a labelled cry, and the row of the first.
    copies: List[str]
    row: str


def survey_cries(
    table: str,
    label_column: str,
    data_folder: Optional[str],
    patient_column: Optional[str],
    path_column: Optional[str],
    positive: Optional[str],
    out: Path,
) -> Cries:
    """Read and audit the table of the labelled cries."""
    root, path = locate_table(os.path.abspath(table), data_folder)
    named = _columns(path, root, label_column, patient_column, path_column)
    rows = read_database(path, [label_column], named)
    check_labels(rows, label_column, path)
    classes = classes_of(path, label_column, named, None, positive)
    columns = {*rows[0][1]}
    report_unlisted(rows, root, path)
    rows = [row for row in rows if row[1][label_column]]
    for rec, cells in rows:
        rec.label = cells[label_column]
    listed = [rec for rec, _ in rows]
    rows, audits = usable_rows(rows, root, out)
    patients = defaultdict(set)
    for rec, _ in rows:
        patients[rec.label].add(rec.patient_id)
    recordings = {"": [rec for rec, _ in rows]}
    copies = report_copies(audits.copies, recordings, out / "duplicates.csv")
    if copies:
        logger.warning("%s", copies)
    for name in classes:
        cure = f"replace its files ({out / 'rejected.csv'} says why)"
        require(
            name in patients, f"no file of the class {name!r} is usable", cure
        )
    digests = {audits.files[rec.wav].digest: rec.source for rec, _ in rows}
    return Cries(
        path, root, named, label_column, classes, columns, listed, rows,
        digests, patients,
    )  # fmt: skip


def _columns(table, root, label_column, patient_column, path_column) -> Named:
    """Columns of patients and files: those given, ours, or those that are
    recognised by their names or by what they hold."""
    lines = [[*map(cleaned, line)] for line in read_lines(table)]
    start = next((i for i, ln in enumerate(lines) if label_column in ln), 0)
    header = lines[start] if lines else []
    others = [name for name in header if name != label_column]
    if patient_column is None and "patient_id" not in header:
        near = [name for name in others if _PATIENT.fullmatch(name)]
        patient_column = near[0] if len(near) == 1 else None
    if path_column is None and "path" not in header:
        rows = lines[start + 1 :][:50]
        near = [
            name
            for name, cells in zip(header, zip_longest(*rows, fillvalue=""))
            if name in others and any(cells) and _are_files(root, cells)
        ]
        path_column = near[0] if len(near) == 1 else None
    return named_columns(patient_column or "patient_id", path_column or "path")


def _are_files(root: Path, cells: Sequence[str]) -> bool:
    """Check for names of audio files; empty cells, as of an empty row at the
    end, tell nothing."""
    others = [c for c in cells if c and not c.lower().endswith(AUDIO)]
    return all(find_files(root, others).values())


def survey_folder(option: str, folder: str, cries: Cries, out: Path) -> Folder:
    """Audit a folder of audio, and look for labelled cries in it."""
    root = preparation.require_folder(folder, option, "audio")
    paths = audio_files(root)
    step = -(-len(paths) // _MOST_READ)
    recordings = [
        Recording(path, 0.0, path, 0.0, 0.0, "", path, "", path)
        for path in paths[::step]
    ]
    audits = preparation.audit(recordings, root, out)
    # Without patients, which a folder does not tell.
    twice = report_copies(audits.copies, {}, out / "duplicates.csv")
    if twice:
        logger.warning("%s: %s", option, twice)
    usable = [audit for audit in audits.files.values() if audit.usable]
    copies = [a for a in usable if a.digest in cries.digests]
    return Folder(
        root,
        len(usable) * step,
        median(audit.duration for audit in usable),
        [audit.path for audit in copies],
        cries.digests[copies[0].digest] if copies else "",
    )


def survey_sounds(folder: str, cries: Cries, out: Path) -> Folder:
    """Audit the sounds for pre-training, which must hold no labelled cry."""
    sounds = survey_folder("--sounds", folder, cries, out)
    require(
        not sounds.copies,
        f"{len(sounds.copies)} files of {folder} are labelled cries, such as "
        f"{(sounds.copies or [''])[0]}, the recording of {sounds.row}: "
        "pre-training would hear the patients of the test",
        "move them away, or pass another --sounds",
    )
    return sounds
