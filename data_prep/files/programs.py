"""Programs of others: each has a time limit, and ends with this process."""

import logging
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Optional, Sequence, Tuple

from data_prep.files.parent import program_ends_with_parent

logger = logging.getLogger(__name__)

#: Seconds in which git must answer.
GIT_S = 30.0
#: A killed program that a broken drive holds does not end.
KILLED_S = 5.0
_ROOT = Path(__file__).resolve().parents[2]


def run_limited(
    command: Sequence[str], limit_s: float, **options
) -> Tuple[Optional[int], str]:
    """Run a program without input; return its exit status and output. The
    status is None if it was killed, with its children, after the limit.

    Raises ``OSError`` if it is not installed.

    Example
    -------
    >>> run_limited(["echo", "a"], 10), run_limited(["sleep", "9"], 0.1)
    ((0, 'a\\n'), (None, ''))
    """
    # A file, not a pipe, which stays open as long as a child of the program.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            start_new_session=True,
            preexec_fn=program_ends_with_parent(),
            **options,
        )
        status = None
        try:
            with suppress(subprocess.TimeoutExpired):
                status = process.wait(limit_s)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(KILLED_S)
        output.seek(0)
        return status, output.read().decode("utf-8", "replace")


def commit() -> Optional[str]:
    """Commit of git that this code is of, marked if tracked files differ; None
    without git."""
    answers = []
    for arguments in (
        ("rev-parse", "HEAD"),
        ("status", "--porcelain", "--untracked-files=no"),
    ):
        try:
            status, answer = run_limited(
                ["git", "-C", str(_ROOT), *arguments],
                GIT_S,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            return None
        if status is None:
            logger.warning(
                "git gave no answer on %s within %g s, so its commit is not "
                "named; try `git status` there",
                _ROOT,
                GIT_S,
            )
        if status != 0:
            return None
        answers.append(answer.strip())
    return answers[0] + " + changes that are in no commit" * bool(answers[1])
