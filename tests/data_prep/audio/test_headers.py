"""Verdicts on files whose header and samples disagree."""

import struct

import numpy as np
import pytest
import soundfile

from data_prep.audio.headers import sample_bytes
from data_prep.audio.measure import audit_file
from data_prep.audio.read import read_mono

RATE = 16000
SECONDS = 2.0
#: Offset and bytes of the lengths in headers as soundfile writes them.
WAV = [(4, 4), (40, 4)]


def content(name, format, subtype="PCM_16"):
    """Bytes of a file with two seconds of noise."""
    sig = np.random.default_rng(0).normal(0, 0.1, round(SECONDS * RATE))
    soundfile.write(name, sig, RATE, format=format, subtype=subtype)
    return name.read_bytes()


def lengths_set_to(data, byte, places):
    data = bytearray(data)
    for offset, size in places:
        data[offset : offset + size] = bytes([byte]) * size
    return bytes(data)


def length_places(data, format):
    """Offsets and sizes of the lengths in a header."""
    if format == "WAV":
        return WAV
    if format == "RF64":
        return [(20, 8), (28, 8), (36, 8)]
    if format == "AU":
        return [(8, 4)]
    if format == "W64":
        return [(16, 8), (data.index(b"data") + 16, 8)]
    return [(4, 4), (data.index(b"SSND") + 4, 4), (data.index(b"COMM") + 10, 4)]


@pytest.mark.parametrize("format", ["WAV", "RF64", "AU", "AIFF"])
def test_a_recorder_that_lost_its_power(tmp_path, format):
    """Its lengths are zero; all samples are read, and the file is flagged."""
    whole = content(tmp_path / "a", format)
    expected = read_mono(str(tmp_path / "a"), 0, SECONDS, RATE)
    path = tmp_path / "b"
    path.write_bytes(lengths_set_to(whole, 0, length_places(whole, format)))
    audit = audit_file(str(path))
    assert audit.verdict == "flagged", audit.reason
    assert audit.reason.startswith("streamed: the header states no length")
    assert (audit.duration, audit.header_s) == (SECONDS, None)
    sig = read_mono(str(path), 0, SECONDS, RATE)
    np.testing.assert_array_equal(sig, expected)
    part = read_mono(str(path), 0.5, 0.75, RATE)
    np.testing.assert_array_equal(part, expected[8000:12000])


def test_lengths_of_a_stream(tmp_path):
    whole = content(tmp_path / "a.wav", "WAV")
    for places in (WAV, WAV[1:]):  # both lengths, that of the samples
        for byte in (0, 255):
            path = tmp_path / "b.wav"
            path.write_bytes(lengths_set_to(whole, byte, places))
            assert audit_file(str(path)).duration == SECONDS
            assert audit_file(str(path)).verdict == "flagged"


@pytest.mark.parametrize("format", ["WAV", "RF64", "AU", "AIFF", "W64"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_a_copy_that_was_cut_off(tmp_path, format, subtype):
    whole = content(tmp_path / "a", format, subtype)
    assert audit_file(str(tmp_path / "a")).verdict == "ok"
    lengths = sample_bytes(str(tmp_path / "a"))
    assert lengths.stated <= lengths.present and lengths.is_followed
    path = tmp_path / "b"
    path.write_bytes(whole[: len(whole) // 2])
    audit = audit_file(str(path))
    assert audit.verdict == "rejected"
    assert audit.reason.startswith("truncated: ")
    assert audit.reason.endswith("of 2.000 s")


def test_chunks_around_the_samples(tmp_path):
    """Other chunks are not samples, and an empty file is empty."""
    data = content(tmp_path / "a.wav", "WAV")
    text = b"LIST" + struct.pack("<I", 26) + b"INFOISFT"
    text += struct.pack("<I", 14) + b"Lavf58.29.100\0"
    nothing = data[:40] + bytes(4)
    for name, made, verdict, reason in (
        ("before", data[:36] + text + data[36:], "ok", ""),
        ("after", data + text, "ok", ""),
        ("none", nothing, "rejected", "empty: a header and no samples"),
        ("only", nothing + text, "rejected", "empty: a header and no samples"),
    ):
        path = tmp_path / f"{name}.wav"
        path.write_bytes(made)
        audit = audit_file(str(path))
        assert (audit.verdict, audit.reason) == (verdict, reason), name


def test_a_header_that_states_less_than_the_file_holds(tmp_path):
    """A quarter of the samples is stated, as by a recorder that updates its
    header now and then."""
    data = content(tmp_path / "a.wav", "WAV")
    stated = struct.pack("<I", 16000)
    path = tmp_path / "b.wav"
    path.write_bytes(data[:40] + stated + data[44:])
    audit = audit_file(str(path))
    assert audit.verdict == "flagged" and audit.duration == 0.5
    assert audit.reason == (
        "short header: 0.500 s stated and read, the file may hold 2.000 s"
    )


@pytest.mark.parametrize("rate", [0, 1, 16, 10**9, 2**32 - 1])
def test_rates_that_cannot_be(tmp_path, rate):
    data = content(tmp_path / "a.wav", "WAV")
    path = tmp_path / "b.wav"
    path.write_bytes(data[:24] + struct.pack("<I", rate) + data[28:])
    audit = audit_file(str(path))
    assert audit.verdict == "rejected"
    assert "implausible: a sample rate" in audit.reason or (
        "states no plausible sample rate" in audit.reason
    )


@pytest.mark.parametrize("n_channels", [0, 1025, 65535])
def test_channels_that_cannot_be(tmp_path, n_channels):
    data = content(tmp_path / "a.wav", "WAV")
    path = tmp_path / "b.wav"
    path.write_bytes(data[:22] + struct.pack("<H", n_channels) + data[24:])
    assert audit_file(str(path)).reason.startswith("unreadable: ")


@pytest.mark.parametrize("suffix", ["vox", "gsm", "raw"])
def test_a_text_is_not_a_recording_by_its_suffix(tmp_path, suffix):
    path = tmp_path / f"notes.{suffix}"
    path.write_text("The infant cried twice.\n" * 999)
    assert audit_file(str(path)).reason.startswith("unreadable: ")
