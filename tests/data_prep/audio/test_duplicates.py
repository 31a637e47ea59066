"""Detection of copies in many forms, without false alarms."""

import io

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from data_prep.audio.duplicates import LEAST_COMMON, exact_copies, near_copies
from data_prep.audio.landmarks import landmarks
from data_prep.audio.measure import Audit, audit_file

RATE = 16000


def cry(seed, seconds=4.0):
    """A harmonic sound whose pitch wanders, with pauses and a little noise."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    knots = np.linspace(0, n, 24)
    pitch = np.interp(np.arange(n), knots, rng.uniform(300, 600, 24))
    loudness = np.interp(np.arange(n), knots, rng.uniform(-0.5, 1, 24))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(
        a * np.sin(k * phase) for k, a in enumerate(rng.uniform(0, 1, 8), 1)
    )
    sound = 0.1 * voice * loudness.clip(0) + rng.normal(0, 1e-3, n)
    return sound.astype(np.float32)


def audited(name, samples, rate=RATE):
    return Audit(
        name,
        verdict="ok",
        digest=name,
        landmarks=landmarks(np.ascontiguousarray(samples), rate),
    )


def coded(samples, format, subtype, rate=RATE):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def telephone(sound):
    """Through 8 kHz and mu-law."""
    return coded(resample_poly(sound, 1, 2), "WAV", "ULAW", 8000)


def noisy(sound, snr_db=20):
    """With white noise."""
    level = np.sqrt(np.mean(sound**2)) * 10 ** (-snr_db / 20)
    noise = np.random.default_rng(0).normal(0, level, len(sound))
    return (sound + noise).astype(np.float32)


COPIES = {
    "shifted": (lambda x: x[5000:], RATE, -5000 / RATE),
    "quieter": (lambda x: 0.05 * x, RATE, 0),
    "inverted": (lambda x: -x, RATE, 0),
    "mp3": (lambda x: coded(x, "MP3", "MPEG_LAYER_III"), RATE, 0),
    "ogg": (lambda x: coded(x, "OGG", "VORBIS"), RATE, 0),
    "telephone": (telephone, 8000, 0),
    "44.1 kHz": (lambda x: resample_poly(x, 441, 160), 44100, 0),
    "noisy": (noisy, RATE, 0),
    "second half": (lambda x: x[len(x) // 2 :], RATE, -2.0),
    "behind another": (lambda x: np.concatenate([cry(99, 1), x]), RATE, 1.0),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_at_their_offset(kind):
    change, rate, offset = COPIES[kind]
    sound = cry(0)
    others = [audited(f"other {i}", cry(i)) for i in range(1, 20)]
    copies = near_copies(
        [audited("a", sound), *others, audited("b", change(sound), rate)]
    )
    assert [(c.path, c.copy) for c in copies] == [("a", "b")]
    assert copies[0].offset_s == pytest.approx(offset, abs=0.06)


def test_different_sounds_are_not_copies():
    unlike = [audited(str(i), cry(i)) for i in range(60)]
    rng = np.random.default_rng(0)
    unlike += [
        audited(f"noise {i}", rng.normal(0, 0.1, 4 * RATE)) for i in range(20)
    ]
    unlike += [
        audited(f"hum {hz}", np.sin(np.arange(4 * RATE) * hz * 6.28 / RATE))
        for hz in (50, 300, 440, 1000)
    ]
    unlike.append(audited("silence", np.zeros(RATE)))
    unlike.append(audited("click", np.eye(1, RATE)[0]))
    unlike.append(audited("shortest", np.ones(10)))
    assert near_copies(unlike) == []


def test_search_against_a_plain_one():
    """The indexed search finds what comparing all pairs finds."""
    rng = np.random.default_rng(0)
    marks = [
        np.stack([rng.integers(0, 300, 80), rng.integers(0, 200, 80)], axis=1)
        for _ in range(15)
    ]
    marks[7] = np.concatenate([marks[2][:30] + [0, 17], marks[7][:50]])
    audits = [
        Audit(str(i), verdict="ok", digest=str(i), landmarks=m)
        for i, m in enumerate(marks)
    ]
    expected = set()
    for a in range(15):
        for b in range(a + 1, 15):
            apart = [
                y[1] - x[1] for x in marks[a] for y in marks[b] if x[0] == y[0]
            ]
            counts = {o: apart.count(o) for o in apart}
            wide = [
                sum(counts.get(o + near, 0) for near in (-1, 0, 1))
                for o in counts
            ]
            if wide and max(wide) >= LEAST_COMMON:
                expected.add((str(a), str(b), max(wide)))
    copies = {(c.path, c.copy, c.common) for c in near_copies(audits)}
    assert copies == expected
    assert ("2", "7") in {(a, b) for a, b, _ in copies}


def test_exact_copies_across_formats_and_names(tmp_path):
    sound = cry(0)
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    samples, _ = soundfile.read(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.flac", samples, RATE)
    soundfile.write(tmp_path / "c.wav", samples[1:], RATE)
    soundfile.write(tmp_path / "silent.wav", 0 * samples, RATE)
    soundfile.write(tmp_path / "silence.wav", 0 * samples, RATE)
    names = ("a.wav", "b.flac", "c.wav", "silent.wav", "silence.wav")
    audits = [audit_file(str(tmp_path / n), True) for n in names]
    copies = exact_copies(audits)
    assert [(c.path[-5:], c.copy[-6:]) for c in copies] == [("a.wav", "b.flac")]
    near = {(c.path[-5:], c.copy[-5:]) for c in near_copies(audits)}
    assert near == {("a.wav", "c.wav"), (".flac"[-5:], "c.wav")}
