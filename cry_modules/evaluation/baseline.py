"""Features of a classical baseline: log-mel statistics, and file properties."""

from pathlib import Path
from typing import Sequence, Tuple

import numpy as np
import torch
from tqdm import tqdm

from cry_modules.audio import RecordingReader, Sound
from cry_modules.front_ends import LogMel
from cry_modules.lengths import LONGEST_S, covering
from data_prep.audio.measure import Audit
from data_prep.manifest import Recording

#: Bands of the log-mel frames.
N_MELS = 80
#: Share of a recording's frames, the quietest, that counts as background.
QUIET_SHARE = 0.1
LEAST_QUIET_FRAMES = 5

_SAMPLE_RATE = 16000
_PIECE_S = 60  # analysed at once


def sound_features(
    recordings: Sequence[Recording], root: Path
) -> Tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the log-mel bands of each recording, over
    all frames and over the quietest ones, each ``[n, 2 * N_MELS]``."""
    reader = RecordingReader(_SAMPLE_RATE)
    log_mel = LogMel(_SAMPLE_RATE, N_MELS)
    audio, background = [], []
    for rec in tqdm(
        recordings, desc="features", unit="file", leave=False, disable=None
    ):
        sound = reader.open(str(root / rec.wav), rec.start, rec.stop)
        of_all, of_quietest = _features(sound, log_mel)
        audio.append(of_all)
        background.append(of_quietest)
    return np.array(audio), np.array(background)


def file_facts(audits: Sequence[Audit]) -> np.ndarray:
    """File properties as features ``[n, features]``: sample rate, format,
    channels, duration and level.

    Duration and level as ranks: the difference that reveals a source may be a
    millisecond, which is nothing compared with the spread of the others.

    Example
    -------
    >>> phone = Audit("a.wav", rate=8000, duration=5.0, level_dbfs=-20.0)
    >>> clinic = Audit("b.wav", rate=44100, duration=5.001, level_dbfs=-30.0)
    >>> file_facts([phone, clinic])
    array([[0.5, 1. , 0. , 1. ],
           [1. , 0.5, 1. , 0. ]])
    """
    kinds = [f"{a.rate} Hz, {a.format}, {a.channels}" for a in audits]
    numbers = np.array([[a.duration, a.level_dbfs] for a in audits])
    return np.hstack([*map(ranks, numbers.T), one_hot(kinds)])


def _features(sound: Sound, log_mel: LogMel) -> np.ndarray:
    """Mean and deviation over all frames and over the quietest ones, ``[2, 2 *
    N_MELS]``; means over the parts of a long recording."""
    size = round(LONGEST_S * _SAMPLE_RATE)
    rows = []
    for at in covering(len(sound), size):
        frames = _log_mel(sound[at : at + size] * sound.gain, log_mel)
        quietest = quietest_frames(frames)
        rows.append([mean_and_deviation(frames), mean_and_deviation(quietest)])
    return np.mean(rows, axis=0)


def _log_mel(sig: torch.Tensor, log_mel: LogMel) -> np.ndarray:
    """Frames in dB, ``[frames, mels]``."""
    pieces = sig.split(_PIECE_S * _SAMPLE_RATE)
    with torch.no_grad():
        return np.concatenate([log_mel(p[None])[0][0].numpy() for p in pieces])


def mean_and_deviation(frames: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of each band, ``[2 * bands]``."""
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])


def quietest_frames(frames: np.ndarray) -> np.ndarray:
    """Quietest tenth of the frames, at least five: mostly background."""
    n = max(LEAST_QUIET_FRAMES, round(QUIET_SHARE * len(frames)))
    return frames[np.argsort(frames.mean(axis=1), kind="stable")[:n]]


def ranks(values: np.ndarray) -> np.ndarray:
    """Share of the values up to each, ``[n, 1]``; equal ones share their mean.

    As ``rankdata`` of ``scipy.stats``, whose import takes 0.5 s.

    Example
    -------
    >>> ranks(np.array([0.1, 7.0, 0.1, 2.0])).T
    array([[0.375, 1.   , 0.375, 0.75 ]])
    """
    _, index, n = np.unique(values, return_inverse=True, return_counts=True)
    return ((n.cumsum() - (n - 1) / 2)[index] / len(values))[:, None]


def one_hot(values: Sequence[str]) -> np.ndarray:
    """One-hot encoding of values, ``[n, distinct values]``."""
    names, index = np.unique(values, return_inverse=True)
    return np.eye(len(names))[index]
