"""Conversion loses nothing, overwrites nothing, and names each rejected file."""

import csv
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.audio import conversion
from data_prep.audio.conversion import Converter, output_names
from data_prep.convert import convert
from data_prep.files.errors import InputError


@pytest.fixture
def src(tmp_path):
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


@pytest.fixture
def out(tmp_path):
    """Folder of the outputs, where there is ffmpeg to make them."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    return tmp_path / "out"


@pytest.fixture
def fake_ffmpeg(tmp_path, monkeypatch):
    """Replace ffmpeg by a shell script: ``fake_ffmpeg("exit 1")``."""

    def fake(script):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin/ffmpeg").chmod(0o755)
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        monkeypatch.setenv("PATH", path)

    return fake


def rows(out, table="convert.csv"):
    with open(out / table, encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def ffmpeg(*arguments):
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments]
    subprocess.run([str(part) for part in command], check=True)


def write_3gp(path, seconds, frames_per_packet=7):
    """Write random AMR frames, several per packet as phones do.

    ffmpeg writes one frame per packet; its tables of sizes, times and chunks
    are changed.
    """
    draw, n_packets = random.Random(1), round(seconds * 50 / frames_per_packet)
    n_frames = n_packets * frames_per_packet
    raw = path.with_suffix(".raw")
    frames = (b"\x3c" + draw.randbytes(31) for _ in range(n_frames))
    raw.write_bytes(b"#!AMR\n" + b"".join(frames))
    ffmpeg("-f", "amr", "-i", raw, "-c", "copy", path)
    raw.unlink()
    content = path.read_bytes()
    for kind, *entries in (
        (b"stsz", (32, n_frames), (32 * frames_per_packet, n_packets)),
        (b"stts", (1, n_frames, 160), (1, n_packets, 160 * frames_per_packet)),
        (b"stsc", (1, 1, n_frames), (1, 1, n_packets)),
    ):
        old, new = (struct.pack(f">4s{len(e)}I", bytes(4), *e) for e in entries)
        assert content.count(kind + old) == 1
        content = content.replace(kind + old, kind + new)
    path.write_bytes(content)


def refused(*parts, **arguments):
    with pytest.raises(InputError) as error:
        convert(**arguments)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def audio_in(folder):
    kinds = (".flac", ".wav")
    return sorted(p.name for p in folder.rglob("*") if p.suffix in kinds)


# Without ffmpeg


def test_ffmpeg_missing(noise, tmp_path, monkeypatch):
    src, out = noise("src/a.wav").parent, tmp_path / "out"
    monkeypatch.setenv("PATH", "/nowhere")
    refused("not installed", "apt-get install ffmpeg", source=src, out=out)
    assert not out.exists()


@pytest.mark.parametrize(
    "source, target, options, part",
    [
        ("src", "src", {}, "OUT"),
        ("src", "src/out", {}, "is inside"),
        ("src", ".", {}, "choose another OUT"),
        ("src/a.wav", "src", {}, "is inside"),
        ("src", "file", {}, "is a file; pass a folder"),
        ("empty", "out", {}, "holds 1 files and no audio"),
        ("empty/notes.txt", "out", {}, "is not an audio or video file"),
        ("src/no", "out", {}, "does not exist"),
        ("src", "out", {"rate": 16}, "--rate 16 "),
        ("src", "out", {"format": "ogg"}, "--format is 'ogg'"),
        ("src", "out", {"channel": -1}, "--channel -1"),
        ("src", "out", {"jobs": 0}, "--jobs 0"),
    ],
)
def test_refusals(noise, tmp_path, monkeypatch, source, target, options, part):
    noise("src/a.wav")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("x")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(shutil, "which", lambda name: name)
    refused(part, source=tmp_path / source, out=tmp_path / target, **options)
    assert [p.name for p in (tmp_path / "src").iterdir()] == ["a.wav"]


def test_names_of_outputs():
    names = ["a.3gp", "a.caf", "b.m4a", "a.3gp.wav", "c.partial.wav", "d/a.caf"]
    outputs = output_names(names, "flac")
    assert outputs == output_names(names[::-1], "flac")
    assert [outputs[name] for name in names] == [
        *("a.3gp.flac", "a.caf.flac", "b.flac"),
        *("a.3gp.wav.flac", "c.partial.wav.flac", "d/a.flac"),
    ]
    # On file systems that ignore case.
    outputs = output_names(["a.3gp", "A.caf"], "wav")
    assert outputs == {"a.3gp": "a.3gp.wav", "A.caf": "A.caf.wav"}
    with pytest.raises(InputError, match="rename one"):
        output_names(["a.3gp", "A.3gp"], "wav")


# Content of the outputs


@pytest.mark.parametrize("format", ["flac", "wav"])
def test_same_samples(noise, src, out, format):
    noise("src/sub/a.wav", seconds=0.7)
    summary = convert(src, out, format=format)
    assert str(summary).startswith("1 converted, 0 already done, 0 rejected")
    made = out / f"sub/a.{format}"
    before, _ = soundfile.read(src / "sub/a.wav", dtype="int16")
    after, rate = soundfile.read(made, dtype="int16")
    assert rate == 16000 and np.array_equal(before, after)
    info = soundfile.info(made)
    assert (info.channels, info.subtype) == (1, "PCM_16")


def test_rate_depth_and_channels(noise, src, out):
    noise("src/a.flac", rate=44100, channels=2, subtype="PCM_24")
    convert(src, out, rate=8000)
    info = soundfile.info(out / "a.flac")
    assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "PCM_16")
    assert info.frames == pytest.approx(8000, abs=2)
    row = rows(out)["a.flac"]
    facts = row["codec"], row["rate"], row["channels"]
    assert facts == ("flac", "44100", "2")
    noise("src/b.wav", channels=3)  # mixed to the mean
    convert(src, out)
    before, _ = soundfile.read(src / "b.wav")
    after, _ = soundfile.read(out / "b.flac")
    assert np.abs(before.mean(axis=1) - after).max() < 1e-4


@pytest.mark.parametrize(
    "suffix, stated", [("3gp", "7.0"), ("mkv", "7.0"), ("amr", "unknown")]
)
def test_amr_is_whole(src, out, tmp_path, suffix, stated):
    """ffmpeg alone keeps one seventh and reports success."""
    write_3gp(tmp_path / "a.3gp", seconds=7.0)
    ffmpeg("-i", tmp_path / "a.3gp", tmp_path / "plain.wav")
    assert soundfile.info(tmp_path / "plain.wav").duration == 1.0
    if suffix == "3gp":
        shutil.copy(tmp_path / "a.3gp", src)
    else:
        ffmpeg("-i", tmp_path / "a.3gp", "-c", "copy", src / f"a.{suffix}")
    convert(src, out)
    samples, rate = soundfile.read(out / "a.flac")
    assert len(samples) / rate == pytest.approx(7.0, rel=0.02)
    # The same frames, one per packet: ffmpeg alone drops none.
    write_3gp(tmp_path / "b.3gp", seconds=7.0, frames_per_packet=1)
    ffmpeg("-i", tmp_path / "b.3gp", "-ar", "16000", tmp_path / "plain.wav")
    expected, _ = soundfile.read(tmp_path / "plain.wav")
    assert np.abs(samples - expected).max() < 1e-4
    row = rows(out)[f"a.{suffix}"]
    assert (row["codec"], row["container_s"]) == ("amr_nb", stated)


def test_lost_packets_are_rejected(src, out, monkeypatch, noise):
    """Were AMR not unpacked, the comparison of lengths would show it."""
    noise("src/good.wav")
    write_3gp(src / "a.3gp", seconds=9.8)
    plain = conversion.decode

    def without_unpacking(processes, path, source, *others):
        source.codec = "not amr"
        return plain(processes, path, source, *others)

    monkeypatch.setattr(conversion, "decode", without_unpacking)
    assert convert(src, out).rejected == 1
    assert rows(out)["a.3gp"]["reason"] == "decoded 1.40 s of 9.80 s"
    assert audio_in(out) == ["good.flac"]


def test_truncated_files(src, out, noise):
    noise("src/good.wav")
    path = noise("src/cut.wav", seconds=2.0)
    path.write_bytes(path.read_bytes()[:-40000])
    path = noise("src/cut.flac", seconds=3.0)
    os.truncate(path, path.stat().st_size // 3)
    assert convert(src, out).rejected == 2
    reason = rows(out)["cut.wav"]["reason"]
    assert reason == "truncated: 24000 of 64000 bytes of samples"
    assert "of 3.00 s" in rows(out)["cut.flac"]["reason"]
    assert audio_in(out) == ["good.flac"]
    assert sorted(rows(out, "rejected.csv")) == ["cut.flac", "cut.wav"]


def test_padding_of_encoders_is_tolerated(noise, src, out):
    short = noise("a.wav", seconds=0.4)
    low, high = ["-ar", "8000"], ["-ar", "48000"]
    ffmpeg("-i", short, *low, src / "a.mp3", *low, src / "b.m4a")
    ffmpeg("-i", short, *high, src / "c.mp3", *high, src / "d.mp4")
    ffmpeg("-i", short, src / "e.wma", src / "f.aiff")
    ffmpeg("-i", short, "-c:a", "libopus", src / "g.opus", src / "h.ogg")
    assert convert(src, out).rejected == 0
    for row in rows(out).values():
        assert row["container_s"] != "unknown"


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_longer_video_does_not_count(noise, src, out, suffix):
    noise("a.wav", seconds=1.0)
    video = "testsrc=d=3:s=64x64:r=10"
    wav = src.parent / "a.wav"
    film = src / f"a.{suffix}"
    ffmpeg("-f", "lavfi", "-i", video, "-itsoffset", "0.5", "-i", wav, film)
    convert(src, out)
    assert soundfile.info(out / "a.flac").duration == pytest.approx(1, abs=0.1)


def test_no_metadata(noise, src, out):
    tags = ["-metadata", "title=Anna", "-metadata", "location=+50.1+8.6/"]
    tags += ["-metadata:s:a:0", "comment=Anna"]
    for name in ("a.ogg", "b.mov"):
        ffmpeg("-i", noise("a.wav"), *tags, src / name)
        assert b"Anna" in (src / name).read_bytes()
    for format in ("flac", "wav"):
        convert(src, out, format=format)
        for made in out.glob(f"*.{format}"):
            content = made.read_bytes()
            for secret in (b"Anna", b"50.1", b"Lavf5", b"LIST"):
                assert secret not in content


# Stereo


@pytest.fixture
def antiphase(noise, src):
    """Two channels that cancel, except for a weak remainder."""
    noise("src/good.wav")
    signal_, rate = soundfile.read(noise("a.wav", level=0.1))
    rest, _ = soundfile.read(noise("rest.wav", level=0.0005))
    channels = np.stack([signal_, rest - signal_], 1)
    soundfile.write(src / "a.wav", channels, rate)
    return signal_


def test_antiphase_is_rejected_and_a_channel_can_be_used(antiphase, src, out):
    convert(src, out)
    reason = rows(out, "rejected.csv")["a.wav"]["reason"]
    assert "cancel" in reason and "--channel 0" in reason
    assert audio_in(out) == ["good.flac"]
    convert(src / "a.wav", out, channel=0)
    samples, _ = soundfile.read(out / "a.flac")
    assert np.abs(samples - antiphase).max() < 1e-4
    refused("has 2 channel(s)", source=src / "a.wav", out=out, channel=2)
    # Converted with another setting before, now rejected.
    assert audio_in(out) == ["good.flac"]


def test_other_channels_do_not_cancel(noise, src, out):
    noise("src/independent.wav", channels=2)
    noise("src/silent.wav", channels=2, level=0)
    signal_, rate = soundfile.read(noise("c.wav"))
    halves = np.stack([signal_, 0 * signal_], 1)
    soundfile.write(src / "one_sided.wav", halves, rate)
    assert convert(src, out).converted == 3


# Rejected files


def test_files_without_audio(noise, src, out, caplog):
    noise("src/good.wav")
    (src / "text.3gp").write_text("hello")
    (src / "empty.m4a").touch()
    (src / "gone.wav").symlink_to("nowhere")
    soundfile.write(src / "none.wav", np.zeros(0), 16000)
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:s=64x64", src / "mute.mp4")
    (src / "._good.wav").write_bytes(b"x")
    (src / "linked").symlink_to(src.parent)
    (src / "notes.txt").write_text("x")
    summary = convert(src, out)
    assert (summary.converted, summary.rejected, summary.ignored) == (1, 5, 2)
    assert "linked is a link to a folder" in caplog.text
    reasons = {p: r["reason"] for p, r in rows(out, "rejected.csv").items()}
    assert reasons == {
        "empty.m4a": "empty file",
        "gone.wav": "unreadable: No such file or directory",
        "mute.mp4": "no audio in it",
        "none.wav": "no samples in it",
        "text.3gp": "unreadable: Invalid data found when processing input",
    }
    assert audio_in(out) == ["good.flac"]


def test_all_rejected(src, out):
    (src / "a\n.3gp").write_text("hello")
    refused("1 of 1 files were rejected", "Invalid data", source=src, out=out)
    assert list(rows(out)) == ["a\n.3gp"]


def test_odd_names(noise, src, out, monkeypatch):
    names = [
        *("a b.wav", 'it\'s "it".wav', "a,b.wav", "a\nb.wav", "-y.wav"),
        *("Säugling 赤ちゃん.wav", "a:b.wav", "http:b.wav", "a%03d.wav"),
        *("[a]*?.wav", "a;b|c&d$e.wav", "UPPER.WAV"),
    ]
    plain = noise("a.wav", seconds=0.2)
    for name in names:
        shutil.copy(plain, src / name)
    monkeypatch.chdir(src)
    # Not Unicode: later commands could not read it.
    shutil.copy(plain, src / os.fsdecode(b"latin\xe4.wav"))
    for expected in (len(names), 0):
        summary = convert(".", "../out")
        assert (summary.converted, summary.rejected) == (expected, 1)
    assert audio_in(out) == sorted(name[:-4] + ".flac" for name in names)
    reason = rows(out)["latin\\udce4.wav"]["reason"]
    assert reason == "unreadable: name not Unicode; rename it"


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


def test_ctrl_c_ends_ffmpeg_at_once(noise, src, out, tmp_path, fake_ffmpeg):
    noise("src/a.wav")
    fake_ffmpeg(f"touch {tmp_path}/begun\nexec sleep 60")
    process = subprocess.Popen(
        [sys.executable, "-m", "data_prep.convert", str(src), str(out)],
        cwd=Path(__file__).parents[2],
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
        process.send_signal(signal.SIGINT)
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
        cwd=Path(__file__).parents[2],
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
