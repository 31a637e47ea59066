"""The first table and page of a study, while it runs."""

import json
import os
from types import SimpleNamespace

import pytest
import studies
import yaml

from recipes.study import so_far, watch
from recipes.study.encoders import ENCODERS
from recipes.study.engine import report_so_far
from recipes.study.report import so_far as table
from recipes.study.report.console import table_lines
from recipes.study.report.page import make_report
from recipes.study.report.results import Results


def begun(folder, *encoders):
    """A study of which the probes of these encoders are finished."""
    settings = studies.settings(folder)
    (folder / "study.yaml").write_text(yaml.safe_dump(settings))
    plan = studies.plan_of(settings)
    finish(plan, encoders)
    return plan


def finish(plan, encoders):
    """Finish the probes of these encoders."""
    runs = [r for r in plan.of_rule("train_cls") if not r.done]
    wanted = [r for r in runs if r.facts["encoder"] in encoders]
    part = SimpleNamespace(settings=plan.settings, of_rule=lambda _: wanted)
    studies.pretend(part)


def known(plan):
    """Names of the finished runs, as the progress of a study has them."""
    return {run.name for run in plan.runs.values() if run.done}


def test_a_row_of_fewer_seeds_says_so(tmp_path):
    """Else the order of the rows may change without a reason to be seen."""
    settings = studies.settings(tmp_path, seeds=[1, 2])
    plan = studies.plan_of(settings)
    runs = plan.of_rule("train_cls")
    wanted = [
        run
        for run in runs
        if (run.facts["encoder"], run.facts["seed"]) != ("simclr", 2)
    ]
    part = SimpleNamespace(settings=plan.settings, of_rule=lambda _: wanted)
    studies.pretend(part)
    with studies.fewer_draws():
        _, *rows = table_lines(Results(plan))
    of_part = [row for row in rows if row.endswith(", 1 of 2 seeds")]
    (row,) = of_part
    assert ENCODERS["simclr"].label in row and len(rows) > 2


@pytest.fixture(autouse=True)
def as_nice_as_before(monkeypatch):
    monkeypatch.setattr(os, "nice", lambda _: 0)


def test_a_line_for_each_encoder_and_the_page(tmp_path, capsys):
    plan = begun(tmp_path, "simclr", "random")
    with studies.fewer_draws():
        table.main([str(tmp_path), "--page"])
    first, *rows, where = capsys.readouterr().out.splitlines()
    n_runs = len(plan.runs)
    assert first.startswith(f"2 of {n_runs} runs are finished; test AUC so far")
    assert {row.split(",")[0].strip() for row in rows} == {
        ENCODERS[name].label for name in ("random", "simclr")
    }
    assert all(" to 0." in row for row in rows)
    page = tmp_path / "report.html"
    assert where.endswith(page.as_uri())
    text = page.read_text("utf-8")
    assert f"2 of {n_runs} runs are finished" in text
    to_come = text.partition("Rows to come: ")[2].partition("</p>")[0]
    assert ENCODERS["adapt_all"].label in to_come
    assert ENCODERS["simclr"].label + ", linear" not in to_come.split("; ")


def test_the_page_at_the_end_is_that_without_a_table_before(tmp_path):
    (tmp_path / "a").mkdir()
    plan = begun(tmp_path / "a", "simclr")
    with studies.fewer_draws():
        make_report(tmp_path / "a")
        finish(plan, list(ENCODERS))
        pages = [make_report(tmp_path / "a").read_bytes()]
        (tmp_path / "a/report.html").unlink()
        for file in (tmp_path / "a").glob("*.csv"):
            file.unlink()
        pages.append(make_report(tmp_path / "a").read_bytes())
    assert pages[0] == pages[1]
    assert b"Rows to come" not in pages[0]


def test_the_mark_of_a_complete_page_is_removed_before_another(tmp_path):
    begun(tmp_path, "simclr")
    mark = tmp_path / "reports/1234"
    mark.parent.mkdir()
    mark.touch()
    (tmp_path / "logs").mkdir()
    (tmp_path / "study.yaml").write_text("damaged")  # no time for a page
    report_so_far(tmp_path)
    assert not mark.exists()


class Process:
    """Stands for the process of the table."""

    def __init__(self, command, stdout, **_):
        self.command, self.returncode, self.is_stopped = command, None, False
        stdout.write("the table")

    def poll(self):
        return self.returncode

    def terminate(self):
        self.is_stopped = True

    def wait(self):
        return -15


