"""The second start of each command that writes a folder is one line, and what
the first one has written stays. See also test_lock.py and test_commands.py."""

import fcntl
import importlib
import json
import sys

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
        "cry_modules.evaluation.confounds",
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
}


@pytest.fixture
def places(request, tmp_path, monkeypatch):
    """Folders that a command reads and writes, by the words in COMMANDS."""

    def places(name):
        folders = {"db": "", "run": "", "out": tmp_path / "out"}
        folders["out"].mkdir()
        if name == "embed":
            (folders["out"] / "a.csv.partial").mkdir()
        if name == "download":
            pytest.importorskip("pooch")
        elif name == "export":
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
            importlib.import_module(module).main()
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
