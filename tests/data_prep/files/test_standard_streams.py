"""Commands whose standard streams are closed, or have few letters."""

import os
import subprocess
import sys

import pytest

PRINTS = """
import os, sys
import data_prep
from data_prep.files.atomic import complete_or_absent
from data_prep.files.errors import one_line_errors
with one_line_errors(), open(sys.argv[1], "w") as file:
    assert file.fileno() > 2
    print("printed")
    print("printed", file=sys.stderr)
    os.write(1, b"by a library")
    sys.stdout.flush()
    with complete_or_absent("-") as partial:
        partial.write_text("a table")
"""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_what_is_printed_is_in_no_file(closed, tmp_path):
    """The next file that is opened would get the number of a closed stream."""

    def close():
        for number in closed:
            os.close(number)

    done = subprocess.run(
        [sys.executable, "-c", PRINTS, tmp_path / "a.txt"],
        capture_output=True,
        text=True,
        preexec_fn=close,
    )
    assert done.returncode == 0
    assert (tmp_path / "a.txt").read_text() == ""
    assert "Traceback" not in done.stderr
    assert ("printed" in done.stdout) == (1 not in closed)


def test_letters_that_a_terminal_lacks_are_escaped():
    code = (
        "from data_prep.files.errors import one_line_errors\n"
        "with one_line_errors(): print('results/Gr\\xf6\\xdfe')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "results/Gr\\xf6\\xdfe\n"
