"""A study whose clock is set back: what is done stays done, and it ends."""

import os
import time

import pytest
import studies
from test_run import results_of, study

from recipes.study import cost, watch
from recipes.study.clock import bring_back

DAY_S = 86400.0


def shift(path, seconds):
    then = path.stat().st_mtime + seconds
    os.utime(path, (then, then))
    return then


def test_only_what_is_ahead_is_brought_back(tmp_path):
    paths = [tmp_path / name for name in "abcd"]
    for path in paths[:3]:
        path.write_text(path.name)
    times = [shift(path, s) for path, s in zip(paths, (-DAY_S, 0, DAY_S))]
    begin = time.time()
    assert bring_back(paths) == 1
    after = [path.stat().st_mtime for path in paths[:3]]
    assert after[:2] == times[:2] and begin <= after[2] <= time.time()
    assert [path.read_text() for path in paths[:3]] == ["a", "b", "c"]
    assert bring_back(paths) == 0


def test_a_clock_set_back_while_a_study_runs_is_said(tmp_path, capsys):
    plan = studies.plan_of(studies.settings(tmp_path / "out"))
    log = tmp_path / "snakemake.log"
    log.write_text("")
    progress = watch.Watch(plan, cost.Estimate(plan), 1, log)
    result = plan["tables"].result
    result.parent.mkdir(parents=True)
    result.write_text("")
    progress.look()
    assert "ahead" not in capsys.readouterr().out
    shift(result, DAY_S)
    progress.look()
    assert "1 results are ahead of the clock" in capsys.readouterr().out
    assert result.stat().st_mtime <= time.time()


@pytest.mark.slow
def test_a_study_that_began_a_day_ahead_ends(tmp_path):
    """Snakemake removed each new result, at every start."""
    few = {"encoders": ["random_calibrated", "simclr"], "modes": ["linear"]}
    study(tmp_path, **few)
    out = tmp_path / "out"
    removed, *others = sorted((out / "classifiers").rglob("metrics.json"))
    removed.unlink()
    before = {
        path: path.read_bytes()
        for path in out.rglob("predictions_test.csv")
        if path.parent != removed.parent
    }
    for path in out.rglob("*"):
        if path.is_file() and path not in others:
            shift(path, DAY_S)
    output = study(tmp_path, **few)
    assert "results are ahead of the clock" in output and removed.is_file()
    assert {p: p.read_bytes() for p in before} == before
    done = results_of(tmp_path)
    assert "done: " in study(tmp_path, **few)
    assert results_of(tmp_path) == done
