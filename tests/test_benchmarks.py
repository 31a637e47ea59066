"""The benchmarks run at their smallest and print their tables."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def output_of(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_data_tools(noise, tmp_path):
    for i in range(3):
        noise(f"audio/{i}.wav", seconds=2.0)
    output = output_of("benchmarks/data.py", tmp_path / "audio")
    for line in ("audit, times", "reading, files over pack", "copies, MP3"):
        assert line in output


@pytest.mark.slow
def test_memory_of_activation_checkpointing(tmp_path):
    out = tmp_path / "memory.json"
    options = ["--rounds=1", "--sizes", "[[1, 2, 0.5]]", "--out", out]
    output = output_of("benchmarks/memory.py", *options)
    rows = json.loads(out.read_text())
    assert len(output.splitlines()) == len(rows) == 4
    assert {(r["recompute"], r["precision"]) for r in rows} == {
        (recompute, precision)
        for recompute in (False, True)
        for precision in ("fp32", "bf16")
    }
    assert all(r["peak_gb"] > 0.1 and r["seconds"] > 0 for r in rows)
