"""What was found out about each file, kept as it is found out, so that long
work over many files can be interrupted and goes on.
"""

import json
from pathlib import Path
from typing import Dict, List, Optional, Union

from data_prep.files.atomic import cannot_write, make_folder


class Journal:
    """One line of JSON a file, appended as soon as the file is done.

    An entry counts as long as its file has the size and the time of change
    that it had; a line cut short by a kill does not count.

    Example
    -------
    >>> tmp = Path(getfixture("tmpdir"))
    >>> _ = (tmp / "a.wav").write_bytes(b"12")
    >>> with Journal(tmp / "journal.jsonl", {"version": 1}) as journal:
    ...     journal.add("a.wav", tmp / "a.wav", {"seconds": 3})
    >>> with Journal(tmp / "journal.jsonl", {"version": 1}) as journal:
    ...     journal.get("a.wav", tmp / "a.wav")
    {'seconds': 3}
    """

    def __init__(self, path: Path, about: Dict):
        self.path = Path(path)
        self._about = json.dumps(about, sort_keys=True)
        self._entries = {}
        self._goes_on = self._read()
        self._file = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._file is not None:
            self._file.close()

    def _read(self) -> bool:
        if not self.path.is_file():
            return False
        with open(self.path, encoding="ascii", errors="replace") as file:
            if file.readline().rstrip("\n") != self._about:
                return False
            for line in file:
                try:
                    name, then, found = json.loads(line)
                except ValueError:
                    continue
                self._entries[name] = (then, found)
        return True

    def _open(self):
        make_folder(self.path.parent)
        # No buffer: on a full disk closing would fail once more.
        self._file = open(self.path, "ab" if self._goes_on else "wb", 0)
        # Ends the last line, which a kill may have cut short.
        self._write("" if self._goes_on else self._about)

    def _write(self, line: str):
        self._file.write((line + "\n").encode("ascii"))

    def get(self, name: str, file: Path) -> Optional[Dict]:
        """What is known of a file."""
        if name not in self._entries:
            return None
        then, found = self._entries[name]
        return found if then == stamp(file) else None

    def add(self, name: str, file: Path, found: Dict) -> None:
        """Write down what was found out about a file."""
        now = stamp(file)
        self._entries[name] = (now, found)
        try:
            if self._file is None:
                self._open()
            self._write(json.dumps([name, now, found]))
        except OSError as error:
            raise cannot_write(self.path, error)


def stamp(file: Path) -> Union[List[int], str]:
    """What tells a file from what it was before: size and time of change.

    Example
    -------
    >>> stamp(Path("no.wav"))
    'unreadable'
    """
    try:
        status = Path(file).stat()
    except OSError:
        return "unreadable"
    return [status.st_size, status.st_mtime_ns]
