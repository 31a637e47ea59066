"""The benchmarks run, and print what they promise."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_benchmark_of_the_data_tools(noise, tmp_path):
    for i in range(3):
        noise(f"audio/{i}.wav", seconds=2.0)
    done = subprocess.run(
        [sys.executable, "benchmarks/data.py", str(tmp_path / "audio")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for line in ("audit, times", "reading, files over pack", "copies, MP3"):
        assert line in done.stdout
