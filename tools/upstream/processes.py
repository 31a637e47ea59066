"""Run programs offline, apart from this project, and for a limited time."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Tuple

from data_prep.files.programs import run_limited

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
    status, output = run_limited(
        command,
        LIMIT_SECONDS,
        cwd=folder,
        env={**kept, **offline, **more},
        stderr=subprocess.STDOUT,
    )
    if status is None:
        return -signal.SIGKILL, f"{output}stopped after {LIMIT_SECONDS} s\n"
    return status, output
