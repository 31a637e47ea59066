"""Which modules are commands: ``python -m`` of another one is an error, where
Python would run its definitions and say nothing."""

import re
import sys
from pathlib import Path
from typing import List, Optional, Sequence

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("data_prep", "cry_modules", "recipes", "benchmarks", "tools")
_RUNS = re.compile(r"""^if __name__ == ["']__main__["']:""", re.MULTILINE)
#: Options of Python that take another argument.
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")


def refuse_other_modules(arguments: Sequence[str]) -> None:
    """Exit with one line if this process was started as ``python -m MODULE``,
    or ``python FILE``, of a module of this project that is not a command.

    ``arguments`` are ``sys.orig_argv``.
    """
    path = started(arguments)
    if path is None or path.name == "__main__.py" or _is_command(path):
        return
    parts = path.relative_to(_ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    package = parts[0]
    known = ", ".join(commands(package)) or "see the README"
    print(
        f"error: {'.'.join(parts)} is not a command; those of {package} are "
        f"{known}",
        file=sys.stderr,
    )
    raise SystemExit(2)


def started(arguments: Sequence[str]) -> Optional[Path]:
    """File of this project that Python was started with, if any.

    Example
    -------
    >>> started(["python", "-X", "dev", "-m", "data_prep.audit", "a"]).name
    'audit.py'
    >>> started(["python", "-c", "pass"]), started(["python", "-m", "pytest"])
    (None, None)
    """
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in _WITH_VALUE:
            next(rest, None)
        elif argument == "-m":
            return _source(next(rest, ""))
        elif not argument.startswith("-"):
            path = Path(argument).resolve()
            folders = [_ROOT / name for name in _PACKAGES]
            is_own = any(map(path.is_relative_to, folders))
            return path if is_own and path.suffix == ".py" else None
        elif argument.startswith("-c") or argument == "-":
            return None
    return None


def _source(module: str) -> Optional[Path]:
    """File that ``python -m`` runs; of a package without a command, its
    ``__init__.py``."""
    parts = module.split(".")
    if parts[0] not in _PACKAGES:
        return None
    path = _ROOT.joinpath(*parts)
    for file in (path / "__main__.py", path / "__init__.py"):
        if file.is_file():
            return file
    path = path.with_suffix(".py")
    return path if path.is_file() else None


def _is_command(path: Path) -> bool:
    return bool(_RUNS.search(path.read_text("utf-8", "ignore")))


def commands(package: str) -> List[str]:
    """Modules of a package that ``python -m`` runs."""
    names = set()
    for path in (_ROOT / package).rglob("*.py"):
        parts = path.relative_to(_ROOT).with_suffix("").parts
        if parts[-1] == "__main__":
            names.add(".".join(parts[:-1]))
        elif _is_command(path):
            names.add(".".join(parts))
    return sorted(names)
