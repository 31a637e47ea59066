"""Running a study: messages, results, and repetition after an interruption, a
failure or a change."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import studies
import yaml

from data_prep.files.errors import InputError
from recipes.study import cost, run, spent, watch
from recipes.study.encoders import ENCODERS, adapted


def study(folder, *more, status=0, **changes):
    """Run a small study by its command; return the output."""
    path = write(folder, **changes)
    process = start(path, *more)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == status, output
    assert "Traceback" not in output
    return output


def write(folder, **changes):
    folder.mkdir(exist_ok=True)
    path = folder / "small.yaml"
    settings = studies.settings(folder / "out", **changes)
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def start(path, *more):
    return subprocess.Popen(
        [sys.executable, "-m", "recipes.study.run", "demo"]
        + ["--study", str(path), *more],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=run.ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for_lock(out):
    """Wait until no process of a study is left."""
    end = time.monotonic() + 120
    while True:
        try:
            with run.locked(out):
                return
        except InputError:
            assert time.monotonic() < end
            time.sleep(0.1)


def results_of(folder):
    """Time of each classifier's result, by its path."""
    out = folder / "out/classifiers"
    return {
        str(path.relative_to(out)): path.stat().st_mtime_ns
        for path in out.rglob("metrics.json")
        if "fold_" not in str(path)
    }


# Without training.


def test_wrong_options_are_one_line(capsys, monkeypatch):
    pytest.importorskip("snakemake")
    monkeypatch.chdir(run.ROOT)  # the command changes the folder
    for argv, words in (
        (
            ["nothing"],
            "profile 'nothing' does not exist; use demo, miniature, poster",
        ),
        (["demo", "--study", "no.yaml"], "no.yaml cannot be read"),
        (["demo", "--set", "width"], "--set width: write it as name=value"),
        (["demo", "--set", "width=x"], "width is 'x'"),
        (["real", "--set", "generic=no/such"], "no/such does not exist"),
    ):
        with pytest.raises(SystemExit) as stop:
            run.main([*argv, "--dry_run"])
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ") and words in line


def test_a_study_is_locked(tmp_path):
    """Another process is refused; see also test_lock.py."""
    other = "import sys; from recipes.study import run\n"
    other += "with run.locked(sys.argv[1]): pass"
    command = [sys.executable, "-c", other, str(tmp_path)]
    with run.locked(tmp_path):
        refused = subprocess.run(
            command, cwd=run.ROOT, capture_output=True, text=True
        )
        assert f"in use by process {os.getpid()} on" in refused.stderr
    subprocess.run(command, cwd=run.ROOT, check=True)


def test_a_failure_names_log_and_error(tmp_path):
    plan = studies.plan_of(studies.settings(tmp_path))
    failing = plan.classifier("neuro", "random", "linear", 1.0, 1)
    log = watch.log_of(failing, plan)
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1\rbar 50%error: lr is 0; correct it\nbar 51%")
    assert watch.failure(failing, log) == (
        f"FAILED {failing.name}, see {log}: error: lr is 0; correct it"
    )
    log.write_text("killed")
    assert watch.failure(failing, log).endswith(": killed")


@pytest.mark.parametrize("word", ["FAILED", "stopped"])
def test_failures_are_read_from_snakemakes_log(tmp_path, capsys, word):
    plan = studies.plan_of(studies.settings(tmp_path))
    failing = plan.classifier("neuro", "random", "linear", 1.0, 1)
    log = tmp_path / "snakemake.log"
    log.write_text("")
    progress = watch.Watch(plan, cost.Estimate(plan), 1, log)
    progress.look()
    assert not progress.failed
    progress.interrupted = word == "stopped"
    log.write_text(
        "Error in rule train_cls:\n    jobid: 3\n    output: "
        f"{failing.result}\n    log: x (check log file(s) for error details)\n"
    )
    progress.look()
    assert list(progress.failed) == [failing.name]
    said = {"FAILED": ", see ", "stopped": "\n"}[word]  # nothing to look up
    assert f"\n{word} {failing.name}{said}" in f"\n{capsys.readouterr().out}"
    # A run that succeeds when it is tried again has not failed.
    failing.folder.mkdir(parents=True)
    failing.result.write_text("{}")
    progress.close()
    assert not progress.failed and failing.name in progress.done


