"""Audio files and rows of a table of recordings that scores belong to."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, List, Optional

from cry_modules.review.cases import Case, ScoreTable
from data_prep.annotations.recording_names import RecordingNames
from data_prep.audio.folder import AUDIO, files_below, find_files
from data_prep.audio.packs import PACK_FILE
from data_prep.corpora.database import (
    NOT_LABELS,
    REQUIRED,
    Row,
    locate_table,
    read_database,
)
from data_prep.files.errors import require
from data_prep.files.tables import Named


@dataclass
class Recordings:
    """A folder of recordings, with the table that describes them, if any."""

    root: Path
    table: Optional[Path] = None
    rows: List[Row] = field(default_factory=list)
    #: number of the row of each audio file
    row_of: Dict[str, int] = field(default_factory=dict)
    label_column: Optional[str] = None

    def index(self, case: Case) -> int:
        """Number of the row of a case's recording."""
        path = os.path.relpath(case.path, self.root)
        require(
            path in self.row_of,
            f"{case.source}: {case.recording} is in no row of {self.table}",
            "add it, or pass the table of these recordings",
        )
        return self.row_of[path]


def read_recordings(
    source: str, data_folder: Optional[str], named: Named
) -> Recordings:
    """Read a folder of recordings, or a table of them."""
    require(
        not source.lower().endswith(AUDIO),
        f"{source} is an audio file",
        "as RECORDINGS, pass its folder",
    )
    if Path(source).is_dir():
        require(
            data_folder is None,
            f"--data_folder {data_folder} is the folder of a table, and "
            f"{source} is a folder",
            "pass a table of recordings, or leave the option out",
        )
        recordings = Recordings(Path(source))
    else:
        root, table = locate_table(source, data_folder)
        recordings = Recordings(root, table, read_database(table, [], named))
        paths = find_files(root, [rec.wav for rec, _ in recordings.rows])
        for i, (rec, _) in enumerate(recordings.rows):
            if paths[rec.wav] is not None:
                recordings.row_of[paths[rec.wav]] = i
    require(
        not (recordings.root / PACK_FILE).exists(),
        f"{recordings.root} is a pack, which only training reads",
        "pass the folder that was packed",
    )
    return recordings


def place(table: ScoreTable, recordings: Recordings) -> None:
    """Set the audio file of each case; raise ``InputError`` for a recording
    that is not below the folder."""
    root, placed, first, moved = recordings.root, [], {}, []
    wanted = {Path(case.recording).name for case in table.cases}
    files = RecordingNames(
        name
        for name in files_below(root)
        if name.lower().endswith(AUDIO) or Path(name).name in wanted
    )
    of_id = {cells["recording_id"]: rec.wav for rec, cells in recordings.rows}
    # In the order of the table: errors name the first row.
    for case in table.cases:
        name = of_id.get(case.recording) or case.recording
        path = files.unique(name, str(root))
        require(
            path is not None,
            f"{case.source}: {case.recording} is not in {root}",
            "as RECORDINGS, pass the folder in which the paths of the table "
            "begin, or the recordings.csv with its ids",
        )
        if not any(os.path.lexists(p) for p in (root / name, name)):
            moved.append((name, path))
        case = replace(case, path=str(root / path))
        other = first.setdefault(case.path, case)
        require(
            other is case or table.is_events,
            f"{case.source}: {case.recording} is in {other.source} already",
            "remove one of the rows",
        )
        placed.append(case)
    table.cases = placed
    if moved:
        name, path = moved[0]
        print(f"{root}: recordings are found by their names: {name} is {path}")


def add_labels(
    table: ScoreTable, recordings: Recordings, label_column: Optional[str]
) -> None:
    """Take the labels of a table of recordings where scores have none, and
    find the column that they are in where scores have some."""
    if recordings.table is None or table.is_events:
        require(
            label_column is None,
            f"--label_column {label_column} is of a table of recordings",
            "pass their recordings.csv as RECORDINGS, or leave it out",
        )
        return
    rows = {
        case.row: recordings.rows[recordings.index(case)][1]
        for case in table.cases
    }
    columns = [
        name
        for name in recordings.rows[0][1]
        if name not in (*REQUIRED, *NOT_LABELS)
    ]
    if label_column is None and not table.is_predicted:
        same = [
            name
            for name in columns
            if all(rows[c.row][name] == c.label for c in table.cases)
        ]
        require(
            len(same) == 1,
            f"{len(same) or 'no'} columns of {recordings.table} hold the "
            f"labels of {table.path}",
            f"pass --label_column, one of {', '.join(same or columns)}",
        )
        label_column = same[0]
    recordings.label_column = label_column
    require(
        label_column in (None, *columns),
        f"--label_column {label_column} is not a column of labels of "
        f"{recordings.table}",
        f"pass one of {', '.join(columns)}",
    )
    if table.is_predicted and label_column is not None:
        _take_labels(table, rows, label_column)


def _take_labels(table: ScoreTable, rows: Dict, column: str) -> None:
    """Replace what the model calls by the labels of a column; cases without a
    label are left out."""
    labelled = [c for c in table.cases if rows[c.row][column]]
    require(
        bool(labelled),
        f"no scored recording has a label in {column}",
        "correct --label_column",
    )
    left_out = len(table.cases) - len(labelled)
    if left_out:
        print(f"{left_out} recordings without a label in {column} left out")
    table.cases = [replace(c, label=rows[c.row][column]) for c in labelled]
    labels = sorted({case.label for case in table.cases})
    table.classes = list(dict.fromkeys([*table.classes, *labels]))
    table.is_predicted = False
