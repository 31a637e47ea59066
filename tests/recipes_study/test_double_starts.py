"""The second start of each command that writes a folder is one line, and what
the first one has written stays. A new command has a row in one of three tables,
or a test here fails."""

import fcntl
import importlib
import json
import os
import runpy
import signal
import sys
from pathlib import Path

import pytest
import studies
import torch
import yaml

from recipes.study.report import page

#: Module of each command, its arguments, and the lock of its output.
COMMANDS = {
    "download": (
        "data_prep.download.__main__",
        "corvin --out={out}",
        "{out}/.lock",
    ),
    "embed": (
        "cry_modules.embed.__main__",
        "none {db}/recordings.csv --acoustics --out={out}/a.csv",
        "{out}/a.csv.partial/.lock",
    ),
    "pack": ("data_prep.pack", "{db} {out}", "{out}/.pack-1of1.lock"),
    "annotations": (
        "data_prep.annotations.__main__",
        "{db} {db} --out={out}",
        "{out}/.lock",
    ),
    "split": (
        "data_prep.split",
        "{db} --label_column=neuro_injury --out={out}",
        "{out}/.lock",
    ),
    "confounds": (
        "data_prep.confounds",
        "{db} --label_column=neuro_injury --out={out}",
        "{out}/.lock",
    ),
    "export": (
        "cry_modules.export.__main__",
        "{run} {out}",
        "{out}/../.out.lock",
    ),
    "new": (
        "recipes.study.new",
        "--cries={db} --label_column=neuro_injury --sounds={db} "
        "--out={out}/new.yaml --output_folder={out}",
        "{out}/.lock",
    ),
    "judge": (
        "cry_modules.metrics.sound_events.__main__",
        "{db} {db} --out={out}",
        "{out}/.lock",
    ),
    "night": ("data_prep.night", "{db} {db} --out={out}", "{out}/.lock"),
    "report": ("recipes.study.report.__main__", "{out}", "{out}/.report.lock"),
    "prepare": (
        "data_prep.clinical_prepare",
        "{db} --label_column=neuro_injury --out={out}",
        "{out}/.lock",
    ),
    "windows": (
        "data_prep.detection_windows",
        "--sounds {table} --others {table} --backgrounds {table} --out={out}",
        "{out}/.lock",
    ),
    "detect": (
        "cry_modules.detect.__main__",
        "{run} {clinic} --out={out}",
        "{out}/.lock",
    ),
    "inference": (
        "cry_modules.inference.__main__",
        "{out} {db} --csv={out}/a.csv",
        "{out}/.a.csv.lock",
    ),
    "tables": (
        "recipes.study.cry_tables",
        "{db} {table} --labels=neuro_injury --out={out}",
        "{out}/.lock",
    ),
    "upstream": (
        "tools.export_upstream",
        "--sb={db} --out={out}",
        "{out}/../.out.lock",
    ),
}
#: Commands that hold a lock, and where that is tested.
ELSEWHERE = {
    "data_prep.convert": "data_prep/files/test_lock.py",
    "data_prep.audit": "data_prep/files/test_lock.py",
    "data_prep.synthetic.__main__": "data_prep/files/test_lock.py",
    "cry_modules.review.__main__": "cry_modules/review/test_review_command.py",
    "recipes.simclr.train_simclr": "test_commands.py",
    "recipes.adaptation.train_adapt": "test_commands.py",
    "recipes.classification.train_cls": "test_commands.py",
    "recipes.study.run": "recipes_study/test_run.py",
    "recipes.study.final": "recipes_study/test_own_data.py",
}
#: Commands that write nothing, or single files that are complete or absent, in
#: a moment at their end; and those that others start.
NO_LOCK = {
    *("cry_modules.metrics.__main__", "cry_modules.figures.__main__"),
    *("cry_modules.views.__main__", "cry_modules.export.run_onnx"),
    "cry_modules.demo.__main__",  # its uploads: cry_modules/demo/uploads.py
    *("recipes.study.embed", "recipes.study.report.so_far"),
    *("recipes.study.command", "recipes.study.forkserver"),
    *("tools.numeric_matrix", "tools.first_evening", "tools.run_notebook"),
    *("tools.compare_results", "tools.check_environment"),
}
ROOT = Path(__file__).resolve().parents[2]


