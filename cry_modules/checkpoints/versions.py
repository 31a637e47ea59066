"""Runs and models that another version wrote."""

from pathlib import Path

from cry_modules.checkpoints.settings import plain_settings
from data_prep.files.errors import InputError

#: The version before this one, and the cure for what it wrote.
_BEFORE = "0.1.0"
_CURE = (
    "install cry-ssl 0.1.0 (git tag v0.1.0 or commit 285f0bd) or train again"
)


def written_before(path: Path) -> InputError:
    """The error for a run or model of version 0.1.0."""
    return InputError(f"{path} was written by version {_BEFORE}; {_CURE}")


def missing_class(path: Path, error: ImportError) -> InputError:
    """The error for a yaml file that names a class that does not exist."""
    return InputError(
        f"{path}: {error}; correct the name, or, if version {_BEFORE} wrote "
        f"the file, {_CURE}"
    )


def check_settings_version(path: Path, text: str) -> None:
    """Refuse the resolved yaml file of a run of version 0.1.0.

    Its classes have other paths now, and it names no architecture.

    Example
    -------
    >>> check_settings_version(Path("a/hyperparams.yaml"), "lr: 1")
    >>> old = "width: 8\\nbase: {net: !new:cry_modules.cnn14.Cnn14 {}}"
    >>> check_settings_version(Path("a/hyperparams.yaml"), old)
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: a/hyperparams.yaml was written by version 0.1.0; install cry-ssl 0.1.0 (git tag v0.1.0 or commit 285f0bd) or train again
    """
    if "cry_modules." in text and "architecture" not in plain_settings(text):
        raise written_before(path)
