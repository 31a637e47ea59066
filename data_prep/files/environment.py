"""One-line errors of a broken environment, and of output that nobody reads.

A package whose binary library does not fit the others (torchaudio built for
another torch, torch without its CUDA libraries) fails during import, before a
command can catch the error. So the explanation comes from ``sys.excepthook``,
which ``data_prep/__init__.py`` sets: every command imports that package first.
"""

import atexit
import sys
from importlib import metadata
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Optional

from data_prep.files.standard_streams import close_broken_streams

#: Packages whose versions must match for the others to load.
_REPORTED = ("torch", "torchaudio", "speechbrain", "numpy")
_PROJECT = ("cry_modules", "data_prep", "recipes", "tools", "benchmarks")
_OLDEST = (3, 11)
#: Environment that `make setup` makes.
_OURS = Path(__file__).parents[2] / ".venv"


def require_python() -> None:
    """Exit with one line where Python is older than this project's."""
    if sys.version_info < _OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        oldest = ".".join(map(str, _OLDEST))
        print(
            f"error: this is Python {found}, and the project needs {oldest} or "
            f"newer; {_cure()}",
            file=sys.stderr,
        )
        raise SystemExit(1)


def install_hook() -> None:
    """Make ``sys.excepthook`` explain a broken environment in one line, and the
    end of a command quiet if nobody reads what it prints (``--help | head``)."""
    previous = sys.excepthook

    def hook(kind, error, traceback):
        package = broken_package(error, traceback)
        if package is not None:
            print(f"error: {explanation(package, error)}", file=sys.stderr)
        elif isinstance(error, KeyboardInterrupt):
            print("Interrupted.", file=sys.stderr)
        elif isinstance(error, BrokenPipeError) and close_broken_streams():
            pass
        else:
            previous(kind, error, traceback)

    sys.excepthook = hook
    # Python's own flush at the end would report the broken pipe.
    atexit.register(close_broken_streams)


def broken_package(
    error: BaseException, traceback: Optional[TracebackType]
) -> Optional[str]:
    """Name the installed package whose import raised `error`."""
    frames = [
        (str(f.f_globals.get("__name__")).partition(".")[0], f.f_code.co_name)
        for f, _ in walk_tb(traceback)
    ]
    if not isinstance(error, Exception) or not frames:
        return None
    installed = metadata.packages_distributions()
    importing = None
    for module, function in frames:
        if module in _PROJECT:
            importing = None
        elif function == "<module>" and module in installed:
            importing = module
    imported = frames[-1][0] in _PROJECT or importing is not None
    if isinstance(error, ModuleNotFoundError) and error.name and imported:
        missing = error.name.partition(".")[0]
        return None if missing in _PROJECT else missing
    return importing


def explanation(package: str, error: BaseException) -> str:
    """One line: the broken package, the reason, the cure."""
    while error.__cause__ is not None:  # the loader's message
        error = error.__cause__
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    versions = ", ".join(f"{name} {_version(name)}" for name in _REPORTED)
    return (
        f"the Python environment is broken: importing {package} failed "
        f"({reason}); installed: {versions}; {_cure()}"
    )


def _cure() -> str:
    """How to get the locked versions: by the project's own environment where
    another one was started."""
    if _OURS.is_dir() and _OURS.resolve() != Path(sys.prefix).resolve():
        return (
            f"{sys.executable} is not the project's Python: type source "
            ".venv/bin/activate first, or pip install -c constraints.txt -e . "
            "into your own environment"
        )
    return (
        "reinstall the locked versions: rm -r .venv && make setup, or in your "
        "own environment pip install -c constraints.txt -e ."
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
