"""SpeechBrain's own checks of files that are to become a pull request.

The files are laid over a copy of a SpeechBrain checkout, and upstream's
pre-commit hooks, tests and debug runs run in that copy. They are offline, with
the copy's ``speechbrain`` and without this project; only pre-commit's hooks
are downloaded. Two gaps of upstream's tests are closed: a dataset without a
table of rows, which no test would see, and files that git ignores.
"""

import importlib.metadata
import json
import re
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import (
    Callable,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from data_prep.files.errors import InputError
from tools.upstream.checked_copy import Copy, Row, git, ignored, lay_over, run

LINES_SHOWN = 15

# Upstream's functions; the exit status is 1 if they find an error.
_LOAD_YAML = """
import json, sys
from tests.utils.recipe_tests import load_yaml_test
# Any row that names the file, whether it has flags for a run or not.
sys.exit(not load_yaml_test(test_field="Hparam_file",
    filters_fields=["Hparam_file"], filters=[json.loads(sys.argv[1])]))
"""
_RUN_ROW = """
import json, sys
from tests.utils.recipe_tests import run_recipe_tests
row = json.loads(sys.argv[1])
sys.exit(not run_recipe_tests(filters_fields=list(row),
    filters=list(row.values())))
"""


class Verdict(NamedTuple):
    """Result of one check: good, or None if it cannot run here; ``detail``
    has a line per problem."""

    group: str
    name: str
    good: Optional[bool]
    detail: str
    seconds: float


#: Whether the check passes, and its problems.
Outcome = Tuple[Optional[bool], str]
Check = Tuple[str, str, Callable[[Copy], Outcome]]


def _succeeds(copy: Copy, *command: str) -> Outcome:
    status, output = run(copy, *command)
    if status == 0:
        return True, ""
    lines = [line for line in output.splitlines() if line.strip()]
    # upstream's tests print a line for each file that they read
    errors = [line.strip() for line in lines if "\tERROR: " in line]
    return False, "\n".join(errors or lines) or f"exit status {status}"


def _tool(command: str, pattern: str, copy: Copy) -> Outcome:
    """Run a Python program on the tree's files that match a pattern."""
    files = copy.real(pattern)
    if not files:
        return True, "no such file in the tree"
    return _succeeds(copy, "python", "-m", *command.split(), *files)


def _test_rows(copy: Copy) -> Outcome:
    problems = [
        f"tests/recipes/{dataset}.csv has no row: no check of SpeechBrain "
        f"would see recipes/{dataset}"
        for dataset, rows in copy.rows().items()
        if not rows
    ]
    return not problems, "\n".join(problems)


def _ignored(copy: Copy) -> Outcome:
    problems = ignored(copy.root, copy.files)
    return not problems, "\n".join(problems)


def _load_yaml(copy: Copy) -> Outcome:
    """Load every yaml file in one process."""
    rows = (row for rows in copy.rows().values() for row in rows)
    files = sorted({row.fields["Hparam_file"] for row in rows})
    if not files:
        return True, "no such file in the tree"
    return _succeeds(copy, "python", "-c", _LOAD_YAML, json.dumps(files))


def _run_row(row: Row, copy: Copy) -> Outcome:
    """Run a recipe as upstream's debug run; on failure, add its stderr."""
    names = ("Script_file", "Hparam_file", "test_debug_flags")
    fields = json.dumps({name: row.fields[name] for name in names})
    status, output = run(copy, "python", "-c", _RUN_ROW, fields)
    # "Error in <row> (<yaml>). Check <its stderr> and <its stdout> for ..."
    stderr = re.search(r"Check (\S+) and", output)
    if stderr:
        output += (copy.root / stderr.group(1)).read_text("utf-8", "replace")
    lines = (line for line in output.splitlines() if "INFO:" not in line[:5])
    return status == 0, "\n".join(lines) if status else ""


def _changed_files(copy: Copy) -> Outcome:
    """Find files that debug runs wrote outside their output folders."""
    status = git(copy.root, "status", "--porcelain", "-uall")
    # First column: staged, as the tree is; second: changed since.
    changed = [line for line in status.splitlines() if line[1] != " "]
    return not changed, "\n".join(changed)


_CODESPELL = "codespell_lib --ignore-words=.dict-speechbrain.txt --skip=*.ipynb"
_RUFF_CHECK = "ruff check --output-format=concise"
_PYTEST = "pytest -q --no-header --tb=short -p no:cacheprovider"
_DOCTEST = f"{_PYTEST} --doctest-modules"


def _versions(copy: Copy) -> Outcome:
    """Compare the linters with lint-requirements.txt, which pins them."""
    text = (copy.root / "lint-requirements.txt").read_text("utf-8")
    problems = []
    for name, pinned in re.findall(r"^(ruff|yamllint)==v?(\S+)", text, re.M):
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "none"
        if installed != pinned:
            problems.append(f"{name} {installed} is installed, not {pinned}")
    return not problems, "\n".join(problems)


def _whitespace(copy: Copy) -> Outcome:
    return _succeeds(copy, "git", "diff", "--cached", "--check")


#: Programs that upstream's hooks run.
LINTERS: List[Check] = [
    ("lint", "versions", _versions),
    ("lint", "git diff --check", _whitespace),
    ("lint", "ruff format", partial(_tool, "ruff format --check", "*.py")),
    ("lint", "ruff check", partial(_tool, _RUFF_CHECK, "*.py")),
    ("lint", "yamllint", partial(_tool, "yamllint --no-warnings", "*.y*ml")),
    ("lint", "codespell", partial(_tool, _CODESPELL, "*")),
]

#: Other checks, before the debug runs.
CHECKS: List[Check] = [
    ("layout", "test rows", _test_rows),
    ("layout", "git-ignored files", _ignored),
    (
        "consistency",
        "tests/consistency",
        # On the whole repository, docstrings included, as upstream's CI.
        lambda copy: _succeeds(
            copy, "python", "-m", *_PYTEST.split(), "tests/consistency"
        ),
    ),
    ("docs", "doctests", partial(_tool, _DOCTEST, "speechbrain/*.py")),
    ("docs", "unit tests", partial(_tool, _PYTEST, "tests/unittests/*.py")),
    ("yaml", "load_yaml_test", _load_yaml),
]


def check(
    sb: Path, tree: Path, work: Path, rows: Optional[Sequence[str]] = None
) -> Iterator[Verdict]:
    """Check a tree of files, one check after the other.

    ``rows`` names the yaml files whose debug runs are made; None: all.
    """
    work = Path(work).resolve()
    if re.search(r"\s", str(work)):
        raise InputError(
            f"{work} has a space, at which SpeechBrain's runner fails; choose "
            "another folder to work in"
        )
    copy = lay_over(sb, tree, work)
    runs = [
        ("debug", row.name(), partial(_run_row, row))
        for rows_of_dataset in copy.rows().values()
        for row in rows_of_dataset
        if rows is None or row.fields["Hparam_file"] in rows
    ]
    last = ("debug", "files outside the output", _changed_files)
    for checks in (CHECKS[:2], _hooks(copy), CHECKS[2:], runs, [last]):
        for group, name, outcome in checks:
            start = time.monotonic()
            good, detail = outcome(copy)
            yield Verdict(group, name, good, detail, time.monotonic() - start)


def _hooks(copy: Copy) -> List[Check]:
    """Upstream's pre-commit hooks, or their programs if pre-commit cannot
    download the hooks."""
    hooks = partial(_tool, "pre_commit run --files", "*")
    status, output = run(copy, "python", "-m", "pre_commit", "install-hooks")
    if status == 0:
        return [("lint", "pre-commit", hooks)]
    lines = [line for line in output.splitlines() if line[:1] not in ("[", "")]
    reason = (lines or [f"exit status {status}"])[0]
    skipped = (
        None,
        f"the hooks cannot be installed ({reason}); run ruff, yamllint and "
        "codespell with SpeechBrain's settings instead",
    )
    return [("lint", "pre-commit", lambda copy: skipped), *LINTERS]


def show(verdicts: Iterable[Verdict]) -> bool:
    """Print a line per verdict as it comes, then the number of each kind."""
    counts = Counter()
    for verdict in verdicts:
        counts[verdict.good] += 1
        word = {True: "PASS", False: "FAIL", None: "SKIP"}[verdict.good]
        line = (
            f"{word}  {verdict.group}/{verdict.name}  {verdict.seconds:.0f} s"
        )
        lines = verdict.detail.splitlines()
        if verdict.good is not False and lines:
            line += f"  ({lines.pop()})"
        print(line, flush=True)
        # the end of a traceback is most informative
        for detail in lines[-LINES_SHOWN:]:
            print(f"      {detail}", flush=True)
    print(f"{counts[True]} passed, {counts[False]} failed")
    return not counts[False]
