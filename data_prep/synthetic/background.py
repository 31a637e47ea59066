"""A background of any length from recordings of backgrounds.

Each stretch of it is one recording, repeated where it is shorter; joints are
faded with equal power. Any part can be computed alone, in bounded memory, and
is the same whatever the other parts are.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, List, NamedTuple, Sequence, Union

import numpy as np

from data_prep.files.errors import InputError, require

if TYPE_CHECKING:
    from data_prep.audio.read import MonoFile

FADE_S = 0.1
LONGEST_S = 1e6  # of a recording
_PAGE_S = 10.0  # read at once
_QUIETEST_DBFS = -90.0


class Source(NamedTuple):
    """A recording of background, scaled to one level."""

    path: str  #: as it is listed
    sound: "MonoFile"
    gain: float
    peak: float  #: largest sample after the gain


class Stretch(NamedTuple):
    """A recording's turn: from which sample on, and where in it."""

    source: Source
    begin: int
    offset: int


def require_finite(listed: str, samples: Union[float, np.ndarray]) -> None:
    """Refuse a recording with samples that are not numbers: what it is mixed
    with would not be numbers either."""
    require(
        bool(np.isfinite(samples).all()),
        f"{listed} holds samples that are NaN or infinite",
        "leave it out",
    )


def open_source(path: str, listed: str, rate: int, level_db: float) -> Source:
    """Open a recording of background and find the gain to a level, dB of full
    scale (root mean square)."""
    from data_prep.audio.read import MonoFile  # imports torch

    try:
        sound = MonoFile(path, 0.0, LONGEST_S, rate)
        energy = peak = 0.0
        for page in sound.blocks(round(_PAGE_S * rate)):
            energy += np.square(page, dtype=np.float64).sum()
            peak = max(peak, float(np.abs(page).max()))
    except RuntimeError as error:
        raise InputError(
            f"{listed} cannot be decoded ({error}); leave it out, or convert it"
        )
    require_finite(listed, energy)
    least = 2 * round(FADE_S * rate)
    require(
        len(sound) > least,
        f"{listed} is {len(sound) / rate:.2f} s long, too short for background",
        f"leave out recordings below {2 * FADE_S:g} s",
    )
    power = energy / len(sound)
    require(
        power > 10 ** (_QUIETEST_DBFS / 10),
        f"{listed} is silent",
        "leave it out of the background",
    )
    gain = 10 ** (level_db / 20) / np.sqrt(power)
    return Source(listed, sound, gain, gain * peak)


class Background:
    """Background ``[samples]``, computed where it is sliced.

    Recordings take turns in a random order, each once before any is used
    again; long ones begin at a random sample.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        n_samples: int,
        stretch: int,
        rate: int,
        rng: np.random.Generator,
    ):
        self.n_samples, self.fade = n_samples, round(FADE_S * rate)
        self._page = round(_PAGE_S * rate)
        self.stretches: List[Stretch] = []
        order: List[int] = []
        for begin in range(0, n_samples, stretch):
            order = order or [int(i) for i in rng.permutation(len(sources))]
            source = sources[order.pop()]
            spare = len(source.sound) - stretch - self.fade
            offset = int(rng.integers(spare + 1)) if spare > 0 else 0
            self.stretches.append(Stretch(source, begin, offset))
        self._begins = np.array([s.begin for s in self.stretches])
        # Two recordings meet in a fade; each has the end of its loop at hand.
        self._read = lru_cache(maxsize=6)(self._read_page)

    def __len__(self) -> int:
        return self.n_samples

    def __getitem__(self, part: slice) -> np.ndarray:
        begin, end, _ = part.indices(self.n_samples)
        result = np.zeros(max(0, end - begin))
        first = int(np.searchsorted(self._begins, begin, "right")) - 1
        for i in range(max(0, first - 1), len(self.stretches)):
            if self.stretches[i].begin >= end:
                break
            self._add(i, begin, result)
        return result

    def _add(self, i: int, begin: int, result: np.ndarray) -> None:
        """Add what the i-th stretch has in the samples from `begin` on."""
        stretch, fade, end = self.stretches[i], self.fade, begin + len(result)
        is_last = i + 1 == len(self.stretches)
        stop = self.n_samples
        if not is_last:  # it fades out below the beginning of the next
            stop = min(stop, self.stretches[i + 1].begin + fade)
        low, high = max(begin, stretch.begin), min(end, stop)
        if high <= low:
            return
        at = np.arange(low, high)
        gain = np.full(len(at), stretch.source.gain)
        if i > 0:
            gain *= _rise((at - stretch.begin) / fade)
        if not is_last:
            gain *= _rise((self.stretches[i + 1].begin + fade - at) / fade)
        result[low - begin : high - begin] += gain * self._looped(
            stretch, low, high
        )

    def _looped(self, stretch: Stretch, low: int, high: int) -> np.ndarray:
        """Samples of a stretch; a recording that ends begins again in a fade
        over its last samples."""
        sound, fade = stretch.source.sound, self.fade
        period = len(sound) - fade
        result = np.zeros(high - low)
        position, done = low - stretch.begin + stretch.offset, 0
        while done < len(result):
            turn, place = divmod(position, period)
            size = min(period - place, len(result) - done)
            part = self._samples(sound, place, place + size)
            n_faded = fade - place
            if turn and n_faded > 0:
                n_faded = min(n_faded, size)
                share = np.arange(place, place + n_faded) / fade
                before = self._samples(
                    sound, period + place, period + place + n_faded
                )
                part[:n_faded] *= _rise(share)
                part[:n_faded] += _rise(1 - share) * before
            result[done : done + size] = part
            done, position = done + size, position + size
        return result

    def _samples(self, sound: "MonoFile", begin: int, end: int) -> np.ndarray:
        """Samples of a recording, read page by page: the same arithmetic for
        whichever part is requested."""
        pages = range(begin // self._page, -(-end // self._page))
        parts = [self._read(sound, n) for n in pages]
        first = begin - pages[0] * self._page
        return np.concatenate(parts)[first : first + end - begin]

    def _read_page(self, sound: "MonoFile", n: int) -> np.ndarray:
        page = sound[n * self._page : (n + 1) * self._page]
        return page.astype(np.float64)


def _rise(share: np.ndarray) -> np.ndarray:
    """Gain of equal power: two independent sounds keep their power where one
    rises and the other falls."""
    return np.sin(0.5 * np.pi * np.clip(share, 0, 1))
