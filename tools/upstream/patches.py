"""The series as patches that ``git am`` applies, one per pull request."""

import shutil
import tempfile
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

from data_prep.files.errors import InputError
from tools.upstream.checked_copy import (
    add_tree,
    files_of,
    git,
    ignored,
    make_repository,
)
from tools.upstream.fixes import fixes
from tools.upstream.layout import export
from tools.upstream.series import SERIES, PullRequest


def commit(folder: Path, tree: Path, request: PullRequest) -> None:
    """Lay a tree over a repository, and commit the new files."""
    lost = ignored(folder, list(files_of(tree)))
    if lost:
        raise InputError(
            f"{lost[0]} would be left out of the commit: SpeechBrain's "
            ".gitignore names it; choose another name"
        )
    add_tree(tree, folder)
    message = f"{request.title}\n\n{request.description}"
    git(folder, "commit", "-q", "-m", message)


def write_patches(
    checkout: Path,
    out: Path,
    series: Sequence[PullRequest] = tuple(SERIES),
    results: str = "",
) -> List[Path]:
    """Write a patch per pull request, and check that they apply."""
    out = _new_folder(out)
    with tempfile.TemporaryDirectory() as scratch:
        made, again = Path(scratch, "made"), Path(scratch, "again")
        make_repository(checkout, made)
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
            raise InputError(f"the patches in {out} give another tree")
    return patches


def _new_folder(out: Path) -> Path:
    # Earlier patches in the same folder would be applied as well.
    if Path(out).exists() and (Path(out).is_file() or any(Path(out).iterdir())):
        raise InputError(f"{out} is not empty; pass a new folder")
    Path(out).mkdir(parents=True, exist_ok=True)
    return Path(out)


def write_fixes(checkout: Path, out: Path) -> List[Path]:
    """Write two patches per optional fix: a test that fails, then the fix.

    They apply to the checkout, without the series.
    """
    patches, out = [], _new_folder(out)
    with tempfile.TemporaryDirectory() as scratch:
        repository = Path(scratch, "made")
        make_repository(checkout, repository)
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
) -> Iterator[Tuple[Path, PullRequest]]:
    """Export the series up to each pull request in turn, and yield the tree
    (always the same folder) and the pull request."""
    for n, request in enumerate(series, start=1):
        export(tree, checkout, series[:n], results)
        yield tree, request
