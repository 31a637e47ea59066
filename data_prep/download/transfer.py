"""Download a file with pooch: resumed where the server can, compared with its
checksum, with one line for whatever goes wrong on the way."""

import logging
import os
import re
import shutil
import time
from pathlib import Path
from typing import Dict
from urllib.parse import urlsplit

from tqdm import tqdm

from data_prep.download.registry import Source
from data_prep.files.errors import InputError, require
from data_prep.files.tables import write_text

logger = logging.getLogger(__name__)

#: Seconds without a byte after which a connection counts as cut, and that a cut
#: one rests.
TIMEOUT_S, REST_S = 60.0, 2.0
_BLOCK = 1 << 16
_AGENT = "cry-ssl data_prep.download"
_CHECKSUM = re.compile("sha256:[0-9a-f]{64}")


def fetch(source: Source, folder: Path) -> Path:
    """Path of a source's file in a folder, downloaded unless it is there.

    Without a published checksum, a file is compared with that of its first
    download (see ``keep_checksum``).
    """
    pooch = import_pooch()
    path = folder / source.file_name
    known = source.checksum or _first_checksum(path)
    try:
        pooch.retrieve(
            source.address,
            known or None,
            fname=path.name,
            path=str(folder),
            downloader=_Resumed(path, bool(source.checksum)),
        )
    except InputError:
        raise
    except ValueError as error:  # of pooch: the hash differs
        logger.debug("pooch: %s", error)
        cure = "run the same command again"
        if not source.checksum:
            cure += f"; if the corpus has a new version, delete {_checksum_file(path)}"
        raise InputError(
            f"{source.address} is not the file with the checksum {known}, so "
            "it was damaged on its way or is another one, and was removed; "
            f"{cure}"
        )
    return path


def keep_checksum(path: Path) -> None:
    """Keep the checksum of a download without a published one, once its content
    was found to be whole."""
    if _checksum_file(path).is_file():
        return
    digest = import_pooch().file_hash(str(path))
    write_text(_checksum_file(path), f"sha256:{digest}\n")
    logger.info(
        "%s: no checksum is published; that of this download is kept in %s, "
        "and another file is refused from now on",
        path.name,
        _checksum_file(path).name,
    )


def import_pooch():
    """The package that downloads, or one line that says how to install it."""
    try:
        import pooch
    except ModuleNotFoundError:
        raise InputError(
            "pooch is not installed, which downloads; install the extra: pip "
            "install 'cry-ssl[download]'"
        )
    pooch.get_logger().setLevel("ERROR")  # its messages say what ours say
    return pooch


def require_space(folder: Path, n_bytes: float, title: str) -> None:
    """Refuse a disk that has less room than so many bytes."""
    free = shutil.disk_usage(folder).free
    require(
        n_bytes <= free,
        f"{folder} has {free / 1e9:.1f} GB free, and {title} needs "
        f"{n_bytes / 1e9:.1f} GB",
        "free some space, or choose another --out",
    )


def by_hand(path: Path, address: str) -> str:
    """Cure where a file cannot be downloaded by this command."""
    return (
        f"download {address} by hand, on another computer if need be, and put "
        f"it at {path}, then run the same command again"
    )


def _checksum_file(path: Path) -> Path:
    """File with the checksum of the first download."""
    return path.with_name(f"{path.name}.checksum")


def _first_checksum(path: Path) -> str:
    file = _checksum_file(path)
    if not file.is_file():
        return ""
    text = file.read_text("ascii", "replace").strip()
    require(
        bool(_CHECKSUM.fullmatch(text)),
        f"{file} holds no checksum",
        f"delete it, and {path.name} too unless you trust it",
    )
    return text


