"""Journal of results per file, from which an interrupted run resumes."""

import json
import logging
from pathlib import Path
from typing import Any, Dict, Optional

from data_prep.files.fingerprint import Stamp, is_same, stamp
from data_prep.files.json_lines import CUT, JsonLines
from data_prep.files.shapes import Rule, mismatch, whole

logger = logging.getLogger(__name__)

#: Names of files may hold bytes that are not Unicode.
FILE = Rule(lambda name: isinstance(name, str), "a text")
#: Shape of a ``stamp``.
_TIMES = whole(0), whole(-(1 << 63), 1 << 63)
STAMP = ([*_TIMES, whole(0)], [*_TIMES], str)


class Journal(JsonLines):
    """One line of JSON per file, appended as soon as the file is done.

    An entry is valid while its file keeps its content (see ``fingerprint``). A
    line cut short by a kill is ignored, and so is a journal whose first line
    is not ``header``. An entry that is not of ``shape`` (see ``shapes``) is
    ignored with a warning: the work on its file is done again.
    """

    def __init__(self, path: Path, header: Dict, shape: Any = object):
        super().__init__(path, header)
        self._entries, faults = {}, []
        for _, content in self._earlier():
            if content is CUT:
                continue
            fault = mismatch(content, [FILE, STAMP, shape])
            if fault is None:
                name, *entry = content
                self._entries[name] = entry
            else:
                faults.append(f"{json.dumps(content)[:60]!r}: {fault}")
        if faults:
            logger.warning(
                "%s has %d entries that it was not written with (%s); their "
                "files are done again. If that fails, delete it",
                self.path,
                len(faults),
                faults[0],
            )

    def get(
        self, name: str, file: Path, by_time: bool = False
    ) -> Optional[Dict]:
        """Entry of a file, None if absent or if the file has changed (see
        ``fingerprint.is_same``)."""
        if name not in self._entries:
            return None
        file_stamp, entry = self._entries[name]
        return entry if is_same(file_stamp, file, by_time) else None

    def stamp_of(self, name: str) -> Stamp:
        """Stamp of a file with an entry."""
        return self._entries[name][0]

    def add(self, name: str, file: Path, entry: Dict) -> None:
        """Append the entry of a file, and its stamp."""
        self._entries[name] = [stamp(file), entry]
        self.append([name, *self._entries[name]])
