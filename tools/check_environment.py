#!/usr/bin/env python3
"""Import what the commands import: the last step of ``make setup``.

What is broken, and what to do, is one line (``data_prep/files/environment.py``).
"""

import platform
import sys
from importlib import import_module, metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import data_prep  # noqa: E402, F401 (explains a broken environment)

COMMANDS = (
    "recipes.simclr.train_simclr",
    "recipes.adaptation.train_adapt",
    "recipes.classification.train_cls",
    "recipes.study.run",
    "recipes.study.report.page",
    "data_prep.audit",
    "data_prep.confounds",
    "cry_modules.inference",
    "snakemake",
)


def main() -> None:
    """Import every command, then print the versions that were imported."""
    for command in COMMANDS:
        import_module(command)
    versions = ", ".join(
        f"{name} {metadata.version(name)}"
        for name in ("torch", "torchaudio", "speechbrain")
    )
    print(f"ready: Python {platform.python_version()}, {versions}")


if __name__ == "__main__":
    main()
