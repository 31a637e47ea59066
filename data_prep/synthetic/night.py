"""A long recording of clips at known times in a background.

The signal-to-noise ratio of a clip is the level of its active frames (see
``levels.active_power``) over the mean power of the background from a second
before it to a second after it. Clips begin and end where they are active, and
their order and times are the same at every ratio.
"""

from functools import lru_cache
from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from data_prep.files.errors import InputError, require
from data_prep.synthetic.background import Background, Source, require_finite
from data_prep.synthetic.levels import active_part, active_power, frame_powers

#: Background is measured from so much before a clip to so much after it.
AROUND_S = 1.0
#: Quieter background counts as so loud: in silence a ratio means nothing.
FLOOR_DBFS = -80.0
_EDGE_S = 0.005
_PEAK = 0.99


class Clip(NamedTuple):
    """An audio file with one event."""

    path: str
    listed: str  #: path as the table or folder has it
    label: str
    source: str = ""  #: patient or origin, as the table has it


class Placed(NamedTuple):
    """A clip in the night."""

    clip: Clip
    onset: int  #: sample of the night
    n_samples: int
    start: int  #: first sample of the clip that is used


class Mixed(NamedTuple):
    """A placed clip, and its level in a night."""

    placed: Placed
    gain: float
    background_db: float  #: around it, dB of full scale
    active_db: float  #: of the clip after the gain


class Clips:
    """Samples of clips: mono, at one rate, where they are active."""

    def __init__(self, rate: int, longest_s: float):
        self.rate, self.longest_s = rate, longest_s
        self._load = lru_cache(maxsize=8)(self._decode)

    def __call__(self, clip: Clip) -> Tuple[np.ndarray, int]:
        """Samples of a clip with soft edges, and the first one's place in the
        file; none of a silent clip."""
        return self._load(clip.path)

    def _decode(self, path: str) -> Tuple[np.ndarray, int]:
        from data_prep.audio.read import read_mono  # imports torch

        try:
            sig = read_mono(path, 0.0, self.longest_s, self.rate).numpy()
        except RuntimeError as error:
            raise InputError(
                f"{path} cannot be decoded ({error}); leave it out, or convert "
                "it"
            )
        require_finite(path, sig)
        begin, end = active_part(sig, self.rate)
        sig = sig[begin:end].astype(np.float64)
        n = min(round(_EDGE_S * self.rate), len(sig) // 2)
        edge = np.sin(0.5 * np.pi * (np.arange(n) + 0.5) / max(1, n)) ** 2
        sig[:n] *= edge
        sig[len(sig) - n :] *= edge[::-1]
        return sig, begin


def plan(
    clips: Mapping[str, Sequence[Clip]],
    numbers: Mapping[str, int],
    read: Clips,
    n_samples: int,
    gap: int,
    rng: np.random.Generator,
) -> Tuple[List[Placed], List[str]]:
    """Draw clips of each label and place them at random times, at least `gap`
    samples apart; also return the clips that are silent and left out.

    Clips of a label are drawn without replacement until all are used.
    """
    drawn: List[Tuple[Clip, int, int]] = []
    silent: List[str] = []
    for label in sorted(numbers):
        order = _forever(clips[label], rng)
        n, n_silent = 0, 0
        while n < numbers[label]:
            clip = next(order)
            sig, start = read(clip)
            if len(sig):
                drawn.append((clip, len(sig), start))
                n, n_silent = n + 1, 0
                continue
            silent += [clip.listed] if clip.listed not in silent else []
            n_silent += 1
            require(
                n_silent < 2 * len(clips[label]),
                f"all clips of {label} are silent",
                "leave out the label",
            )
    drawn = [drawn[i] for i in rng.permutation(len(drawn))]
    spare = n_samples - sum(n for _, n, _ in drawn) - gap * (len(drawn) + 1)
    require(
        spare >= 0,
        f"{len(drawn)} clips and the gaps between them need "
        f"{(n_samples - spare) / read.rate / 3600:.2f} h of "
        f"{n_samples / read.rate / 3600:.2f} h",
        "lower --per_hour or --least_gap_s",
    )
    waits = np.sort(rng.integers(spare + 1, size=len(drawn)))
    placed, used = [], gap
    for wait, (clip, n, start) in zip(waits.tolist(), drawn):
        placed.append(Placed(clip, wait + used, n, start))
        used += n + gap
    return placed, silent


def _forever(clips: Sequence[Clip], rng) -> Iterator[Clip]:
    while True:
        for i in rng.permutation(len(clips)):
            yield clips[i]


def mixed(
    placed: Sequence[Placed], background: Background, read: Clips, snr_db: float
) -> List[Mixed]:
    """Gain of each clip for a signal-to-noise ratio, dB."""
    around = round(AROUND_S * read.rate)
    result = []
    for event in placed:
        end = event.onset + event.n_samples
        noise = background[max(0, event.onset - around) : end + around]
        floor = 10 ** (FLOOR_DBFS / 10)
        noise_power = max(float(np.mean(noise**2)), floor)
        power = active_power(frame_powers(read(event.clip)[0], read.rate))
        wanted = noise_power * 10 ** (snr_db / 10)
        gain = np.sqrt(wanted / power)
        levels = 10 * np.log10(noise_power), 10 * np.log10(wanted)
        result.append(Mixed(event, float(gain), *map(float, levels)))
    return result


def headroom(
    events: Sequence[Mixed],
    background: Background,
    sources: Sequence[Source],
    read: Clips,
) -> float:
    """Gain of a whole night below 1 where it would be clipped."""
    # Two recordings in a fade of equal power.
    peak = np.sqrt(2) * max(source.peak for source in sources)
    for placed, gain, *_ in events:
        sig = background[placed.onset : placed.onset + placed.n_samples]
        sig = sig + gain * read(placed.clip)[0]
        peak = max(peak, float(np.abs(sig).max()))
    return min(1.0, _PEAK / peak)


def blocks(
    events: Sequence[Mixed], background: Background, read: Clips, size: int
) -> Iterator[np.ndarray]:
    """Yield the night, up to `size` samples at once; the same for any size."""
    first = 0
    for begin in range(0, len(background), size):
        sig = background[begin : begin + size]
        end = begin + len(sig)
        for i in range(first, len(events)):
            placed, gain, *_ = events[i]
            if placed.onset >= end:
                break
            stop = placed.onset + placed.n_samples
            if stop <= begin:
                first = i + 1
                continue
            low, high = max(begin, placed.onset), min(end, stop)
            part = read(placed.clip)[0][
                low - placed.onset : high - placed.onset
            ]
            sig[low - begin : high - begin] += gain * part
        yield sig


def numbers_of(per_hour: Mapping[str, float], hours: float) -> Dict[str, int]:
    """Events of each label in a night."""
    return {label: round(rate * hours) for label, rate in per_hour.items()}
