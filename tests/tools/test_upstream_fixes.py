"""Fixes of SpeechBrain, and the check that they are needed and work."""

import ast
import difflib
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from data_prep.files.errors import InputError
from tools.upstream.fixes import Fix, check_fix, fixes

EACH = pytest.mark.parametrize("fix", fixes(), ids=lambda fix: fix.name)

#: Release that the patches apply to, besides the checkout.
RELEASE = "1.1.2"


@EACH
def test_description_is_a_pull_request(fix):
    lines = fix.patch.with_name("description.md").read_text().split("\n")
    assert lines[0] == f"# {fix.title}"
    assert len(fix.title) <= 72 and not fix.title.endswith(".")
    # GitHub keeps the line breaks of a pull request.
    assert lines[1::2] == [""] * (len(lines) // 2)
    assert all(lines[2::2][:-1])
    assert "\nBreaking changes: " in fix.description
    assert f"`tests/unittests/test_{fix.name}.py`" in fix.description


@EACH
def test_patch_is_well_formed(fix):
    text = fix.patch.read_text()
    assert text.endswith("\n")
    files = re.findall(r"^diff --git a/(\S+) b/(\S+)$", text, re.MULTILINE)
    assert [new for _, new in files] == fix.touched()
    for old, new in files:
        assert old == new
        assert re.fullmatch(r"speechbrain(/\w+)+\.py", new)
    for line in text.splitlines():
        assert line == line.rstrip()
        assert not line.startswith("+") or len(line) <= 81


@EACH
def test_test_file_parses_in_python_3_8(fix):
    tree = ast.parse(fix.test.read_text(), feature_version=(3, 8))
    assert "Authors\n * " in ast.get_docstring(tree)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    assert any(f.name.startswith("test_") for f in functions)


@pytest.mark.skipif(
    importlib.metadata.version("speechbrain") != RELEASE,
    reason=f"patches apply to SpeechBrain {RELEASE}",
)
def test_all_apply_to_the_installed_release_together(tmp_path):
    package = importlib.util.find_spec("speechbrain").submodule_search_locations
    installed = Path(package[0]).parent
    for file in {file for fix in fixes() for file in fix.touched()}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(installed / file, tmp_path / file)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for fix in fixes():
        before = {file: (tmp_path / file).read_text() for file in fix.touched()}
        subprocess.run(
            ["git", "apply", str(fix.patch)], cwd=tmp_path, check=True
        )
        for file, text in before.items():
            patched = (tmp_path / file).read_text()
            assert patched != text
            ast.parse(patched, feature_version=(3, 8))


# The check, on a SpeechBrain of one function ---------------------------------

HALF = '''"""Halves."""


def half(x):
    """
    >>> half(4) == 2
    True
    """
    return x // 2
'''
ZERO_TEST = """from speechbrain.half import half


def test_zero():
    assert half(0) == 0
"""
HALF_TESTS = f"""{ZERO_TEST}

def test_network():
    raise ConnectionError("offline")
"""
FIXED = HALF.replace("x // 2", "x / 2")
NEW_TESTS = """from speechbrain.half import half


def test_odd():
    assert half(3) == 1.5
"""


@pytest.fixture
def sb(tmp_path):
    """A checkout, with history that is not copied."""
    root = tmp_path / "sb"
    files = {
        "speechbrain/__init__.py": "",
        "speechbrain/half.py": HALF,
        "tests/unittests/test_half.py": HALF_TESTS,
        "pyproject.toml": "[tool.ruff]\nline-length = 80\n",
        "lint-requirements.txt": "",
        ".dict-speechbrain.txt": "",
        ".git/HEAD": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def make_fix(folder, new=FIXED, tests=NEW_TESTS, old=HALF):
    """A fix that changes ``half.py`` from ``old`` to ``new``."""
    lines = difflib.unified_diff(
        old.splitlines(True),
        new.splitlines(True),
        "a/speechbrain/half.py",
        "b/speechbrain/half.py",
    )
    patch, test = folder / "fix.patch", folder / "test.py"
    patch.write_text("".join(lines))
    test.write_text(tests)
    return Fix("halves", "Halves", "", patch, test)


def test_a_good_fix_passes_in_a_copy(sb, tmp_path):
    work = tmp_path / "work"
    assert check_fix(make_fix(tmp_path), sb, work) == []
    assert (work / "fixed/speechbrain/half.py").read_text() == FIXED
    assert (sb / "speechbrain/half.py").read_text() == HALF
    assert not (sb / "tests/unittests/test.py").exists()


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"tests": ZERO_TEST}, "test.py does not fail without the patch"),
        (
            {"tests": NEW_TESTS.replace("import half", "import halves")},
            "test.py does not fail without the patch: .*ERROR",
        ),
        ({"old": FIXED, "new": HALF}, "git apply fix.patch: .*not apply"),
    ],
)
def test_a_fix_that_is_not_needed_or_does_not_apply(
    change, problem, sb, tmp_path
):
    (message,) = check_fix(make_fix(tmp_path, **change), sb, tmp_path / "work")
    assert re.search(problem, message)


def test_a_fix_that_does_not_work(sb, tmp_path):
    worse = HALF.replace("x // 2", "'half' ")
    problems = check_fix(make_fix(tmp_path, worse), sb, tmp_path / "work")
    unit = "tests/unittests/test"
    assert [problem.partition(": ")[0] for problem in problems] == [
        f"with the patch, {unit}.py::test_odd",
        "the patch breaks speechbrain/half.py::speechbrain.half.half",
        f"the patch breaks {unit}_half.py::test_zero",
        "git diff --check",
        "ruff format",
    ]


@pytest.mark.parametrize("work", [".", "sb", "sb/work"])
def test_nothing_is_written_into_the_checkout(work, sb, tmp_path):
    if work == ".":
        sb = sb.rename(tmp_path / "fixed")
    with pytest.raises(InputError, match="choose another folder"):
        check_fix(make_fix(tmp_path), sb, tmp_path / work)
    assert (sb / "speechbrain" / "half.py").read_text() == HALF
