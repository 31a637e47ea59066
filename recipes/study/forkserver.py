"""The fork server of a study: it imports everything that the study's commands
need, once, and forks a child for each of them.

Importing torch, SpeechBrain and the recipes takes seconds; a fork starts at
once. ``command`` is the client. The server and its children end with the study,
that is, when the pipe on standard input is closed.
"""

import atexit
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from typing import Dict, List, NamedTuple, Optional

from data_prep.files.parent import program_ends_with_parent
from recipes.study.command import ended

#: Modules of the study's commands, and modules that they import later.
MODULES = (
    "recipes.simclr.train_simclr",
    "recipes.adaptation.train_adapt",
    "recipes.classification.train_cls",
    "recipes.study.cry_tables",
    "recipes.study.embed",
    "recipes.study.report.page",
    "data_prep.audit",
    "data_prep.confounds",
    "cry_modules.evaluation.confounds",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.svm",
    "torch._dynamo",
)
#: Seconds that runs have to save their state after the study was killed.
_GRACE_S = 60.0
_REQUEST_S = 10.0  # to receive a request


class Request(NamedTuple):
    """A command with its client's folder, environment and standard streams."""

    command: List[str]
    folder: str
    environment: Dict[str, str]
    streams: List[int]


def receive(connection: socket.socket) -> Optional[Request]:
    """Receive the request of a client; None if the client has ended."""
    connection.settimeout(_REQUEST_S)
    try:
        data, streams, _, _ = socket.recv_fds(connection, 1, 3)
        while not data.endswith(b"}\n"):
            part = connection.recv(1 << 16)
            if not part:
                return None
            data += part
    except OSError:
        return None
    connection.settimeout(None)
    return Request(streams=list(streams), **json.loads(data))


class ForkServer:
    """Forks a child for each request and answers when it has ended."""

    def __init__(self, path: str):
        self.clients: Dict[int, socket.socket] = {}
        self.group = 0  # process group of Snakemake while it runs
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(128)
        self.wake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(self.wake, selectors.EVENT_READ, self.reap)
        self.selector.register(0, selectors.EVENT_READ, self.read_study)
        self.end_by: Optional[float] = None
        self.end_with_server = program_ends_with_parent(signal.SIGTERM)

    def serve(self) -> Optional[Request]:
        """Serve until the study ends; return None then, and in each child its
        request."""
        while self.end_by is None or self.clients:
            left = self.end_by and max(0.0, self.end_by - time.monotonic())
            for key, _ in self.selector.select(left):
                request = key.data(key.fileobj)
                if request is not None:
                    return request
            if self.end_by is not None and time.monotonic() > self.end_by:
                break
        # Kill everything that has not ended.
        for group in filter(None, (self.group, *self.clients)):
            _signal_group(group, signal.SIGKILL)
        return None

    def accept(self, listener: socket.socket) -> Optional[Request]:
        """Fork for a request; return it in the child."""
        connection, _ = listener.accept()
        request = receive(connection)
        if request is None:
            connection.close()
            return None
        pid = os.fork()
        if pid == 0:
            connection.close()
            return self.leave(request)
        for stream in request.streams:
            os.close(stream)
        self.clients[pid] = connection
        self.selector.register(connection, selectors.EVENT_READ, self.forward)
        self.answer(pid, "begun")
        return None

    def leave(self, request: Request) -> Request:
        """Make the child independent, like a process started by its client."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()  # a new group, with its loader workers
        self.end_with_server()
        self.selector.close()
        # A connection closes once no process holds it.
        for held in (self.listener, *self.clients.values()):
            held.close()
        os.close(self.wake)
        for number, stream in enumerate(request.streams):
            os.dup2(stream, number)
            os.close(stream)
        return request

    def refuse(self) -> None:
        """Serve no command, but still end Snakemake with the study."""
        if self.listener.fileno() >= 0:
            self.selector.unregister(self.listener)
            self.listener.close()

    def answer(self, pid: int, value) -> None:
        """Send a line to the client of a child."""
        with suppress(OSError):  # the client was killed; `forward` handles it
            self.clients[pid].sendall(json.dumps(value).encode() + b"\n")

    def reap(self, wake: int) -> None:
        """Answer the clients of the children that have ended."""
        os.read(wake, 1024)
        for pid in list(self.clients):
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if done:
                # End workers that it left behind.
                _signal_group(pid, signal.SIGKILL)
                self.answer(pid, ended(status, usage))
                connection = self.clients.pop(pid)
                if connection in self.selector.get_map():
                    self.selector.unregister(connection)
                connection.close()

    def forward(self, connection: socket.socket) -> None:
        """Forward a client's signal; if the client was killed, kill its
        command."""
        pid = next(p for p, c in self.clients.items() if c is connection)
        try:
            numbers = connection.recv(64)
        except OSError:
            numbers = b""
        for number in numbers:
            os.kill(pid, number)
        if not numbers:
            self.selector.unregister(connection)
            _signal_group(pid, signal.SIGKILL)

    def read_study(self, stdin: int) -> None:
        """Read Snakemake's process group from the study; at the end of its
        input, accept no more requests and terminate the group."""
        line = os.read(stdin, 64)
        if line:
            self.group = int(line.split()[-1])
            return
        self.selector.unregister(stdin)
        self.refuse()
        self.end_by = time.monotonic() + _GRACE_S
        if self.group:
            # Its clients forward the signal, and runs save their state.
            _signal_group(self.group, signal.SIGTERM)


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def execute(request: Request) -> None:
    """Run a request's command as ``python`` would."""
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    first, *rest = request.command
    if first == "-m":
        sys.argv = rest
        sys.path[0] = request.folder
        sys.modules.pop(rest[0], None)  # it runs again, as __main__
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = request.command
        sys.path[0] = os.path.dirname(os.path.abspath(first))
        runpy.run_path(first, run_name="__main__")


def load(server: ForkServer) -> None:
    """Import everything that the commands need."""
    if import_module("torch").cuda.is_available():
        # Forks cannot use CUDA once it was initialised, and runs are long.
        print("GPU available: each run is a new process", flush=True)
        server.refuse()
        return
    for name in MODULES:
        import_module(name)
    from cry_modules.training.experiment import environment

    environment()
    # No present object becomes garbage in a child.
    gc.collect()
    gc.freeze()
    if len(os.listdir("/proc/self/task")) > 1 or threading.active_count() > 1:
        raise RuntimeError("a module started a thread, which forks would lose")


def end(status: int) -> None:
    """End a child like those of multiprocessing: without destroying modules
    that it shares with its parent, which takes 0.4 s."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    os._exit(status)


def main() -> None:
    """Run the command line."""
    server = ForkServer(sys.argv[1])
    load(server)
    request = server.serve()
    if request is None:
        return
    try:
        execute(request)
    except SystemExit as stop:
        if not isinstance(stop.code, int):
            raise
        end(stop.code & 0xFF)
    end(0)


if __name__ == "__main__":
    main()
