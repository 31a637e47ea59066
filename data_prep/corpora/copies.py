"""Report of the copies in a corpus, by patient, split and label."""

from dataclasses import astuple, fields
from pathlib import Path
from typing import Dict, List, Optional

from data_prep.audio.duplicates import Copy
from data_prep.files.tables import write_table
from data_prep.manifest import Recording

COLUMNS = (*(f.name for f in fields(Copy)), "patients", "splits", "labels")


def report_copies(
    copies: List[Copy], splits: Dict[str, List[Recording]], path: Path
) -> Optional[str]:
    """Write ``duplicates.csv``; return a summary, None without copies."""
    facts_of = {
        rec.wav: (rec.patient_id, split, rec.label)
        for split, recordings in splits.items()
        for rec in recordings
    }
    rows = [
        (*astuple(copy), *_compare(facts_of, copy.path, copy.copy))
        for copy in copies
    ]
    write_table(path, COLUMNS, rows)
    if not rows:
        return None
    n_exact = sum(copy.kind == "exact" for copy in copies)
    parts = [f"{n_exact} exact and {len(copies) - n_exact} near copies"]
    for column, words in (
        ("patients", "of another patient"),
        ("splits", "across splits"),
        ("labels", "with another label"),
    ):
        cells = [row[COLUMNS.index(column)] for row in rows]
        if any(cells):  # empty cells: unknown
            n = sum(cell.startswith("different") for cell in cells)
            parts.append(f"{n} {words}")
    text = f"{', '.join(parts)}: see {path}"
    if any(row[COLUMNS.index("patients")].startswith("d") for row in rows):
        text += (
            "; give a copy and its original the same patient_id, or metrics "
            "are too optimistic"
        )
    return text


def _compare(facts_of: Dict, path: str, copy: str) -> List[str]:
    """Cells of the columns patients, splits and labels."""
    if path not in facts_of or copy not in facts_of:
        return ["", "", ""]
    return [
        "" if not (a or b) else "same" if a == b else f"different: {a} and {b}"
        for a, b in zip(facts_of[path], facts_of[copy])
    ]
