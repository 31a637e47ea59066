"""Damaged rows of a table of embeddings are computed again, never mixed up."""

import numpy as np
import pytest

from cry_modules.embed.table import KeptRows, Row
from tests.fuzz import mutations


@pytest.mark.parametrize("n", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_rows(tmp_path, n):
    folder, n_items = tmp_path / "t.csv.partial", 5
    kept = KeptRows(folder, {}, 2)
    rows = [
        Row(i, float(k), k + 1.0, np.full(2, i + k / 10, dtype=np.float32))
        for i in range(n_items)
        for k in range(3)
    ]
    for first in range(0, len(rows), 3):
        kept.append(rows[first : first + 3])

    def read(path):
        again = KeptRows(path.parent, {}, 2)
        if not again.rows:
            return [], []
        return again.rows, np.array(again.numbers())

    def check(result, _):
        rows, numbers = result
        if len(rows) % 3 or len(rows) != len(numbers):
            return "half of what was appended at once"
        for number, (row, values) in enumerate(zip(rows, numbers)):
            if row.item not in range(n_items) or row.item != number // 3:
                return f"row {number} is of recording {row.item}"
            if not np.allclose(values, row.item + number % 3 / 10):
                return f"row {number} has the numbers of another"
        return None

    path = folder / "rows.jsonl"
    _, faults = mutations.trial(read, path, mutations.of_json_lines, n, check)
    assert not faults, "\n".join(faults)
