"""Fixtures of the preparations and of conversion."""

import os
import shutil
import sys
import types

import pytest

from data_prep.annotations import __main__ as annotations
from data_prep.annotations.event import Event
from data_prep.annotations.formats import write_events
from data_prep.files.tables import read_table
from data_prep.manifest import SPLITS, read
from tests.data_prep.annotations.annotated import tone

_ESC50 = "filename,fold,target,category,esc10,src_file,take"
#: Targets as in the original table.
_TARGETS = {"crying_baby": 20, "clock_tick": 38, "rooster": 1}


@pytest.fixture
def prepared(tmp_path):
    """Prepare a corpus: ``prepared(prepare_esc50, folder)`` gives its splits."""

    def run(prepare, folder, **options):
        out = tmp_path / "out"
        prepare(str(folder), str(out), **options)
        paths = {split: out / f"{split}.csv" for split in SPLITS}
        return {s: read(path) for s, path in paths.items() if path.is_file()}

    return run


@pytest.fixture
def output(tmp_path):
    """Rows of a table of ``prepared``: ``output("recordings.csv")``."""

    def rows(name):
        return [row for _, row in read_table(tmp_path / "out" / name, [])]

    return rows


@pytest.fixture
def patients():
    """Count the patients of splits, each of which must be in one split."""

    def count(splits):
        of_splits = [{r.patient_id for r in recs} for recs in splits.values()]
        everyone = set.union(*of_splits)
        assert sum(map(len, of_splits)) == len(everyone)
        return len(everyone)

    return count


@pytest.fixture
def src(tmp_path):
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


@pytest.fixture
def out(tmp_path):
    """Folder of the outputs, where there is ffmpeg to make them."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    return tmp_path / "out"


@pytest.fixture
def fake_ffmpeg(tmp_path, monkeypatch):
    """Replace ffmpeg by a shell script, which is installed well:
    ``fake_ffmpeg("exit 1")``."""

    answers = '#!/bin/sh\n[ "$1" = -version ] && exit 0\n'

    def fake(script):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/ffmpeg").write_text(f"{answers}{script}\n")
        (tmp_path / "bin/ffmpeg").chmod(0o755)
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        monkeypatch.setenv("PATH", path)

    return fake


@pytest.fixture
def esc50(write, tmp_path):
    """Five folds of three categories, two sources each with two takes; one
    source in two folds, as in the original."""
    lines = [_ESC50]

    def add(fold, category, clip, take):
        target = _TARGETS[category]
        name = f"{fold}-{clip}-{take}-{target}.wav"
        lines.append(f"{name},{fold},{target},{category},True,{clip},{take}")
        write(f"audio/{name}")

    for fold in range(1, 6):
        for n, category in enumerate(_TARGETS):
            for source in range(2):
                for take in "AB":
                    add(fold, category, 1000 * fold + 10 * n + source, take)
    add(5, "rooster", 3000, "C")  # source of a baby in fold 3
    (tmp_path / "src/meta").mkdir()
    (tmp_path / "src/meta/esc50.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "src"


@pytest.fixture
def dcase_util(monkeypatch):
    """dcase_util, which imports pkg_resources for no use; setuptools no longer
    brings that."""
    if "pkg_resources" not in sys.modules:
        stub = types.ModuleType("pkg_resources")
        monkeypatch.setitem(sys.modules, "pkg_resources", stub)
    return pytest.importorskip("dcase_util")


@pytest.fixture
def nights(tmp_path):
    """Six babies with a recording each, annotated with two cries and a word."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "found").mkdir()
    for i in range(6):
        tone(tmp_path / f"audio/p{i}/night{i}.wav")
        write_events(
            tmp_path / f"labels/night{i}.txt",
            [Event(5, 7, "cry"), Event(20, 21, "fuss"), Event(40, 44, "talk")],
            "audacity",
        )
    return tmp_path


@pytest.fixture
def annotate(nights, monkeypatch, capsys):
    """Run the command; the exit status, and what it prints and logs."""

    def annotate(*options, audio="audio", labels="labels"):
        words = [str(nights / audio), str(nights / labels), "--out"]
        words += [str(nights / "out"), *map(str, options)]
        monkeypatch.setattr(sys, "argv", ["annotations", *words])
        status = 0
        try:
            annotations.main()
        except SystemExit as stop:
            status = stop.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return annotate
