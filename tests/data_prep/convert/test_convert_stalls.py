"""A program that hangs, and files that only a name calls audio, are rejected
in one line; the exit status says that something is missing."""

import gzip
import time

import pytest

from data_prep import convert as command
from data_prep.audio import ffmpeg as calls
from data_prep.convert import convert
from data_prep.files.errors import InputError
from tests.data_prep.convert.converted import refused, rows


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(calls, "STALLED_S", 1.0)
    monkeypatch.setattr(calls, "_STEP_S", 0.1)
    monkeypatch.setattr(calls, "KILLED_S", 0.5)


@pytest.mark.parametrize("script", ["exec sleep 60", "sleep 60"])
def test_a_program_that_hangs(noise, src, out, fake_ffmpeg, impatient, script):
    """Also one whose own child keeps the pipes open."""
    noise("src/a.wav")
    fake_ffmpeg(script)
    begin = time.monotonic()
    refused("a.wav", "ffmpeg made no progress", "disk", source=src, out=out)
    assert time.monotonic() - begin < 15
    assert not list(out.glob("*.flac"))


@pytest.mark.parametrize(
    "script, words",
    [
        ("sleep 60", "-version gave no answer within 0.3 s; install ffmpeg"),
        ("exit 127", "-version ends with status 127; install ffmpeg anew"),
    ],
)
def test_an_ffmpeg_that_never_works(
    noise, src, out, fake_ffmpeg, monkeypatch, tmp_path, script, words
):
    """Said once, before each file waits for it in turn."""
    noise("src/a.wav")
    fake_ffmpeg("")
    (tmp_path / "bin/ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
    monkeypatch.setattr(calls, "_ANSWER_S", 0.3)
    with pytest.raises(InputError, match=f"{tmp_path}/bin/ffmpeg {words}"):
        convert(src, out)
    assert not out.exists()


def test_ffprobe_that_hangs(noise, src, out, fake_ffmpeg, impatient, tmp_path):
    noise("src/a.wav")
    fake_ffmpeg("exec sleep 60")
    (tmp_path / "bin/ffmpeg").rename(tmp_path / "bin/ffprobe")
    refused("a.wav", "ffprobe made no progress", source=src, out=out)


def test_a_slow_program_is_not_stopped(src, out, noise, impatient, tmp_path):
    """It writes something in each second, for longer than the limit."""
    target = tmp_path / "slow"
    script = f"for i in 1 2 3 4; do echo x >> {target}; sleep 0.5; done"
    status, output, _ = calls.Processes().run("sh", "-c", script, target=target)
    assert status == 0 and target.read_text() == "x\n" * 4


def test_a_large_input_and_output_are_whole(impatient):
    """Longer than a pipe holds, over several looks at the program."""
    data = bytes(range(256)) * 4000
    status, output, _ = calls.Processes().run(
        "sh", "-c", "sleep 0.4; cat", data=data
    )
    assert status == 0 and output == data


def test_status_says_that_files_are_missing(
    noise, src, out, monkeypatch, capsys
):
    noise("src/a.wav")
    monkeypatch.setattr("sys.argv", ["convert", str(src), str(out)])
    command.main()
    (src / "b.wav").write_bytes(bytes(5000))
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            command.main()
        assert end.value.code == 1
        assert "1 rejected" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["convert", "--help"])
    with pytest.raises(SystemExit):
        command.main()
    assert "1 if some were rejected" in " ".join(
        capsys.readouterr().out.split()
    )


def test_what_is_not_audio_is_named(noise, src, out):
    wav = noise("src/z.wav").read_bytes()
    (src / "a.wav").write_bytes(bytes(5000))
    (src / "b.m4a").write_bytes(gzip.compress(wav))
    (src / "c.mp4").write_text("<!doctype html><html></html>")
    convert(src, out)
    parts = {"a.wav": "only zero bytes", "b.m4a": "gzip", "c.mp4": "web page"}
    for name, part in parts.items():
        assert part in rows(out)[name]["reason"]


def test_an_id3_tag_before_a_wav(noise, src, out):
    wav = noise("src/a.wav").read_bytes()
    (src / "a.wav").write_bytes(b"ID3\3\0\0\0\0\1\0" + bytes(128) + wav)
    convert(src, out)
    assert rows(out)["a.wav"]["verdict"] == "ok"
