"""Unpacking of archives that came from elsewhere."""

import errno
import io
import stat
import struct
import tarfile
import zipfile

import pytest

from data_prep.download import archives
from data_prep.download.archives import is_rest_of_split, unpack

FILES = {"a/one.wav": b"one" * 100, "a/b/two.wav": bytes(range(256)) * 40}


@pytest.fixture
def place(tmp_path):
    """Path of an archive, folder to unpack it to, and marker."""
    return lambda name: (tmp_path / name, tmp_path / "out", tmp_path / "done")


def write_zip(path, files=FILES, change=lambda info: None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            archive.writestr(info, content)


def write_tar(path, files=FILES, change=lambda info: None):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            archive.addfile(info, io.BytesIO(content))


WRITERS = {"x.zip": write_zip, "x.tar.gz": write_tar, "x.tgz": write_tar}


def contents(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.mark.parametrize("name", WRITERS)
def test_all_files_are_there(name, place):
    path, out, marker = place(name)
    WRITERS[name](path)
    unpack(path, out, marker)
    assert contents(out) == FILES and marker.is_file()


def test_an_interrupted_one_goes_on(place, monkeypatch):
    path, out, marker = place("x.zip")
    write_zip(path)
    (out / "a/b").mkdir(parents=True)
    (out / "a/one.wav").write_bytes(b"x" * 300)  # as long: it was whole
    (out / "a/b/.two.wav.partial").write_bytes(b"half")
    unpack(path, out, marker)
    assert contents(out) == {**FILES, "a/one.wav": b"x" * 300}


def test_what_is_not_an_archive_is_copied(place):
    path, out, marker = place("table.csv")
    path.write_text("a,b\n")
    unpack(path, out, marker)
    assert contents(out) == {"table.csv": b"a,b\n"}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    "member", ["../evil.wav", "/evil.wav", "a/../../evil.wav", "..\\evil.wav"]
)
def test_nothing_is_written_outside(name, member, place, refused, tmp_path):
    path, out, marker = place(name)
    WRITERS[name](path, {member: b"evil"})
    before = contents(tmp_path)
    assert "which leads out of the folder" in refused(unpack, path, out, marker)
    assert contents(tmp_path) == before


def test_links_are_refused(place, refused):
    def link_in_zip(info):
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    def link_in_tar(info):
        info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc", 0

    def hard_link(info):
        info.type, info.linkname, info.size = tarfile.LNKTYPE, "/etc/a", 0

    def device(info):
        info.type, info.size = tarfile.CHRTYPE, 0

    for name, change in (
        ("x.zip", link_in_zip),
        ("x.tgz", link_in_tar),
        ("x.tgz", hard_link),
        ("x.tgz", device),
    ):
        path, out, marker = place(name)
        WRITERS[name](path, {"a": b"/etc"}, change)
        line = refused(unpack, path, out, marker)
        assert "holds a, which is a link or a device" in line
        assert not contents(out) and not marker.exists()


@pytest.mark.parametrize("name", WRITERS)
def test_a_bomb_is_refused_before_it_fills_the_disk(
    name, place, refused, monkeypatch
):
    monkeypatch.setattr(archives, "_MOST_BYTES", 10**6)
    path, out, marker = place(name)
    WRITERS[name](path, {f"{i}.wav": bytes(10**6) for i in range(3)})
    line = refused(unpack, path, out, marker)
    assert "unpacks to more than any audio does; do not use" in line
    assert not marker.exists()
    assert sum(map(len, contents(out).values())) <= 2 * 10**6


@pytest.mark.parametrize("member", ["", ".", "a\nb.wav", "a\x1b[2J.wav"])
def test_names_that_no_file_has(member, place, refused):
    path, out, marker = place("x.zip")
    write_zip(path, {member: b"x"})
    assert "is not the name of a file" in refused(unpack, path, out, marker)
    assert not contents(out) and not marker.exists()


def test_a_disk_that_fills_up_keeps_no_half_file(place, refused, monkeypatch):
    def full(source, file, *_):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    path, out, marker = place("x.zip")
    write_zip(path)
    line = refused(unpack, path, out, marker)
    assert ".one.wav.partial could not be written (No space left" in line
    assert not contents(out)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_damaged_archive_is_one_line(name, share, place, refused):
    path, out, marker = place(name)
    WRITERS[name](path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    line = refused(unpack, path, out, marker)
    assert line.startswith(f"{path} cannot be unpacked (")
    assert line.endswith("; delete it, then run the same command again")
    assert not marker.exists()


def split(path, cuts):
    """Split a zip archive as ``zip -s`` does: offsets count from the beginning
    of the part that a member begins in, whose number stands beside them."""
    mark = b"PK\x07\x08"  # which begins the first part
    with zipfile.ZipFile(path) as archive:
        infos, start = archive.infolist(), archive.start_dir
    whole = bytearray(mark + path.read_bytes())
    begins = [0, *cuts]
    at = start + len(mark)
    for info in infos:
        offset = info.header_offset + len(mark)
        part = sum(begin <= offset for begin in begins) - 1
        struct.pack_into("<H", whole, at + 34, part)
        struct.pack_into("<I", whole, at + 42, offset - begins[part])
        name_extra = struct.unpack_from("<HHH", whole, at + 28)
        at += 46 + sum(name_extra)
    offset = start + len(mark) - begins[-1]
    struct.pack_into("<I", whole, at + 16, offset)
    ends = [*cuts, len(whole)]
    for i, (begin, end) in enumerate(zip(begins, ends), start=1):
        suffix = ".zip" if end == len(whole) else f".z{i:02d}"
        path.with_suffix(suffix).write_bytes(whole[begin:end])


@pytest.mark.parametrize("cuts", [[30], [700], [350, 500, 900]])
def test_a_split_archive(cuts, place, refused):
    path, out, marker = place("x.zip")
    rng = bytes((i * i) % 251 for i in range(300))
    files = {f"a/{i}.wav": bytes([i]) + rng for i in range(5)}
    write_zip(path, files)
    split(path, cuts)
    unpack(path, out, marker)
    assert contents(out) == files
    part = path.with_suffix(".z01")
    part.write_bytes(part.read_bytes()[:-20])
    line = refused(unpack, path, out.with_name("other"), marker)
    assert line.startswith(f"{path} cannot be unpacked (")


def test_names_of_parts():
    names = ["x.z01", "x.z15", "x.zip", "x.zap", "x.z"]
    assert [is_rest_of_split(n) for n in names] == [True, True, *[False] * 3]
