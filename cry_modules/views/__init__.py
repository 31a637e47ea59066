"""Views of a recording: random chunks, then SpecAugment."""

_CLASSES = ("RandomChunks", "SpecAugment", "TimeWarp")


def __getattr__(name: str):
    """Import a class when it is asked for: torch takes seconds."""
    if name not in _CLASSES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from cry_modules.views.chunks_and_masks import chunks_and_masks

    return getattr(chunks_and_masks, name)
