"""A web server for this machine alone, which keeps nothing."""

import signal
import socket
from contextlib import contextmanager, suppress
from typing import Iterator

from data_prep.files.errors import InputError

HOST = "127.0.0.1"
#: What a browser may fetch for the page: nothing but what this program
#: serves and what the page itself holds.
_POLICY = (
    "default-src 'self' data: blob:; frame-ancestors 'none'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'"
)
#: Names by which a browser on this machine asks. Another name that leads here
#: may be that of a site.
_NAMES = (HOST, "localhost")


def listen(port: int) -> socket.socket:
    """A port of this machine that only this machine can reach.

    Example
    -------
    >>> with listen(0) as server:
    ...     server.getsockname()[0]
    '127.0.0.1'
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port} is no port; pass 1024 to 65535")
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((HOST, port))
        server.listen()
    except OSError as error:
        server.close()
        raise InputError(
            f"--port {port} cannot be used ({error.strerror}); pass another, "
            "or 0 for any that is free"
        )
    return server


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """End what is in here, quietly, at Ctrl-C, SIGTERM or a closed terminal.

    Example
    -------
    >>> with ended_by_signals():
    ...     signal.raise_signal(signal.SIGTERM)
    ...     print("not reached")
    """

    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(*_):
        for name in names:
            signal.signal(name, signal.SIG_IGN)  # what is left is tidied up
        raise KeyboardInterrupt

    before = {name: signal.signal(name, stop) for name in names}
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


class Sealed:
    """Answer to the page itself, tell browsers to fetch nothing from elsewhere
    for it, and to keep nothing.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        """ASGI."""
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        async def sealed(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = _POLICY
                headers["cache-control"] = "no-store"
                headers["referrer-policy"] = "no-referrer"
            await send(message)

        app = self.app
        if scope["type"] == "http" and not _is_own(Headers(scope=scope)):
            app = PlainTextResponse("for its own page only", 403)
        await app(scope, receive, sealed)


def _is_own(asked) -> bool:
    """Whether this machine's browser asks, and for no other site's page."""
    host = asked.get("host", "")
    is_named = host.rsplit(":", 1)[0] in _NAMES
    return is_named and asked.get("origin") in (None, f"http://{host}")


def run(app, listening: socket.socket) -> None:
    """Answer until a signal ends it, in the main thread."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="error",  # no names of files
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    # It hears Ctrl-C and SIGTERM by itself; an exception out of nowhere would
    # be that of whatever runs just then.
    signal.signal(signal.SIGHUP, server.handle_exit)
    server.run(sockets=[listening])
