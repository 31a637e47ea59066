"""Two commands never write into one folder."""

import errno
import json
import os
import re
import socket
import subprocess
import sys

import pytest

from data_prep.files.errors import InputError
from data_prep.files.lock import locked

fcntl = pytest.importorskip("fcntl")

HOLDS = """
import os, sys, time
from data_prep.files.lock import locked
with locked(sys.argv[1]):
    # The child is a loader worker that outlives its parent.
    is_parent = "fork" in sys.argv and os.fork() > 0
    if not is_parent:
        print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Start a process that holds the lock of a folder."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(tmp_path), *words],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_second_names_the_first_and_touches_nothing(tmp_path, holder):
    first = holder()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    with pytest.raises(InputError) as error:
        with locked(tmp_path):
            raise AssertionError("two hold one lock")
    assert re.fullmatch(
        rf"{tmp_path} is in use by process {first.pid} on "
        rf"{socket.gethostname()} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d; "
        "wait for it or stop it, or pass another folder",
        str(error.value),
    )
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("words", [[], ["fork"]])
def test_the_lock_of_a_killed_process_is_free(words, tmp_path, holder):
    first = holder(*words)
    children = f"/proc/{first.pid}/task/{first.pid}/children"
    workers = open(children).read().split() if words else []
    first.kill()
    first.wait()
    with locked(tmp_path):
        entry = json.loads((tmp_path / ".lock").read_text())
        assert entry["pid"] == os.getpid()
        for worker in map(int, workers):
            os.kill(worker, 9)  # it was alive all the time
    assert list(tmp_path.iterdir()) == []


def test_one_process_may_lock_again(tmp_path):
    with locked(tmp_path):
        with locked(f"{tmp_path}/../{tmp_path.name}"):
            pass
        assert (tmp_path / ".lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_child_releases_nothing(tmp_path):
    with locked(tmp_path):
        pid = os.fork()
        if pid == 0:
            try:
                with pytest.raises(InputError, match="in use by process"):
                    with locked(tmp_path):
                        pass
            except BaseException:
                os._exit(1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert (tmp_path / ".lock").exists()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with locked(tmp_path):
        pass
    assert "without locks" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_lock_file_is_still_a_lock(tmp_path):
    path = tmp_path / ".lock"
    for content in (b"", b"\xff{", b"[1]", b'{"pid": 3}'):
        path.write_bytes(content)
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(InputError, match="in use by another process"):
                with locked(tmp_path):
                    pass
        with locked(tmp_path):
            pass


def test_a_link_is_not_followed(tmp_path):
    """It could lead to another user's file, which would be emptied."""
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.lock").symlink_to("../precious")
    with pytest.raises(InputError, match="could not be written"):
        with locked(tmp_path / "out"):
            pass
    assert (tmp_path / "precious").read_text() == "keep"


def test_a_moved_folder_keeps_the_lock_of_its_successor(tmp_path):
    with locked(tmp_path / "out"):
        os.rename(tmp_path / "out", tmp_path / "moved")
        (tmp_path / "out").mkdir()
        (tmp_path / "out/.lock").write_text("of another process")
    assert (tmp_path / "out/.lock").exists()


CONTENDS = """
import sys, time
from data_prep.files.lock import locked
from data_prep.files.errors import InputError
n = 0
end = time.monotonic() + 1.5
while time.monotonic() < end:
    try:
        with locked(sys.argv[1]):
            file = open(sys.argv[1] + "/inside", "x")  # fails if two hold it
            import os
            os.unlink(file.name)
            file.close()
            n += 1
    except InputError:
        pass
print(n)
"""


def test_many_at_once_take_turns(tmp_path):
    command = [sys.executable, "-c", CONTENDS, str(tmp_path)]
    contenders = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    results = [process.communicate() for process in contenders]
    assert all(errors == "" for _, errors in results)
    assert sum(int(output) for output, _ in results) > 20
    assert list(tmp_path.iterdir()) == []


COMMANDS = {
    "convert": "data_prep.convert src out",
    "audit": "data_prep.audit src --out out",
    "synthetic": "data_prep.synthetic . --part cry --scale tiny",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_lock_their_output(command, tmp_path, noise):
    noise("src/a.wav")
    with locked(tmp_path / ("cry" if command == "synthetic" else "out")):
        done = subprocess.run(
            [sys.executable, "-m", *COMMANDS[command].split()],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        (line,) = done.stderr.strip().splitlines()
        assert f"is in use by process {os.getpid()} on " in line
        assert len(list(tmp_path.rglob("*"))) == 4
