"""A web server that only this machine can reach, and that stores nothing."""

import signal
import socket
from contextlib import contextmanager, suppress
from typing import Iterator

from data_prep.files.errors import InputError, require

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


@contextmanager
def until_signal() -> Iterator[None]:
    """Context manager that ends its block without an error at Ctrl-C, SIGTERM
    or a closed terminal."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(*_):
        for name in names:
            signal.signal(name, signal.SIG_IGN)  # during the clean-up
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
                headers["cache-control"] = "no-store"
                headers["referrer-policy"] = "no-referrer"
            await send(message)

        app = self.app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host", "")
            is_named = host.rsplit(":", 1)[0] in _NAMES
            origin = headers.get("origin", f"http://{host}")
            if not is_named or origin != f"http://{host}":
                app = PlainTextResponse("only for the page itself", 403)
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
