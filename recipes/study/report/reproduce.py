"""Everything needed to reproduce a study: commands, versions, checksums."""

import os
import platform
import re
import shlex
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Dict, List, Tuple

import torch

import cry_modules
from recipes.study.data import checksum
from recipes.study.plan import Plan, Run
from recipes.study.report import corpora
from recipes.study.report.results import Results

_PACKAGES = (
    "torch", "torchaudio", "speechbrain", "hyperpyyaml", "scikit-learn",
    "numpy", "scipy", "soundfile", "snakemake", "matplotlib",
)  # fmt: skip


def versions() -> Dict[str, str]:
    """Versions of the software by name."""
    versions_by_name = {
        "cry-ssl": cry_modules.__version__,
        "Python": platform.python_version(),
    }
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions_by_name[name] = version(name)
    return versions_by_name


def hardware() -> str:
    """Processor or GPU of the machine that makes the report."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, no GPU"


def commands(plan: Plan) -> List[Tuple[str, str]]:
    """Name and command of every run, with placeholders for paths."""
    settings = plan.settings
    placeholders = {
        str(settings.output_folder): "STUDY",
        str(settings.recordings_csv): "RECORDINGS_CSV",
        str(settings.cries): "CRIES",
        str(settings.generic): "GENERIC",
    }
    if settings.unlabelled is not None:
        # The same folder as that of the labelled cries, perhaps.
        placeholders.setdefault(str(settings.unlabelled), "UNLABELLED")
    if settings.unlabelled_csv is not None:
        placeholders[str(settings.unlabelled_csv)] = "UNLABELLED_CSV"
    named = []
    for run in plan.runs.values():
        parts = [with_placeholder(part, placeholders) for part in run.command]
        text = shlex.join(["python", *parts])
        named.append((without_fold(run, run.name), without_fold(run, text)))
    return named


def with_placeholder(part: str, placeholders: Dict[str, str]) -> str:
    """Replace the path in a part of a command by its placeholder."""
    option, sign, value = part.rpartition("=")
    # The longest first: a folder may lie within another.
    for path in sorted(placeholders, key=len, reverse=True):
        if value == path or value.startswith(f"{path}/"):
            return f"{option}{sign}{placeholders[path]}{value[len(path) :]}"
    return f"{option}{sign}PLACE" if os.path.isabs(value) else part


def without_fold(run: Run, text: str) -> str:
    """Replace the name of a run's fold in a text: it may reveal a place or a
    date.
    """
    fold = run.facts.get("fold")
    if run.rule == "tables":
        return re.sub(r"--folds( [\w-]+)+", "--folds FOLDS", text)
    if not fold:
        return text
    return re.sub(rf"(?<=[/_]){re.escape(fold)}(?=\.csv|\s|$)", "FOLD", text)


def checksums(results: Results) -> List[Tuple[str, str]]:
    """Name and SHA-256 of the manifests."""
    seed = results.settings.pretraining_seeds[0]
    generic = results.plan.encoder("simclr", seed).folder / "manifest"
    places = [("generic", generic, ("train", "valid"))]
    for task in results.settings.tasks:
        run = results.main_run(task)
        if run is not None:
            folder = corpora.folder_of(run) / "manifest"
            places.append((task.name, folder, ("train", "valid", "test")))
    for name in corpora.adaptations(results.settings):
        folder = corpora.adaptation(results, name).folder / "manifest"
        places.append((name, folder, ("train", "valid")))
    return [
        (f"{name}/{split}.csv", checksum(folder / f"{split}.csv"))
        for name, folder, splits in places
        for split in splits
        if (folder / f"{split}.csv").is_file()
    ]
