"""A copy of SpeechBrain with a tree of files over it, in which programs run
offline, with the copy's ``speechbrain`` and without this project.
"""

import csv
import os
import shlex
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from data_prep.files.atomic import cannot_write, make_folder
from data_prep.files.errors import InputError
from tools.upstream import processes
from tools.upstream.series import CSV_COLUMNS

_RUNNER = "tests/utils/recipe_tests.py"

#: What an editable installation makes importable from everywhere.
_OURS = ("cry_modules", "data_prep")
GUARD = f'''"""Hides a project that is installed in the same environment."""

import sys


class Hidden:
    """Finds nothing of it, as where it is not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_OURS}:
            raise ModuleNotFoundError("No module named %r" % name, name=name)


sys.meta_path.insert(0, Hidden())
'''


class Row(NamedTuple):
    """A row of ``tests/recipes/<Dataset>.csv``: one recipe with one yaml.

    ``number`` is its line in the table, by which upstream names the folder of
    its debug run.
    """

    dataset: str
    number: int
    fields: Dict[str, str]

    def name(self) -> str:
        """As upstream's runner calls it, with the files that run.

        Example
        -------
        >>> files = {"Script_file": "a/train.py", "Hparam_file": "a/b.yaml"}
        >>> Row("VGGSound", 2, files).name()
        'VGGSound_row_02 train.py b.yaml'
        """
        files = (self.fields[key] for key in ("Script_file", "Hparam_file"))
        names = " ".join(Path(file.strip()).name for file in files)
        return f"{self.dataset}_row_{self.number:02d} {names}"


class Copy(NamedTuple):
    """A checkout with a tree over it.

    ``files`` are the tree's, relative to ``root``; the programs in ``programs``
    go before others of their name.
    """

    root: Path
    files: List[str]
    programs: Path

    def real(self, pattern: str = "*") -> List[str]:
        """Files of the tree that are no symlinks; ``*`` crosses folders."""
        return [
            file
            for file in self.files
            if fnmatch(file, pattern) and not (self.root / file).is_symlink()
        ]

    def datasets(self) -> List[str]:
        """Folders under ``recipes/``."""
        parts = (file.split("/") for file in self.files)
        return sorted({p[1] for p in parts if p[0] == "recipes" and p[2:]})

    def table(self, dataset: str) -> Path:
        """Where its rows are; upstream finds them by this name."""
        return self.root / "tests" / "recipes" / f"{dataset}.csv"

    def rows(self) -> List[Row]:
        """The complete rows of our datasets' tables."""
        return [
            Row(dataset, number, fields)
            for dataset in self.datasets()
            if self.table(dataset).is_file()
            for number, fields in numbered(self.table(dataset))
            if not lacks(fields)
        ]


def lay_over(sb: Path, tree: Path, root: Path) -> List[str]:
    """Copy a SpeechBrain checkout and lay a tree of files over it."""
    tree, root = Path(tree).resolve(), Path(root).resolve()
    if not any((tree / name).is_dir() for name in ("recipes", "speechbrain")):
        raise InputError(
            f"{tree} has neither recipes/ nor speechbrain/; pass the folder"
            " with what is to be laid over SpeechBrain"
        )
    _refuse_overlap(root, tree)
    copy_checkout(sb, root, (_RUNNER,))
    try:
        files = sorted(files_of(tree))
        for file in files:
            replace(tree / file, root / file)
    except OSError as error:
        raise cannot_write(root, error)
    processes.run(root, "git", "init", "--quiet", ".")
    return files


def copy_checkout(sb: Path, root: Path, needs: Sequence[str] = ()) -> None:
    """Copy a SpeechBrain checkout without its history."""
    sb, root = Path(sb).resolve(), Path(root).resolve()
    for name in ("speechbrain", "tests", *needs):
        if not (sb / name).exists():
            raise InputError(
                f"{sb} is no SpeechBrain checkout (it has no {name}); pass the"
                " folder that `git clone` made"
            )
    _refuse_overlap(root, sb)
    # tests/tmp: files of an earlier run would count as made by this one
    unwanted = shutil.ignore_patterns(".git", "__pycache__", ".venv", "tmp")
    try:
        if root.exists():
            shutil.rmtree(root)
        shutil.copytree(sb, root, symlinks=True, ignore=unwanted)
    except OSError as error:
        raise cannot_write(root, error)


def _refuse_overlap(root: Path, other: Path):
    if root in (other, *other.parents) or other in root.parents:
        raise InputError(
            f"{root} would be overwritten and lies in {other}, or the"
            " other way round; choose another folder to work in"
        )


def files_of(tree: Path) -> Iterator[str]:
    """Files and symlinks of a tree.

    Example
    -------
    >>> tmp = getfixture("tmpdir")
    >>> tmp.join("a.py").write("")
    >>> list(files_of(Path(tmp)))
    ['a.py']
    """
    for path in tree.rglob("*"):
        file = path.relative_to(tree)
        if {".git", "__pycache__"}.isdisjoint(file.parts) and (
            path.is_symlink() or path.is_file()
        ):
            yield file.as_posix()


def replace(source: Path, target: Path) -> None:
    """Copy a file or a symlink to where there may be one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file():
        target.unlink()
    shutil.copy2(source, target, follow_symlinks=False)


def make_python(work: Path, root: Path) -> Path:
    """Make a ``python`` that sees the copy and not this project.

    Upstream's runner calls ``python`` with PYTHONPATH set to the recipe's
    folder alone, where a contributor has SpeechBrain installed from the
    checkout. Here it is another release that is installed.
    """
    guard = make_folder(work / "guard")
    (guard / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    first, last, real = map(
        shlex.quote, (str(guard), str(root), sys.executable)
    )
    python = make_folder(work / "bin") / "python"
    python.write_text(
        "#!/bin/sh\n"
        f"PYTHONPATH={first}:${{PYTHONPATH:+$PYTHONPATH:}}{last}"
        f' exec {real} "$@"\n'
    )
    python.chmod(0o755)
    return python.parent


def run(copy: Copy, *command: str) -> Tuple[int, str]:
    """Run a program in the copy."""
    path = os.pathsep.join([str(copy.programs), os.environ["PATH"]])
    return processes.run(copy.root, *command, PATH=path)


def numbered(table: Path) -> List[Tuple[int, Dict[str, str]]]:
    """The rows of a table as upstream reads them.

    Example
    -------
    >>> table = Path(getfixture("tmpdir")) / "a.csv"
    >>> _ = table.write_text("Task,Dataset\\nSSL,VGGSound\\n")
    >>> numbered(table)
    [(2, {'Task': 'SSL', 'Dataset': 'VGGSound'})]
    """
    with open(table, newline="", encoding="utf-8") as lines:
        return list(enumerate(csv.DictReader(lines, skipinitialspace=True), 2))


def lacks(fields: Dict[str, str]) -> List[str]:
    """Columns that a row has no field for.

    Example
    -------
    >>> lacks({name: "" for name in CSV_COLUMNS[1:]})
    ['Task']
    """
    return [name for name in CSV_COLUMNS if fields.get(name) is None]
