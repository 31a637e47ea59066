"""Answers to the requests of the page."""

import json
import re
import secrets
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Dict, Optional, Tuple

import jinja2

from cry_modules.demo.server import NO_TOKEN, NOT_OURS, PRIVATE, is_of_this_page
from cry_modules.review.clip import Clip, wav
from cry_modules.review.picture import axes_of, draw
from cry_modules.review.session import Changed, Session, unusable
from data_prep.annotations.options import Options
from data_prep.files.errors import InputError

#: What the page may load: its own parts from this server.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_FOLDER = Path(__file__).parent
_PARTS = {
    "page.js": ("page.js.j2", "text/javascript; charset=utf-8"),
    "page.css": ("page.css.j2", "text/css; charset=utf-8"),
}
_LONGEST_BODY = 1 << 16  # bytes
_RANGE = re.compile(r"bytes=(?=\d|-\d)(\d{0,18})-(\d{0,18})")
_CASE = re.compile(
    r"(case|audio)/(\d{1,9})|picture/(\d{1,9})/(light|dark)-(wide|narrow)"
)


class Server(ThreadingHTTPServer):
    """HTTP server of one review, on a socket that only this machine reaches."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, session: Session, token: str):
        address = listening.getsockname()
        super().__init__(address, Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.session, self.token = session, token

    def handle_error(self, request, client_address):
        """Report a fault of the program, but no browser that has left."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answer requests below ``/<token>/``; the others get status 403."""

    protocol_version = "HTTP/1.1"
    server_version = sys_version = ""
    timeout = 60
    server: Server

    def log_message(self, *_):
        """Log nothing: requests are those of a person at work."""

    def do_GET(self):
        """Answer a request for the page or a part of it."""
        path = self._path()
        if path is None:
            return
        if path == "":
            self._send(
                200, _page(self.server.session), "text/html; charset=utf-8"
            )
        elif path in _PARTS:
            name, kind = _PARTS[path]
            self._send(200, (_FOLDER / name).read_bytes(), kind)
        elif path == "case":
            self._json(200, self.server.session.show())
        elif match := _CASE.fullmatch(path):
            self._case(int(match[2] or match[3]), match)
        else:
            self._error(404, "there is nothing at this address")

    def do_POST(self):
        """Store a decision, or undo one."""
        self.close_connection = True  # the body may be left unread
        path = self._path()
        if path is None:
            return
        session = self.server.session
        try:
            if path == "decide":
                self._json(200, session.decide(self._body()))
            elif path == "undo":
                self._json(200, session.undo())
            else:
                self._error(404, "there is nothing at this address")
        except Changed as reason:
            self._json(409, {"error": str(reason)})
        except InputError as reason:
            self._json(400, {"error": str(reason)})

    def _path(self) -> Optional[str]:
        """Path below the token; None if the request was refused."""
        host = self.headers.get("host", "")
        if not is_of_this_page(host, self.headers.get("origin")):
            self._error(403, NOT_OURS)
            return None
        path = self.path.partition("?")[0]
        token, slash, rest = path.removeprefix("/").partition("/")
        expected = self.server.token.encode()
        is_right = secrets.compare_digest(token.encode(), expected)
        if not is_right or not slash:
            self._error(403, NO_TOKEN)
            return None
        return rest

    def _body(self) -> Dict:
        size = self.headers.get("content-length", "")
        if not size.isdecimal() or int(size) > _LONGEST_BODY:
            raise InputError("the decision is too long; shorten the note")
        try:
            return json.loads(self.rfile.read(int(size)))
        except (ValueError, RecursionError):
            raise InputError("the decision is not JSON; reload the page")

    def _case(self, n: int, match: re.Match) -> None:
        """Answer with a case, its audio or its picture."""
        session = self.server.session
        try:
            if match[1] == "case":
                self._json(200, session.show(n))
            elif match[1] == "audio":
                self._audio(session.clip(n))
            else:
                how = match[4] == "dark", match[5] == "narrow"
                picture = draw(session.clip(n), session.case(n).span, *how)
                self._send(200, picture, "image/png")
        except ConnectionError:
            raise
        except Exception as error:
            reason = unusable(error)
            if reason is None:
                raise
            self._error(404, reason)

    def _audio(self, clip: Clip) -> None:
        """Answer with the requested bytes, so that a browser can seek."""
        content, wanted = wav(clip), self.headers.get("range", "")
        span = byte_range(wanted, len(content))
        if span is None:
            headers = {"content-range": f"bytes */{len(content)}"}
            self._send(416, b"", "text/plain", headers)
            return
        begin, end = span
        status, headers = 200, {"accept-ranges": "bytes"}
        if _RANGE.fullmatch(wanted):
            place = f"bytes {begin}-{end - 1}/{len(content)}"
            status, headers["content-range"] = 206, place
        self._send(status, content[begin:end], "audio/wav", headers)

    def _error(self, status: int, words: str) -> None:
        self._send(status, words.encode(), "text/plain; charset=utf-8")

    def _json(self, status: int, content: Dict) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status, content: bytes, kind: str, headers=None) -> None:
        self.send_response_only(status)
        always = {
            "content-type": kind,
            "content-length": str(len(content)),
            "content-security-policy": _POLICY,
            "x-content-type-options": "nosniff",
        }
        if self.close_connection:
            always["connection"] = "close"
        for name, value in {**always, **PRIVATE, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def byte_range(header: str, size: int) -> Optional[Tuple[int, int]]:
    """Begin and end of the bytes that a header ``Range`` asks for; all of them
    without one that is understood; None if they do not exist.

    Example
    -------
    >>> byte_range("bytes=2-3", 10), byte_range("bytes=-4", 10)
    ((2, 4), (6, 10))
    """
    match = _RANGE.fullmatch(header)
    if match is None:
        return 0, size
    if not match[1]:
        begin, end = max(0, size - int(match[2])), size
    else:
        begin = int(match[1])
        end = min(size, int(match[2]) + 1) if match[2] else size
    return (begin, end) if begin < end else None


def _page(session: Session) -> bytes:
    loader = jinja2.FileSystemLoader(_FOLDER)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("page.html.j2").render(
        **session.settings._asdict(),
        is_events=session.is_events,
        negative=Options.negative_label,
        wide=axes_of(False),
        narrow=axes_of(True),
    )
    return page.encode(errors="backslashreplace")  # names of files
