"""Entries of tables and folders of annotations, found by their recording."""

from typing import Dict, Generic, List, Mapping, Optional, TypeVar

from cry_modules.metrics.sound_events.lists import Name, name_of
from data_prep.files.errors import require

T = TypeVar("T")


class ByRecording(Generic[T]):
    """Entries by the name of a recording, with or without folders and suffix:
    ``night`` and ``baby1/night.wav`` are one, ``baby2/night.wav`` is another.

    Example
    -------
    >>> starts = ByRecording({"baby1/night.wav": 1, "day": 2}, "starts.csv")
    >>> starts("x/baby1/night.flac"), starts("day.wav"), starts("b/night.wav")
    (1, 2, None)
    """

    def __init__(self, entries: Mapping[str, T], where: str):
        self._entries, self._where = entries, where
        self._names: Dict[str, List[Name]] = {}
        for name in map(name_of, entries):
            self._names.setdefault(name.parts[-1], []).append(name)

    def __call__(self, path: str) -> Optional[T]:
        """Entry of a recording; None without one."""
        parts = name_of(path).parts
        agreeing: Dict[int, List[Name]] = {}
        for name in self._names.get(parts[-1], []):
            n = min(len(name.parts), len(parts))
            if name.parts[-n:] == parts[-n:]:
                agreeing.setdefault(n, []).append(name)
        if not agreeing:
            return None
        first, *others = agreeing[max(agreeing)]
        require(
            not others,
            f"{self._where} has {len(others) + 1} entries for {path}, such as "
            f"{first.text}",
            "keep one, or name the recording with its folder",
        )
        return self._entries[first.text]
