"""Repairs of SpeechBrain itself: small patches, each with a test that fails
without it.

``fixes/<name>/`` holds ``fix.patch``, ``test_<name>.py`` as it will lie in
SpeechBrain's ``tests/unittests``, and ``description.md``, whose first line is
the title of the pull request.
"""

import ast
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Set, Tuple
from xml.etree import ElementTree

from tools.upstream import processes
from tools.upstream.checked_copy import copy_checkout

FIXES = Path(__file__).with_name("fixes")

_UNIT_TESTS = "tests/unittests"
#: What a test says whose expectation is not met.
_UNMET = ("assert", "AssertionError", "Failed")
_NOT_IMPORTED = ("ImportError", "ModuleNotFoundError")
_ADDED_LINE = "+++ b/"


class Fix(NamedTuple):
    """One repair.

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

        Example
        -------
        >>> fixes()[0].touched()
        ['speechbrain/utils/checkpoints.py']
        """
        lines = self.patch.read_text(encoding="utf-8").splitlines()
        added = (line for line in lines if line.startswith(_ADDED_LINE))
        return [line[len(_ADDED_LINE) :] for line in added]


class Outcome(NamedTuple):
    """What became of a test: ``passed``, ``skipped``, ``failure`` in the test
    or ``error`` before or after it."""

    kind: str
    message: str


def fixes() -> List[Fix]:
    """All repairs, by name.

    Example
    -------
    >>> [fix.name for fix in fixes()][:2]
    ['atomic_checkpoints', 'cnn14_lengths']
    """
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


def prove(fix: Fix, sb: Path, work: Path) -> List[str]:
    """Show that a repair is needed, that it repairs, and that it breaks
    nothing.

    In a copy of SpeechBrain, the new test must fail by an expectation that is
    not met (or by an exception that the description names) and pass with the
    patch. Doctests and unit tests of the modules that the patch or the new
    test is about must pass where they did before. SpeechBrain's linters must
    have nothing to say about the files.
    """
    work = Path(work).resolve()
    copy_checkout(sb, work)
    test = f"{_UNIT_TESTS}/{fix.test.name}"
    shutil.copy(fix.test, work / test)
    complaints = _unneeded(fix, _run_tests(work, [test]))
    if complaints:
        return complaints
    neighbours = _neighbours(fix, work)
    before = _run_tests(work, neighbours)
    status, output = _run(work, "git", "apply", str(fix.patch))
    if status:
        return [f"git apply {fix.patch.name}: {_last_line(output)}"]
    complaints += _unrepaired(_run_tests(work, [test]))
    complaints += _broken(before, _run_tests(work, neighbours))
    return complaints + _lint(work, [test, *fix.touched()])


# What the tests say ---------------------------------------------------------


def _unneeded(fix: Fix, outcomes: Dict[str, Outcome]) -> List[str]:
    """Whether the new test fails without the patch, and for its reason."""
    kinds = {outcome.kind for outcome in outcomes.values()}
    if "error" not in kinds and "failure" not in kinds:
        return [f"{fix.test.name} passes without the patch"]
    return [
        f"without the patch, {name} ends by {reason}: {outcome.message}"
        for name, outcome in outcomes.items()
        for reason in [_wrong_reason(fix, outcome)]
        if reason
    ]


def _wrong_reason(fix: Fix, outcome: Outcome) -> str:
    """What a test failed by, if that does not show what is to be repaired."""
    if outcome.kind == "error":
        return "an error outside of the test"
    if outcome.kind != "failure":
        return ""
    # "pickle.UnpicklingError: ..." or "assert 1 == 2"
    reason = re.match(r"[\w.]*", outcome.message).group().split(".")[-1]
    documented = set(re.findall(r"`(\w+)`", fix.description))
    documented -= set(_NOT_IMPORTED)
    return "" if reason in (*_UNMET, *documented) else reason


def _unrepaired(outcomes: Dict[str, Outcome]) -> List[str]:
    """Whether the new test passes with the patch."""
    complaints = [
        f"with the patch, {name}: {outcome.message}"
        for name, outcome in outcomes.items()
        if outcome.kind in ("failure", "error")
    ]
    kinds = {outcome.kind for outcome in outcomes.values()}
    if not complaints and "passed" not in kinds:
        complaints = ["with the patch, all tests are skipped"]
    return complaints


def _broken(before: Dict[str, Outcome], after: Dict[str, Outcome]) -> List[str]:
    """Tests of SpeechBrain's that passed and do not any more."""
    passed = [name for name in before if before[name].kind == "passed"]
    if not passed:
        return ["no test of SpeechBrain's own passes here, patch or not"]
    gone = Outcome("error", "is not found any more")
    now = {name: after.get(name, gone) for name in passed}
    return [
        f"the patch breaks {name}: {outcome.message}"
        for name, outcome in now.items()
        if outcome.kind != "passed"
    ]


def _neighbours(fix: Fix, work: Path) -> List[str]:
    """Modules with doctests, and SpeechBrain's unit tests that name them."""
    files = {*fix.touched(), *_imported(fix.test)}
    modules = sorted(file for file in files if (work / file).is_file())
    names = (re.escape(file[:-3].replace("/", ".")) for file in modules)
    named = re.compile(rf"\b({'|'.join(names)})\b")
    tests = (
        path.relative_to(work).as_posix()
        for path in sorted((work / _UNIT_TESTS).glob("test_*.py"))
        if path.name != fix.test.name
        and named.search(path.read_text(encoding="utf-8"))
    )
    return [*modules, *tests]


def _imported(test: Path) -> Set[str]:
    """What a test imports, as files if they are modules and no packages."""
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


# Programs in the copy -------------------------------------------------------


def _run_tests(work: Path, files: Iterable[str]) -> Dict[str, Outcome]:
    """Tests and doctests of some files, by name."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ("-q", "-p", "no:cacheprovider", "--doctest-modules")
        _, output = _run(
            work, *_python("pytest", *options, f"--junitxml={report}"), *files
        )
        if not report.is_file():
            return {"pytest": Outcome("error", _last_line(output))}
        cases = ElementTree.parse(report).iter("testcase")
        return {_name(case): _outcome(case) for case in cases}


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}.{case.get('name')}".lstrip(".")


def _outcome(case: ElementTree.Element) -> Outcome:
    for kind in ("error", "failure", "skipped"):
        found = case.find(kind)
        if found is not None:
            return Outcome(kind, _first_line(found.get("message", "")))
    return Outcome("passed", "")


def _lint(work: Path, files: List[str]) -> List[str]:
    """What SpeechBrain's linters say."""
    python_files = [file for file in files if file.endswith(".py")]
    words = "--ignore-words=.dict-speechbrain.txt"
    complaints = []
    for command in (
        _python("ruff", "check", "--output-format=concise"),
        _python("ruff", "format", "--check"),
        _python("codespell_lib", words),
    ):
        status, output = _run(work, *command, *python_files)
        if status:
            tool = " ".join(command[2:4])
            complaints.append(f"{tool}: {_first_line(output)}")
    return complaints


def _python(module: str, *arguments: str) -> Tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _run(work: Path, *command: str) -> Tuple[int, str]:
    """Run a program in the copy, whose ``speechbrain`` is imported."""
    return processes.run(
        work,
        *command,
        PYTHONPATH=str(work),
        # In another repository's folder, git would apply nothing.
        GIT_CEILING_DIRECTORIES=str(work.parent),
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
