"""All that it takes to make a study again: commands, versions, checksums."""

import os
import platform
import re
import shlex
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch

import cry_modules
from recipes.study import corpora
from recipes.study.data import checksum
from recipes.study.plan import Plan, Run
from recipes.study.report.results import Results

_PACKAGES = (
    "torch", "torchaudio", "speechbrain", "hyperpyyaml", "scikit-learn",
    "numpy", "scipy", "soundfile", "snakemake", "matplotlib",
)  # fmt: skip
_ROOT = Path(__file__).resolve().parents[3]


def versions() -> Dict[str, str]:
    """Of what the study was made with, by name.

    Example
    -------
    >>> versions()["cry-ssl"] == cry_modules.__version__
    True
    """
    found = {
        "cry-ssl": cry_modules.__version__,
        "Python": platform.python_version(),
    }
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> str:
    """The machine that the report was made on, without its name."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, no GPU"


def commit() -> Optional[str]:
    """Of git, with "+ changes" where files differ from it; None without."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + (" + changes that are in no commit" if changed else "")


def _git(*arguments) -> str:
    return subprocess.run(
        ["git", "-C", str(_ROOT), *arguments],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def commands(plan: Plan) -> List[Tuple[str, str]]:
    """Name and command of every run, with general places for one's own."""
    settings = plan.settings
    places = {
        str(settings.output_folder): "STUDY",
        str(settings.recordings_csv): "RECORDINGS_CSV",
        str(settings.cries): "CRIES",
        str(settings.generic): "GENERIC",
    }
    if settings.unlabelled_csv is not None:
        places[str(settings.unlabelled_csv)] = "UNLABELLED_CSV"
    found = []
    for run in plan.runs.values():
        parts = [_in_general(part, places) for part in run.command]
        text = " ".join(map(shlex.quote, ["python", *parts]))
        found.append((without_fold(run, run.name), without_fold(run, text)))
    return found


def _in_general(part: str, places: Dict[str, str]) -> str:
    """A part of a command, its place by name."""
    option, sign, value = part.rpartition("=")
    # The longest first: a place may lie within another.
    for place in sorted(places, key=len, reverse=True):
        if value == place or value.startswith(f"{place}/"):
            return f"{option}{sign}{places[place]}{value[len(place) :]}"
    return f"{option}{sign}PLACE" if os.path.isabs(value) else part


def without_fold(run: Run, text: str) -> str:
    """A text about a run without its fold's name, which may tell a place or a
    date.
    """
    fold = run.facts.get("fold")
    if not fold:
        return text if run.rule != "tables" else re.sub(
            r"--folds( [\w-]+)+", "--folds FOLDS", text
        )  # fmt: skip
    return re.sub(rf"(?<=[/_]){re.escape(fold)}(?=\.csv|\s|$)", "FOLD", text)


def checksums(results: Results) -> List[Tuple[str, str]]:
    """SHA-256 of the manifests: what was heard, not whose it is."""
    found = []
    seed = results.settings.pretraining_seeds[0]
    generic = results.plan.encoder("simclr", seed).folder / "manifest"
    places = [("generic", generic, ("train", "valid"))]
    for task in results.settings.tasks:
        run = results.main_run(task)
        if run is not None:
            folder = corpora.folder_of(run) / "manifest"
            places.append((task.name, folder, ("train", "valid", "test")))
    for name in corpora.CRIES:
        run = corpora.adaptation(results, name)
        if run is not None:
            places.append((name, run.folder / "manifest", ("train", "valid")))
    for name, folder, splits in places:
        for split in splits:
            path = folder / f"{split}.csv"
            if path.is_file():
                found.append((f"{name}/{split}.csv", checksum(path)))
    return found
