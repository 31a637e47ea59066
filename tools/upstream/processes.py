"""Programs that run apart from this project, offline, and not for ever."""

import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Dict, Tuple

#: Of each process; a debug run has to end well before.
LIMIT_SECONDS = 600


def environment(**more: str) -> Dict[str, str]:
    """Ours, without what makes Python, pytest or git work elsewhere.

    Example
    -------
    >>> environment(HF_HUB_OFFLINE="1")["HF_HUB_OFFLINE"]
    '1'
    """
    those = ("PYTHON", "PYTEST", "GIT_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(those)}
    return {**kept, **more}


def run(folder: Path, *command: str, **more: str) -> Tuple[int, str]:
    """Run a program, for LIMIT_SECONDS at most.

    Example
    -------
    >>> run(Path("."), "echo", "a")
    (0, 'a\\n')
    """
    offline = {"HF_HUB_OFFLINE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    # A file, not a pipe: what a program leaves running may hold that open.
    with tempfile.TemporaryFile(
        "w+", encoding="utf-8", errors="replace"
    ) as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(**{**offline, **more}),
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
            if child.poll() is None:  # it may have begun processes, too
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        output.seek(0)
        return child.returncode, output.read()
