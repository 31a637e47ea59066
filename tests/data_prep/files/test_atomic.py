"""No half-written file is left behind, and nothing but a file is replaced."""

import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading

import pytest

from data_prep.files.atomic import (
    cannot_write,
    complete_or_absent,
    make_folder,
    require_writable,
)
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


def write(path, text="new"):
    write_text(path, text)


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far/a.csv", tmp_path / "a.csv"
    link.symlink_to("far/a.csv")  # dangling at first
    for text in ("one", "two"):
        write(link, text)
        assert link.is_symlink() and target.read_text() == text
    again = tmp_path / "again.csv"
    again.symlink_to(link)
    write(again)
    assert again.is_symlink() and link.is_symlink()
    assert target.read_text() == "new" and not target.is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("a.csv", "again.csv", "far"),
    ]
    assert [p.name for p in (tmp_path / "far").iterdir()] == ["a.csv"]


def test_links_that_lead_nowhere_are_one_line(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("none/a.csv")
    for name in ("loop", "gone"):
        with pytest.raises(InputError, match=f"{name} could not be written"):
            write(tmp_path / name)
        with pytest.raises(InputError, match=f"{name} could not be written"):
            require_writable(tmp_path / name)  # before the work
        assert (tmp_path / name).is_symlink()
    with pytest.raises(InputError, match="loop, which does not exist"):
        make_folder(tmp_path / "loop")
    (tmp_path / "disk").symlink_to("unmounted")
    with pytest.raises(InputError, match="unmounted, which does not exist"):
        make_folder(tmp_path / "disk/run")


def read_in_thread(path):
    """Start to read a pipe; return a function that waits for its content."""
    content = []
    thread = threading.Thread(
        target=lambda: content.append(path.read_text()), daemon=True
    )
    thread.start()

    def join():
        thread.join(timeout=20)
        return content[0]

    return join


@pytest.mark.parametrize("writer", ["text", "table"])
def test_a_pipe_is_written_to(writer, tmp_path):
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    content = read_in_thread(pipe)
    if writer == "text":
        write(pipe, "x\n1\n")
    else:
        write_table(pipe, ["x"], [[1]])
    assert content() == "x\n1\n" and pipe.is_fifo()
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_link_to_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.csv").symlink_to("pipe")
    content = read_in_thread(tmp_path / "pipe")
    write(tmp_path / "a.csv")
    assert content() == "new" and (tmp_path / "a.csv").is_symlink()


def test_nothing_reaches_a_pipe_of_a_failed_writer(tmp_path):
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    with pytest.raises(RuntimeError):
        with complete_or_absent(pipe) as partial:
            partial.write_text("half")
            raise RuntimeError("stopped")
    assert pipe.is_fifo() and len(list(tmp_path.iterdir())) == 1


def test_the_end_of_a_pipes_reader_is_not_an_error_of_the_file(tmp_path):
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BrokenPipeError):
        with complete_or_absent(pipe) as partial:
            partial.write_text("x")
            os.set_blocking(reader, True)
            writer = threading.Timer(0.2, lambda: os.close(reader))
            writer.start()
            partial.write_text("x" * 1_000_000)


@pytest.mark.parametrize("kind, number", [("full", 7), ("null", 3)])
def test_a_device_is_written_to(kind, number, tmp_path):
    """On copies, made as root, of /dev/full and /dev/null."""
    device = tmp_path / kind
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, number))
        os.close(os.open(device, os.O_WRONLY))
    except OSError:
        pytest.skip("only root can make devices")
    if kind == "full":
        problem = f"^{device} could not be .*free some space"
        with pytest.raises(InputError, match=problem):
            write(device)
        error = cannot_write("-", OSError(errno.ENOSPC, "No space"))
        assert str(error).startswith("standard output could not be")
    else:
        write(device)
    assert stat.S_ISCHR(device.stat().st_mode)
    assert [p.name for p in tmp_path.iterdir()] == [kind]


