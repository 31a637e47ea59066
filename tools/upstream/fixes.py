"""Fixes of SpeechBrain itself: small patches, each with a test that fails
without it.

``fixes/<name>/`` holds ``fix.patch``, ``test_<name>.py`` for SpeechBrain's
``tests/unittests``, and ``description.md``, whose first line is the title of
the pull request.
"""

import ast
import re
import shutil
from pathlib import Path
from typing import Dict, List, NamedTuple, Set

from tools.upstream.checked_copy import (
    Copy,
    git,
    make_python,
    make_repository,
    run,
)
from tools.upstream.checks import LINTERS

FIXES = Path(__file__).with_name("fixes")

_UNIT_TESTS = "tests/unittests"
_ADDED_LINE = "+++ b/"


class Fix(NamedTuple):
    """One fix.

    ``patch`` is a unified diff for ``git apply``; ``test`` the new file with
    its tests; ``description`` the text of the pull request.
    """

    name: str
    title: str
    description: str
    patch: Path
    test: Path

    def touched(self) -> List[str]:
        """Files that the patch changes or adds, relative to SpeechBrain's
        folder.
        """
        lines = self.patch.read_text(encoding="utf-8").splitlines()
        added = (line for line in lines if line.startswith(_ADDED_LINE))
        return [line[len(_ADDED_LINE) :] for line in added]


def fixes() -> List[Fix]:
    """All fixes, by name."""
    return [_read(patch.parent) for patch in sorted(FIXES.glob("*/fix.patch"))]


def _read(folder: Path) -> Fix:
    text = (folder / "description.md").read_text(encoding="utf-8")
    title, _, description = text.partition("\n")
    return Fix(
        folder.name,
        title.lstrip("# "),
        description.strip(),
        folder / "fix.patch",
        folder / f"test_{folder.name}.py",
    )


def check_fix(fix: Fix, sb: Path, work: Path) -> List[str]:
    """Check in a copy of SpeechBrain that a fix is needed, works, and breaks
    nothing; returns the problems.

    The new test must fail without the patch and pass with it. Doctests and
    unit tests of the modules that the patch changes or the new test imports
    must pass where they did before, and SpeechBrain's linters must pass.
    """
    root = Path(work).resolve() / "fixed"
    make_repository(sb, root)
    test = f"{_UNIT_TESTS}/{fix.test.name}"
    files = [test, *fix.touched()]
    copy = Copy(root, files, make_python(root.parent, root))
    shutil.copy(fix.test, root / test)
    kinds = _run_tests(copy, [test])
    if "ERROR" in kinds.values() or "FAILED" not in kinds.values():
        return [f"{fix.test.name} does not fail without the patch: {kinds}"]
    neighbours = _neighbours(fix, root)
    before = _run_tests(copy, neighbours)
    status, output = run(copy, "git", "apply", str(fix.patch))
    if status:
        return [f"git apply {fix.patch.name}: {_last_line(output)}"]
    kinds = _run_tests(copy, [test])
    problems = [
        f"with the patch, {name}: {kind}"
        for name, kind in kinds.items()
        if kind != "PASSED"
    ]
    after = _run_tests(copy, neighbours)
    problems += [
        f"the patch breaks {name}"
        for name, kind in before.items()
        if kind == "PASSED" and after.get(name) != "PASSED"
    ]
    if "PASSED" not in before.values():
        problems.append("no test of SpeechBrain's own passes without the patch")
    git(root, "add", "-A")
    for _, name, lint in LINTERS:
        good, detail = lint(copy)
        if not good:
            problems.append(f"{name}: {detail.partition(chr(10))[0]}")
    return problems


def _neighbours(fix: Fix, root: Path) -> List[str]:
    """Modules with doctests, and SpeechBrain's unit tests that name them."""
    files = {*fix.touched(), *_imported(fix.test)}
    modules = sorted(file for file in files if (root / file).is_file())
    names = (re.escape(file[:-3].replace("/", ".")) for file in modules)
    pattern = re.compile(rf"\b({'|'.join(names)})\b")
    tests = (
        path.relative_to(root).as_posix()
        for path in sorted((root / _UNIT_TESTS).glob("test_*.py"))
        if path.name != fix.test.name
        and pattern.search(path.read_text(encoding="utf-8"))
    )
    return [*modules, *tests]


def _imported(test: Path) -> Set[str]:
    """Files of the modules that a test imports from SpeechBrain."""
    names = set()
    for node in ast.walk(ast.parse(test.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {
        name.replace(".", "/") + ".py"
        for name in names
        if name.startswith("speechbrain.")
    }


def _run_tests(copy: Copy, files: List[str]) -> Dict[str, str]:
    """Outcome of tests and doctests by name: PASSED, FAILED or ERROR."""
    options = ("-q", "-rA", "-p", "no:cacheprovider", "--doctest-modules")
    _, output = run(copy, "python", "-m", "pytest", *options, *files)
    lines = re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return {name: kind for kind, name in lines} or {_last_line(output): "ERROR"}


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