class _Resumed:
    """Downloader for pooch that resumes a half file.

    Without a published checksum only where the server says that the file is
    the same as before (``If-Range``): else halves of two versions would be one
    file.
    """

    def __init__(self, path: Path, has_checksum: bool):
        self.path, self.has_checksum = path, has_checksum
        self.part = path.with_name(f"{path.name}.part")
        self.version = path.with_name(f"{path.name}.part.version")

    def __call__(self, url: str, output_file: str, _) -> None:
        from requests.exceptions import RequestException

        if self.path.is_file():
            logger.warning(
                "%s is not the file with the known checksum; it is downloaded "
                "again",
                self.path,
            )
        most = -1
        while True:
            try:
                self._transfer(url)
                break
            except RequestException as error:
                if self._size() <= max(most, 0):
                    raise self._unreachable(url, error)
                most = self._size()
                logger.warning(
                    "%s: the connection was cut after %.1f MB; resuming",
                    self.path.name,
                    most / 1e6,
                )
                time.sleep(REST_S)
        self.version.unlink(missing_ok=True)
        os.replace(self.part, output_file)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _headers(self, start: int) -> Dict[str, str]:
        headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
        if start and not self.has_checksum and self.version.is_file():
            headers["If-Range"] = self.version.read_text("latin-1").strip()
        if start and (self.has_checksum or "If-Range" in headers):
            headers["Range"] = f"bytes={start}-"
        return headers

    def _transfer(self, url: str) -> None:
        import requests

        start = self._size()
        with requests.get(
            url, headers=self._headers(start), stream=True, timeout=TIMEOUT_S
        ) as answer:
            status = answer.status_code
            place = answer.headers.get("Content-Range", "")
            if start and status == 416 and place.endswith(f"/{start}"):
                return  # the half file is whole
            is_rest = place.startswith(f"bytes {start}-")
            if start and (status == 416 or status == 206 and not is_rest):
                self.part.unlink()  # of another file, or another part
                self._transfer(url)
                return
            self._check(url, answer)
            if start and status == 200:
                logger.warning(
                    "%s: the server cannot resume in the middle of this "
                    "file; the download begins again",
                    self.path.name,
                )
                start = 0
            self._write(answer, start)

    def _write(self, answer, start: int) -> None:
        """Append what comes to the half file, with a progress bar."""
        import requests

        total = answer.headers.get("Content-Length", "")
        total = int(total) + start if total.isdecimal() else None
        if total is not None:
            title = f"the rest of {self.path.name}"
            require_space(self.part.parent, total - start, title)
        if not start:
            version = answer.headers.get("ETag", "")
            if not version.startswith('"'):  # a weak one allows no Range
                version = answer.headers.get("Last-Modified", "")
            self.version.unlink(missing_ok=True)
            if version:
                self.version.write_text(version, "latin-1")
        bar = tqdm(
            desc=self.path.name,
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            dynamic_ncols=True,
        )
        with open(self.part, "ab" if start else "wb") as file, bar:
            for block in answer.iter_content(_BLOCK):
                file.write(block)
                bar.update(len(block))
        if total is not None and self._size() < total:
            raise requests.exceptions.ConnectionError("the answer is too short")

    def _check(self, url: str, answer) -> None:
        """Refuse an answer that is not the file."""
        host, status = urlsplit(url).hostname, answer.status_code
        kind = answer.headers.get("Content-Type", "")
        require(
            status not in (429, 502, 503, 504),
            f"{host} is busy or down (it answers {status})",
            "run the same command again later, or " + by_hand(self.path, url),
        )
        require(
            status in (200, 206),
            f"{url} cannot be had (the server answers {status} "
            f"{answer.reason})",
            by_hand(self.path, url),
        )
        require(
            not kind.startswith("text/html"),
            f"{url} answers with a web page, as the login of a network does",
            "log in by a browser, then run the same command again, or "
            + by_hand(self.path, url),
        )

    def _unreachable(self, url: str, error: Exception) -> InputError:
        logger.debug("requests: %s", error)
        host, kept = urlsplit(url).hostname, self._size()
        reason = type(error).__name__
        state = f"{host} cannot be reached ({reason})"
        if kept:
            state = f"the connection to {host} was lost ({reason}); "
            state += f"{kept / 1e6:.1f} MB are kept"
        return InputError(
            f"{state}; check the network and run the same command again, or "
            f"{by_hand(self.path, url)}"
        )
