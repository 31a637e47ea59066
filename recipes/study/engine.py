"""Run Snakemake and the fork server of a study until both have ended."""

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
from data_prep.files.parent import program_ends_with_parent
from data_prep.files.signals import Requests
from recipes.study.command import SOCKET, THREADS
from recipes.study.so_far import SoFar, forget_page
from recipes.study.watch import Watch, failure

SNAKEFILE = "recipes/study/Snakefile"
_LOOK_EVERY = 0.5  # seconds


def with_cache(environment: Dict[str, str], folder: Path) -> Dict[str, str]:
    """Environment of Snakemake, which fails where it cannot write its cache:
    without a home to write to, the cache is in a folder."""
    home = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    try:
        os.makedirs(os.path.join(home, "snakemake"), exist_ok=True)
    except OSError:
        return {**environment, "XDG_CACHE_HOME": str(Path(folder).absolute())}
    return environment


def snakemake_command(
    profile: Path, config: Path, more: Sequence[str]
) -> List[str]:
    """Command of Snakemake with a profile, a file of settings and options."""
    return [
        sys.executable, "-m", "snakemake", "--snakefile", SNAKEFILE,
        "--profile", str(profile), "--configfile", str(config),
        # The lock of the study ends with its process.
        "--nolock", *more,
    ]  # fmt: skip


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C, SIGTERM and a closed terminal, and
    again on the second; those that come together count once."""
    requests, seen = Requests(), []

    def interrupt(number, _):
        is_second = requests.is_second()
        if is_second or not seen:
            seen.append(number)
            raise KeyboardInterrupt

    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.signal(name, interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextmanager
def fork_server(
    log: Path, lock: int, environment: Dict[str, str]
) -> Iterator[subprocess.Popen]:
    """Start the fork server of a study (see ``forkserver``); it holds the
    study's lock, and its socket is added to the environment."""
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
    """Tell the fork server which process group to end if this process is
    killed; 0: none."""
    if server is not None and server.poll() is None:
        server.stdin.write(f"{group}\n".encode())


def work(watch: Watch, command: Sequence[str], lock: int, local: bool) -> int:
    """Run Snakemake and report its progress; return its exit status."""
    logs = make_folder(watch.log.parent)
    # Rules must find this interpreter as `python`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = with_cache({**os.environ, "PATH": path}, logs / "cache")
    server_context = nullcontext()
    # Forks may crash after macOS frameworks were used.
    if local and sys.platform == "linux":
        log = logs / "forkserver.log"
        server_context = fork_server(log, lock, environment)
    with server_context as server, open(
        watch.log, "w", encoding="utf-8"
    ) as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT,
            env=environment, pass_fds=[lock], start_new_session=True,
        )  # fmt: skip
        guard(server, process.pid)
        watch.so_far = SoFar(watch.plan, environment, watch.jobs)
        _follow(process, watch)
        guard(server, 0)
    if process.returncode and not watch.failed:
        text = watch.log.read_text("utf-8", errors="replace")
        last = "\n".join(text.strip().splitlines()[-8:])
        print(f"the end of {watch.log}:\n{last}", file=sys.stderr)
    for name, log in watch.failed.items():
        print(failure(watch.plan[name], log), file=sys.stderr)
    return process.returncode


def _follow(process: subprocess.Popen, watch: Watch) -> None:
    """Report progress until Snakemake ends or is interrupted."""
    with interruptible():
        try:
            while process.poll() is None:
                watch.look()
                time.sleep(_LOOK_EVERY)
        except KeyboardInterrupt:
            watch.interrupted = True
            _stop(process)
            raise KeyboardInterrupt(
                "interrupted; run the same command again to resume"
            )
        finally:
            watch.close()


def _stop(process: subprocess.Popen) -> None:
    """End Snakemake and its runs; at the second signal, at once."""
    print(
        "\nstopping: runs save their state (Ctrl-C again stops at once)",
        file=sys.stderr,
    )
    try:
        # Snakemake and its runs handle it and end.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    except KeyboardInterrupt:
        # The fork server, or the system, then ends the runs.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def report_so_far(out: Path) -> bool:
    """Write the report of the finished runs; return False if that fails."""
    forget_page(out)
    log = out / "logs" / "report.log"
    with open(log, "w", encoding="utf-8") as file:
        made = subprocess.run(
            [sys.executable, "-m", "recipes.study.report", str(out)],
            stdout=file, stderr=subprocess.STDOUT,
            preexec_fn=program_ends_with_parent(),
        )  # fmt: skip
    if made.returncode:
        print(f"no report, see {log}", file=sys.stderr)
    else:
        print(f"report of the finished runs in {out / 'report.html'}")
    return made.returncode == 0
