"""The rules of the house that a reader relies on: short files and functions,
few files at the top, and commands that live where they are typed.

Which layer may import which is checked by ``make lint`` (import-linter,
pyproject.toml).
"""

import ast
from collections import Counter
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


#: Programs that end with this process in another way: the fork server reads
#: the end of its input, and ends Snakemake (recipes/study/engine.py).
GUARDED = {"recipes/study/engine.py": 2}


def test_programs_end_with_the_process_that_started_them():
    """See data_prep/files/parent.py; those of others have a limit of time, too
    (data_prep/files/programs.py, data_prep/audio/ffmpeg.py)."""
    starts = ("Popen", "run", "call", "check_call", "check_output")
    unbound = [
        name(path)
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and getattr(node.func.value, "id", "") == "subprocess"
        and node.func.attr in starts
        and "preexec_fn" not in [k.arg for k in node.keywords]
    ]
    assert Counter(unbound) == GUARDED


def test_text_files_are_read_and_written_in_a_named_encoding():
    """That of the locale differs: one machine cannot read another's files."""
    calls = {
        f"{name(path)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and has_encoding_of_locale(node)
    }
    assert calls == set()


@pytest.mark.parametrize(
    "call, expected",
    [
        ("open(p)", True),
        ("open(p, 'w')", True),
        ("open(p, mode='a')", True),
        ("open(p, 'rb')", False),
        ("open(p, encoding='utf-8')", False),
        ("open(p, 'w', -1, 'utf-8')", False),
        ("open(p, 'w', **options)", False),
        ("Path(p).open()", True),
        ("p.open('w')", True),
        ("p.open('wb')", False),
        ("reader.open(path, 0, 1)", False),
        ("os.open(p, flags)", False),
        ("os.fdopen(n, 'w')", True),
        ("os.fdopen(n, 'wb')", False),
        ("p.read_text()", True),
        ("p.read_text('utf-8')", False),
        ("p.write_text(t)", True),
        ("p.write_text(t, 'utf-8')", False),
        ("p.write_text(t, encoding='utf-8')", False),
        ("write_text(p, t)", False),
        ("TemporaryFile()", False),
        ("TemporaryFile('w+')", True),
        ("tempfile.NamedTemporaryFile('w', encoding='utf-8')", False),
        ("io.TextIOWrapper(f)", True),
        ("subprocess.run(c, text=True)", True),
        ("subprocess.run(c, universal_newlines=True)", True),
        ("subprocess.run(c, text=True, encoding='utf-8')", False),
        ("subprocess.run(c)", False),
        ("render(page, text=TEXT)", False),
    ],
)
def test_calls_in_the_encoding_of_the_locale(call, expected):
    node = ast.parse(call, mode="eval").body
    assert has_encoding_of_locale(node) == expected


#: Position of the mode, or of the encoding for calls without a mode.
MODES = {"open": 1, "fdopen": 1, "TemporaryFile": 0, "NamedTemporaryFile": 0}
ENCODINGS = {"read_text": 0, "write_text": 1, "TextIOWrapper": 1}


def has_encoding_of_locale(call):
    """Check for a call that reads or writes text and names no encoding."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if {"encoding", None} & set(given):
        return False
    for option in ("text", "universal_newlines"):
        if getattr(given.get(option), "value", False) is True:
            return True
    is_method = isinstance(call.func, ast.Attribute)
    function = call.func.attr if is_method else getattr(call.func, "id", "")
    if function in ENCODINGS:
        is_own = not is_method and function == "write_text"
        return not is_own and len(call.args) <= ENCODINGS[function]
    if function not in MODES:
        return False
    at = 0 if is_method and function == "open" else MODES[function]
    mode = given.get("mode", call.args[at] if len(call.args) > at else None)
    if mode is None:
        is_text = "Temporary" not in function  # those are binary by default
        return is_text and len(call.args) <= at
    text = getattr(mode, "value", None)
    is_mode = isinstance(text, str) and set(text) <= set("rwaxbt+")
    return is_mode and "b" not in text and len(call.args) <= at + 2
