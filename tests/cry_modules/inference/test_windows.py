"""Windows of recordings."""

import numpy as np
import pytest
import soundfile
import torch

from cry_modules.audio import level_dbfs
from cry_modules.inference.windows import read_windows, sliding
from cry_modules.lengths import covering
from data_prep.audio import decode
from data_prep.audio.decode import read_mixed


@pytest.mark.parametrize(
    "length, size, hop", [(100, 7, 3), (7, 7, 7), (5, 7, 1), (99, 7, 50)]
)
def test_windows_cover_a_recording(length, size, hop):
    for starts in (covering(length, size), sliding(length, size, hop)):
        assert starts[0] == 0
        assert starts[-1] == max(0, length - size)
        assert starts == sorted(set(starts))
    steps = np.diff(covering(length, size))
    assert (steps <= size).all()  # no gap
    assert np.ptp(steps) <= 1 if len(steps) else True


def test_windows_hold_the_samples_of_the_file(noise):
    path = noise("a.flac", seconds=1.0, rate=8000, channels=2)
    whole = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    spans = [(0.0, 0.4), (0.2, 0.6), (0.9, 1.3)]
    sigs = read_windows(str(path), spans, 8000)
    for (start, stop), window in zip(spans, sigs):
        part = whole[round(8000 * start) : round(8000 * stop)]
        np.testing.assert_array_equal(window.numpy(), part)


def test_blocks_end_with_the_file(noise, monkeypatch):
    monkeypatch.setattr(decode, "_BLOCK", 1000)
    path = noise("a.wav", seconds=0.5, rate=8000, channels=3)
    whole = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    with soundfile.SoundFile(path) as file:
        parts = [read_mixed(file, n) for n in (2500, 1000, 9999, 9)]
    assert [len(part) for part in parts] == [2500, 1000, 500, 0]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_level():
    sine = torch.sin(torch.arange(16000) * 0.1)
    assert abs(level_dbfs(sine) - 10 * np.log10(0.5)) < 0.01
    assert level_dbfs(torch.zeros(4)) == -np.inf
