"""A file of lines of JSON, appended one by one, that a killed command resumes."""

import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from data_prep.files.atomic import cannot_write, make_folder
from data_prep.files.errors import InputError, not_a_file, require
from data_prep.files.shapes import MOST_BYTES

#: Content of a line that is not JSON: a kill has cut it short.
CUT = object()


class JsonLines:
    """Lines of JSON after a header, each on its own; closed by ``with``.

    The file is made with the first line that is appended; one with another
    header is replaced. What a full disk has taken of a line is cut off again.
    """

    def __init__(self, path: Path, header: Dict):
        self.path = Path(path)
        self._header = json.dumps(header, sort_keys=True)
        self._resumes, self._file = False, None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._file is not None:
            self._file.close()

    def _earlier(self) -> Iterator[Tuple[int, Any]]:
        """Yield the numbers and contents of the lines of earlier runs."""
        if not self.path.is_file():
            return
        try:
            with open(self.path, encoding="ascii", errors="replace") as file:
                # In parts, if a line is longer than any entry.
                lines = iter(lambda: file.readline(MOST_BYTES), "")
                first = next(lines, "")
                self._resumes = first.rstrip("\n") == self._header
                if not self._resumes:
                    self._refuse(first)
                    return
                for number, line in enumerate(lines, start=2):
                    if line.strip():
                        yield number, _content(line)
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be read ({error.strerror}); change its "
                "permissions, or delete it"
            )

    def _refuse(self, header: str) -> None:
        """Refuse a file with another header; by default it is replaced."""

    def append(self, content: Any, to_disk: bool = False) -> None:
        """Append a line; with `to_disk` it is there when this returns."""
        try:
            if self._file is None or not self._resumes:
                self._open()
            self._write(json.dumps(content), to_disk)
        except OSError as error:
            raise cannot_write(self.path, error)

    def _open(self) -> None:
        make_folder(self.path.parent)
        require(
            self.path.is_file() or not os.path.lexists(self.path),
            not_a_file(str(self.path)),
            "remove it",
        )
        if self._file is None:
            # Unbuffered: on a full disk, closing would fail a second time.
            self._file = open(self.path, "ab", 0)
        if not self._resumes:
            os.ftruncate(self._file.fileno(), 0)
        # The newline ends a last line that a kill may have cut short.
        self._write("" if self._resumes else self._header, False)
        self._resumes = True

    def _write(self, line: str, to_disk: bool) -> None:
        size = os.fstat(self._file.fileno()).st_size
        data = (line + "\n").encode("ascii")
        try:
            while data:  # a disk may take a part
                data = data[self._file.write(data) :]
            if to_disk:
                os.fsync(self._file.fileno())
        except OSError:
            os.ftruncate(self._file.fileno(), size)
            raise


def _content(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return CUT
