"""Packages that a library imports at once, imported when they are used."""

import sys
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any, Callable

#: SpeechBrain's samplers take one distribution from the package, for one of
#: them; to import it takes 0.8 s, a quarter of the start of a command.
_IMPORTER, _IMPORTED = "speechbrain.dataio.sampler", "scipy.stats"


def import_statistics_later() -> None:
    """Let SpeechBrain's samplers import ``scipy.stats`` when they use it."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class Later:
    """Object of a module, which is imported when an attribute is read.

    Example
    -------
    >>> Later("math", "pi").real
    3.141592653589793
    """

    def __init__(self, module: str, name: str):
        self._place = module, name

    def __getattr__(self, name: str) -> Any:
        module, own = self._place
        return getattr(getattr(import_module(module), own), name)


class _Finder(MetaPathFinder):
    """Finds the importing module as Python does; it runs with a stand-in of
    the imported one, unless that is imported already."""

    def find_spec(self, name, path, target=None):
        if name != _IMPORTER or _IMPORTED in sys.modules:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            run = spec.loader.exec_module
            spec.loader.exec_module = partial(_with_stand_in, run)
        return spec


def _with_stand_in(run: Callable, module: ModuleType) -> None:
    stand_in = ModuleType(_IMPORTED)
    stand_in.__getattr__ = _later
    sys.modules[_IMPORTED] = stand_in
    try:
        run(module)
    finally:
        del sys.modules[_IMPORTED]


def _later(name: str) -> Later:
    if name.startswith("__"):  # as __path__, which only a package has
        raise AttributeError(name)
    return Later(_IMPORTED, name)
