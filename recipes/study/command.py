"""Run one command of a study and record its costs.

> python -m recipes.study.command COST train_cls.py hparams/a.yaml ...

COST is the file for time and memory; the rest are arguments of ``python``. If
the study has a fork server (``forkserver``), the command runs in a fork of it,
which has everything imported; otherwise, as in a Slurm job, in a new process.
Exit status, output and signals are the same in both cases.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import Iterator, List, NamedTuple, Optional, Sequence

#: Environment variable with the path of the fork server's socket.
SOCKET = "CRY_SSL_FORKSERVER"
#: Numerical libraries read these when they are loaded, so the fork server only
#: serves commands with its own values: Snakemake's for one thread.
THREADS = dict.fromkeys(
    (
        "OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
    ),
    "1",
)  # fmt: skip
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Ended(NamedTuple):
    """Exit status of a command (negative: minus the signal that ended it),
    its processor seconds, and its peak memory in MB."""

    status: int
    cpu_s: float
    peak_mb: float


def ended(wait_status: int, usage) -> Ended:
    """Convert the result of ``os.wait4``."""
    return Ended(
        os.waitstatus_to_exitcode(wait_status),
        round(usage.ru_utime + usage.ru_stime, 3),
        round(usage.ru_maxrss / 1024, 1),
    )


def forward_signals(send) -> None:
    """Forward signals that stop this process to its command."""

    def handle(number, _):
        with suppress(OSError):  # the command has ended
            send(number)

    for number in _FORWARDED:
        signal.signal(number, handle)


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Defer signals that stop this process to the end of this context."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)


def run_forked(command: List[str]) -> Optional[Ended]:
    """Run a command in a fork of the fork server; None if there is none.

    The request is a line of JSON sent with the standard streams; the answers
    are a line when the command has started and one when it has ended.
    """
    path = os.environ.get(SOCKET)
    # The corpus starts at once, while the fork server is still importing.
    if path is None or command[:2] == ["-m", "data_prep.synthetic"]:
        return None
    if any(os.environ.get(k) != v for k, v in THREADS.items()):
        return None
    request = {
        "command": command,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as connection:
        answers = connection.makefile("rb")
        with blocked_signals():  # until they can be forwarded
            try:
                connection.connect(path)
                socket.send_fds(connection, [b"\n"], [0, 1, 2])
                connection.sendall(json.dumps(request).encode() + b"\n")
                begun = answers.readline()
            except OSError:
                return None
            if not begun:  # imports failed: a new process shows the error
                return None
            forward_signals(lambda number: connection.sendall(bytes([number])))
        line = answers.readline()
    if not line:
        print(
            "error: the study's fork server was killed, and this command with "
            "it; run the study again to resume",
            file=sys.stderr,
        )
        return Ended(1, 0.0, 0.0)
    return Ended(*json.loads(line))


def run_new(command: List[str]) -> Ended:
    """Run a command in a new process."""
    # Imported here: clients of a fork server do without it.
    from data_prep.files.parent import program_ends_with_parent

    process = subprocess.Popen(
        [sys.executable, *command],
        # Otherwise Ctrl-C reaches it twice, directly and from here.
        start_new_session=True,
        preexec_fn=program_ends_with_parent(signal.SIGTERM),
    )
    forward_signals(lambda number: os.kill(process.pid, number))
    _, status, usage = os.wait4(process.pid, 0)
    return ended(status, usage)


def end_like(result: Ended) -> int:
    """End by the signal that ended the command, or return its status."""
    if result.status >= 0:
        return result.status
    for number in _FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), -result.status)
    return 128 - result.status


def main(argv: Sequence[str]) -> int:
    """Run the command line: the file of the costs, then the command."""
    cost, *command = argv
    began = time.monotonic()
    result = run_forked(command) or run_new(command)
    if result.status == 0:
        seconds = time.monotonic() - began
        os.makedirs(os.path.dirname(cost), exist_ok=True)
        # In the format of Snakemake's benchmarks.
        with open(cost, "w", encoding="utf-8") as file:
            file.write("s\tmax_rss\tcpu_time\n")
            file.write(f"{seconds:.3f}\t{result.peak_mb}\t{result.cpu_s}\n")
    return end_like(result)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
