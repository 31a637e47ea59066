"""Rows that are kept as soon as they are computed, and the table made of them.

Until the table is whole, ``OUT.partial`` holds the rows so far: the same command
resumes. Neither computing nor writing keeps them in memory.
"""

import csv
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from data_prep.files.atomic import (
    complete_or_absent,
    make_folder,
    named_in_errors,
)
from data_prep.files.errors import InputError, require
from data_prep.files.shapes import mismatch
from data_prep.files.tables import write_text

#: Rows written to a parquet file at once.
_GROUP = 1000
#: Shape of a line: numbers of row and recording, start, stop, error, and whether
#: it is the last of those appended at once.
_LINE = [int, int, float, float, str, bool]

_COLUMNS = ("id", "patient_id", "start_s", "stop_s", "error")
#: Values of these columns.
Facts = Tuple[str, str, float, float, str]


class Row(NamedTuple):
    """Numbers of a recording or window, or the reason why it has none."""

    item: int  #: number of the recording
    start: float  #: seconds
    stop: float  #: seconds
    numbers: Optional[np.ndarray]  #: ``[n]``, float32
    error: str = ""


class KeptRows:
    """Rows of numbers in a folder, appended and resumed.

    ``key`` is what they depend on: rows of another key are made again. What was
    appended at once is kept whole or not at all: batches are then those of a
    run that was never interrupted, and so is every digit.
    """

    def __init__(self, folder: Path, key: Dict, n_numbers: int):
        self.folder = make_folder(folder)
        self._lines, self._numbers = folder / "rows.jsonl", folder / "numbers"
        self._n, text = n_numbers, json.dumps(key, sort_keys=True)
        header = folder / "key.json"
        if not header.is_file() or header.read_text("utf-8", "replace") != text:
            for path in (self._lines, self._numbers):
                path.unlink(missing_ok=True)
            write_text(header, text)
        self.rows = self._whole_rows()

    def _whole_rows(self) -> List[Row]:
        """Rows that are whole, without their numbers; cut off what is not."""
        for path in (self._lines, self._numbers):
            path.touch()
        rows, n_kept, at, end = [], 0, 0, 0
        n_most = self._numbers.stat().st_size // (4 * self._n)
        with open(self._lines, "rb") as file:
            for line in file:
                values = _values_of(line)
                item = rows[-1].item if rows else -1
                if (
                    values is None
                    or values[0] != len(rows)
                    or values[1] - item not in (0, 1)
                    or values[1] < 0
                    or len(rows) == n_most
                ):
                    break
                _, item, start, stop, error, is_last = values
                rows.append(Row(item, start, stop, None, error))
                at += len(line)
                if is_last:
                    n_kept, end = len(rows), at
        os.truncate(self._lines, end)
        os.truncate(self._numbers, 4 * self._n * n_kept)
        return rows[:n_kept]

    def done(self) -> Dict[int, int]:
        """Number of rows of each recording that has some."""
        return Counter(row.item for row in self.rows)

    def append(self, rows: Sequence[Row]) -> None:
        """Keep rows, numbers first: a line says that they are complete."""
        nothing = np.full(self._n, np.nan, dtype=np.float32)
        with named_in_errors(self.folder):
            with open(self._numbers, "ab") as file:
                for row in rows:
                    values = nothing if row.numbers is None else row.numbers
                    file.write(values.astype("<f4").tobytes())
            with open(self._lines, "a", encoding="utf-8") as file:
                for n, row in enumerate(rows, start=len(self.rows)):
                    is_last = n == len(self.rows) + len(rows) - 1
                    line = [n, row.item, row.start, row.stop]
                    line += [row.error, is_last]
                    file.write(json.dumps(line) + "\n")
        self.rows += [row._replace(numbers=None) for row in rows]

    def numbers(self) -> np.ndarray:
        """All numbers ``[rows, n]``, on disk; NaN where a row has an error."""
        shape = len(self.rows), self._n
        return np.memmap(self._numbers, "<f4", "r", shape=shape)

    def remove(self) -> None:
        """Remove the folder, once the table is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _values_of(line: bytes) -> Optional[List]:
    """Values of a line, None for one that was cut or changed."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_whole = line.endswith(b"\n") and mismatch(values, _LINE) is None
    return values if is_whole else None


def _write_csv(out: Path, facts: List[Facts], names, numbers) -> None:
    """Write a line a row; cells of a row with an error are empty."""
    with open(out, "w", newline="", encoding="utf-8") as file:
        plain = csv.writer(file, lineterminator="\n")
        # csv does not quote a lone carriage return, which ends a row.
        quoted = csv.writer(
            file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
        )
        plain.writerow([*_COLUMNS, *names])
        for (ID, patient, start, stop, error), values in zip(facts, numbers):
            cells = [""] * len(names) if error else map(str, values)
            times = f"{start:.3f}", f"{stop:.3f}"
            writer = quoted if "\r" in ID + patient + error else plain
            writer.writerow([ID, patient, *times, error, *cells])


def _write_npz(out: Path, facts: List[Facts], names, numbers) -> None:
    """Write an array a column, and ``numbers`` ``[rows, names]``."""
    columns = dict(zip(_COLUMNS, map(np.array, zip(*facts))))
    with open(out, "wb") as file:
        np.savez(file, **columns, names=np.array(names), numbers=numbers)


def _write_parquet(out: Path, facts: List[Facts], names, numbers) -> None:
    """Write a column a number, in groups of rows."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    kinds = pyarrow.string(), pyarrow.float64()
    fields = [(name, kinds[name.endswith("_s")]) for name in _COLUMNS]
    fields += [(name, pyarrow.float32()) for name in names]
    schema = pyarrow.schema(fields)
    with ParquetWriter(str(out), schema) as writer:
        for first in range(0, len(facts), _GROUP):
            some = slice(first, first + _GROUP)
            columns = [*map(list, zip(*facts[some]))]
            columns += [*map(np.ascontiguousarray, numbers[some].T)]
            # Numbers of a row with an error are missing, not NaN.
            arrays = [
                pyarrow.array(column, kind, from_pandas=True)
                for column, kind in zip(columns, schema.types)
            ]
            writer.write_table(pyarrow.table(arrays, schema=schema))


WRITERS: Dict[str, Callable] = {
    ".csv": _write_csv,
    ".npz": _write_npz,
    ".parquet": _write_parquet,
}


def check_format(out: Path) -> None:
    """Refuse a table of a format that cannot be written."""
    require(
        out.suffix in WRITERS,
        f"--out {out} is not the name of a table",
        f"end it in {', '.join(WRITERS)}",
    )
    if out.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise InputError(
                f"--out {out} needs the package pyarrow, which is not "
                "installed; pip install 'cry-ssl[parquet]', or write .csv or .npz"
            )


def write_whole(
    out: Path, facts: List[Facts], names: List[str], numbers: np.ndarray
) -> None:
    """Write the table of rows and their numbers ``[rows, names]`` in the format
    of its file name, whole or not at all."""
    with complete_or_absent(out) as partial:
        WRITERS[out.suffix](partial, facts, names, numbers)
