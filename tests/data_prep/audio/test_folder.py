"""Audio files of a folder, and formats by first bytes."""

import os
import subprocess
import sys

import pytest

from data_prep.audio.folder import audio_files, find_files, kind_of
from data_prep.files.errors import InputError


def test_audio_at_any_depth_and_nothing_else(tmp_path):
    audio = ["b.WAV", "x/y/a.flac", "x/phone.3gp", "x y/-a,b.mp3"]
    others = ["notes.txt", "._b.wav", ".cache/a.wav", "x/.hidden.wav"]
    for name in audio + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert audio_files(tmp_path) == sorted(audio)


def test_links_are_followed_and_have_an_end(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.wav").write_bytes(b"")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/link").symlink_to(tmp_path / "real")
    (tmp_path / "real/up").symlink_to(tmp_path / "data")
    assert audio_files(tmp_path / "data") == ["link/a.wav"]


def test_a_folder_without_audio(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"")
    with pytest.raises(InputError, match="holds no audio file"):
        audio_files(tmp_path)


@pytest.mark.parametrize(
    "head, kind",
    [
        (b"RIFF\0\0\0\0WAVE", "WAV"),
        (b"fLaC", "FLAC"),
        (b"\0\0\0\x18ftypM4A ", "3GP or MP4"),
        (b"\xff\xfb\x90d", "MP3"),
        (b"#!AMR\n", "AMR"),
        (b"<html>\n", "text"),
        (b"\x8f\x01\x02\x03", None),
        (b"", None),
    ],
)
def test_kinds(head, kind):
    assert kind_of(head) == kind


def test_names_that_the_locale_does_not_have(tmp_path):
    """The table has the right name: the locale is to blame."""
    (tmp_path / "é.wav").write_bytes(b"x")
    code = (
        "from data_prep.audio.folder import find_file\n"
        "from data_prep.files.errors import one_line_errors\n"
        "with one_line_errors(): {}"
    )
    for call in ("find_file('.', '\\xe9.wav')", "open('\\xe9.wav')"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(call)],
            cwd=tmp_path, text=True, capture_output=True,
            env={
                **os.environ, "PYTHONPATH": os.getcwd(),
                "LC_ALL": "C", "PYTHONUTF8": "0",
            },
        )  # fmt: skip
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "set PYTHONUTF8=1" in done.stderr


@pytest.mark.parametrize(
    "call",
    [
        "data_prep.files.option_values.convert('--x', data_prep.files.option_values.text, sys.argv[1])",
        "data_prep.corpora.plain_folder.check_name(sys.argv[1])",
    ],
)
def test_a_name_that_the_locale_takes_apart(call):
    """Neither its characters nor the file are to blame."""
    module = call.partition("(")[0].rpartition(".")[0]
    code = (
        f"import sys, {module}\n"
        "from data_prep.files.errors import one_line_errors\n"
        f"with one_line_errors(): {call}"
    )
    for utf8 in (0, 1):
        done = subprocess.run(
            [sys.executable, "-c", code, "b\xe9b\xe9"],
            text=True, capture_output=True,
            env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": str(utf8)},
        )  # fmt: skip
        assert done.returncode == (0 if utf8 else 2), done.stderr
        assert len(done.stderr.splitlines()) == 1 - utf8
        assert ("set PYTHONUTF8=1" in done.stderr) == (not utf8)


@pytest.mark.parametrize(
    "files, names, expected",
    [
        # By name in sub-folders, with any suffix, however it is spelt.
        (["S1/a 1.flac", "S2/b.WAV"], ["a 1", "B.wav"], ["S1/a 1.flac", "S2/b.WAV"]),
        (["a.wav", "b.wav"], ["a", "b"], ["a.wav", "b.wav"]),
        # Two files of a name: nobody knows which.
        (["S1/a.wav", "S2/a.wav", "b.wav"], ["a"], [None]),
        (["S1/a.wav", "S1/a.flac"], ["a"], [None]),
        (["S1/a.wav", "S1/a.flac"], ["a.wav"], ["S1/a.wav"]),
        # One file is where the table says: the other was moved by somebody.
        (["a.wav", "excluded/b.wav"], ["a.wav", "b.wav"], ["a.wav", None]),
        (["S1/a.wav"], ["S2/a.wav"], [None]),  # its folder is another
        (["S1/a.txt", ".S1/a.wav"], ["a"], [None]),
        (["S1/a.wav"], ["a", "c"], ["S1/a.wav", None]),
    ],
)  # fmt: skip
def test_names_without_folders(tmp_path, files, names, expected):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert find_files(tmp_path, names) == dict(zip(names, expected))
