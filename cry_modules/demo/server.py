"""A web server that only this machine can reach, and that stores nothing."""

import signal
import socket
import webbrowser
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator, Optional

from data_prep.files.errors import InputError, require
from data_prep.files.tables import write_text

HOST = "127.0.0.1"
#: Sources that a browser may load the page's parts from: this server, and the
#: page itself.
_POLICY = (
    "default-src 'self' data: blob:; frame-ancestors 'none'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'"
)
#: Hosts in requests from this machine. Another name that resolves to this
#: address may belong to a web site (DNS rebinding).
_NAMES = (HOST, "localhost")
#: Headers of every answer: browsers store nothing, and tell no other site.
PRIVATE = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
#: Answers, with status 403, to requests of other sites and without the token.
NOT_OURS = "only for the page itself"
NO_TOKEN = "open the address that the command printed, with its token"


def listen(port: int) -> socket.socket:
    """Listen on a port that only this machine can reach."""
    require(0 <= port <= 65535, f"--port is {port}", "pass 1024 to 65535")
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((HOST, port))
        server.listen()
    except OSError as error:
        server.close()
        raise InputError(
            f"--port {port} cannot be used ({error.strerror}); pass another, "
            "or 0 for any free one"
        )
    return server


def announce(url: str, folder: Path, is_opened: bool) -> None:
    """Print the address of a page and, if wished, open it in a browser by a
    file in a private folder."""
    print(
        f"listening for this machine only; open {url} (Ctrl-C ends it)",
        flush=True,
    )
    if is_opened:
        # Others see the address in the list of processes, if it is passed.
        start = folder / "open.html"
        refresh = f'<meta http-equiv="refresh" content="0; url={url}">'
        write_text(start, refresh)
        webbrowser.open(start.as_uri())


def is_of_this_page(host: str, origin: Optional[str]) -> bool:
    """Check that a request with these headers comes from this machine's page,
    not from another site's."""
    is_named = host.rsplit(":", 1)[0] in _NAMES
    return is_named and origin in (None, f"http://{host}")


@contextmanager
def until_signal() -> Iterator[None]:
    """Context manager that ends its block without an error at Ctrl-C, SIGTERM
    or a closed terminal."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(*_):
        for name in names:  # during the clean-up
            # Not SIG_IGN: if the exception is lost in a library that catches
            # it, the second signal still ends the process (files.signals).
            signal.signal(name, lambda *_: None)
        raise KeyboardInterrupt

    before = {name: signal.signal(name, stop) for name in names}
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


class LocalOnly:
    """ASGI middleware: refuse requests from other sites' pages, and tell
    browsers to load nothing from elsewhere and to store nothing.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        """Answer a request, as ASGI specifies."""
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = _POLICY
                for name, value in PRIVATE.items():
                    headers[name] = value
            await send(message)

        app = self.app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            if not is_of_this_page(host, origin):
                app = PlainTextResponse(NOT_OURS, 403)
        await app(scope, receive, send_with_headers)


def run(app, listening: socket.socket) -> None:
    """Serve an application until a signal, in the main thread."""
    import uvicorn

    # No log: it would hold file names.
    config = uvicorn.Config(
        app, log_level="error", access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    # uvicorn handles Ctrl-C and SIGTERM, but not SIGHUP, which would raise in
    # whatever code runs at that moment.
    signal.signal(signal.SIGHUP, server.handle_exit)
    server.run(sockets=[listening])
