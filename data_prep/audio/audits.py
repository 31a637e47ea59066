"""Audits of all files of a corpus, kept in ``audit.jsonl``.

An interrupted audit resumes, and a second one reads only files that changed.
The ``audit.jsonl`` in a data folder itself is trusted, and so are the audits
in a pack.
"""

import base64
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from data_prep.audio.checksums import FEW
from data_prep.audio.duplicates import Copy, exact_copies, near_copies
from data_prep.audio.measure import (
    COLUMNS,
    RATES,
    SHORTEST_S,
    Audit,
    audit_file,
)
from data_prep.audio.packs import pack_at
from data_prep.audio.threads import in_threads
from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError, require
from data_prep.files.fingerprint import fingerprint, fingerprint_of
from data_prep.files.journal import Journal
from data_prep.files.shapes import Rule, fields_of, number, one_of, whole
from data_prep.files.tables import write_table

JOURNAL = "audit.jsonl"
#: A larger share of rejected files is a mistake of the user.
MOST_REJECTED = 0.2
#: Preparers search for near-duplicates in up to this many files.
MOST_COMPARED = 5000

_HEADER = {"audit": 2}  # increment when the measurements change


def _is_landmarks(value) -> bool:
    """Check for base64 of pairs of four-byte numbers."""
    try:
        return len(base64.b64decode(value, validate=True)) % 8 == 0
    except (TypeError, ValueError):
        return False


#: Shape of an entry of the journal: a usable file, or a rejected one.
_REJECTED = fields_of(
    Audit,
    without=["path", "checksum", "channel"],
    verdict=one_of("rejected"),
    landmarks=(None, Rule(_is_landmarks, "landmarks in base64")),
)
_ENTRY = (
    {
        **_REJECTED,
        "verdict": one_of("ok", "flagged"),
        "rate": whole(*RATES),
        "duration": number(SHORTEST_S, 1e9),
        "peak": number(1e-30),
    },
    _REJECTED,
)


@dataclass
class Audits:
    """Audits of a corpus by path, and pairs of files with the same sound."""

    files: Dict[str, Audit]
    copies: List[Copy]

    @property
    def n_rejected(self) -> int:
        """Number of unusable files."""
        return sum(not audit.usable for audit in self.files.values())


def audit_corpus(
    paths: Sequence[str],
    root: Path,
    save_folder: Path,
    compare: Optional[bool] = None,
) -> Audits:
    """Audit a corpus, search for copies and write ``audit.csv``.

    Near-duplicates are searched for if `compare`; by default in corpora of up
    to ``MOST_COMPARED`` files.
    """
    make_folder(save_folder)
    if compare is None:
        compare = len(paths) <= MOST_COMPARED
    files = audit_files(paths, root, save_folder, compare)
    copies = exact_copies(files.values())
    if compare:
        copies += near_copies(files.values())
    write_table(
        Path(save_folder) / "audit.csv",
        COLUMNS,
        [[_cell(getattr(a, c)) for c in COLUMNS] for a in files.values()],
    )
    return Audits(files, copies)


def _cell(value):
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else value


def write_rejected(
    audits: Audits,
    patient_of: Dict[str, str],
    left_out: Iterable[Tuple[str, str, str]],
    path: Path,
) -> None:
    """Write ``rejected.csv``: every file that is excluded or doubtful.

    `left_out` holds more rows of it: path, verdict, reason.
    """
    rows = [
        (name, audit.verdict, audit.reason)
        for name, audit in audits.files.items()
        if audit.reason
    ]
    for copy in audits.copies:
        if patient_of.get(copy.path) != patient_of.get(copy.copy):
            reason = (
                f"{copy.kind} copy of {copy.path}, of another patient or source"
            )
            rows.append((copy.copy, "flagged", reason))
    write_table(path, ("path", "verdict", "reason"), [*rows, *left_out])


