"""Explain a broken Python environment in one line.

A package whose binary library does not fit its neighbours (torchaudio built
for another torch, torch without its CUDA libraries) fails while it is being
imported, before any command can catch the error. So the explanation is given
by ``sys.excepthook``, which ``data_prep/__init__.py`` installs: every command
imports that package before anything that can break.
"""

import sys
from importlib import metadata
from types import TracebackType
from typing import Iterator, Optional, Tuple

#: Packages whose versions decide whether the others load.
_REPORTED = ("torch", "torchaudio", "speechbrain", "numpy")
_OWN = ("cry_modules", "data_prep", "recipes", "tools", "benchmarks")


def install_hook() -> None:
    """Make ``sys.excepthook`` explain a broken environment in one line."""
    previous = sys.excepthook

    def hook(kind, error, traceback):
        package = broken_package(error, traceback)
        if package is not None:
            print(f"error: {explanation(package, error)}", file=sys.stderr)
        elif isinstance(error, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
        else:
            previous(kind, error, traceback)

    sys.excepthook = hook


def broken_package(
    error: BaseException, traceback: Optional[TracebackType]
) -> Optional[str]:
    """Name the installed package whose import raised `error`.

    Example
    -------
    >>> broken_package(ValueError("a mistake of ours"), None)
    """
    frames = list(_frames(traceback))
    if not isinstance(error, Exception) or not frames:
        return None
    installed = metadata.packages_distributions()
    importing = None
    for module, function in frames:
        if module in _OWN:
            importing = None
        elif function == "<module>" and module in installed:
            importing = module
    by_us = frames[-1][0] in _OWN or importing is not None
    if isinstance(error, ModuleNotFoundError) and error.name and by_us:
        missing = error.name.partition(".")[0]
        return None if missing in _OWN else missing
    return importing


def explanation(package: str, error: BaseException) -> str:
    """Say in one line what is broken and how to mend it."""
    while error.__cause__ is not None:  # the loader's own words
        error = error.__cause__
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    versions = ", ".join(f"{name} {_version(name)}" for name in _REPORTED)
    return (
        f"the Python environment is broken: importing {package} failed "
        f"({reason}); installed are {versions}. Install the locked versions "
        "anew: rm -r .venv && make setup, or in an environment of your own "
        "pip install -c constraints.txt -e ."
    )


def _frames(traceback: Optional[TracebackType]) -> Iterator[Tuple[str, str]]:
    """Yield each frame's top-level package and the name of its function."""
    while traceback is not None:
        frame = traceback.tb_frame
        module = str(frame.f_globals.get("__name__"))
        yield module.partition(".")[0], frame.f_code.co_name
        traceback = traceback.tb_next


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
