"""The rules of the house that a reader relies on: short files and functions,
few files at the top, and commands that live where they are typed.

Which layer may import which is checked by ``make lint`` (import-linter,
pyproject.toml).
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("cry_modules", "data_prep", "recipes", "tools", "benchmarks")
LONGEST_FILE = 450
LONGEST_FUNCTION = 60
MOST_FILES_OF_THE_PAPER = 14


def sources(*others):
    for folder in (*SOURCES, *others):
        yield from sorted((ROOT / folder).rglob("*.py"))


def name(path):
    return str(path.relative_to(ROOT))


def functions(path):
    """Functions and methods of a file, by name, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.end_lineno - node.lineno + 1


def test_files_are_read_at_one_sitting():
    lines = {
        name(path): path.read_text().count("\n") for path in sources("tests")
    }
    assert {k: n for k, n in lines.items() if n > LONGEST_FILE} == {}


def test_functions_are_read_at_once():
    too_long = {
        f"{name(path)}:{function}": n
        for path in sources("tests")
        for function, n in functions(path)
        if n > LONGEST_FUNCTION
    }
    assert too_long == {}


def test_the_root_holds_the_paper():
    files = list((ROOT / "cry_modules").glob("*.py"))
    assert len(files) <= MOST_FILES_OF_THE_PAPER


def test_files_are_named_by_their_concept():
    vague = {"utils.py", "common.py", "helpers.py", "misc.py"}
    assert [name(path) for path in sources() if path.name in vague] == []


@pytest.mark.parametrize(
    "package",
    [
        *("cry_modules/demo", "cry_modules/export", "cry_modules/figures"),
        *("cry_modules/inference", "cry_modules/metrics", "cry_modules/review"),
        "cry_modules/detect",
        *("data_prep/annotations", "data_prep/synthetic"),
        *("cry_modules/metrics/sound_events", "recipes/study/report"),
    ],
)
def test_a_command_is_where_it_is_typed(package):
    """``python -m PACKAGE`` runs the ``main`` of its own ``__main__.py``."""
    path = ROOT / package / "__main__.py"
    assert "main" in [function for function, _ in functions(path)]


def test_docstrings_say_something():
    """First lines are sentences or noun phrases, not fragments that need the
    file around them to be understood."""
    fragments = ("Of ", "What ", "Whether ", "As ", "Who ", "Where ")
    bad = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(
                node, (ast.Module, ast.ClassDef, ast.FunctionDef)
            ) and (ast.get_docstring(node) or "").startswith(fragments):
                where = getattr(node, "name", "module")
                bad.append(f"{name(path)}:{where}")
    assert bad == []
