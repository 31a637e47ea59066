"""The paper's table: recordings, patients and hours by class and split."""

from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Tuple

from data_prep.files.tables import write_table, write_text
from data_prep.manifest import Recording

ALL = "all"
#: More classes than this become one row of the Markdown table.
MOST_CLASSES = 12

Count = Tuple[int, int, float]


def counts(
    splits: Dict[str, List[Recording]],
) -> Dict[str, Dict[str, Count]]:
    """Count recordings, patients and hours by class and split."""
    cells = defaultdict(list)
    for split, recs in splits.items():
        for rec in recs:
            for row in (rec.label or "unlabelled", ALL):
                for column in (split, ALL):
                    cells[row, column].append(rec)
    rows = sorted({row for row, _ in cells} - {ALL}) + [ALL]
    return {
        row: {column: _count(cells[row, column]) for column in (*splits, ALL)}
        for row in rows
    }


def _count(recordings: List[Recording]) -> Count:
    patients = len({rec.patient_id for rec in recordings})
    hours = sum(rec.seconds for rec in recordings) / 3600
    return len(recordings), patients, hours


def as_markdown(table: Dict[str, Dict[str, Count]]) -> str:
    """Counts by class and split as a Markdown table."""
    splits = list(next(iter(table.values())))
    rows = dict(table)
    if len(table) - 1 > MOST_CLASSES:
        rows = {f"all {len(table) - 1} classes": table[ALL]}
    lines = [
        "| class | " + " | ".join(splits) + " |",
        "|---" * (1 + len(splits)) + "|",
    ]
    for name, by_split in rows.items():
        cells = ["{} / {} / {:.2f}".format(*by_split[s]) for s in splits]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "recordings / patients / hours"])


def write_counts(splits: Dict[str, List[Recording]], folder: Path) -> str:
    """Write ``table.md`` and ``table.csv``; return the Markdown."""
    table = counts(splits)
    text = as_markdown(table)
    write_text(Path(folder) / "table.md", text + "\n")
    write_table(
        Path(folder) / "table.csv",
        ("class", "split", "recordings", "patients", "hours"),
        [
            (name, split, n, patients, round(hours, 4))
            for name, by_split in table.items()
            for split, (n, patients, hours) in by_split.items()
        ],
    )
    return text