def commands():
    """Modules with a ``main`` that is run as a command."""
    for package in ("cry_modules", "data_prep", "recipes", "tools"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "\ndef main(" in path.read_text(encoding="utf-8"):
                name = path.relative_to(ROOT).with_suffix("")
                yield ".".join(name.parts)


def test_every_command_is_in_a_table():
    tested = {module for module, _, _ in COMMANDS.values()}
    tested.remove("data_prep.clinical_prepare")  # stands for the preparations
    tables = [tested, set(ELSEWHERE), NO_LOCK]
    assert sorted(commands()) == sorted(set().union(*tables))
    assert sum(map(len, tables)) == len(set().union(*tables))
    for module, file in ELSEWHERE.items():
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        words = module.replace(".__main__", "").split(".")
        assert "lock" in text and words[-1] in text, module
    for path in (ROOT / "data_prep").glob("*_prepare.py"):
        assert "\n    command_line(" in path.read_text(encoding="utf-8")


@pytest.fixture
def places(request, tmp_path, monkeypatch):
    """Folders that a command reads and writes, by the words in COMMANDS."""

    def places(name):
        folders = {"db": "", "run": "", "out": tmp_path / "out"}
        folders["table"] = tmp_path / "db/recordings.csv"
        folders["clinic"] = request.getfixturevalue("clinic")
        folders["out"].mkdir()
        if name == "embed":
            (folders["out"] / "a.csv.partial").mkdir()
        if name == "download":
            pytest.importorskip("pooch")
        elif name == "upstream":
            folders["db"] = tmp_path / "speechbrain"
            (folders["db"] / "tests/recipes").mkdir(parents=True)
        elif name in ("export", "detect"):
            folders["run"] = request.getfixturevalue("trained")()
        elif name != "report":
            folders["db"] = request.getfixturevalue("database")()
        else:
            settings = studies.settings(folders["out"])
            text = yaml.safe_dump(settings)
            (folders["out"] / "study.yaml").write_text(text)
            run = studies.plan_of(settings).of_rule("train_cls")[0]
            run.folder.mkdir(parents=True)
            run.result.write_text("{}")
            monkeypatch.setattr(page, "contents", lambda results: {})
        return folders

    return places


def contents(folder):
    """Every file below a folder, with its bytes."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def limited():
    """Fail where a call waits for ever."""

    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(100)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "name", sorted({*COMMANDS} - {"export", "upstream", "pack"})
)
def test_a_pipe_in_the_output_folder_is_one_line(
    name, places, limited, monkeypatch, capsys
):
    module, arguments, lock = COMMANDS[name]
    folders = places(name)
    lock = Path(lock.format(**folders))
    pipe = lock.parent / "logs/train.csv"
    if name == "inference":  # one table, which may be a pipe
        arguments += " --plot"
        pipe = lock.parent / "a_over_time/r0.csv"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    words = [word.format(**folders) for word in arguments.split()]
    monkeypatch.setattr(sys, "argv", [name, *words])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    with pytest.raises(SystemExit) as stop:
        start(module)
    assert stop.value.code == 2
    (line,) = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("error: ")
    ]
    assert f"{pipe} is a pipe, a socket or a device; remove it" in line


def start(module):
    """Run a command in this process."""
    if module.endswith("_prepare"):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        importlib.import_module(module).main()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_second_start_is_one_line(
    name, places, tmp_path, monkeypatch, capsys
):
    module, arguments, lock = COMMANDS[name]
    folders = places(name)
    words = [word.format(**folders) for word in arguments.split()]
    monkeypatch.setattr(sys, "argv", [name, *words])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    # Not by `locked`, which lets its own process in again.
    with open(lock.format(**folders), "w") as file:
        json.dump({"pid": 7, "host": "ward", "since": "9:00"}, file)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        before = contents(folders["out"])
        with pytest.raises(SystemExit) as stop:
            start(module)
    assert stop.value.code == 2
    (line,) = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("error: ")
    ]
    assert "is in use by process 7 on ward since 9:00; wait for it" in line
    # Parts of a pack share its description and tables, which are complete.
    shared = {"pack.json", "recordings.csv"} if name == "pack" else set()
    after = contents(folders["out"])
    assert {name: after.pop(name, None) for name in before} == before
    assert {path.name for path in after} == shared
