"""Run programs offline, apart from this project, and for a limited time."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Tuple

#: Time limit of each process; debug runs take far less.
LIMIT_SECONDS = 600


def run(folder: Path, *command: str, **more: str) -> Tuple[int, str]:
    """Run a program; returns its exit status and output.

    Its environment lacks variables that change Python, pytest or git.

    Example
    -------
    >>> run(Path("."), "echo", "a")
    (0, 'a\\n')
    """
    others = ("PYTHON", "PYTEST", "GIT_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    offline = {"HF_HUB_OFFLINE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    # A file, not a pipe: a pipe stays open as long as a child process runs.
    with tempfile.TemporaryFile(
        "w+", encoding="utf-8", errors="replace"
    ) as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, **offline, **more},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            child.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"stopped after {LIMIT_SECONDS} s", file=output, flush=True)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)  # with its children
                child.wait()
        output.seek(0)
        return child.returncode, output.read()
