"""History, checkpoints and results of runs, for comparison."""

import json
import re

import pytest

from cry_modules.checkpoints.checkpointer import progress, read_meta
from cry_modules.metrics import compare_report
from cry_modules.metrics.compare import compare, read_sets
from cry_modules.metrics.predictions import UNITS
from cry_modules.metrics.words import with_interval


def history(folder):
    """Rows of history.json without columns that depend on the clock."""
    rows = json.loads((folder / "history.json").read_text())
    for row in rows:
        del row["seconds"], row["clips_per_s"]
    return rows


def checkpoints(folder):
    """Checkpoints, the most advanced last."""
    folders = [f for f in folder.glob("save/CKPT*") if read_meta(f)]
    return sorted(folders, key=lambda f: progress(read_meta(f)))


def assert_one_interval_for_one_figure(run):
    """``metrics.json``, and so ``report.md``, and the metrics command agree."""
    metrics = json.loads((run / "metrics.json").read_text())
    for unit in UNITS:
        for metric in ("auc", "average_precision"):
            result = compare(read_sets([str(run)]), unit, metric=metric)
            (alone,), block = result["sets"], metrics["test"][unit]
            assert alone["mean"] == pytest.approx(block[metric], rel=1e-12)
            expected = block[f"{metric}_ci95"]
            expected = expected and pytest.approx(expected, rel=1e-9)
            assert alone["ci95"] == expected
            printed = compare_report.report(result).splitlines()[4]
            shown = with_interval(block, metric)  # in report.md
            assert all(n in printed for n in re.findall(r"\d\.\d{3}", shown))
            assert shown in (run / "report.md").read_text()