@pytest.mark.parametrize("kind", ["folder", "socket", "link to folder"])
def test_what_is_not_a_file_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    if kind == "socket":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("out")
    else:
        os.mkdir("folder")
        os.rename("folder", "out") if kind == "folder" else os.symlink(
            "folder", "out"
        )
    before = os.lstat("out").st_ino
    with pytest.raises(InputError, match=f"out is a .*{kind.split()[-1]}"):
        with complete_or_absent(tmp_path / "out"):
            raise AssertionError("refused before anything is written")
    assert os.lstat("out").st_ino == before


PRINTS = """
import sys
from data_prep.files.tables import write_text
print("before")
write_text(sys.argv[1], "table\\n")
print("after")
"""


@pytest.mark.parametrize(
    "name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"]
)
@pytest.mark.parametrize("to", ["file", "pipe"])
def test_standard_output_is_written_to_in_order(name, to, tmp_path):
    if name == "link":
        name = str(tmp_path / "link")
        os.symlink("/dev/stdout", name)
    command = [sys.executable, "-c", PRINTS, name]
    if to == "pipe":
        text = subprocess.run(command, stdout=subprocess.PIPE).stdout.decode()
    else:
        with open(tmp_path / "file", "w") as file:
            subprocess.run(command, stdout=file, check=True)
        text = (tmp_path / "file").read_text()
    assert text == "before\ntable\nafter\n"
    assert not os.path.lexists("-")


def test_process_substitution(tmp_path):
    done = subprocess.run(
        ["bash", "-c", 'exec "$0" -c "$1" >(tr a-z A-Z) | cat']
        + [sys.executable, PRINTS],
        capture_output=True,
        text=True,
    )
    assert sorted(done.stdout.split()) == ["TABLE", "after", "before"]
    assert done.stderr == ""


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_replaced_file_keeps_its_permissions(mode, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("before")
    path.chmod(mode)
    if os.getuid() == 0:
        os.chown(path, 1234, 1235)
    owner = path.stat().st_uid, path.stat().st_gid
    write(path)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert (path.stat().st_uid, path.stat().st_gid) == owner


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_follows_the_umask(mask, mode, tmp_path):
    before = os.umask(mask)
    try:
        write(tmp_path / "a.csv")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == mode


def test_file_and_folder_reach_the_disk_around_the_rename(
    tmp_path, monkeypatch
):
    calls = []
    fsync, replace = os.fsync, os.replace

    def record(descriptor):
        calls.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(
        os, "replace", lambda *p: (calls.append("rename"), replace(*p))
    )
    write(tmp_path / "a.csv")
    file, *rest = calls
    assert os.path.dirname(file) == str(tmp_path) and "partial" in file
    assert rest == ["rename", str(tmp_path)]


def test_two_writers_have_their_own_temporary_files(tmp_path):
    path = tmp_path / "a.csv"
    with complete_or_absent(path) as first:
        first.write_text("first")
        with complete_or_absent(path) as second:
            assert second != first
            second.write_text("second")
        assert path.read_text() == "second"
        assert first.read_text() == "first"
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_what_a_killed_writer_left_is_swept(tmp_path):
    path = tmp_path / "a.csv"
    killed = f"""
import os, sys
from data_prep.files.atomic import complete_or_absent
with complete_or_absent({str(path)!r}) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", killed])
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".")  # no command reads it as a recording
    with open(left, "a") as orphan:  # a child of the killed writer
        with complete_or_absent(path) as partial:
            partial.write_text("new")
            orphan.write("old")
            orphan.flush()
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    path = tmp_path / "a.csv"
    with complete_or_absent(path) as first:
        with complete_or_absent(path) as second:
            assert second != first
            second.write_text("second")
        first.write_text("first")
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_names_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / ("a" * 251 + ".csv")
    write(path)
    assert path.read_text() == "new"


def test_a_source_that_cannot_be_read_is_named_not_the_output(tmp_path):
    with pytest.raises(InputError, match="no.csv: .*bring it back"):
        with complete_or_absent(tmp_path / "a.csv") as partial:
            shutil.copyfile(tmp_path / "no.csv", partial)
    assert list(tmp_path.iterdir()) == []


def test_torch_reports_a_full_disk_in_its_own_way(tmp_path):
    with pytest.raises(InputError, match="a.ckpt could not be .*free some"):
        with complete_or_absent(tmp_path / "a.ckpt"):
            raise RuntimeError("[enforce fail at inline_container.cc:659]")