def stop_if_too_many(audits: Audits, rejected_csv: Path) -> None:
    """Raise ``InputError`` if too many files of a corpus are unusable."""
    files = audits.files
    bad = [audit for audit in files.values() if not audit.usable]
    if len(bad) > MOST_REJECTED * len(files):
        raise InputError(
            f"{len(bad)} of {len(files)} audio files cannot be used, such as "
            f"{bad[0].path} ({bad[0].reason}); convert or replace the files "
            f"listed in {rejected_csv}"
        )


def audit_files(
    paths: Sequence[str],
    root: Path,
    save_folder: Optional[Path] = None,
    with_landmarks: bool = False,
) -> Dict[str, Audit]:
    """Audit files in parallel, resuming an interrupted audit; return the audits
    by path.

    Results are kept in `save_folder` if it is given.
    """
    root = Path(root)
    pack = pack_at(root)
    journals = [root / JOURNAL] if pack is None else pack.audits
    trusted = [Journal(path, _HEADER, _ENTRY) for path in journals]
    kept = Journal(Path(save_folder or root) / JOURNAL, _HEADER, _ENTRY)
    # Landmarks that a pack lacks cannot be computed from it.
    needs_landmarks = with_landmarks and pack is None
    audits = {}
    for path in paths:
        for journal in (*trusted, kept):
            entry = journal.get(path, root / path, len(paths) > FEW)
            if entry is None:
                continue
            is_usable = entry["verdict"] != "rejected"
            if needs_landmarks and is_usable and entry["landmarks"] is None:
                continue
            audits[path] = _from_json(path, entry, with_landmarks)
            if pack is None:
                audits[path].checksum = fingerprint_of(journal.stamp_of(path))
    unknown = [path for path in dict.fromkeys(paths) if path not in audits]
    require(
        pack is None or not any(path in pack for path in unknown),
        f"{root} was packed with another version of the audit",
        "pack the recordings again",
    )
    with kept:
        for audit in _read_all(unknown, root, with_landmarks):
            audits[audit.path] = audit
            # Without a rate the file was not opened: its permissions can
            # change without changing its stamp.
            if save_folder is not None and audit.rate:
                kept.add(audit.path, root / audit.path, _to_json(audit))
    return {path: audits[path] for path in paths}


def _read_all(paths, root, with_landmarks):
    """Audits in the order of ``paths``, each as soon as it is done."""
    work = partial(_audit_below, root=root, with_landmarks=with_landmarks)
    with in_threads(work, paths) as audits:
        yield from tqdm(
            (audit.result() for audit in audits),
            total=len(paths),
            desc="reading audio",
            unit="file",
            dynamic_ncols=True,
            disable=len(paths) < 200 or None,  # None: no bar in a log file
        )


def _audit_below(path: str, root: Path, with_landmarks: bool) -> Audit:
    audit = audit_file(str(root / path), with_landmarks)
    audit.path, audit.checksum = path, fingerprint(root / path)
    return audit


def write_journal(audits: Iterable[Audit], root: Path, path: Path) -> None:
    """Write audits to a journal, so that later ones need not read files."""
    with Journal(path, _HEADER, _ENTRY) as journal:
        for audit in audits:
            journal.add(audit.path, Path(root) / audit.path, _to_json(audit))


def _to_json(audit: Audit) -> Dict:
    entry = asdict(audit)
    del entry["path"], entry["checksum"], entry["channel"]
    if audit.landmarks is not None:
        packed = audit.landmarks.astype("<u4").tobytes()
        entry["landmarks"] = base64.b64encode(packed).decode("ascii")
    return entry


def _from_json(path: str, entry: Dict, with_landmarks: bool) -> Audit:
    audit = Audit(path, **{**entry, "landmarks": None})
    if with_landmarks and entry["landmarks"] is not None:
        packed = base64.b64decode(entry["landmarks"])
        audit.landmarks = np.frombuffer(packed, "<u4").reshape(-1, 2)
    return audit
