"""Runs and models that another version wrote."""

from pathlib import Path

from cry_modules.checkpoints.settings import plain_settings
from data_prep.files.errors import InputError

#: The cure for what the version before this one wrote.
_CURE = "install cry-ssl from commit 285f0bd, or train again"


def written_before(path: Path) -> InputError:
    """Make the error for a run or model that version 0.1.0 wrote."""
    return InputError(f"{path} was written by version 0.1.0; {_CURE}")


def missing_class(path: Path, error: ImportError) -> InputError:
    """The error for a yaml file that names a class that does not exist."""
    return InputError(
        f"{path}: {error}; correct the name, or, if version 0.1.0 wrote the "
        f"file, {_CURE}"
    )


def check_settings_version(path: Path, text: str) -> None:
    """Refuse the resolved yaml file of a run of version 0.1.0.

    Its classes have other paths now, and it names no architecture.
    """
    if "cry_modules." in text and "architecture" not in plain_settings(text):
        raise written_before(path)
