"""Conversion overwrites nothing, resumes, and survives a full disk."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from data_prep.audio import conversion
from data_prep.audio.conversion import Converter
from data_prep.convert import convert
from tests.data_prep.convert.converted import audio_in, refused, write_3gp

# Originals and outputs


def test_second_run_converts_nothing_and_originals_are_unchanged(
    noise, src, out
):
    def state(folder):
        return {
            p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*")
        }

    noise("src/a.wav", channels=2)
    write_3gp(src / "b.3gp", seconds=1.4)
    before = state(src)
    convert(src, out)
    made = state(out)
    summary = convert(src, out)
    assert (summary.converted, summary.done) == (0, 2)
    assert state(src) == before
    assert state(out)[out / "a.flac"] == made[out / "a.flac"]
    report = out / "convert.csv"
    assert state(out)[report][0] == made[report][0]
    moved = src.rename(src.with_name("moved"))
    assert convert(moved, out).done == 2


def test_changed_files_and_settings_convert_again(noise, src, out):
    for name in "abc":
        noise(f"src/{name}.wav")
    convert(src, out)
    noise("src/a.wav", seconds=2.0)
    (out / "b.flac").unlink()
    summary = convert(src, out)
    assert (summary.converted, summary.done) == (2, 1)
    assert soundfile.info(out / "a.flac").duration == 2.0
    assert convert(src, out, rate=8000).converted == 3
    assert soundfile.info(out / "b.flac").samplerate == 8000
    assert convert(src, out, rate=8000, format="wav").converted == 3
    assert audio_in(out) == ["a.wav", "b.wav", "c.wav"]  # none twice


def test_names_that_would_collide(noise, src, out):
    noise("src/a.wav")
    convert(src, out)
    noise("src/a.flac")
    assert convert(src, out).converted == 2
    assert audio_in(out) == ["a.flac.flac", "a.wav.flac"]
    # A single file is named as in its folder.
    convert(src / "a.wav", out.parent / "single")
    assert audio_in(out.parent / "single") == ["a.wav.flac"]


def test_other_files_are_not_overwritten(noise, src, out):
    noise("src/a.wav")
    noise("out/a.flac", seconds=0.3)
    refused("out/a.flac", "not made by this", "move it", source=src, out=out)
    assert soundfile.info(out / "a.flac").frames == 4800
    (out / "a.flac").unlink()
    convert(src, out)
    noise("other/a.wav", seconds=0.5)
    refused("src/a.wav", "another OUT", source=src.parent / "other", out=out)
    assert soundfile.info(out / "a.flac").frames == 16000


def test_outputs_without_a_source_are_reported(noise, src, out, caplog):
    noise("src/a.wav")
    noise("src/b.wav")
    convert(src, out)
    (src / "b.wav").unlink()
    convert(src, out)
    assert "b.flac" in caplog.text
    assert audio_in(out) == ["a.flac", "b.flac"]


# Interruptions


def test_interrupted_run_resumes(noise, src, out, monkeypatch):
    for i in range(6):
        noise(f"src/a{i}.wav")
    measure, calls = conversion.audit_file, []

    def interrupted(path):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(path)

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "audit_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(src, out, jobs=2)
    kept = audio_in(out)
    assert 2 <= len(kept) < 6
    assert all(soundfile.info(out / name).frames == 16000 for name in kept)
    summary = convert(src, out)
    assert (summary.converted, summary.done) == (6 - len(kept), len(kept))
    assert len(audio_in(out)) == 6


def test_killed_before_an_output_is_in_place(noise, src, out, monkeypatch):
    noise("src/a.wav")
    convert(src, out)
    noise("src/a.wav", seconds=2.0)

    def killed(self, output, file, entry):
        add(self, output, file, entry)
        raise KeyboardInterrupt

    add = Converter.add_to_journal
    with monkeypatch.context() as patch:
        patch.setattr(Converter, "add_to_journal", killed)
        with pytest.raises(KeyboardInterrupt):
            convert(src, out)
    assert convert(src, out).converted == 1
    assert soundfile.info(out / "a.flac").duration == 2.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_ffmpeg_at_once(
    noise, src, out, tmp_path, fake_ffmpeg, number
):
    noise("src/a.wav")
    fake_ffmpeg(f"touch {tmp_path}/begun\nexec sleep 60")
    process = subprocess.Popen(
        [sys.executable, "-m", "data_prep.convert", str(src), str(out)],
        cwd=Path(__file__).parents[3],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background jobs, such as a test run, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "begun").exists() and time.monotonic() < end:
            time.sleep(0.05)
        begin = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert time.monotonic() - begin < 5
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith("Interrupted. Run the same")
    assert audio_in(out) == []


def test_limit_of_file_size(noise, src, out):
    noise("src/a.wav", seconds=0.1)
    noise("src/b.wav", seconds=1.0)
    done = subprocess.run(
        [sys.executable, "-m", "data_prep.convert", str(src), str(out)],
        cwd=Path(__file__).parents[3],
        # Else Python's own caches are files that cannot be written.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (20000, 20000)
        ),
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and "free some space" in last
    assert "b.flac" in last and "Traceback" not in done.stderr
    assert "b.flac" not in audio_in(out)
    assert convert(src, out).rejected == 0


@pytest.mark.parametrize(
    "failure",
    [
        "kill -XFSZ $$",
        # ffmpeg 5.1 exits with 0.
        "echo '[error] Error writing trailer: No space left on device' >&2",
    ],
)
def test_full_disk(noise, src, out, fake_ffmpeg, failure):
    noise("src/a.wav")
    half = 'for file; do :; done\necho half > "${file#file:}"\n'
    fake_ffmpeg(half + failure)
    refused("a.flac", "free some space", source=src, out=out)
    assert audio_in(out) == []
