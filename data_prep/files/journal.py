"""Journal of results per file, from which an interrupted run resumes."""

import json
import logging
from pathlib import Path
from typing import Any, Dict, Optional

from data_prep.files.atomic import cannot_write, make_folder
from data_prep.files.errors import InputError, not_a_file, require
from data_prep.files.fingerprint import Stamp, is_same, stamp
from data_prep.files.shapes import MOST_BYTES, Rule, mismatch, whole

logger = logging.getLogger(__name__)

#: Names of files may hold bytes that are not Unicode.
FILE = Rule(lambda name: isinstance(name, str), "a text")
#: Shape of a ``stamp``.
_TIMES = whole(0), whole(-(1 << 63), 1 << 63)
STAMP = ([*_TIMES, whole(0)], [*_TIMES], str)


class Journal:
    """One line of JSON per file, appended as soon as the file is done.

    An entry is valid while its file keeps its content (see ``fingerprint``). A
    line cut short by a kill is ignored, and so is a journal whose first line
    is not ``header``. An entry that is not of ``shape`` (see ``shapes``) is
    ignored with a warning: the work on its file is done again.
    """

    def __init__(self, path: Path, header: Dict, shape: Any = object):
        self.path = Path(path)
        self._header = json.dumps(header, sort_keys=True)
        self._shape = [FILE, STAMP, shape]
        self._entries = {}
        self._resumes = self._read()
        self._file = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._file is not None:
            self._file.close()

    def _read(self) -> bool:
        if not self.path.is_file():
            return False
        try:
            with open(self.path, encoding="ascii", errors="replace") as file:
                if file.readline(MOST_BYTES).rstrip("\n") != self._header:
                    return False
                # In parts, if a line is longer than any entry.
                lines = iter(lambda: file.readline(MOST_BYTES), "")
                faults = list(filter(None, map(self._fault, lines)))
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be read ({error.strerror}); change its "
                "permissions, or delete it"
            )
        if faults:
            logger.warning(
                "%s has %d entries that it was not written with (%s); their "
                "files are done again. If that fails, delete it",
                self.path,
                len(faults),
                faults[0],
            )
        return True

    def _fault(self, line: str) -> Optional[str]:
        """Keep the entry of a line, or return what is wrong with it."""
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):  # cut short by a kill
            return None
        fault = mismatch(content, self._shape)
        if fault is None:
            name, file_stamp, entry = content
            self._entries[name] = (file_stamp, entry)
        return fault and f"{line[:60]!r}: {fault}"

    def _open(self):
        make_folder(self.path.parent)
        require(
            self.path.is_file() or not self.path.exists(),
            not_a_file(str(self.path)),
            "remove it",
        )
        # Unbuffered: on a full disk, closing would fail a second time.
        self._file = open(self.path, "ab" if self._resumes else "wb", 0)
        # The newline ends a last line that a kill may have cut short.
        self._write("" if self._resumes else self._header)

    def _write(self, line: str):
        self._file.write((line + "\n").encode("ascii"))

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
        file_stamp = stamp(file)
        self._entries[name] = (file_stamp, entry)
        try:
            if self._file is None:
                self._open()
            self._write(json.dumps([name, file_stamp, entry]))
        except OSError as error:
            raise cannot_write(self.path, error)
