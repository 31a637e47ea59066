"""Report of the copies in a corpus, by patient, split and label."""

from pathlib import Path
from typing import Dict, List, Optional

from data_prep.audio.duplicates import Copy
from data_prep.files.tables import write_table
from data_prep.manifest import Recording

COLUMNS = (
    "kind",
    "path",
    "copy",
    "offset_s",
    "common",
    "patients",
    "splits",
    "labels",
)


def report_copies(
    copies: List[Copy], splits: Dict[str, List[Recording]], path: Path
) -> Optional[str]:
    """Write ``duplicates.csv``, and say what would make a figure false.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "duplicates.csv"
    >>> a = Recording("a", 1, "a.wav", 0, 1, "", "p1", "")
    >>> b = Recording("b", 1, "b.wav", 0, 1, "", "p2", "")
    >>> report_copies([Copy("exact", "a.wav", "b.wav")], {"": [a, b]}, path)
    '1 exact and 0 near copies, 1 of another patient: see ...duplicates.csv; give a copy and its original one patient_id, or figures are too good'
    """
    about = {
        rec.wav: (rec.patient_id, split, rec.label)
        for split, recordings in splits.items()
        for rec in recordings
    }
    rows = [_row(copy, about) for copy in copies]
    write_table(path, COLUMNS, rows)
    if not rows:
        return None
    n_exact = sum(copy.kind == "exact" for copy in copies)
    found = [f"{n_exact} exact and {len(copies) - n_exact} near copies"]
    for column, what in (
        ("patients", "of another patient"),
        ("splits", "across splits"),
        ("labels", "with another label"),
    ):
        cells = [row[COLUMNS.index(column)] for row in rows]
        if any(cells):  # else nothing is known of them
            n = sum(cell.startswith("different") for cell in cells)
            found.append(f"{n} {what}")
    return f"{', '.join(found)}: see {path}" + (
        "; give a copy and its original one patient_id, or figures are too good"
        if any(row[COLUMNS.index("patients")].startswith("d") for row in rows)
        else ""
    )


def _row(copy: Copy, about: Dict):
    pairs = zip(about.get(copy.path, ()), about.get(copy.copy, ()))
    same = [_compare(one, other) for one, other in pairs] or ["", "", ""]
    return [
        copy.kind,
        copy.path,
        copy.copy,
        copy.offset_s,
        copy.common,
        *same,
    ]


def _compare(one: str, other: str) -> str:
    if not one and not other:
        return ""
    return "same" if one == other else f"different: {one} and {other}"
