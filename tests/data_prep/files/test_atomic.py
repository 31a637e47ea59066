"""No half-written file is left behind."""

import subprocess
import sys

import pytest

from data_prep.files.atomic import complete_or_absent, make_folder
from data_prep.files.errors import InputError
from data_prep.files.tables import write_table, write_text


def test_failure_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("before")
    with pytest.raises(RuntimeError):
        with complete_or_absent(path) as partial:
            partial.write_text("half")
            raise RuntimeError("stopped")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    assert path.read_text() == "before"


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, "x" * 100000),
        lambda path: write_table(path, ["x"], [["y" * 1000]] * 100),
    ],
)
def test_full_disk_is_one_line_and_leaves_nothing(write, tmp_path):
    """A limit on the size of files fails midway, like a full disk."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, before[1]))
    try:
        with pytest.raises(InputError, match="a.csv could not be written"):
            write(tmp_path / "a.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["/proc/no", "file", "file/below"])
def test_a_folder_that_cannot_be_made(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="write"):
        make_folder(tmp_path / place)


def test_another_reason_than_a_full_disk(tmp_path):
    with pytest.raises(InputError, match="choose another place"):
        write_text(tmp_path / "no/a.txt", "x")


def test_a_preparer_on_a_full_disk(database, tmp_path):
    """The whole command: exit 2, one line, no half manifest."""
    script = (
        # Imported first: the limit would cut Python's own caches short too.
        "import resource, signal;"
        "from data_prep.clinical_prepare import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "main()"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", script, database(), "--out", out],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    errors = [x for x in done.stderr.splitlines() if x.startswith("error")]
    assert len(errors) == 1 and "could not be written" in errors[0]
    assert "Traceback" not in done.stderr
    assert not list(out.glob("*.partial*"))
    assert not (out / "train.csv").exists()
