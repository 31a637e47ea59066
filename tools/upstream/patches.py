"""The series as patches that ``git am`` applies, one a pull request."""

import shutil
import tempfile
from pathlib import Path
from typing import Iterator, List, Sequence

from data_prep.files.errors import InputError
from tools.upstream.checked_copy import copy_checkout, files_of, replace
from tools.upstream.fixes import fixes
from tools.upstream.layout import export
from tools.upstream.processes import run
from tools.upstream.series import SERIES, PullRequest

_AUTHOR = (
    "-c",
    "user.name=The contributors of cry-ssl",
    "-c",
    "user.email=cry-ssl@example.org",
    "-c",
    "core.autocrlf=false",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "core.hooksPath=/dev/null",
)


def git(folder: Path, *arguments: str) -> str:
    """What a git command prints."""
    status, output = run(folder, "git", *_AUTHOR, *arguments)
    if status:
        raise InputError(f"git {arguments[0]} in {folder}: {output.strip()}")
    return output


def copy_of(checkout: Path, folder: Path) -> None:
    """A checkout of SpeechBrain as a repository of one commit."""
    copy_checkout(checkout, folder)
    git(folder, "init", "-q")
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", "SpeechBrain as it was given")


def commit(folder: Path, tree: Path, request: PullRequest) -> None:
    """Lay a tree over a repository, and commit what is new."""
    for file in sorted(files_of(tree)):
        replace(tree / file, folder / file)
    ignored = git(folder, "status", "--porcelain", "--ignored", "-uall")
    for line in ignored.splitlines():
        if line.startswith("!!") and (tree / line[3:]).exists():
            raise InputError(
                f"{line[3:]} would be lost: SpeechBrain's .gitignore names it"
            )
    git(folder, "add", "-A")
    message = f"{request.title}\n\n{request.description}"
    git(folder, "commit", "-q", "-m", message)


def write_patches(
    checkout: Path,
    out: Path,
    series: Sequence[PullRequest] = tuple(SERIES),
    results: str = "",
) -> List[Path]:
    """Write a patch a pull request, and see that they apply."""
    out = _new_folder(out)
    with tempfile.TemporaryDirectory() as scratch:
        made, again = Path(scratch, "made"), Path(scratch, "again")
        copy_of(checkout, made)
        shutil.copytree(made, again, symlinks=True)
        first = git(made, "rev-parse", "HEAD").strip()
        for tree, request in growing(
            checkout, Path(scratch, "tree"), series, results
        ):
            commit(made, tree, request)
        options = ["-q", "--binary", "-o", str(out.resolve())]
        git(made, "format-patch", *options, first)
        patches = sorted(out.glob("[0-9]*.patch"))
        for patch in patches:
            git(again, "am", "-q", "--keep-cr", str(patch.resolve()))
        trees = [git(f, "rev-parse", "HEAD^{tree}") for f in (made, again)]
        if trees[0] != trees[1]:
            raise InputError(f"the patches of {out} leave another tree")
    return patches


def _new_folder(out: Path) -> Path:
    """A patch of an earlier time would be applied as well."""
    if Path(out).exists() and (Path(out).is_file() or any(Path(out).iterdir())):
        raise InputError(f"{out} holds something; pass a new folder")
    Path(out).mkdir(parents=True, exist_ok=True)
    return Path(out)


def write_fixes(checkout: Path, out: Path) -> List[Path]:
    """Write two patches for each optional fix: the test, which fails, then
    what mends it. They apply to the checkout, without the series.
    """
    patches, out = [], _new_folder(out)
    with tempfile.TemporaryDirectory() as scratch:
        repository = Path(scratch, "made")
        copy_of(checkout, repository)
        first = git(repository, "rev-parse", "HEAD").strip()
        for fix in fixes():
            git(repository, "reset", "-q", "--hard", first)
            shutil.copy(fix.test, repository / "tests/unittests")
            git(repository, "add", "-A")
            git(repository, "commit", "-q", "-m", f"Test: {fix.title}")
            git(repository, "apply", "--index", str(fix.patch))
            message = f"{fix.title}\n\n{fix.description}"
            git(repository, "commit", "-q", "-m", message)
            folder = (out / fix.name).resolve()
            git(repository, "format-patch", "-q", "-o", str(folder), first)
            patches += sorted(folder.glob("*.patch"))
    return patches


def growing(
    checkout: Path,
    tree: Path,
    series: Sequence[PullRequest] = tuple(SERIES),
    results: str = "",
) -> Iterator:
    """The tree after each pull request."""
    for n, request in enumerate(series, start=1):
        export(tree, checkout, series[:n], results)
        yield tree, request
