"""SpeechBrain's own checks on files that are to become a pull request.

A tree of such files (``TREE/recipes/<Dataset>/...``,
``TREE/tests/recipes/<Dataset>.csv``, ``TREE/speechbrain/...``) is laid over a
copy of a SpeechBrain checkout, and everything runs in that copy, offline,
with the copy's ``speechbrain`` and without this project, as it will run for
whoever merges it. What upstream leaves to its reviewers' eyes (where files
lie, their sizes, what its ``.gitignore`` would swallow) is checked as well.
"""

import importlib.metadata
import json
import os
import re
import shutil
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import (
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError
from tools.upstream.checked_copy import (
    Copy,
    Row,
    lacks,
    lay_over,
    make_python,
    numbered,
    run,
)

LINES_SHOWN = 15

_BESIDE = ("PERFORMANCE.md",)
_TOP_FOLDERS = ("recipes", "tests", "speechbrain", "docs", "templates", "tools")
_SAMPLES = "tests/samples/"
#: check-added-large-files --maxkb=1024 in upstream's .pre-commit-config.yaml.
_FILE_BYTES = 1024 * 1024
_SAMPLE_BYTES, _SAMPLES_BYTES = 1_000_000, 2_000_000

# Upstream's functions; the exit status is 1 when they are not content.
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
    """What one check says; ``detail`` has a line per problem."""

    group: str
    name: str
    good: bool
    detail: str
    seconds: float


#: Whether all is well, and what is not.
Outcome = Tuple[bool, str]
Check = Tuple[str, str, Callable[[Copy], Outcome]]


def _found(problems: Iterable[str]) -> Outcome:
    """Well if there are none."""
    problems = list(problems)
    return not problems, "\n".join(problems)


def _succeeds(copy: Copy, *command: str) -> Outcome:
    """Well if a program says so; else what it says is wrong."""
    status, output = run(copy, *command)
    if status == 0:
        return True, ""
    lines = [line for line in output.splitlines() if line.strip()]
    # upstream's tests print a line for each file that they look at
    errors = [line.strip() for line in lines if "\tERROR: " in line]
    return False, "\n".join(errors or lines) or f"exit status {status}"


def _tool(command: str, pattern: str, copy: Copy) -> Outcome:
    """A Python program on the tree's files."""
    files = copy.real(pattern)
    if not files:
        return True, "no such file in the tree"
    return _succeeds(copy, "python", "-m", *command.split(), *files)


# Where files lie ------------------------------------------------------------


def _top_folders(copy: Copy) -> Outcome:
    return _found(
        f"{file} is in none of {', '.join(_TOP_FOLDERS)}"
        for file in copy.files
        if file.split("/")[0] not in _TOP_FOLDERS and file not in _BESIDE
    )


def _test_rows(copy: Copy) -> Outcome:
    """Without them upstream looks at nothing, and a broken one stops it."""
    problems = []
    for dataset in copy.datasets():
        table = copy.table(dataset)
        rows = numbered(table) if table.is_file() else []
        if not rows:
            problems.append(
                f"tests/recipes/{table.name} has no row: no check of"
                f" SpeechBrain would see recipes/{dataset}"
            )
        for number, fields in rows:
            problems += _problems(f"{table.name} row {number}", fields)
    return _found(problems)


def _problems(place: str, fields: Dict[str, str]) -> Iterator[str]:
    """What makes upstream's runner crash, or pass by."""
    if lacks(fields):
        yield f"{place} has no {', '.join(lacks(fields))}"
    elif None in fields:
        yield f"{place} has more fields than there are columns"
    elif not fields["test_debug_flags"].strip():
        yield f"{place}: test_debug_flags is empty, so nothing would run"
    elif "file_exists=[" not in fields["test_debug_checks"]:
        yield f"{place}: test_debug_checks names no file (file_exists=[...])"


def _symlinks(copy: Copy) -> Outcome:
    problems = []
    for file in copy.files:
        path = copy.root / file
        if path.is_symlink():
            target = os.readlink(path)
            if os.path.isabs(target):
                problems.append(f"{file} -> {target} is absolute")
            elif copy.root not in path.resolve().parents:
                problems.append(f"{file} -> {target} leaves the repository")
            elif not path.exists():
                problems.append(f"{file} -> {target} leads nowhere")
    return _found(problems)


def _ignored(copy: Copy) -> Outcome:
    """What git would leave out of a commit without a word."""
    settings = ["-c", "core.excludesFile=/dev/null", "-c", "core.quotePath=off"]
    command = ["git", *settings, "check-ignore", "--no-index", "--"]
    status, output = run(copy, *command, *copy.files)
    return status == 1, output.strip()


def _sizes(copy: Copy) -> Outcome:
    sizes = {file: (copy.root / file).stat().st_size for file in copy.real()}
    samples = {f: n for f, n in sizes.items() if f.startswith(_SAMPLES)}
    problems = [f"{f}: {n} bytes" for f, n in sizes.items() if n > _FILE_BYTES]
    problems += [
        f"{file}: {size} bytes, a sample has to stay below {_SAMPLE_BYTES}"
        for file, size in samples.items()
        if size >= _SAMPLE_BYTES
    ]
    total = sum(samples.values())
    if total >= _SAMPLES_BYTES:
        problems.append(
            f"{_SAMPLES}: {total} bytes, they have to stay below"
            f" {_SAMPLES_BYTES} together"
        )
    return _found(problems)


# Upstream's pre-commit hooks ------------------------------------------------


def _is_text(path: Path) -> bool:
    """As pre-commit tells it: no control characters at its beginning."""
    with open(path, "rb") as file:
        return not re.search(
            rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]", file.read(1024)
        )


