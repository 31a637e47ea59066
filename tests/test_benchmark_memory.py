"""The table of activation checkpointing is made of what it measures."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_it_measures_at_its_smallest(tmp_path):
    out = tmp_path / "memory.json"
    done = subprocess.run(
        [
            *[sys.executable, "benchmarks/memory.py", "--rounds=1"],
            *["--sizes", "[[1, 2, 0.5]]", "--out", out],
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(out.read_text())
    assert len(done.stdout.splitlines()) == len(rows) == 4
    assert {(r["recompute"], r["precision"]) for r in rows} == {
        (recompute, precision)
        for recompute in (False, True)
        for precision in ("fp32", "bf16")
    }
    assert all(r["peak_gb"] > 0.1 and r["seconds"] > 0 for r in rows)
