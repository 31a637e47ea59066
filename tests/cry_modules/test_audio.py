"""A pack gives the same samples as the files it was made of."""

import itertools
import os
import pickle

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from cry_modules.audio import PEAK, RecordingReader
from cry_modules.views.chunks_and_masks import RandomChunks
from data_prep.audio.read import read_mono
from data_prep.audio.shards import to_int16
from data_prep.files.errors import InputError
from data_prep.pack import pack

RATE = 16000


def write(path, rate=RATE, channels=1, seconds=0.5, **how):
    """Noise with a silent middle and a full-scale negative peak."""
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    samples = rng.normal(0, 0.2, (round(rate * seconds), channels))
    samples = samples.clip(-0.9, 0.9)
    samples[len(samples) // 3 : len(samples) // 2] = 0
    samples[7] = -1
    soundfile.write(path, samples, rate, **how)
    return str(path)


def both(tmp_path, name, start=0.0, stop=0.5):
    """Samples read from a file and from its pack."""
    if not (tmp_path / "pack").exists():
        pack(tmp_path / "in", tmp_path / "pack")
    reader = RecordingReader(RATE)
    folders = (tmp_path / "in", tmp_path / "pack")
    return [reader(str(folder / name), start, stop) for folder in folders]


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_16_bit_files_of_the_same_rate_are_equal_to_the_bit(tmp_path, name):
    write(tmp_path / "in/x.wav")
    write(tmp_path / "in" / name, subtype="PCM_16")
    for start, stop in (
        *[(0, 0.5), (0, 1), (0.1, 0.3), (0.00003, 0.49997), (0.4, 0.6)],
        (0.17, 0.24),  # silence
    ):
        from_file, from_pack = both(tmp_path, name, start, stop)
        assert torch.equal(from_file, from_pack)
        assert from_file.dtype == from_pack.dtype == torch.float32
    assert not from_pack.any()
    _, whole = both(tmp_path, name)
    # A gain and a product, each rounded to float32.
    assert whole.abs().max().item() == pytest.approx(PEAK, rel=2e-7)


def test_other_formats_that_fit_into_16_bits(tmp_path):
    """8 bits, mu-law, 24 bits that end in zeros, and two equal channels."""
    samples = np.random.default_rng(0).integers(-9999, 9999, (8000, 2))
    samples[:, 1] = samples[:, 0]
    write(tmp_path / "in/a.wav", subtype="PCM_U8")
    write(tmp_path / "in/b.wav", subtype="ULAW")
    how = {"samplerate": RATE, "subtype": "PCM_24"}
    soundfile.write(tmp_path / "in/c.flac", samples.astype("int16"), **how)
    for name in ("a.wav", "b.wav", "c.flac"):
        assert torch.equal(*both(tmp_path, name))


@pytest.mark.parametrize(
    "rate, channels, subtype",
    [
        (RATE, 2, "PCM_16"),
        (RATE, 1, "PCM_24"),
        (RATE, 1, "FLOAT"),
        (44100, 2, "PCM_16"),
        (8000, 1, "PCM_16"),
        (11025, 1, "PCM_16"),
    ],
)
def test_rounding_noise_agrees_with_theory(tmp_path, rate, channels, subtype):
    write(tmp_path / "in/a.wav", rate, channels, 2.0, subtype=subtype)
    from_file, from_pack = both(tmp_path, "a.wav", 0, 2.0)
    assert len(from_file) == len(from_pack)
    noise = (from_pack.double() - from_file.double()).square().mean().sqrt()
    # A step is the peak's 32767th part; its rounding is uniform.
    theory = PEAK / 32767 / 12**0.5
    assert 20 * np.log10(PEAK / theory) == pytest.approx(101.1, abs=0.05)
    assert 20 * np.log10(noise.item() / theory) == pytest.approx(0, abs=0.8)


def test_parts_of_recordings_of_another_rate(tmp_path):
    """Packs are cut after resampling: same length, same samples except at the
    ends."""
    write(tmp_path / "in/a.wav", 44100, seconds=1.0)
    for start, stop in ((0.12345, 0.87654), (0.1, 0.6), (0.5, 1.0)):
        from_file, from_pack = both(tmp_path, "a.wav", start, stop)
        assert len(from_file) == len(from_pack)
    # The last two begin on a sample of both rates.
    from_file, from_pack = from_file[20:-20], from_pack[20:-20]
    level = (from_file @ from_pack) / (from_pack @ from_pack)
    assert (from_file - level * from_pack).abs().max() < 1e-4


def test_levels_are_kept(tmp_path):
    loud = write(tmp_path / "in/a.wav", 8000)
    sig = read_mono(loud, 0.0, 0.5, RATE)
    for level in (1.0, 0.01, 3.0):
        samples, scale = to_int16(level * sig)
        assert abs(samples).max() == 32767
        error = level * sig - torch.from_numpy(samples) * scale
        assert error.abs().max() <= 0.51 * scale
    samples, scale = to_int16(torch.zeros(5))
    assert not samples.any() and scale == 2**-15


def test_another_rate_is_refused(tmp_path):
    write(tmp_path / "in/a.wav")
    pack(tmp_path / "in", tmp_path / "pack", rate=8000)
    with pytest.raises(InputError, match="8000 Hz.*16000 Hz.*--rate 16000"):
        RecordingReader(RATE)(str(tmp_path / "pack/a.wav"), 0, 0.5)
    reader = RecordingReader(8000)
    assert len(reader(str(tmp_path / "pack/a.wav"), 0, 0.5)) == 4000
    with pytest.raises(InputError, match="b.wav is neither in"):
        reader(str(tmp_path / "pack/b.wav"), 0, 0.5)


class Recordings:
    """A dataset for loader workers."""

    def __init__(self, reader, paths):
        self.reader, self.paths = reader, paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return self.reader(self.paths[i], 0.0, 0.5)


@pytest.mark.parametrize(
    "method, n_workers",
    [("fork", 2), pytest.param("spawn", 1, marks=pytest.mark.slow)],
)
def test_loader_workers(tmp_path, method, n_workers):
    names = [f"{i}.wav" for i in range(6)]
    for i, name in enumerate(names):
        write(tmp_path / "in" / name, channels=1 + i % 2)
    pack(tmp_path / "in", tmp_path / "pack", shard_mb=0.03)
    assert len(list((tmp_path / "pack").glob("*.i16"))) > 1
    paths = [str(tmp_path / "pack" / name) for name in names]
    reader = RecordingReader(RATE)
    expected = [reader(path, 0.0, 0.5) for path in paths]
    assert len(pickle.dumps(reader)) < 2000  # neither index nor samples
    loader = DataLoader(
        Recordings(reader, paths),
        batch_size=None,
        num_workers=n_workers,
        multiprocessing_context=method,
    )
    for sig, other in zip(expected, loader):
        assert torch.equal(sig, other)


def test_stored_chunks_times_gain_are_those_of_the_recording(noise, tmp_path):
    """From packs and files; also of part of a recording, and of one that is
    shorter than a chunk."""
    for name, seconds in (("a", 2.0), ("b", 0.3)):
        noise(f"in/{name}.wav", seconds=seconds, rate=44100)
    pack(str(tmp_path / "in"), str(tmp_path / "pack"))
    reader = RecordingReader(16000)
    chunks = RandomChunks(0.5, 16000, seed=0)
    spans = (("a", 0, 2.0), ("a", 0.5, 1.5), ("b", 0, 0.3))
    kinds = {"pack": torch.int16, "in": torch.float32}
    for (name, start, stop), folder in itertools.product(spans, kinds):
        span = (str(tmp_path / f"{folder}/{name}.wav"), start, stop)
        whole, sound = reader(*span), reader.open(*span)
        assert len(whole) == len(sound)
        for chunk, kept in zip(chunks(whole, name, 3), chunks(sound, name, 3)):
            assert kept.dtype == kinds[folder]
            assert torch.equal(chunk, kept * sound.gain)


@pytest.mark.parametrize(
    "damage, message",
    [
        (os.remove, "cannot be read any more .*; bring"),
        (lambda p: os.truncate(p, 30), "cannot be decoded .*; restore"),
        (lambda p: os.truncate(p, 44), "cannot be decoded .*; restore"),
    ],
)
def test_a_file_that_became_unreadable_is_one_line(tmp_path, damage, message):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, np.ones(1600, np.float32) / 2, 16000)
    damage(path)
    with pytest.raises(InputError, match=f"a.wav {message}"):
        RecordingReader()(path, 0.0, 0.1)