def _texts(copy: Copy, pattern: str = "*") -> Iterator[Tuple[str, bytes]]:
    """The tree's text files with what is in them."""
    for file in copy.real(pattern):
        if _is_text(copy.root / file):
            yield file, (copy.root / file).read_bytes()


def _trailing_whitespace(copy: Copy) -> Outcome:
    return _found(
        f"{file} line {number}"
        for file, text in _texts(copy)
        for number, line in enumerate(re.split(rb"\r?\n", text), 1)
        if line != line.rstrip()
    )


def _end_of_file(copy: Copy) -> Outcome:
    return _found(
        f"{file} does not end with one newline"
        for file, text in _texts(copy, "*.py")
        if text and not re.search(rb"[^\r\n](\r\n|\r|\n)\Z", text)
    )


def _sorted_requirements(copy: Copy) -> Outcome:
    problems = []
    for file, text in _texts(copy, "*requirements*.txt"):
        lines = text.decode("utf-8", "replace").lower().splitlines()
        names = [
            line.partition("==")[0]
            for line in lines
            if line.strip() and not line.startswith("#")
        ]
        if names != sorted(names):
            problems.append(f"{file} is not sorted")
    return _found(problems)


def _line_endings(copy: Copy) -> Outcome:
    return _found(
        f"{file} has more than one kind"
        for file, text in _texts(copy)
        if len(set(re.findall(rb"\r\n|\r|\n", text))) > 1
    )


# Upstream's tests -----------------------------------------------------------


def _consistency(copy: Copy) -> Outcome:
    """On all of the repository, docstrings included, as its CI does."""
    return _succeeds(
        copy, "python", "-m", *_PYTEST.split(), "tests/consistency"
    )


def _load_yaml(copy: Copy) -> Outcome:
    """Every yaml in one process, as upstream's documentation has it."""
    files = sorted({row.fields["Hparam_file"] for row in copy.rows()})
    if not files:
        return True, "no such file in the tree"
    return _succeeds(copy, "python", "-c", _LOAD_YAML, json.dumps(files))


def _run_row(row: Row, copy: Copy) -> Outcome:
    """A debug run; if it fails, also the end of what the recipe said."""
    wanted = ("Script_file", "Hparam_file", "test_debug_flags")
    wanted = json.dumps({name: row.fields[name] for name in wanted})
    status, output = run(copy, "python", "-c", _RUN_ROW, wanted)
    # "Error in <row> (<yaml>). Check <its stderr> and <its stdout> for ..."
    said = re.search(r"Check (\S+) and", output)
    if said:
        output += (copy.root / said.group(1)).read_text("utf-8", "replace")
    lines = (line for line in output.splitlines() if "INFO:" not in line[:5])
    return status == 0, "\n".join(lines) if status else ""


def _times(root: Path) -> Dict[str, int]:
    """When each sample was written, in ns."""
    samples = (root / _SAMPLES).rglob("*")
    return {
        path.relative_to(root).as_posix(): path.lstat().st_mtime_ns
        for path in samples
        if path.is_symlink() or path.is_file()
    }


def _untouched(before: Dict[str, int], copy: Copy) -> Outcome:
    """Recipes write to their output folder only."""
    after = _times(copy.root)
    return _found(
        f"{file} was written by a run"
        for file, written in sorted(after.items())
        if before.get(file) != written
    )


def _performance(copy: Copy) -> Outcome:
    """The page is made of the tables, in an order that changes."""
    # Of our tables alone: the builder stops at a field that is absent, which
    # upstream's GigaSpeech.csv has.
    tables, made = "tests/tmp/tables", "tests/tmp/PERFORMANCE.md"
    folder = make_folder(copy.root / tables)
    for table in filter(Path.is_file, map(copy.table, copy.datasets())):
        shutil.copy(table, folder)
    options = f"--recipe_info_dir={tables}", f"--output_file={made}"
    good, detail = _succeeds(
        copy, "python", "tools/readme_builder.py", *options
    )
    if not good:
        return good, detail
    want, have = (_results(copy, page) for page in (made, "PERFORMANCE.md"))
    return _found(
        [f"missing: {line}" for line in want - have]
        + [f"in no table: {line}" for line in have - want]
    )