@pytest.fixture
def started(monkeypatch):
    """Processes that were started."""
    processes = []

    def start(*args, **options):
        processes.append(Process(*args, **options))
        return processes[-1]

    monkeypatch.setattr(so_far.subprocess, "Popen", start)
    return processes


def early(plan):
    (plan.settings.output_folder / "logs").mkdir(exist_ok=True)
    return so_far.SoFar(plan, {}, 2)


def test_each_new_encoder_starts_one(tmp_path, started):
    plan = begun(tmp_path, "random")
    look = early(plan)
    assert look.look(known(plan), 3600) == "" and not started  # known before
    finish(plan, ["random_calibrated"])
    look.look(known(plan), 3600)
    assert "--page" not in started[0].command  # nothing beside it yet
    finish(plan, ["simclr"])
    assert look.look(known(plan), 3600) == "" and len(started) == 1
    started[0].returncode = 0
    assert look.look(known(plan), 3600) == "the table"
    assert "--page" in started[1].command
    started[1].returncode = 1
    text = look.look(known(plan), 3600)
    assert (
        "the table could not be made, see" in text
        and "the study goes on" in text
    )
    look.look(known(plan), 3600)
    assert len(started) == 2  # no new encoder
    finish(plan, ["adapt_all"])
    look.look(known(plan), 3600)
    look.stop()
    assert started[2].is_stopped and look.process is None


def test_pages_cost_little_beside_the_study(tmp_path, started):
    plan = begun(tmp_path)
    look = early(plan)
    look.look(known(plan), 60)
    finish(plan, ["simclr"])
    look.look(known(plan), 60)  # of two minutes of processor time
    assert "--page" not in started[0].command
    started[0].returncode = 0
    finish(plan, ["adapt_all"])
    look.look(known(plan), 3600)
    assert "--page" in started[1].command


def test_the_watch_prints_the_table_and_ends_it(tmp_path, capsys):
    plan, texts = begun(tmp_path), ["the table", "", ""]
    log = tmp_path / "snakemake.log"
    log.write_text("")
    estimate = SimpleNamespace(of=lambda *_: 60.0)
    progress = watch.Watch(plan, estimate, 1, log)
    stopped = []
    progress.so_far = SimpleNamespace(
        look=lambda *_: texts.pop(0), stop=lambda: stopped.append(1)
    )
    progress.look()
    progress.look()
    assert capsys.readouterr().out.splitlines().count("the table") == 1
    progress.close()
    assert stopped and progress.so_far is None


def test_runs_of_the_first_table_come_first(tmp_path):
    changes = {"seeds": [1, 2], "pretraining_seeds": [1, 2]}
    plan = studies.plan_of(studies.whole(tmp_path, **changes))

    def priority(run):
        return so_far.priority(run, plan.settings)

    probe = plan.classifier("neuro", "simclr", "linear", 1.0, 1)
    ranked = [
        probe, plan.encoder("simclr", 1), plan.encoder("adapt_all", 1),
        plan.encoder("simclr", 2),
    ]  # fmt: skip
    assert sorted(ranked, key=priority, reverse=True) == ranked
    assert len({priority(run) for run in ranked}) == 4
    for other in (
        plan.classifier("neuro", "simclr", "end_to_end", 1.0, 1),
        plan.classifier("neuro", "simclr", "linear", 1.0, 2),
        plan.classifier("trigger", "simclr", "linear", 1.0, 1),
        plan.embeddings("simclr")[0],
    ):
        assert priority(other) == 0


def test_what_else_tells_the_label_is_printed(tmp_path, capsys):
    """Before hours of training: it may be a reason to stop the study."""
    settings = studies.settings(tmp_path, confounds=True)
    plan = studies.plan_of(settings)
    log = tmp_path / "snakemake.log"
    log.write_text("")
    estimate = SimpleNamespace(of=lambda *_: 60.0)
    progress = watch.Watch(plan, estimate, 1, log)
    (run,) = plan.of_rule("confounds")
    run.folder.mkdir(parents=True)
    lines = ["Label: it can be predicted", "Background: it can, too"]
    run.result.write_text(json.dumps({"verdict": lines, "notes": []}))
    progress.close()
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line in lines] == lines
