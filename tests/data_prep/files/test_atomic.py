"""No half-written file is left behind."""

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
