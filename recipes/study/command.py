"""Run one command of a study, and write down what it cost.

> python -m recipes.study.command COST train_cls.py hparams/a.yaml ...

COST is the file for its time and memory; the rest would follow ``python``.
Where a study has started a warm process (``forkserver``), the command runs in a
fork of it, which need not import anything; else in a process of its own, as in
a job of Slurm. Exit status, output and signals are the same either way.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Iterator, List, NamedTuple, Optional, Sequence

#: Environment variable that holds the path of the warm process's socket.
SOCKET = "CRY_SSL_FORKSERVER"
#: Numerical libraries read these when they are loaded, so the warm process
#: serves commands with its own values alone: Snakemake's for one thread.
THREADS = dict.fromkeys(
    (
        "OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
    ),
    "1",
)  # fmt: skip
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: These begin at once, while the warm process still imports.
_WITHOUT_TORCH = (["-m", "data_prep.synthetic"],)
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


class Ended(NamedTuple):
    """Exit status of a command (minus the signal that ended it), the seconds
    of a processor that it used, and its peak memory in MB."""

    status: int
    cpu_s: float
    peak_mb: float


def ended(wait_status: int, usage) -> Ended:
    """What ``os.wait4`` returned about a process, in one line's worth."""
    return Ended(
        os.waitstatus_to_exitcode(wait_status),
        round(usage.ru_utime + usage.ru_stime, 3),
        round(usage.ru_maxrss / 1024, 1),
    )


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent of this process ends."""
    if sys.platform == "linux":
        import ctypes  # not needed by the client of a warm process

        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)


def forward_signals(send) -> None:
    """From now on, pass signals that stop a process on to its command."""

    def handle(number, _):
        try:
            send(number)
        except OSError:  # the command has ended
            pass

    for number in _FORWARDED:
        signal.signal(number, handle)


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Let signals that stop a process wait until the end of this context."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)


def run_warm(command: List[str]) -> Optional[Ended]:
    """Run a command in a fork of the warm process; None where there is none.

    The request is a line of JSON that carries the standard streams; the
    answers are a line when the command has begun and one when it has ended.
    """
    path = os.environ.get(SOCKET)
    if path is None or command[:2] in _WITHOUT_TORCH:
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
        with blocked_signals():  # until they can be passed on
            try:
                connection.connect(path)
                socket.send_fds(connection, [b"\n"], [0, 1, 2])
                connection.sendall(json.dumps(request).encode() + b"\n")
                begun = answers.readline()
            except OSError:
                return None
            if not begun:  # it could not import: a plain process says why
                return None
            forward_signals(lambda number: connection.sendall(bytes([number])))
        line = answers.readline()
    if not line:
        print(
            "error: the study's warm process was killed, and this command "
            "with it; start the study again to resume",
            file=sys.stderr,
        )
        return Ended(1, 0.0, 0.0)
    return Ended(*json.loads(line))


def run_plain(command: List[str]) -> Ended:
    """Run a command in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, *command],
        # Ctrl-C would reach it twice, as a member of the group and from here.
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    forward_signals(lambda number: os.kill(process.pid, number))
    _, status, usage = os.wait4(process.pid, 0)
    return ended(status, usage)


def write_cost(path: str, seconds: float, found: Ended) -> None:
    """Write time and memory in the form of Snakemake's benchmarks."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("s\tmax_rss\tcpu_time\n")
        file.write(f"{seconds:.3f}\t{found.peak_mb}\t{found.cpu_s}\n")


def end_like(found: Ended) -> int:
    """End by the signal that ended the command, or return its status."""
    if found.status >= 0:
        return found.status
    for number in _FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), -found.status)
    return 128 - found.status


def main(argv: Sequence[str]) -> int:
    """The command line: the file of the costs, then the command."""
    cost, *command = argv
    began = time.monotonic()
    found = run_warm(command) or run_plain(command)
    if found.status == 0:
        write_cost(cost, time.monotonic() - began, found)
    return end_like(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
