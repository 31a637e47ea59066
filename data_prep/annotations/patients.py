"""Patients of long recordings, by a table or by the names of the files."""

import logging
from datetime import datetime
from pathlib import Path
from typing import Dict, Optional, Sequence

from data_prep.audio.folder import find_files
from data_prep.corpora.database import read_database
from data_prep.corpora.plain_folder import FILE, unit_of
from data_prep.files.tables import Named

logger = logging.getLogger(__name__)

#: Columns of a table of recordings that are not those of its segments.
_REPLACED = ("recording_id", "path", "label", "recording", "channel", "kind")


def by_table(
    table: Path, root: Path, named: Named
) -> Dict[str, Dict[str, str]]:
    """Cells of the rows of a table of recordings, by the path of the audio as
    its folder spells it: the patient, and all other columns."""
    rows = read_database(table, [], named)
    path_of = find_files(root, [rec.wav for rec, _ in rows])
    cells_of = {}
    for rec, cells in rows:
        kept = {n: c for n, c in cells.items() if n not in _REPLACED}
        if path_of[rec.wav] is not None:
            cells_of[path_of[rec.wav]] = {**kept, "patient_id": rec.patient_id}
    if any(_is_local(cells.get("recorded_at", "")) for _, cells in rows):
        logger.info(
            "%s: recorded_at has no time zone and is kept as it is: start_s "
            "counts seconds from there, also where the clocks changed",
            table,
        )
    return cells_of


def _is_local(text: str) -> bool:
    """Check for a time of day without its difference from UTC."""
    try:
        return ":" in text and datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return True


def by_name(
    paths: Sequence[str], pattern: Optional[str]
) -> Dict[str, Dict[str, str]]:
    """Patient of each recording: the match of a regular expression, the folder,
    or, with a warning, the file itself."""
    if pattern in (None, FILE) and len(paths) > 1:
        logger.warning(
            "Every recording counts as a separate patient: if several are of "
            "one patient, the splits share that patient and metrics are too "
            "optimistic; identify patients with --recordings_csv or --patient"
        )
    unit = unit_of(pattern or FILE, "--patient")
    return {path: {"patient_id": unit(path)} for path in paths}
