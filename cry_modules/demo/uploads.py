"""Uploads of the page: private, without their names, and deleted at the end,
at the latest when the command starts again."""

import fcntl
import os
import re
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List

from data_prep.files.errors import InputError

#: Of an upload, bytes: 10 minutes in any format.
LARGEST = 500_000_000
_PREFIX = "cry_ssl_demo_"


@contextmanager
def private_folder() -> Iterator[Path]:
    """Folder that only this user can read, deleted at the end of the block.

    Folders that killed processes have left are deleted first: a process holds
    a lock on its own as long as it lives.
    """
    _sweep()
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        descriptor = _locked(folder)
        if descriptor is not None:
            break
    try:
        yield folder.resolve()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _sweep():
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        descriptor = _locked(folder)
        if descriptor is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def _locked(folder):
    """Lock a folder of this user; None if it is not, or is in use."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        descriptor = os.open(folder, flags)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        # Another process may have swept it between the two calls.
        if status.st_uid == os.getuid() and status.st_nlink:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


class Uploads:
    """Files that were uploaded to a folder; names are kept in memory only."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.folder.mkdir(mode=0o700)
        self._names: Dict[str, str] = {}

    def name_of(self, path: str) -> str:
        """Name of an upload; any other file of this machine is refused."""
        if not isinstance(path, str) or path not in self._names:
            raise InputError("this is not an upload of this page; upload it")
        return self._names[path]

    def paths(self) -> List[str]:
        """Paths of the uploads that are not scored yet."""
        return list(self._names)

    def delete(self, path: str) -> None:
        """Delete an upload."""
        self._names.pop(path, None)
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)

    async def receive(self, request):
        """Answer the request of an upload, with a list of the file's path."""
        from starlette.responses import JSONResponse, PlainTextResponse

        size = request.headers.get("content-length", "")
        if not size.isdecimal() or int(size) > LARGEST:
            words = f"files have up to {LARGEST // 10**6} MB"
            return PlainTextResponse(words, 413)
        # Large ones are spooled to a file that has no name.
        async with request.form(max_files=1, max_fields=8) as form:
            upload = form.get("files")
            if upload is None or isinstance(upload, str):
                return PlainTextResponse("no file", 400)
            return JSONResponse([self._keep(upload)])

    def _keep(self, upload) -> str:
        name = Path(upload.filename or "").name
        # The format by its suffix, for messages; not what else a dot precedes.
        suffix = re.search(r"\.(\w{2,4})$", name.lower(), re.A)
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        path = str(folder / f"recording{suffix[0] if suffix else ''}")
        with open(path, "xb", opener=_private) as file:
            shutil.copyfileobj(upload.file, file)
        self._names[path] = name
        return path


def _private(path, flags):
    return os.open(path, flags, mode=0o600)
