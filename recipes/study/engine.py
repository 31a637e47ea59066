"""Snakemake and the warm process at work on a study, until both have ended."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from data_prep.files.atomic import make_folder
from recipes.study.command import SOCKET, THREADS
from recipes.study.watch import Watch, failure

SNAKEFILE = "recipes/study/Snakefile"
_LOOK_EVERY = 0.5  # seconds


def snakemake_command(
    profile: Path, config: Path, more: Sequence[str]
) -> List[str]:
    """Call Snakemake with a profile's folder, settings and more options."""
    return [
        sys.executable, "-m", "snakemake", "--snakefile", SNAKEFILE,
        "--profile", str(profile), "--configfile", str(config),
        # `alone` locks better: its lock ends with the process.
        "--nolock", *more,
    ]  # fmt: skip


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C, a closed terminal and SIGTERM all interrupt."""

    def interrupt(*_):
        raise KeyboardInterrupt

    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.signal(name, interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextmanager
def warm_process(
    log: Path, lock: int, environment: Dict[str, str]
) -> Iterator[subprocess.Popen]:
    """Start the process that runs forks for a study, see ``forkserver``; it
    holds the study's lock, and its socket is added to the environment."""
    with tempfile.TemporaryDirectory(prefix="cry_ssl_") as folder:
        path = os.path.join(folder, "socket")
        with open(log, "w", encoding="utf-8") as file:
            server = subprocess.Popen(
                [sys.executable, "-m", "recipes.study.forkserver", path],
                stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT,
                env={**environment, **THREADS}, pass_fds=[lock],
                start_new_session=True, bufsize=0,
            )  # fmt: skip
        while server.poll() is None and not os.path.exists(path):
            time.sleep(0.01)
        environment[SOCKET] = path
        try:
            yield server
        finally:
            server.stdin.close()
            server.wait()


def guard(server: Optional[subprocess.Popen], group: int) -> None:
    """Let the warm process end a process group where this process is killed;
    0: no group any more."""
    if server is not None and server.poll() is None:
        server.stdin.write(f"{group}\n".encode())


def work(watch: Watch, command: Sequence[str], lock: int, local: bool) -> int:
    """Let Snakemake work, and report its progress; its exit status."""
    logs = make_folder(watch.log.parent)
    # `python` in a rule is the one that runs this.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    warm = nullcontext()
    # A fork of a process that has used frameworks of macOS may crash.
    if local and sys.platform == "linux":
        warm = warm_process(logs / "forkserver.log", lock, environment)
    with warm as server, open(watch.log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT,
            env=environment, pass_fds=[lock], start_new_session=True,
        )  # fmt: skip
        guard(server, process.pid)
        _follow(process, watch)
        guard(server, 0)
    if process.returncode and not watch.failed:
        print(_last_words(watch.log), file=sys.stderr)
    for name, log in watch.failed.items():
        print(failure(watch.plan[name], log), file=sys.stderr)
    return process.returncode


def _follow(process: subprocess.Popen, watch: Watch) -> None:
    """Report progress until Snakemake ends, or is interrupted."""
    try:
        with interruptible():
            while process.poll() is None:
                watch.look()
                time.sleep(_LOOK_EVERY)
    except KeyboardInterrupt:
        print("\nstopping: runs save where they are", file=sys.stderr)
        # To Snakemake and its runs, which end by themselves.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise KeyboardInterrupt(
            "interrupted; the same command goes on where it stopped"
        )
    finally:
        watch.close()


def _last_words(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return f"Snakemake stopped; the end of {log}:\n" + "\n".join(lines[-8:])


def report_so_far(out: Path) -> None:
    """The page of a study that is not complete, as far as it can be made."""
    log = out / "logs" / "report.log"
    with open(log, "w", encoding="utf-8") as file:
        made = subprocess.run(
            [sys.executable, "-m", "recipes.study.report", str(out)],
            stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    if made.returncode:
        print(f"no report, see {log}", file=sys.stderr)
    else:
        print(f"report of what is done in {out / 'report.html'}")
