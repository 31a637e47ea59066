"""A refused command leaves no empty folder."""

import runpy
import sys

import pytest

from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.made_folders import forget_made, remove_empty_made


def refuse():
    raise InputError("no; correct it")


def command(*steps):
    """A command of these steps."""
    with one_line_errors():
        for step in steps:
            step()


def test_only_what_it_made_and_left_empty_goes(tmp_path, capsys):
    kept, new = tmp_path / "kept", tmp_path / "a/b/c"
    kept.mkdir()
    with pytest.raises(SystemExit, match="2"):
        command(lambda: make_folder(kept), lambda: make_folder(new), refuse)
    assert [*tmp_path.iterdir()] == [kept]
    full = tmp_path / "full/inner"
    with pytest.raises(SystemExit, match="2"):
        command(
            lambda: make_folder(full),
            lambda: (full.parent / "file").write_text("1"),
            refuse,
        )
    assert not full.exists() and (full.parent / "file").exists()
    command(lambda: make_folder(new))
    with pytest.raises(SystemExit, match="2"):
        command(refuse)
    assert new.is_dir()  # of an earlier command


@pytest.mark.parametrize(
    "module, arguments",
    [
        ("data_prep.audit", "{tmp}/none --out {tmp}/new/out"),
        ("data_prep.audit", "{tmp}/texts --out {tmp}/new/out"),
        ("data_prep.convert", "{tmp}/texts {tmp}/new/out"),
        ("data_prep.pack", "{tmp}/none {tmp}/new/out"),
        (
            "data_prep.split",
            "{tmp}/one.csv --label_column label --out {tmp}/new/out",
        ),
        (
            "data_prep.confounds",
            "{tmp}/one.csv --label_column label --out {tmp}/new/out",
        ),
        (
            "recipes.study.cry_tables",
            "{tmp} {tmp}/one.csv --labels label --make_folds 3 "
            "--out {tmp}/new/out",
        ),
        ("cry_modules.metrics", "{tmp}/none --out {tmp}/new/out.json"),
        ("cry_modules.export", "{tmp}/texts {tmp}/new/out"),
        (
            "cry_modules.inference",
            "{tmp}/texts {tmp}/one.csv --csv {tmp}/new/deep/out.csv",
        ),
    ],
)
def test_refused_commands_leave_nothing(
    tmp_path, monkeypatch, capsys, module, arguments
):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("no audio")
    (tmp_path / "one.csv").write_text(
        "recording_id,patient_id,path,label\nr,p,none.wav,a\n"
    )
    before = sorted(tmp_path.rglob("*"))
    words = arguments.format(tmp=tmp_path).split()
    monkeypatch.setattr(sys, "argv", [module, *words])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert stop.value.code in (1, 2), capsys.readouterr()
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_are_remembered_once(tmp_path):
    forget_made()
    make_folder(tmp_path / "a")
    make_folder(tmp_path / "a")
    remove_empty_made()
    assert not (tmp_path / "a").exists() and tmp_path.exists()
