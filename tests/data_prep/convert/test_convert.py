"""Conversion loses nothing and names each rejected file."""

import os
import shutil

import numpy as np
import pytest
import soundfile

from data_prep.audio import conversion
from data_prep.audio.conversion import output_names
from data_prep.convert import convert
from data_prep.files.errors import InputError
from tests.data_prep.convert.converted import (
    audio_in,
    ffmpeg,
    refused,
    rows,
    write_3gp,
)

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


def test_a_playlist_is_not_the_sound_that_it_names(noise, src, out):
    """By content: the suffix says that they are recordings."""
    shutil.copy(noise("a.wav"), src / "neighbour.wav")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n"
    playlist += "neighbour.wav\n#EXT-X-ENDLIST\n"
    subtitles = "1\n00:00:00,000 --> 00:00:01,000\nHello\n"
    concat = "ffconcat version 1.0\nfile 'neighbour.wav'\n"
    texts = {"concat.m4a": concat, "list.m4a": playlist, "said.mka": subtitles}
    for name, text in texts.items():
        (src / name).write_text(text)
    summary = convert(src, out)
    assert (summary.converted, summary.rejected) == (1, 3)
    for name in texts:
        reason = rows(out)[name]["reason"]
        assert reason == "not a recording: a playlist, a text or a picture"
    assert audio_in(out) == ["neighbour.flac"]


def test_lengths_and_rates_of_broken_headers(noise, src, out):
    """A recorder that lost its power; a rate that cannot be."""
    whole = noise("a.wav", seconds=1.0).read_bytes()
    zero = whole[:4] + bytes(4) + whole[8:40] + bytes(4) + whole[44:]
    (src / "power.wav").write_bytes(zero)
    fast = (10**9).to_bytes(4, "little")
    (src / "rate.wav").write_bytes(whole[:24] + fast + whole[28:])
    convert(src, out)
    power, rate = rows(out)["power.wav"], rows(out)["rate.wav"]
    assert (power["verdict"], power["decoded_s"]) == ("flagged", "1.0")
    assert power["reason"].startswith("the header states no length")
    assert rate["reason"] == "implausible: a sample rate of 1000000000 Hz"
