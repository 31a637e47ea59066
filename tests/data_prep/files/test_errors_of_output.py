"""Commands whose readers, disks and files go away end in one line, or none."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from data_prep.files.errors import InputError, not_a_file, one_line_errors
from data_prep.files.tables import read_table

COMMANDS = (
    "data_prep.audit", "data_prep.convert", "data_prep.pack",
    "data_prep.split", "data_prep.synthetic", "cry_modules.metrics",
)  # fmt: skip

#: Prints more than a pipe holds, in lines or at once, or only at the end.
PRINTS = """
import sys
from data_prep.files.errors import InputError, not_a_file, one_line_errors
from data_prep.files.tables import read_table
with one_line_errors():
    if "lines" in sys.argv:
        for _ in range(100_000):
            print("line")
    elif "once" in sys.argv:
        print("x" * 1_000_000)
    elif "stderr" in sys.argv:
        for _ in range(100_000):
            print("line", file=sys.stderr)
    else:
        print("short")
"""


def run_without_reader(*arguments):
    """Run Python with a standard output that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    both = writing if "stderr" in arguments else subprocess.PIPE
    done = subprocess.run(
        [sys.executable, *arguments], stdout=writing, stderr=both, text=True
    )
    os.close(writing)
    return done


@pytest.mark.parametrize("how", ["lines", "once", "short", "stderr"])
def test_without_a_reader_a_command_ends_quietly(how):
    done = run_without_reader("-c", PRINTS, how)
    assert done.returncode == 1 and not done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_without_a_reader(command):
    """argparse prints it outside the wrapper of the errors."""
    done = run_without_reader("-m", command, "--help")
    assert done.returncode == 0 and done.stderr == ""


def test_a_broken_pipe_elsewhere_stays_a_fault_of_the_program():
    with pytest.raises(BrokenPipeError):
        with one_line_errors():
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_full_standard_output_is_one_line(tmp_path):
    device = tmp_path / "full"  # a copy of /dev/full
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
        file = open(device, "w")
    except OSError:
        pytest.skip("only root can make devices")
    with file:
        done = subprocess.run(
            [sys.executable, "-c", PRINTS],
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the output: No space left on device; free")


@pytest.mark.parametrize(
    "number, cure",
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EROFS, "change its permissions or place"),
        (errno.EACCES, "change its permissions or place"),
        (errno.EIO, "check its disk"),
        (errno.ESTALE, "check its disk"),
        (errno.ENOENT, "bring it back"),
    ],
)
def test_errors_of_files_are_one_line(number, cure, capsys):
    with pytest.raises(SystemExit) as stopped:
        with one_line_errors():
            raise OSError(number, os.strerror(number), "some/file")
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: some/file: {os.strerror(number)}; ")
    assert cure in line


def test_a_full_copy_names_its_target(capsys):
    with pytest.raises(SystemExit):
        with one_line_errors():
            reason = os.strerror(errno.ENOSPC)
            raise OSError(errno.ENOSPC, reason, "source", None, "target")
    assert capsys.readouterr().err.startswith("error: target: ")


@pytest.mark.parametrize(
    "error", [OSError("no number"), OSError(99, "network")]
)
def test_other_errors_stay_faults_of_the_program(error):
    with pytest.raises(OSError):
        with one_line_errors():
            raise error


def test_a_pipe_is_not_said_to_be_absent(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    said = not_a_file(tmp_path / "pipe")
    assert "is a pipe or a device (save" in said
    with pytest.raises(InputError, match="is a pipe or a device"):
        read_table(tmp_path / "pipe", [])
