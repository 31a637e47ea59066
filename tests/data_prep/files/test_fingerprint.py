"""A file is the one it was by its content."""

import os
import shutil

import pytest

from cry_modules.audio import RecordingReader
from data_prep.audio.checksums import write_checksums
from data_prep.files.errors import InputError
from data_prep.files.fingerprint import fingerprint, is_same, stamp
from data_prep.files.journal import Journal


@pytest.mark.parametrize("size", [0, 1, 20000, 100000])
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_the_beginning_the_middle_and_the_end_count(tmp_path, size, place):
    path, content = tmp_path / "a", bytearray(size)
    path.write_bytes(content)
    before = stamp(path)
    os.utime(path, (1, 1))
    assert is_same(before, path)
    if size:
        content[round(place * (size - 1))] = 1
        path.write_bytes(content)
        os.utime(path, (1, 1))
        assert not is_same(before, path)
    path.unlink()
    assert not is_same(before, path) and is_same("unreadable", path)
    os.mkfifo(path)  # must not block
    assert fingerprint(path) == "unreadable"


def test_a_journal_is_valid_for_copies(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    with Journal(tmp_path / "j", {}) as journal:
        journal.add("a.wav", path, {"seconds": 3})
        copy = tmp_path / "b.wav"
        shutil.copyfile(path, copy)
        os.utime(copy, (1, 1))
        assert journal.get("a.wav", copy) == {"seconds": 3}
        copy.write_bytes(b"noise")
        os.utime(copy, (1, 1))
        assert journal.get("a.wav", copy) is None


def test_audio_is_compared_when_it_is_read(noise, tmp_path):
    path, other = noise("d/a.wav"), noise("d/b.wav")
    write_checksums({"a.wav": fingerprint(path)}, tmp_path)
    reader = RecordingReader()
    reader.expect(tmp_path, str(tmp_path / "d"))
    reader(str(path), 0.0, 1.0)
    reader(str(other), 0.0, 1.0)  # of a probe
    shutil.copyfile(other, path)
    with pytest.raises(InputError, match="a.wav is not the file that it was"):
        reader(str(path), 0.0, 1.0)
