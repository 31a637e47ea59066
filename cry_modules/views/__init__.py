"""Views of a recording: random chunks, then SpecAugment."""

from importlib import import_module

_CLASSES = ("RandomChunks", "SpecAugment", "TimeWarp")


def __getattr__(name: str):
    """Import a class when it is asked for: torch takes seconds."""
    if name not in _CLASSES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.chunks_and_masks"), name)
