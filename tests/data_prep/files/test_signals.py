"""The second signal ends a command, and children end with their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

#: What a main thread may wait in; a signal does not end it.
BLOCKED = {
    "lock": "lock = threading.Lock(); lock.acquire(); wait = lock.acquire",
    "library": "wait = lambda: ctypes.CDLL(None).sleep(60)",
}


def start(source, **options):
    """Start Python with a program; wait until it prints a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background jobs, such as a test run, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )
    return process, process.stdout.readline().strip()


@pytest.mark.parametrize("waits_for", BLOCKED)
def test_the_second_ctrl_c_ends_a_blocked_command(waits_for):
    process, _ = start(
        "import ctypes, signal, threading\n"
        "from data_prep.files import errors, signals\n"
        "signals.TOGETHER_S, signals._GRACE_S = 0.3, 0.1\n"
        "signal.signal(signal.SIGINT, lambda *_: None)\n"
        f"{BLOCKED[waits_for]}\n"
        "with errors.one_line_errors():\n"
        "    print('begun', flush=True)\n"
        "    while True: wait()"
    )
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)  # as a group may pass on the first
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.2)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert errors == "Interrupted. Run the same command again to resume.\n"


@pytest.mark.parametrize("wait", ["time.sleep(60)", *BLOCKED.values()])
def test_sigterm_is_one_line_and_status_1(wait):
    """One is enough, whatever the command waits for."""
    calls = "" if wait.startswith("time") else "; wait()"
    process, _ = start(
        "import ctypes, threading, time\n"
        "from data_prep.files import errors, signals\n"
        "signals._TERM_S = 0.5\n"
        "with errors.one_line_errors():\n"
        "    print('begun', flush=True)\n"
        f"    {wait}{calls}"
    )
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert errors == "Interrupted. Run the same command again to resume.\n"


def ended(pid):
    """Wait until a process has ended; return whether it has."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
        except FileNotFoundError:
            return True
        if state.split()[0] == "Z":
            return True
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return False


CHILDREN = {
    "program": "from data_prep.files.parent import program_ends_with_parent\n"
    "import subprocess, time\n"
    "child = subprocess.Popen(['sleep', '60'],"
    " preexec_fn=program_ends_with_parent())\n"
    "print(child.pid, flush=True); time.sleep(60)",
    "fork": "import multiprocessing, time\n"
    "from data_prep.files.parent import end_with_parent\n"
    "def work(): end_with_parent(); time.sleep(60)\n"
    "child = multiprocessing.get_context('fork').Process(target=work)\n"
    "child.start(); print(child.pid, flush=True); time.sleep(60)",
    "rank": "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time;"
    "from data_prep.files.parent import end_with_parent;"
    "end_with_parent(grace_s=1); print(1, flush=True); time.sleep(60)'],"
    " stdout=subprocess.PIPE)\n"
    "child.stdout.readline()\n"
    "print(child.pid, flush=True); time.sleep(60)",
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", CHILDREN)
def test_children_end_with_a_killed_parent(kind):
    process, child = start(CHILDREN[kind])
    process.kill()
    process.communicate()
    assert ended(int(child))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_page_ends_by_the_second_signal_if_the_first_is_lost(number):
    """Some libraries catch every exception, also that of Ctrl-C."""
    process, _ = start(
        "import time\n"
        "from cry_modules.demo.server import until_signal\n"
        "from data_prep.files import errors, signals\n"
        "signals.TOGETHER_S, signals._GRACE_S = 0.3, 0.1\n"
        "with errors.one_line_errors(), until_signal():\n"
        "    line = 'begun'\n"
        "    while True:\n"
        "        try:\n"
        "            print(line, flush=True)\n"
        "            time.sleep(60)\n"
        "        except BaseException: line = 'lost'"
    )
    try:
        process.send_signal(number)
        time.sleep(0.6)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(20) == 1
    finally:
        process.kill()
        process.communicate()
