"""Runs and models that another version wrote."""

from pathlib import Path

from cry_modules.checkpoints.settings import plain_settings
from data_prep.files.errors import InputError


def written_before(path: Path) -> InputError:
    """The error for a run or model of version 0.1.0."""
    return InputError(
        f"{path} was written by version 0.1.0; install cry-ssl from commit "
        "285f0bd, or train again"
    )


def check_settings_version(path: Path, text: str) -> None:
    """Refuse the resolved yaml file of a run of version 0.1.0.

    Its classes have other paths now, and it names no architecture.
    """
    if "cry_modules." in text and "architecture" not in plain_settings(text):
        raise written_before(path)