def _results(copy: Copy, page: str) -> Counter:
    """Lines of a page about recipes of our datasets."""
    marks = tuple(f"](recipes/{dataset}/" for dataset in copy.datasets())
    lines = (copy.root / page).read_text("utf-8").splitlines()
    ours = (line for line in lines if any(mark in line for mark in marks))
    return Counter(line.strip() for line in ours)


# ----------------------------------------------------------------------------

_CODESPELL = "codespell_lib --ignore-words=.dict-speechbrain.txt --skip=*.ipynb"
_RUFF_CHECK = "ruff check --output-format=concise"
_PYTEST = "pytest -q --no-header --tb=short -p no:cacheprovider"
_DOCTEST = f"{_PYTEST} --doctest-modules"

#: In this order; the debug runs of the rows follow, then the page of results.
CHECKS: List[Check] = [
    ("layout", "top folders", _top_folders),
    ("layout", "test rows", _test_rows),
    ("layout", "symlinks", _symlinks),
    ("layout", "git-ignored files", _ignored),
    ("layout", "sizes", _sizes),
    ("hooks", "trailing whitespace", _trailing_whitespace),
    ("hooks", "end of .py files", _end_of_file),
    ("hooks", "sorted requirements", _sorted_requirements),
    ("hooks", "line endings", _line_endings),
    ("lint", "ruff format", partial(_tool, "ruff format --check", "*.py")),
    ("lint", "ruff check", partial(_tool, _RUFF_CHECK, "*.py")),
    ("lint", "yamllint", partial(_tool, "yamllint --no-warnings", "*.y*ml")),
    ("lint", "codespell", partial(_tool, _CODESPELL, "*")),
    ("consistency", "tests/consistency", _consistency),
    ("docs", "doctests", partial(_tool, _DOCTEST, "speechbrain/*.py")),
    ("docs", "unit tests", partial(_tool, _PYTEST, "tests/unittests/*.py")),
    ("yaml", "load_yaml_test", _load_yaml),
]
_LAST: Check = ("performance", "PERFORMANCE.md", _performance)


def check(
    sb: Path, tree: Path, work: Path, rows: Optional[Sequence[str]] = None
) -> Iterator[Verdict]:
    """Check a tree of files for SpeechBrain, one thing after the other."""
    work = Path(work).resolve()
    if re.search(r"\s", str(work)):
        raise InputError(
            f"{work} has a space in it, at which SpeechBrain's runner breaks;"
            " choose another folder to work in"
        )
    root = work / "checked"
    files = lay_over(sb, tree, root)
    _same_ruff(root, Path(sb))
    copy = Copy(root, files, make_python(work, root))
    checks = [*CHECKS, *_runs(copy, rows), _LAST]
    for group, name, outcome in checks:
        start = time.monotonic()
        good, detail = outcome(copy)
        yield Verdict(group, name, good, detail, time.monotonic() - start)


def _runs(copy: Copy, wanted: Optional[Sequence[str]]) -> Iterator[Check]:
    """A debug run for each row, then a look at what they left."""
    for row in copy.rows():
        if wanted is None or row.fields["Hparam_file"] in wanted:
            yield "debug", row.name(), partial(_run_row, row)
    yield "debug", "tests/samples", partial(_untouched, _times(copy.root))


def _same_ruff(root: Path, sb: Path):
    """Versions of ruff differ in what they find."""
    wanted = (root / "lint-requirements.txt").read_text("utf-8")
    wanted = re.findall(r"^ruff==v?(\S+)", wanted, re.MULTILINE)
    try:
        found = importlib.metadata.version("ruff")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if wanted != [found]:
        raise InputError(
            f"lint-requirements.txt of {sb} asks for ruff {', '.join(wanted)}"
            f" and {found} is installed; install that one"
        )


def show(verdicts: Iterable[Verdict]) -> bool:
    """Print a line per verdict as it comes, and their number.

    Example
    -------
    >>> show([Verdict("lint", "ruff check", True, "", 3.1)])
    PASS  lint/ruff check  3 s
    1 passed, 0 failed
    True
    """
    counts = Counter()
    for verdict in verdicts:
        counts[verdict.good] += 1
        word = "PASS" if verdict.good else "FAIL"
        line = (
            f"{word}  {verdict.group}/{verdict.name}  {verdict.seconds:.0f} s"
        )
        lines = verdict.detail.splitlines()
        if verdict.good and lines:
            line += f"  ({lines.pop()})"
        print(line, flush=True)
        # the end of a traceback tells most
        for detail in lines[-LINES_SHOWN:]:
            print(f"      {detail}", flush=True)
    print(f"{counts[True]} passed, {counts[False]} failed")
    return not counts[False]
