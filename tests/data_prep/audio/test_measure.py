"""Measurements of a file; every kind of bad file gets its reason."""

import gzip
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from data_prep.audio.measure import audit_file


@pytest.mark.parametrize(
    "name, kinds",
    [
        ("a.wav", {"subtype": "PCM_U8"}),
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.wav", {"subtype": "PCM_32"}),
        ("a.wav", {"subtype": "FLOAT", "rate": 8000}),
        ("a.wav", {"subtype": "DOUBLE", "rate": 96000}),
        ("a.flac", {"channels": 2, "rate": 44100}),
        ("a.ogg", {"rate": 48000}),
        ("a.mp3", {"rate": 22050}),
    ],
)
def test_readable_formats(noise, name, kinds):
    audit = audit_file(str(noise(name, seconds=1.0, **kinds)))
    assert (audit.verdict, audit.reason) == ("ok", "")
    assert audit.duration == pytest.approx(1.0, abs=0.06)
    assert audit.header_s == pytest.approx(1.0, abs=0.06)
    assert audit.rate == kinds.get("rate", 16000)
    assert audit.channels == kinds.get("channels", 1)
    # The mean of independent channels is weaker by their number.
    expected = -20 - 10 * np.log10(audit.channels)
    lossy = name.endswith(("ogg", "mp3"))
    assert audit.level_dbfs == pytest.approx(expected, abs=2 if lossy else 0.2)


