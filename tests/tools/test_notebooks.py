"""The notebooks of docs/notebooks: what they type exists, and they run."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from data_prep.files.errors import InputError
from tools.run_notebook import as_python, read_cells, shell_commands

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: path.stem
)
#: In the prose of a notebook.
_TYPED, _LINK = re.compile(r"`python ([^`]+)`"), re.compile(r"\]\(([^)#]+)")


def sources(path, kind):
    return [cell.source for cell in read_cells(path) if cell.kind == kind]


@each_notebook
def test_it_is_stored_without_outputs(path):
    """Its pictures and figures are those of the code that runs it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
    first = " ".join("".join(notebook["cells"][0]["source"]).split())
    assert f"tools/run_notebook.py docs/notebooks/{path.name}" in first


@each_notebook
def test_its_cells_are_python_and_import_what_exists(path):
    for source in sources(path, "code"):
        tree = ast.parse(as_python(source))
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node.module == (
                "IPython.display"
            ):
                continue
            module = import_module(node.module)
            names = [alias.name for alias in node.names]
            assert [n for n in names if not hasattr(module, n)] == []


def commands(path):
    """Commands that a notebook runs, and those that its prose names."""
    for source in sources(path, "code"):
        yield from shell_commands(source)
    for source in sources(path, "markdown"):
        for command in _TYPED.findall(source):
            yield f"python {' '.join(command.split())}"


@each_notebook
def test_its_commands_and_options_exist(path, script, command_of):
    for command in commands(path):
        python, *words = shlex.split(command)
        assert python == "python", command
        if words[0] == "-m":
            shown = command_of(words[1])("--help").stdout
        else:
            shown = script(*words[:2], "--help").output
        if words[1] == "cry_modules.views":  # takes settings of the yaml file
            yaml = "hparams/small_simclr.yaml"
            shown += script("train_simclr.py", yaml, "--help").output
        assert "usage: " in shown, command
        options = {w.partition("=")[0] for w in words if w.startswith("--")}
        unknown = [o for o in options if not re.search(rf"{o}\b", shown)]
        assert unknown == [], command


@each_notebook
def test_its_links_lead_somewhere(path):
    for source in sources(path, "markdown"):
        for target in _LINK.findall(source):
            assert (path.parent / target).exists(), target


def run(notebook, page):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.update(OMP_NUM_THREADS="1", TMPDIR=str(page.parent))
    return subprocess.run(
        [sys.executable, ROOT / "tools/run_notebook.py", notebook, page],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip


def write_notebook(path, *cells):
    cells = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_page_has_what_cells_show(tmp_path):
    notebook = write_notebook(
        tmp_path / "a.ipynb",
        "x = 20\nfor n in (1, 2):\n    !echo a{x + n} \\\n        b",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "from IPython.display import HTML\nHTML('<b>bold</b>')",
        "print('1 < 2')\nx + 2",
    )
    page = tmp_path / "a.html"
    done = run(notebook, page)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    for part in ("a21 b\na22 b\n", "<b>bold</b>", "1 &lt; 2\n", ">22<"):
        assert part in text
    assert text.count("<img") == 1


@pytest.mark.parametrize(
    "cell, last", [("!exit 3", "status 3 of: exit 3"), ("1 / 0", "by zero")]
)
def test_a_cell_that_fails_ends_it(cell, last, tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb", cell, "print('on')")
    done = run(notebook, tmp_path / "a.html")
    assert done.returncode == 1 and done.stderr.rstrip().endswith(last)
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize(
    "content",
    ["null", "[]", "{}", "[" * 100_000, '{"cells": 1}', '{"cells": [{}]}',
     '{"cells": [{"cell_type": "code", "source": 1}]}', "", "NaN"],
)  # fmt: skip
def test_what_is_not_a_notebook(content, tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(content)
    with pytest.raises(InputError, match="pass a notebook"):
        read_cells(path)


def test_what_cannot_be_written_is_said_before_the_cells_run(tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb", "open('it_ran', 'w')")
    before = notebook.read_bytes()
    for page in (tmp_path / "no/a.html", tmp_path, notebook, "--"):
        done = run(notebook, Path(page))
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert done.stderr.count("error: ") == 1
    done = run(tmp_path / "absent.ipynb", tmp_path / "a.html")
    assert done.returncode == 2 and "the file is missing" in done.stderr
    assert not (tmp_path / "it_ran").exists()
    assert notebook.read_bytes() == before


@pytest.mark.slow
@each_notebook
def test_it_runs(path, tmp_path):
    """On small data, as its first cell says; its pictures are shown."""
    page = tmp_path / "page.html"
    done = run(path, page)
    assert done.returncode == 0, done.stdout + done.stderr
    text = page.read_text(encoding="utf-8")
    n_pictures = sum(
        len(re.findall(r"Image\(|plt\.show\(", source))
        for source in sources(path, "code")
    )
    assert n_pictures > 0 and text.count("<img") >= n_pictures
