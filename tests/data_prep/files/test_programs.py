"""Programs of others that hang, fail, are missing or have children."""

import os
import signal
import subprocess
import sys
import time

import pytest

from data_prep.files import programs
from data_prep.files.programs import commit, run_limited


def waits(path, *lines):
    """Write a program that hangs."""
    path.write_text("\n".join(["#!/bin/sh", *lines, "sleep 60", ""]))
    path.chmod(0o755)
    return str(path)


def is_alive(pid):
    """Check for a process that has not ended; a zombie has."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid, within_s=5.0):
    end = time.monotonic() + within_s
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_alive(pid)


def test_output_and_status():
    assert run_limited(["sh", "-c", "echo a; echo b >&2; exit 3"], 10,
                       stderr=subprocess.STDOUT) == (3, "a\nb\n")  # fmt: skip
    assert run_limited(["cat"], 10) == (0, "")  # no input to wait for
    assert run_limited(["printf", "\\344"], 10) == (0, "\ufffd")
    with pytest.raises(OSError):
        run_limited(["/no/such/program"], 10)


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path):
    """A child that holds the output does not hold this process."""
    program = waits(tmp_path / "a", "sleep 61 &", "echo $! $$")
    begin = time.monotonic()
    status, output = run_limited([program], 0.5)
    assert status is None and time.monotonic() - begin < 4
    assert all(ends(int(pid)) for pid in output.split())


def test_a_child_that_holds_the_output_is_not_waited_for(tmp_path):
    begin = time.monotonic()
    status, output = run_limited(["sh", "-c", "sleep 5 & echo $!"], 30)
    assert status == 0 and time.monotonic() - begin < 4
    os.kill(int(output), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do it")
def test_a_program_ends_with_a_parent_that_is_killed(tmp_path):
    program = waits(tmp_path / "a", f"echo $$ > {tmp_path}/pid.new",
                    f"mv {tmp_path}/pid.new {tmp_path}/pid")  # fmt: skip
    code = (
        "import sys; from data_prep.files.programs import run_limited; "
        "run_limited([sys.argv[1]], 60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, program])
    while not (tmp_path / "pid").exists():
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    assert ends(int((tmp_path / "pid").read_text()))


def test_the_commit_of_this_code(monkeypatch, tmp_path):
    text = commit()
    if text is not None:  # there is no git in an archive of the code
        assert len(text.partition(" + changes")[0]) == 40
    monkeypatch.setattr(programs, "_ROOT", tmp_path)
    assert commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() is None


def test_a_git_that_hangs_leaves_the_commit_out(tmp_path, monkeypatch, caplog):
    waits(tmp_path / "git")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(programs, "GIT_S", 0.3)
    begin = time.monotonic()
    assert commit() is None
    assert time.monotonic() - begin < 5
    assert "git gave no answer" in caplog.text and "git status" in caplog.text
