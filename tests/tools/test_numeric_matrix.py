"""The table of test results by instruction set, threads and locale."""

import sys

import pytest

from tools import numeric_matrix
from tools.numeric_matrix import SETTINGS, environment

TESTS = """
import os

import pytest


def test_passes():
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_depends_on_threads():
    assert os.environ["OMP_NUM_THREADS"] == "1"


@pytest.mark.skip
def test_is_skipped():
    pass
"""


def test_failures_are_counted_and_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "test_it.py").write_text(TESTS, encoding="utf-8")
    monkeypatch.setattr(numeric_matrix, "ROOT", tmp_path)
    arguments = ["test_it.py", "-p", "no:xdist", "-m", ""]
    monkeypatch.setattr(
        sys, "argv", ["matrix", *arguments, "--settings", "threads_2"]
    )
    with pytest.raises(SystemExit) as stopped:
        numeric_matrix.main()
    assert stopped.value.code == 1
    _, _, row, failed = capsys.readouterr().out.strip().split("\n")
    assert row.startswith("| threads_2 | OMP_NUM_THREADS=2 | 1 | 1 | 1 |")
    assert failed.split() == ["failed:", "test_it::test_depends_on_threads"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_replaces_outside_values(setting):
    outside = {"MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "8"}
    variables = environment(setting, outside)
    assert variables == {"OMP_NUM_THREADS": "1", **SETTINGS[setting]}
