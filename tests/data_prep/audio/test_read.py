"""Parts of files are those of the whole; broken headers are corrected."""

import numpy as np
import pytest
import soundfile

from data_prep.audio.decode import mixed_windows, open_audio
from data_prep.audio.read import MonoFile, read_mono


@pytest.mark.parametrize(
    "rate, name",
    [
        (16000, "a.flac"),
        (8000, "a.wav"),
        (44100, "a.ogg"),
        (48000, "a.wav"),
        (11127, "a.flac"),
        (44099, "a.wav"),
    ],
)
def test_slices_are_those_of_the_decoded_file(noise, rate, name):
    path = str(noise(name, seconds=3.0, rate=rate, channels=2))
    for start, stop in ((0.0, 3.0), (0.3, 2.9), (1.0, 9.0)):
        whole = read_mono(path, start, stop, 16000).numpy()
        sound = MonoFile(path, start, stop, 16000)
        assert len(sound) == len(whole)
        for begin, end in ((0, 99), (777, 20001), (16000, 16001), (5, None)):
            part = sound[begin:end]
            assert len(part) == len(whole[begin:end])
            np.testing.assert_allclose(part, whole[begin:end], atol=2e-7)
        blocks = list(sound.blocks(7000))
        assert max(map(len, blocks)) == 7000
        np.testing.assert_allclose(np.concatenate(blocks), whole, atol=2e-7)


@pytest.mark.parametrize("channels", [1, 2, 3, 64])
def test_channels_are_mixed_in_bounded_blocks(noise, channels, monkeypatch):
    """At most a million samples of all channels at once."""
    path = str(noise("a.wav", seconds=0.5, channels=channels))
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0]
    sizes, read = [], soundfile.SoundFile.read

    def counted(file, frames, *arguments, **options):
        sizes.append(frames * file.channels)
        return read(file, frames, *arguments, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    sig = read_mono(path, 0.0, 0.5, 16000)
    assert max(sizes) <= 1 << 20
    np.testing.assert_array_equal(sig, expected.mean(axis=1))


@pytest.mark.parametrize(
    "rate, name", [(16000, "a.flac"), (44100, "a.ogg"), (8000, "a.wav")]
)
@pytest.mark.parametrize("channel", [None, 0, 1])
def test_windows_that_overlap_are_decoded_once(
    noise, rate, name, channel, monkeypatch
):
    path = str(noise(name, seconds=3.0, rate=rate, channels=2))
    whole = soundfile.read(path, dtype="float32")[0]
    whole = whole.mean(axis=1) if channel is None else whole[:, channel]
    n_read, read = [], soundfile.SoundFile.read

    def counted(file, *arguments, **options):
        block = read(file, *arguments, **options)
        n_read.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    spans = [(0.25 * i, 0.25 * i + 1.0) for i in range(9)]
    if not name.endswith(".ogg"):  # inexact after a jump
        spans += [(2.1, 2.2), (2.4, 2.9), (2.5, 3.0), (0.0, 0.5), (2.9, 3.4)]
    windows = list(mixed_windows(path, spans, channel))
    for (start, stop), (sig, of_file) in zip(spans, windows):
        expected = whole[round(start * rate) : round(stop * rate)]
        assert of_file == rate
        np.testing.assert_allclose(sig, expected, atol=1e-7)
    assert sum(n_read) <= (3.0 + 1.4) * rate


def test_a_file_called_minus_is_not_standard_input(noise, monkeypatch):
    path = noise("a.wav")
    path.rename(path.with_name("-"))
    monkeypatch.chdir(path.parent)
    with open_audio("-") as file:
        assert file.frames == 16000
