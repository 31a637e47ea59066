"""A recording and its scores over time, as a picture."""

from typing import List, NamedTuple, Optional

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from cry_modules.figures.style import INK, SERIES, add_legend
from cry_modules.inference.classifier import ScoreTrack
from cry_modules.inference.windows import WindowReader, batches

#: Inches.
SIZE = (8.0, 4.4)
#: Of more classes, only the most probable are drawn.
MOST_LINES = 8

_RATE, _N_FFT, _HOP = 16000, 512, 160
_RANGE_DB = 80.0
_SMALLEST_POWER = 1e-12  # of silence
_MOST_COLUMNS = 1500
_BLOCK_S = 60.0  # read at once
#: Scores nearer to 0 or 1 are drawn at this distance.
_SMALLEST, _TICKS = 5e-4, (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_MINUTES_FROM = 600.0  # seconds; longer recordings have an axis in minutes


class Shown(NamedTuple):
    """Contents of a picture: scores over time, classes (the positive one
    last) and its threshold, ``spectrogram`` ``[bins, columns]`` in dB from 0
    to 8 kHz, and title.
    """

    track: ScoreTrack
    classes: List[str]
    threshold: Optional[float]
    spectrogram: np.ndarray
    title: str = ""


def spectrogram(path: str, seconds: float) -> np.ndarray:
    """Power in dB over time and frequency, ``[257, columns]``, in bounded
    memory.
    """
    n_columns = max(1, min(_MOST_COLUMNS, round(seconds * _RATE / _HOP)))
    edges = np.linspace(0, seconds, n_columns + 1)
    n_at_once = max(1, int(_BLOCK_S * n_columns / seconds))
    parts = list(batches(range(n_columns), n_at_once))
    spans = [(edges[part[0]], edges[part[-1] + 1]) for part in parts]
    reader = WindowReader(path, _RATE)
    columns = [
        _columns(sig, len(part)) for sig, part in zip(reader(spans), parts)
    ]
    power = np.concatenate(columns, axis=1)
    loudest = max(power.max(), _SMALLEST_POWER)
    decibels = 10 * np.log10(np.maximum(power, _SMALLEST_POWER) / loudest)
    # Clipped in dB: a floor of the power comes out of log10 rounded, as
    # -80.00001 on some processors.
    return np.maximum(decibels, -_RANGE_DB)


def _columns(sig, n_columns) -> np.ndarray:
    """Mean power ``[bins, n_columns]`` of a part of a recording."""
    if len(sig) < _N_FFT:
        sig = F.pad(sig, (0, _N_FFT - len(sig)))
    spectrum = torch.stft(
        sig, _N_FFT, _HOP, window=torch.hann_window(_N_FFT),
        pad_mode="constant", return_complex=True,
    )  # fmt: skip
    return F.adaptive_avg_pool1d(spectrum.abs().square(), n_columns).numpy()


def draw_scores(figure: Figure, shown: Shown) -> None:
    """Draw the spectrogram and, below it, the scores on the same time axis."""
    sound, scores = figure.subplots(
        2, 1, sharex=True, height_ratios=(1, 1), gridspec_kw={"hspace": 0.12}
    )
    seconds = float(shown.track.stops[-1])
    sound.imshow(
        shown.spectrogram, origin="lower", aspect="auto", cmap="magma",
        extent=(0, seconds, 0, _RATE / 2000), interpolation="nearest",
    )  # fmt: skip
    sound.grid(False)
    sound.set_ylabel("kHz")
    sound.set_title(shown.title, loc="left")
    _draw_lines(scores, shown)
    _draw_silence(scores, shown.track, seconds)
    # Log-odds: a threshold may be far below a half.
    scores.set_yscale("logit", nonpositive="clip")
    scores.set_ylim(_SMALLEST / 2, 1 - _SMALLEST / 2)
    scores.set_yticks(_TICKS, [f"{p:g}" for p in _TICKS])
    scores.yaxis.set_minor_locator(NullLocator())
    scores.set_ylabel("score")
    _label_time(scores, seconds)
    if len(shown.classes) > 2 or shown.threshold is not None:
        draw_legend(scores, scores, loc="upper left", bbox_to_anchor=(1.01, 1))


def draw_legend(place, scores, **where) -> None:
    """Name the lines and areas of the axes ``scores`` in a legend."""
    artists = [*scores.get_lines(), *scores.collections]
    entries = [(artist.get_label(), artist) for artist in artists]
    add_legend(place, entries, **where)


def _draw_lines(axes, shown) -> None:
    """Draw a line for each class; of two, only for the positive one."""
    track = shown.track
    middles = (track.starts + track.stops) / 2
    means = np.nan_to_num(track.scores).sum(axis=0)
    lines = np.argsort(means)[::-1][:MOST_LINES]
    if len(shown.classes) == 2:
        lines = [1]
    for i, k in enumerate(lines):
        axes.plot(
            middles, track.scores[:, k].clip(_SMALLEST, 1 - _SMALLEST),
            color=SERIES[i % len(SERIES)], label=shown.classes[k],
            marker="o" if len(middles) <= 100 else None, markersize=3,
            linewidth=1.5, linestyle="-" if i < len(SERIES) else "--",
        )  # fmt: skip
    if shown.threshold is not None:
        axes.axhline(
            np.clip(shown.threshold, _SMALLEST, 1 - _SMALLEST), color=INK,
            linestyle=(0, (4, 3)), linewidth=1,
            label=f"threshold {shown.threshold:.3g}",
        )  # fmt: skip


def _draw_silence(axes, track, seconds) -> None:
    """Shade silent windows, which have no score, around their middles."""
    silent = np.isnan(track.scores).any(axis=1)
    if not silent.any():
        return
    middles = (track.starts + track.stops) / 2
    between = (middles[1:] + middles[:-1]) / 2
    edges = np.concatenate([[0], between, [seconds]])
    spans = zip(edges[:-1][silent], np.diff(edges)[silent])
    axes.broken_barh(
        list(spans), (0, 1), facecolors="0.85", label="silence",
        transform=axes.get_xaxis_transform(), zorder=0,
    )  # fmt: skip


def _label_time(axes, seconds) -> None:
    axes.set_xlim(0, seconds)
    axes.set_xlabel("seconds")
    if seconds < _MINUTES_FROM:
        return
    axes.set_xlabel("minutes")
    at = MaxNLocator(8, steps=[1, 2, 3, 5, 6, 10]).tick_values(0, seconds / 60)
    at = at[(at >= 0) & (at <= seconds / 60)]
    axes.set_xticks(60 * at, [f"{minute:g}" for minute in at])
