"""The part of a recording that is played, as a WAV file."""

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Iterator, Optional, Tuple

import numpy as np
import soundfile

from cry_modules.audio import PEAK
from data_prep.audio.decode import open_audio, read_mixed
from data_prep.audio.measure import UNCUT_S
from data_prep.files.errors import InputError, require

_BLOCK = 1 << 20  # samples


@dataclass(frozen=True)
class Clip:
    """The window of an audio file that is played."""

    path: str
    rate: int  #: Hz
    first: int  #: sample
    n_frames: int
    seconds: float  #: length of the whole file
    channel: Optional[int] = None  #: the first is 1; None: all, mixed

    @property
    def start_s(self) -> float:
        """Begin of the window in the file, seconds."""
        return self.first / self.rate

    @property
    def duration_s(self) -> float:
        """Length of the window, seconds."""
        return self.n_frames / self.rate


@lru_cache(maxsize=2)  # browsers ask for parts of a sound
def wav(clip: Clip) -> bytes:
    """WAV file of a window: mono, 16 bits, scaled to one peak, with zeros where
    the file ends before its header says."""
    peak = max(float(np.abs(sig).max()) for sig in _blocks(clip))
    gain = np.float32(PEAK / peak if peak > 0 else 1)
    content = BytesIO()
    with soundfile.SoundFile(
        content, "w", clip.rate, 1, "PCM_16", format="WAV"
    ) as file:
        for sig in _blocks(clip):
            file.write(sig * gain)
    return content.getvalue()


def _blocks(clip: Clip) -> Iterator[np.ndarray]:
    """Yield the samples of a window: ten minutes at a high rate take gigabytes
    as a whole."""
    channel = None if clip.channel is None else clip.channel - 1
    with open_audio(clip.path) as file:
        file.seek(clip.first)
        for begin in range(0, clip.n_frames, _BLOCK):
            size = min(_BLOCK, clip.n_frames - begin)
            sig = np.nan_to_num(read_mixed(file, size, channel))
            yield np.pad(sig, (0, size - len(sig)))


@lru_cache(maxsize=256)
def make_clip(
    path: str,
    span: Optional[Tuple[float, float]],
    around_s: float,
    channel: Optional[int] = None,
) -> Clip:
    """The window of a recording, or of an event with some seconds around it;
    the first ten minutes of a longer one."""
    try:
        with open_audio(path) as file:
            rate, n_frames = file.samplerate, file.frames
            n_channels = file.channels
    except TypeError:  # soundfile needs a sample rate for x.raw
        raise InputError("the file has samples without a header; exclude it")
    seconds = n_frames / rate
    require(n_frames > 0, "the file holds no samples", "exclude it")
    require(
        channel is None or channel <= n_channels,
        f"the event is of channel {channel}, and the recording has "
        f"{n_channels}",
        "exclude it",
    )
    start, stop = 0.0, seconds
    if span is not None:
        require(
            span[0] < seconds,
            f"the event begins at {span[0]:.2f} s, and the recording has "
            f"{seconds:.2f} s",
            "exclude it",
        )
        start = max(0.0, span[0] - around_s)
        stop = min(seconds, span[1] + around_s)
    stop = min(stop, start + UNCUT_S)
    first = min(int(start * rate), n_frames - 1)
    n_frames = max(1, round(stop * rate) - first)
    return Clip(path, rate, first, n_frames, seconds, channel)