def finish(done, plan, seconds=2.0):
    """Write the result and the costs of a run."""
    done.result.parent.mkdir(parents=True, exist_ok=True)
    done.result.write_text("{}")
    path = cost.file_of(done.folder, plan.settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tmax_rss\tcpu_time\n{seconds}\t100\t{seconds}\n")


def test_finished_epochs_of_a_stopped_training_are_not_estimated_again(
    tmp_path,
):
    plan = studies.plan_of(studies.settings(tmp_path))
    run = plan.of_rule("train_simclr")[0]
    of = int(cost._options(run)["number_of_epochs"])
    estimate = cost.Estimate(plan)
    whole = estimate.of([run], [])
    run.folder.mkdir(parents=True)
    rows = [{"epoch": epoch + 1} for epoch in range(of // 2)]
    (run.folder / "history.json").write_text(json.dumps(rows))
    left = 1 - (of // 2) / of
    assert estimate.of([run], []) == pytest.approx(left * whole)


def test_a_long_silence_is_broken_by_what_runs(tmp_path, monkeypatch, capsys):
    plan = studies.plan_of(studies.settings(tmp_path))
    first, second, *_ = plan.of_rule("train_simclr") + plan.of_rule("train_cls")
    log = tmp_path / "log"
    log.write_text("")
    progress = watch.Watch(plan, cost.Estimate(plan), 1, log)
    for one in (first, second):
        watch.log_of(one, plan).parent.mkdir(parents=True, exist_ok=True)
        watch.log_of(one, plan).write_text("...")
    first.folder.mkdir(parents=True)
    (first.folder / "history.json").write_text('[{"epoch": 1}, {"epoch": 2}]')
    finish(second, plan)
    progress.look()
    assert "running" not in capsys.readouterr().out
    monkeypatch.setattr(watch, "_SILENT_S", 0.0)
    progress.look()
    of = cost._options(first)["number_of_epochs"]
    shown = f"running: {first.name} (epoch 2 of {of})\n"
    assert capsys.readouterr().out == shown
    progress.look()  # its log has not changed since
    assert capsys.readouterr().out == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_progress_is_a_line_for_a_file_and_a_bar_for_a_terminal(
    tmp_path, monkeypatch, stream
):
    plan = studies.plan_of(studies.settings(tmp_path))
    first, second, *_ = plan.of_rule("train_cls")
    log = tmp_path / "log"
    log.write_text("")
    monkeypatch.setattr(sys, "stdout", stream())
    progress = watch.Watch(plan, cost.Estimate(plan), 1, log)
    finish(first, plan)
    # Without costs, which are written last, a run is not done.
    second.result.parent.mkdir(parents=True)
    second.result.write_text("{}")
    progress.look()
    n = len(plan.runs)
    assert progress.done == {first.name}
    text = sys.stdout.getvalue()
    assert f"{first.name} in 2 s" in text
    if stream is Terminal:
        assert "\n" not in text and f"1/{n} runs, about " in text
    else:
        (line,) = text.splitlines()
        assert re.fullmatch(rf"1/{n} \S+ in 2 s, about \d+ minutes? left", line)
    progress.close()
    assert progress.done == {first.name, second.name}


def test_summary_of_the_time_adds_up(tmp_path):
    plan = studies.plan_of(studies.settings(tmp_path))
    for done in plan.of_rule("train_cls") + plan.of_rule("train_adapt"):
        finish(done, plan, 3.0)
    kinds = spent.by_kind(plan.runs.values(), plan.settings)
    assert kinds == {
        "training of encoders": 3.0 * len(adapted()),
        "linear classifiers": 3.0 * len(ENCODERS),
    }
    head, *lines = spent.summary(kinds, 50.0, 30.0).splitlines()
    assert head == "0:00:30, processor time 0:00:50:"
    values = [float(line.split()[-4]) for line in lines]
    assert sum(values) == 50 and lines[-1].split()[-4] == "14"


def test_estimates_are_corrected_by_measurements(tmp_path):
    plan = studies.plan_of(studies.settings(tmp_path))
    estimate = cost.Estimate(plan)
    runs = plan.of_rule("train_cls")
    before = estimate.of(runs, [])
    assert before == sum(estimate.seconds[r.name] for r in runs)
    finish(runs[0], plan, 3 * estimate.seconds[runs[0].name])
    assert estimate.of(runs, runs[:1]) == pytest.approx(3 * before)
    assert cost.timed(runs[0], plan.settings)["peak_mb"] == 100


def test_estimates_grow_with_the_work(tmp_path):
    def seconds(**changes):
        plan = studies.plan_of(studies.settings(tmp_path, **changes))
        return cost.Estimate(plan).of(plan.runs.values(), [])

    stages = studies.settings(tmp_path)["stages"]
    longer = {**stages, "simclr": {**stages["simclr"]}}
    longer["simclr"]["number_of_epochs"] = 500
    usual, wide = seconds(), seconds(width=64)
    assert usual < seconds(stages=longer)
    assert usual < wide
    assert seconds(width=64, speed=100) < wide
    assert usual < seconds(seeds=[1, 2, 3])


def test_the_plan_shows_runs_and_hours(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path))
    text = run.describe(plan, cost.Estimate(plan), 2)
    assert re.search(rf"total +{len(plan.runs)} +0", text)
    assert re.search(r"about \d+ minutes?, 2 at a time \(a rough", text)
    assert re.search(r"trigger, end_to_end +12 +0", text)
    assert re.search(r"neuro, linear_bn, few labels +4 +0", text)


# With training.


@pytest.mark.slow
def test_a_study_from_its_command_to_its_page(tmp_path):
    """Run again, it does nothing."""
    pytest.importorskip("snakemake")
    output = study(tmp_path)
    n = 1 + 2 + 1 + 2 + len(adapted()) + len(ENCODERS) + len(ENCODERS)
    assert f"done: {n} runs; report in" in output
    assert re.search(rf"^{n}/{n} ", output, re.M)
    assert f" of {n} runs are finished; test AUC so far" in output
    page = (tmp_path / "out/report.html").read_text()
    assert "Not complete" not in page and ">not run<" not in page
    assert "not part of this study" in page  # other modes
    numbers = json.loads((tmp_path / "out/results.json").read_text())
    for row in numbers["tables"]["table_2"][:6]:
        assert row["cells"][0]["mean"] is not None
    assert len(numbers["generic_sounds"]) == len(ENCODERS)
    assert len(numbers["forgetting"]) == len(adapted())
    # Synthetic audio may be shared.
    assert page.count("<audio") == 4 * 3
    # No id of a patient or a recording.
    assert "synp" not in page and "syn0" not in page
    assert str(tmp_path) not in page
    before = results_of(tmp_path)
    output = study(tmp_path)
    assert results_of(tmp_path) == before
    assert "done: " in output and "about" not in output


@pytest.mark.slow
def test_changes_and_failures(tmp_path):
    """One test: each step needs the results of the one before."""
    study(tmp_path)
    # A change runs what depends on it; reverted, it runs nothing.
    before = results_of(tmp_path)
    stages = studies.settings(tmp_path / "out")["stages"]
    stages["adapt_replay"]["lr"] = 0.005
    study(tmp_path, stages=stages)
    after = results_of(tmp_path)
    assert before.items() <= after.items()
    new = {path.split("/")[2] for path in after.keys() - before.keys()}
    assert new == {"adapt_replay", "adapt_control"}
    study(tmp_path)
    assert results_of(tmp_path) == after
    # A failure names its log, and the other runs continue.
    before = results_of(tmp_path)
    stages = studies.settings(tmp_path / "out")["stages"]
    stages["supervised"]["readout"] = "block9"  # known when the run starts
    stages["adapt_replay"]["lr"] = 0.003
    output = study(tmp_path, status=1, stages=stages)
    (line,) = {x for x in output.splitlines() if x.startswith("FAILED")}
    assert "encoders/supervised/1, see " in line
    assert "error: " in line and "readout is 'block9'" in line
    log = line.split("see ")[1].split(": ")[0]
    with open(log, encoding="utf-8") as file:
        assert "readout is 'block9'" in file.read()
    assert "the study is not complete" in output
    new = results_of(tmp_path).keys() - before.keys()
    assert {path.split("/")[2] for path in new} == {
        "adapt_replay", "adapt_control",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_an_interrupted_study_resumes(tmp_path, name):
    """Resumed, it has the predictions of one that was not interrupted."""
    path = write(tmp_path)
    process = start(path)
    encoder = tmp_path / "out/encoders/simclr"
    while not list(encoder.glob("1-*/log.txt")):
        time.sleep(0.2)
        assert process.poll() is None
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=300)
    if name != "SIGKILL":
        assert (
            "same command again to resume" in output
            and "Traceback" not in output
        )
        assert process.returncode == 1
    else:
        # The fork server ends Snakemake and its runs, which save; all of them
        # hold the study's lock until they have ended.
        wait_for_lock(tmp_path / "out")
    study(tmp_path)
    study(tmp_path / "other")
    for resumed, other in zip(
        sorted(tmp_path.glob("out/classifiers/**/predictions_test.csv")),
        sorted(tmp_path.glob("other/out/classifiers/**/predictions_test.csv")),
    ):
        assert resumed.name == other.name
        assert resumed.read_text() == other.read_text()


@pytest.mark.slow
def test_all_modes_both_tasks_and_few_labels(tmp_path):
    tasks = studies.whole(tmp_path)["tasks"]
    output = study(
        tmp_path, tasks=tasks, modes=["linear", "linear_bn", "end_to_end"],
        fractions=[0.5, 1.0], confounds=True,
    )  # fmt: skip
    assert "done: " in output
    page = (tmp_path / "out/report.html").read_text()
    assert "Not complete" not in page and ">not run<" not in page