def make_bad_files(folder):
    """Write files that cannot be used, each for one of ``REASONS``."""
    write = soundfile.write
    rate = 16000
    sound = np.random.default_rng(0).normal(0, 0.1, 2 * rate)
    (folder / "text.wav").write_text("this is not audio\n")
    (folder / "none.wav").write_bytes(b"")
    (folder / "noise.wav").write_bytes(os.urandom(5000))
    (folder / "phone.wav").write_bytes(b"\0\0\0\x18ftyp3gp4" + bytes(900))
    (folder / "phone.3gp").write_bytes(b"\0\0\0\x18ftyp3gp4" + bytes(900))
    write(folder / "header_only.wav", np.zeros(0), rate)
    write(folder / "silent.wav", np.zeros(rate), rate)
    write(folder / "faint.wav", 0.005 * sound, rate)
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        spoilt = sound.copy()
        spoilt[500] = value
        write(folder / f"{name}.wav", spoilt, rate, subtype="FLOAT")
    write(folder / "short.wav", sound[: rate // 20], rate)
    antiphase = np.stack([sound, -sound], axis=1)
    write(folder / "antiphase.wav", antiphase, rate)
    for suffix in ("wav", "flac", "mp3", "ogg"):
        for name, seconds in (("cut", 2), ("long_cut", 30)):
            path = folder / f"{name}.{suffix}"
            write(path, np.resize(sound, seconds * rate), rate)
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
    write(folder / "slow.wav", sound, 16)
    (folder / "bare.raw").write_bytes(bytes(9000))
    (folder / "folder.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    write(folder / "streamed.flac", sound, rate)
    content = bytearray((folder / "streamed.flac").read_bytes())
    content[21] &= 0xF0  # the number of samples in STREAMINFO
    content[22:26] = bytes(4)
    (folder / "streamed.flac").write_bytes(content)


#: Beginning of the reason of each file of ``make_bad_files``.
REASONS = {
    "missing.wav": "unreadable: no such file",
    "text.wav": "unreadable: text, not audio",
    "none.wav": "empty: the file has no bytes",
    "noise.wav": "unreadable:",
    "phone.wav": "unreadable: 3GP or MP4, convert it",
    "phone.3gp": "unreadable: 3GP or MP4, convert it",
    "header_only.wav": "empty: a header and no samples",
    "silent.wav": "silent: -inf dBFS",
    "faint.wav": "silent: -66 dBFS",
    "nan.wav": "not finite: 1 samples",
    "infinite.wav": "not finite: 1 samples",
    "short.wav": "too short: 0.050 s",
    "antiphase.wav": "channels in antiphase",
    "cut.wav": "truncated: 0.999 of 2.000 s",
    "cut.flac": "truncated or damaged",
    "cut.mp3": "truncated: ",
    "cut.ogg": "empty: a header and no samples",
    "long_cut.wav": "truncated: ",
    "long_cut.flac": "truncated or damaged",
    "long_cut.mp3": "truncated: ",
    "long_cut.ogg": "truncated: the last page",
    "slow.wav": "implausible: a sample rate of 16 Hz",
    "bare.raw": "unreadable: samples without a header",
    "folder.wav": "unreadable: no regular file",
    "pipe.wav": "unreadable: no regular file",
    "streamed.flac": "unreadable: the header states no length, convert",
}


def test_unusable_files(tmp_path):
    make_bad_files(tmp_path)
    for name, reason in REASONS.items():
        audit = audit_file(str(tmp_path / name))
        assert audit.verdict == "rejected", name
        assert audit.reason.startswith(reason), name
        assert "\n" not in audit.reason


def test_unreadable_permissions(noise):
    path = noise("a.wav")
    path.chmod(0)
    if os.geteuid() != 0:
        assert audit_file(str(path)).reason == "unreadable: permission denied"
        return
    # Root reads everything: ask as nobody, who may pass through the folders.
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        os.write(write, audit_file(str(path)).reason.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"unreadable: permission denied"


def test_streamed_header_is_flagged(noise):
    path = noise("a.wav")
    content = path.read_bytes()
    at = content.index(b"data") + 4
    size = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content[:at] + size + content[at + 4 :])
    audit = audit_file(str(path))
    assert audit.verdict == "flagged"
    assert audit.reason.startswith("streamed: the header states no length")
    assert (audit.duration, audit.header_s) == (1.0, None)


def test_flags(tmp_path, noise):
    rate = 16000
    sound = np.random.default_rng(0).normal(0, 0.1, 2 * rate)
    phased = np.stack([sound, -0.7 * sound], axis=1)
    burst = np.concatenate([sound[:rate], np.zeros(20 * rate)])
    long = np.tile(sound, 301)
    expected = {
        "clipped.wav": (np.clip(20 * sound, -1, 1), "clipped: "),
        "dc.wav": (0.1 + sound, "DC offset: +0.1"),
        "burst.wav": (burst, "mostly silent: 95%"),
        "phased.wav": (phased, "channels out of phase"),
        "long.wav": (long, "very long: 602 s"),
    }
    for name, (samples, reason) in expected.items():
        soundfile.write(tmp_path / name, samples, rate)
        audit = audit_file(str(tmp_path / name))
        assert audit.verdict == "flagged", name
        assert audit.reason.startswith(reason), name
    misnamed = noise("b.wav").rename(tmp_path / "b.flac")
    assert audit_file(str(misnamed)).reason == "misnamed: .flac holds WAV"


def test_measurements_against_definitions(tmp_path):
    rate = 16000
    sound = np.random.default_rng(1).normal(0.01, 0.2, 3 * rate)
    sound[:rate] = 0  # the first third
    sound[rate : rate + 160] = 1.0
    soundfile.write(tmp_path / "a.wav", sound, rate, subtype="FLOAT")
    audit = audit_file(str(tmp_path / "a.wav"))
    sound = sound.astype(np.float32).astype(np.float64)
    level = 10 * np.log10(np.mean(sound**2))
    assert audit.level_dbfs == pytest.approx(level, abs=1e-6)
    assert audit.peak == pytest.approx(np.abs(sound).max())
    assert audit.dc == pytest.approx(sound.mean(), abs=1e-9)
    assert audit.clipped == np.mean(np.abs(sound) >= 0.999)
    assert audit.silence == pytest.approx(1 / 3, abs=0.01)


#: Contents under an audio file's name, and the part of the reason for each.
FOREIGN = {
    b"\0" * 5000: "only zero bytes, the copy failed, copy it again",
    b"\0" * 5000 + b"x": "begins with zero bytes",
    gzip.compress(bytes(99)): "compressed with gzip, unpack it",
    b"PK\3\4" + bytes(99): "a ZIP archive, unpack it",
    b"\xef\xbb\xbf\n<!DOCTYPE html><p>404": "a web page or XML",
    b"%PDF-1.7": "a PDF",
    b"version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
    b"hello": "text, not audio",
}


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("content", FOREIGN, ids=list(FOREIGN.values()))
def test_content_that_is_not_audio_is_named(content, suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    reason = audit_file(str(path)).reason
    assert reason.startswith("unreadable: ") and FOREIGN[content] in reason


def tagged(content, length=300):
    size = bytes([0, 0, length >> 7, length & 127])
    return b"ID3\3\0\0" + size + bytes(length) + content


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
@pytest.mark.parametrize("n_tags", [1, 2])
def test_an_id3_tag_in_front_changes_nothing(noise, suffix, n_tags):
    path = noise(f"a.{suffix}")
    plain = audit_file(str(path))
    content = path.read_bytes()
    for _ in range(n_tags):
        content = tagged(content)
    path.write_bytes(content)
    audit = audit_file(str(path))
    if audit.usable or n_tags == 1:  # libsndfile reads one tag
        assert (audit.verdict, audit.reason) == (plain.verdict, plain.reason)
        assert audit.digest == plain.digest


def test_a_truncated_wav_behind_a_tag(noise):
    path = noise("a.wav")
    path.write_bytes(tagged(path.read_bytes()[:-8000]))
    assert audit_file(str(path)).reason.startswith("truncated: 0.75")


@pytest.mark.parametrize("utf8, cure", [(0, "set PYTHONUTF8=1"), (1, "")])
def test_the_cure_for_names_in_a_locale_without_utf8(noise, utf8, cure):
    """PYTHONUTF8=1 is that cure, and not another name."""
    path = noise("é.wav")
    code = (
        "import sys; from data_prep.audio.measure import audit_file; "
        "print(audit_file(sys.argv[1]).reason)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], text=True, capture_output=True,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": str(utf8)},
    )  # fmt: skip
    assert cure in done.stdout and "rename" not in done.stdout
    assert bool(done.stdout.strip()) == bool(cure), done.stderr
