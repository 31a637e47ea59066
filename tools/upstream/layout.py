"""Write the files of pull requests as a tree."""

import csv
import os
import shutil
import sys
from pathlib import Path
from typing import Dict, List, Sequence

from data_prep.files.errors import InputError
from tools.upstream.checked_copy import files_of
from tools.upstream.processes import run
from tools.upstream.render import File, Homes, finished
from tools.upstream.samples import make_sample
from tools.upstream.series import CSV_COLUMNS, SERIES, PullRequest
from tools.upstream.source import ROOT


def export(
    out: Path,
    checkout: Path,
    series: Sequence[PullRequest],
    results: str = "",
) -> None:
    """Write the files, links, rows and samples of some pull requests."""
    texts = rendered(checkout, series, results)
    _make_empty(Path(out))
    for path, text in texts.items():
        target = Path(out, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        if text.startswith("#!"):
            target.chmod(0o755)
    for request in series:
        for link, to in request.links:
            Path(out, link).parent.mkdir(parents=True, exist_ok=True)
            os.symlink(to, Path(out, link))
        for name in request.samples:
            make_sample(name, Path(out, "tests/samples", name))
    _write_rows(Path(out), series, results)
    _tidy(Path(out))


def rendered(
    checkout: Path, series: Sequence[PullRequest], results: str = ""
) -> Dict[str, str]:
    """Text of each file of some pull requests."""
    names = {request.name for request in series}
    paths = {path: None for request in series for path in request.files}
    files = [File(path, names, checkout, results) for path in paths]
    homes = Homes(files)
    return {file.target: finished(file, homes) for file in files}


def up_to(name: str) -> List[PullRequest]:
    """A pull request and all before it."""
    names = [request.name for request in SERIES]
    if name not in names:
        raise InputError(f"--upto is {name!r}; pass one of {', '.join(names)}")
    return SERIES[: names.index(name) + 1]


def _make_empty(out: Path) -> None:
    """Empty a folder, or refuse one that holds files of other origin."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; pass a folder to write to")
    known = {path for request in SERIES for path in request.files}
    for request in SERIES:
        known |= {link for link, _ in request.links}
        known |= {f"tests/recipes/{row['Dataset']}.csv" for row in request.rows}
    samples = tuple(
        f"tests/samples/{name}/"
        for request in SERIES
        for name in request.samples
    )
    for file in [".git"] * (out / ".git").exists() + sorted(files_of(out)):
        if file not in known and not file.startswith(samples):
            raise InputError(
                f"{out} holds other files, such as {file}; pass a new folder "
                "to write to"
            )
    if out.is_dir():
        shutil.rmtree(out)
    out.mkdir(parents=True)


def _write_rows(out: Path, series: Sequence[PullRequest], results: str) -> None:
    rows: Dict[str, List[Dict]] = {}
    for request in series:
        for row in request.rows:
            rows.setdefault(row["Dataset"], []).append(
                {**row, "Result_url": results}
            )
    for dataset, fields in rows.items():
        path = out / f"tests/recipes/{dataset}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(fields)


def _tidy(out: Path) -> None:
    """Sort imports and format lines as SpeechBrain does; refuse undefined
    names."""
    files = sorted(map(str, out.rglob("*.py")))
    settings = [
        "--no-cache",
        "--quiet",
        "--config",
        str(ROOT / "pyproject.toml"),
    ]
    first_party = "lint.isort.known-first-party=['speechbrain']"
    for command in (
        ["check", "--fix", "--select", "F401,I", "--config", first_party],
        ["format"],
        ["check", "--select", "F821,F822,F823,F811"],
    ):
        ruff = (sys.executable, "-m", "ruff", *command, *settings, *files)
        status, output = run(Path.cwd(), *ruff)
        if status:
            raise InputError(
                f"ruff {command[0]} fails on the files in {out}; correct the "
                f"templates:\n{output.strip()}"
            )
