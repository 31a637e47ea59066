"""A command in a fork has the same output, exit status and signals as in a new
process, and nothing is left running when the study is killed.

The fork server of these tests imports nothing, so that they take seconds."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from recipes.study import engine
from recipes.study.command import SOCKET, THREADS
from recipes.study.run import ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the fork server is for Linux"
)
#: A fork server without the modules of the study.
SERVER = """
import sys
from recipes.study import forkserver
forkserver.load = LOAD
forkserver.main()
"""
WAITING = """
import os, pathlib, signal, sys, time
def stop(number, frame):
    print("saved", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(100)
"""


@contextmanager
def fork_server(tmp_path, load="lambda server: None"):
    """A fork server, and the environment of its clients."""
    path = tmp_path / "socket"
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER.replace("LOAD", load), str(path)],
        stdin=subprocess.PIPE, cwd=ROOT, env={**os.environ, **THREADS},
        start_new_session=True, bufsize=0,
    )  # fmt: skip
    until(path.exists)
    try:
        yield server, {**os.environ, **THREADS, SOCKET: str(path)}
    finally:
        server.stdin.close()
        server.wait(30)


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(pid):
    """Check that a process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def begin(tmp_path, environment, text, *arguments, **options):
    script = tmp_path / "script.py"
    script.write_text(text)
    return subprocess.Popen(
        [sys.executable, "-m", "recipes.study.command"]
        + [str(tmp_path / "costs/a.tsv"), str(script), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=environment, **options,
    )  # fmt: skip


def begin_waiting(tmp_path, environment, **options):
    """Begin a command that saves at SIGTERM; return it and its process id."""
    pid_file = tmp_path / "pid"
    process = begin(tmp_path, environment, WAITING, pid_file, **options)
    until(lambda: pid_file.is_file() and pid_file.read_text())
    return process, pid_file.read_text()


@pytest.fixture(params=["fork", "new"])
def environment(request, tmp_path):
    """Environment of a command, with and without a fork server."""
    if request.param == "new":
        yield {k: v for k, v in os.environ.items() if k != SOCKET}
        return
    with fork_server(tmp_path) as (_, environment):
        yield environment


@pytest.mark.parametrize(
    "text, status, error",
    [
        ("import atexit; atexit.register(print, 'last', file=sys.stderr)", 0,
         "last\n"),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('error: no')", 1, "error: no\n"),
        ("from data_prep.files.errors import *\nwith one_line_errors():"
         "\n raise InputError('a; b')", 2, "error: a; b\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import os; os.kill(os.getpid(), 15)", -15, ""),
    ],
)  # fmt: skip
def test_output_and_exit_status_are_the_commands(
    environment, tmp_path, text, status, error
):
    first = "import os, sys\nprint(sys.argv[1:], os.getcwd(), __name__)\n"
    first += "sys.stdout.flush()\n"
    process = begin(tmp_path, environment, first + text, "a b")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert output == f"['a b'] {ROOT} __main__\n"
    shown = errors[errors.index("Zero") :] if "Traceback" in errors else errors
    assert shown == error
    cost = tmp_path / "costs/a.tsv"
    assert cost.is_file() == (status == 0)
    if status == 0:
        names, values = cost.read_text().splitlines()
        assert names.split("\t") == ["s", "max_rss", "cpu_time"]
        assert all(float(value) >= 0 for value in values.split("\t"))


def test_modules_run_as_main(environment, tmp_path):
    command = [sys.executable, "-m", "recipes.study.command"]
    command += [str(tmp_path / "costs/a.tsv"), "-m", "json.tool"]
    done = subprocess.run(
        command, input='{"a":1}', capture_output=True, text=True, cwd=ROOT,
        env=environment, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and not done.stderr
    assert json.loads(done.stdout) == {"a": 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_the_command(environment, tmp_path, number):
    process, pid = begin_waiting(tmp_path, environment)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    until(lambda: not is_alive(pid))
    if number == signal.SIGTERM:
        assert process.returncode == 7 and output == "saved\n"


def test_ctrl_c_reaches_the_command_once(environment, tmp_path):
    """A second signal would not wait until a run has saved."""
    text = (
        "import pathlib, signal, sys, time\nseen = []\n"
        "signal.signal(signal.SIGINT, lambda *_: seen.append(1))\n"
        "pathlib.Path(sys.argv[1]).write_text('x')\n"
        "end = time.monotonic() + 1\n"
        "while time.monotonic() < end: time.sleep(0.01)\n"
        "print(len(seen))\n"
    )
    ready = tmp_path / "ready"
    process = begin(tmp_path, environment, text, ready, start_new_session=True)
    until(ready.is_file)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "1\n"


def test_without_a_fork_server_a_new_process_runs(tmp_path):
    with fork_server(tmp_path) as (_, environment):
        pass
    process = begin(tmp_path, environment, "print(1)")
    assert process.communicate(timeout=60) == ("1\n", "")


def test_a_fork_server_that_cannot_import_is_not_needed(tmp_path):
    """The command waits for the imports, then runs in a new process."""
    load = "lambda server: (sys.stdin.readline(), sys.exit('no torch'))"
    with fork_server(tmp_path, load) as (server, environment):
        process = begin(tmp_path, environment, "print(1)")
        time.sleep(0.3)
        assert process.poll() is None
        server.stdin.write(b"0\n")
        assert process.communicate(timeout=60) == ("1\n", "")


def test_other_numbers_of_threads_get_a_new_process(tmp_path):
    """Libraries of the fork server have already read the number."""
    text = "import os\nprint(os.getppid(), os.environ['OMP_NUM_THREADS'])"
    with fork_server(tmp_path) as (server, environment):
        for n, by_server in (("1", True), ("2", False)):
            environment["OMP_NUM_THREADS"] = n
            process = begin(tmp_path, environment, text)
            parent, threads = process.communicate(timeout=60)[0].split()
            assert (int(parent) == server.pid) == by_server and threads == n


def test_a_killed_fork_server_ends_its_commands(tmp_path):
    with fork_server(tmp_path) as (server, environment):
        process, pid = begin_waiting(tmp_path, environment)
        server.kill()
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "fork server was killed" in errors and len(errors) < 200
        until(lambda: not is_alive(pid))


@pytest.mark.parametrize("load", ["None", "server.refuse()"])
def test_the_end_of_a_study_ends_its_group(load, tmp_path):
    """If the study is killed, Snakemake's group gets SIGTERM, commands forward
    it, and the fork server waits until they have saved. With a GPU it serves no
    command, and the command is a new process."""
    with fork_server(tmp_path, f"lambda server: {load}") as (
        server,
        environment,
    ):
        process, pid = begin_waiting(
            tmp_path, environment, start_new_session=True
        )
        engine.guard(server, process.pid)
        server.stdin.close()  # as the kernel does for a killed process
        assert process.communicate(timeout=60)[0] == "saved\n"
        assert server.wait(30) == 0
    until(lambda: not is_alive(pid))  # it prints before it ends


def test_the_folder_of_the_socket_is_private(tmp_path):
    environment = dict(os.environ)
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    with engine.fork_server(tmp_path / "log", lock, environment) as server:
        folder = os.path.dirname(environment[SOCKET])
        assert os.stat(folder).st_mode & 0o777 == 0o700
        server.kill()
    os.close(lock)
    assert not os.path.exists(folder)
