"""What the audit rejects, and what it leaves alone."""

import numpy as np
import pytest
import soundfile

from data_prep.audit import audit_file, audit_files, reject
from data_prep.errors import InputError
from data_prep.tables import read_table


@pytest.mark.parametrize(
    "name, kinds",
    [
        ("a.wav", {"subtype": "PCM_U8"}),
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.wav", {"subtype": "FLOAT", "rate": 8000}),
        ("a.flac", {"channels": 2, "rate": 44100}),
        ("a.ogg", {"rate": 48000}),
        ("a.mp3", {"rate": 22050}),
    ],
)
def test_readable_formats(noise, name, kinds):
    audit = audit_file(str(noise(name, seconds=1.0, **kinds)))
    assert audit.reason == ""
    assert audit.duration == pytest.approx(1.0, abs=0.06)


def test_what_cannot_be_used(noise, tmp_path):
    (tmp_path / "text.wav").write_text("this is no audio")
    (tmp_path / "none.wav").write_bytes(b"")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    nan = np.full(16000, 0.1)
    nan[500] = np.nan
    soundfile.write(tmp_path / "nan.wav", nan, 16000, subtype="FLOAT")
    noise("short.wav", seconds=0.05)
    noise("faint.wav", level=0.0005)
    whole = noise("cut.flac", seconds=2.0).read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    expected = {
        "missing.wav": "unreadable",
        "text.wav": "unreadable",
        "none.wav": "unreadable",
        "empty.wav": "empty",
        "silent.wav": "silent: -inf dBFS",
        "nan.wav": "not finite",
        "short.wav": "too short: 0.050 s",
        "faint.wav": "silent: -66 dBFS",
    }
    audits = audit_files([*expected, "cut.flac"], tmp_path)
    for name, reason in expected.items():
        assert audits[name].reason.startswith(reason)
    assert audits["cut.flac"].reason.startswith(("truncated", "unreadable"))


def test_rejects_are_listed_and_too_many_stop(noise, tmp_path):
    names = [noise(f"{i}.wav").name for i in range(9)]
    audits = audit_files([*names, "gone.wav"], tmp_path)
    others = [("x.wav", "excluded", "held out")]
    path = tmp_path / "rejected.csv"
    assert reject(audits, others, path) == 1
    rows = [row for _, row in read_table(path, ["path", "verdict", "reason"])]
    assert [(r["path"], r["verdict"]) for r in rows] == [
        ("gone.wav", "rejected"),
        ("x.wav", "excluded"),
    ]
    audits = audit_files([*names[:2], "gone.wav"], tmp_path)
    with pytest.raises(InputError, match="1 of 3 audio files.*gone.wav"):
        reject(audits, [], path)
