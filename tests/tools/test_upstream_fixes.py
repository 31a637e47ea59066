"""Tests of the repairs for SpeechBrain and of how they are proved."""

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
from tools.upstream import fixes as module
from tools.upstream.fixes import Fix, fixes, prove

NAMES = [
    "atomic_checkpoints",
    "cnn14_lengths",
    "pretrainer_strict",
    "set_epoch_one_process",
]
EACH = pytest.mark.parametrize("fix", fixes(), ids=lambda fix: fix.name)

#: The release that the patches are known to fit as well.
RELEASE = "1.1.2"


def test_all_are_there_in_order():
    assert [fix.name for fix in fixes()] == NAMES


@EACH
def test_folder_is_complete(fix):
    found = {path.name for path in fix.patch.parent.iterdir()}
    expected = {"fix.patch", f"test_{fix.name}.py", "description.md"}
    assert found - {"__pycache__"} == expected


@EACH
def test_description_is_a_pull_request(fix):
    lines = fix.patch.with_name("description.md").read_text().split("\n")
    assert lines[0] == f"# {fix.title}"
    assert len(fix.title) <= 72 and not fix.title.endswith(".")
    # GitHub breaks a pull request's lines where we do.
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
def test_hunks_have_the_lines_that_they_announce(fix):
    hunks = re.split(r"^@@ (.*) @@.*\n", fix.patch.read_text(), flags=re.M)[1:]
    for announced, lines in zip(hunks[::2], hunks[1::2]):
        old, new = re.findall(r",(\d+)", announced)
        kinds = [line[:1] or " " for line in lines.splitlines()]
        assert set(kinds) <= set(" +-")
        assert kinds.count(" ") + kinds.count("-") == int(old)
        assert kinds.count(" ") + kinds.count("+") == int(new)


@EACH
def test_test_file_is_one_of_python_3_8(fix):
    tree = ast.parse(fix.test.read_text(), feature_version=(3, 8))
    assert "Authors\n * " in ast.get_docstring(tree)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    assert any(f.name.startswith("test_") for f in functions)


def test_ours_are_not_run_without_their_patches():
    conftest = module.FIXES / "conftest.py"
    spec = importlib.util.spec_from_file_location("fixes_conftest", conftest)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    ignored = {
        path
        for pattern in loaded.collect_ignore_glob
        for path in module.FIXES.glob(pattern)
    }
    assert ignored == {fix.test for fix in fixes()}


@pytest.mark.skipif(
    importlib.metadata.version("speechbrain") != RELEASE,
    reason=f"they were made for {RELEASE} and the checkout of its time",
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


# How they are proved, on a SpeechBrain of one function ----------------------

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
    raise ConnectionError("there is none")
"""
REPAIRED = HALF.replace("half(x)", "half(x, digits=9)").replace(
    "x // 2", "round(x / 2, digits)"
)
NEW_TESTS = """from speechbrain.half import half


def test_odd():
    assert half(3) == 1.5


def test_digits():
    assert half(0.5, digits=1) == 0.2
"""


@pytest.fixture
def sb(tmp_path):
    """Where its checkout is, with history that is not to be copied."""
    root = tmp_path / "sb"
    files = {
        "speechbrain/__init__.py": "",
        "speechbrain/half.py": HALF,
        "tests/unittests/test_half.py": HALF_TESTS,
        "pyproject.toml": "[tool.ruff]\nline-length = 80\n",
        ".dict-speechbrain.txt": "",
        ".git/HEAD": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def make_fix(
    folder, new=REPAIRED, tests=NEW_TESTS, old=HALF, says="a `TypeError`"
):
    """A repair that brings ``half.py`` from ``old`` to ``new``."""
    lines = difflib.unified_diff(
        old.splitlines(True),
        new.splitlines(True),
        "a/speechbrain/half.py",
        "b/speechbrain/half.py",
    )
    fix = Fix(
        "halves", "Halves", says, folder / "fix.patch", folder / "test.py"
    )
    fix.patch.write_text("".join(lines))
    fix.test.write_text(tests)
    return fix


def test_repair_is_proved_in_a_copy(sb, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "left_over").touch()
    assert prove(make_fix(tmp_path), sb, work) == []
    assert (work / "speechbrain" / "half.py").read_text() == REPAIRED
    assert not (work / "left_over").exists()
    assert not (work / ".git").exists()
    assert (sb / "speechbrain" / "half.py").read_text() == HALF
    assert not (sb / "tests" / "unittests" / "test.py").exists()


@pytest.mark.parametrize(
    "what, complaint",
    [
        ({"tests": ZERO_TEST}, "test.py passes without the patch"),
        ({"says": "nothing"}, r"test_digits ends by TypeError: .*'digits'"),
        (
            {"tests": NEW_TESTS.replace("import half", "import halves")},
            "ends by an error outside of the test: collection failure",
        ),
        (
            {
                "tests": "def test():\n    import speechbrain.halves\n",
                "says": "`ModuleNotFoundError`",
            },
            "test ends by ModuleNotFoundError: ",
        ),
        ({"old": REPAIRED, "new": HALF}, "git apply fix.patch: .*not apply"),
    ],
)
def test_what_does_not_prove_anything(what, complaint, sb, tmp_path):
    (found,) = prove(make_fix(tmp_path, **what), sb, tmp_path / "work")
    assert re.search(complaint, found)


def test_what_does_not_repair(sb, tmp_path):
    worse = HALF.replace("x // 2", "'half' ")
    complaints = prove(make_fix(tmp_path, worse), sb, tmp_path / "work")
    assert [
        re.sub(r"\S*test\.|\S*unittests\.", "", complaint.partition(":")[0])
        for complaint in complaints
    ] == [
        "with the patch, test_odd",
        "with the patch, test_digits",
        "the patch breaks speechbrain.half.speechbrain.half.half",
        "the patch breaks test_half.test_zero",
        "ruff format",
    ]


def test_not_a_checkout(sb, tmp_path):
    with pytest.raises(InputError, match="no SpeechBrain checkout"):
        prove(make_fix(tmp_path), tmp_path, tmp_path / "work")


@pytest.mark.parametrize("work", [".", "sb", "sb/work"])
def test_nothing_is_written_into_the_checkout(work, sb, tmp_path):
    with pytest.raises(InputError, match="choose another folder"):
        prove(make_fix(tmp_path), sb, tmp_path / work)
    assert (sb / "speechbrain" / "half.py").read_text() == HALF
