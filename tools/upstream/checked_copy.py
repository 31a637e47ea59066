"""A copy of SpeechBrain with a tree of files laid over it.

Programs run in it offline, with the copy's ``speechbrain`` and without this
project.
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

_RUNNER = "tests/utils/recipe_tests.py"
_GIT = [
    "git",
    *("-c", "user.name=The contributors of cry-ssl"),
    *("-c", "user.email=cry-ssl@example.org"),
    *("-c", "core.autocrlf=false"),
    *("-c", "core.excludesFile=/dev/null"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.quotePath=off"),
    *("-c", "commit.gpgsign=false"),
]

#: Packages that an editable installation makes importable from everywhere.
_OURS = ("cry_modules", "data_prep")
GUARD = f'''"""Hide a project that is installed in the same environment."""

import sys


class Hidden:
    """Refuse to import the project, as if it were not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_OURS}:
            raise ModuleNotFoundError("No module named %r" % name, name=name)


sys.meta_path.insert(0, Hidden())
'''


class Row(NamedTuple):
    """Row of ``tests/recipes/<Dataset>.csv``: one recipe with one yaml file.

    ``number`` is its line in the table, as in the name of upstream's folder
    for its debug run.
    """

    dataset: str
    number: int
    fields: Dict[str, str]

    def name(self) -> str:
        """Name of the debug run and of its files."""
        files = (self.fields[key] for key in ("Script_file", "Hparam_file"))
        names = " ".join(Path(file.strip()).name for file in files)
        return f"{self.dataset}_row_{self.number:02d} {names}"


class Copy(NamedTuple):
    """A git repository of SpeechBrain with a tree laid over it.

    ``files`` are the tree's, relative to ``root``; programs in ``programs``
    take precedence over others.
    """

    root: Path
    files: List[str]
    programs: Path

    def real(self, pattern: str = "*") -> List[str]:
        """Files of the tree except symlinks; ``*`` matches across folders."""
        return [
            file
            for file in self.files
            if fnmatch(file, pattern) and not (self.root / file).is_symlink()
        ]

    def rows(self) -> Dict[str, List[Row]]:
        """Rows of the tables of the tree's datasets, none if it has no table."""
        parts = (file.split("/") for file in self.files)
        datasets = {p[1] for p in parts if p[0] == "recipes" and p[2:]}
        return {name: self._rows(name) for name in sorted(datasets)}

    def _rows(self, dataset):
        table = self.root / "tests" / "recipes" / f"{dataset}.csv"
        if not table.is_file():
            return []
        with open(table, newline="", encoding="utf-8") as lines:
            rows = csv.DictReader(lines, skipinitialspace=True)
            return [Row(dataset, n, fields) for n, fields in enumerate(rows, 2)]


def lay_over(sb: Path, tree: Path, work: Path) -> Copy:
    """Copy a SpeechBrain checkout, and lay a tree of files over it."""
    tree, root = Path(tree).resolve(), Path(work).resolve() / "checked"
    if not any((tree / name).is_dir() for name in ("recipes", "speechbrain")):
        raise InputError(
            f"{tree} has neither recipes/ nor speechbrain/; pass a folder that "
            "--out wrote"
        )
    _refuse_overlap(root, tree)
    make_repository(sb, root, (_RUNNER,))
    files = add_tree(tree, root)
    return Copy(root, files, make_python(Path(work).resolve(), root))


def make_repository(sb: Path, root: Path, needs: Sequence[str] = ()) -> None:
    """Copy a SpeechBrain checkout as a git repository with one commit."""
    sb, root = Path(sb).resolve(), Path(root).resolve()
    for name in ("speechbrain", "tests", *needs):
        if not (sb / name).exists():
            raise InputError(
                f"{sb} is not a SpeechBrain checkout (it has no {name}); pass "
                "the folder that `git clone` made"
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
    git(root, "init", "-q")
    git(root, "add", "-A", "-f")
    git(root, "commit", "-q", "-m", "SpeechBrain")


def _refuse_overlap(root: Path, other: Path):
    if root in (other, *other.parents) or other in root.parents:
        raise InputError(
            f"{root}, which is replaced, and {other} contain one another; "
            "choose another folder to work in"
        )


def add_tree(tree: Path, root: Path) -> List[str]:
    """Lay a tree over a repository, and stage its files; returns their
    names."""
    files = sorted(files_of(tree))
    try:
        for file in files:
            replace(tree / file, root / file)
    except OSError as error:
        raise cannot_write(root, error)
    git(root, "add", "-A")
    return files


def ignored(root: Path, files: Sequence[str]) -> List[str]:
    """Files that SpeechBrain's ``.gitignore`` leaves out of a commit."""
    _, output = processes.run(
        root, *_GIT, "check-ignore", "--no-index", "--", *files
    )
    return output.splitlines()


def git(folder: Path, *arguments: str) -> str:
    """Run a git command; returns its output."""
    status, output = processes.run(folder, *_GIT, *arguments)
    if status:
        raise InputError(f"git {arguments[0]} in {folder}: {output.strip()}")
    return output


def files_of(tree: Path) -> Iterator[str]:
    """Files and symlinks of a tree."""
    for path in tree.rglob("*"):
        file = path.relative_to(tree)
        if {".git", "__pycache__"}.isdisjoint(file.parts) and (
            path.is_symlink() or path.is_file()
        ):
            yield file.as_posix()


def replace(source: Path, target: Path) -> None:
    """Copy a file or a symlink, replacing any that exists."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file():
        target.unlink()
    shutil.copy2(source, target, follow_symlinks=False)


def make_python(work: Path, root: Path) -> Path:
    """Make a ``python`` that imports the copy but not this project; returns
    its folder.

    Upstream's runner calls ``python`` with only the recipe's folder in
    PYTHONPATH, where contributors have SpeechBrain installed from the
    checkout. Here another release is installed.
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
        f' exec {real} "$@"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    return python.parent


def run(copy: Copy, *command: str) -> Tuple[int, str]:
    """Run a program in the copy; returns its exit status and output."""
    path = os.pathsep.join([str(copy.programs), os.environ["PATH"]])
    return processes.run(copy.root, *command, PATH=path)
