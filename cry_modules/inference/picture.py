"""A recording, and what a classifier says of it over time, as a picture."""

from dataclasses import dataclass
from typing import List, Optional

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullLocator,
)

from cry_modules.figures.training import COLOURS
from cry_modules.inference.classifier import ScoreTrack
from cry_modules.inference.windows import WindowReader, batches

#: Inches.
SIZE = (8.0, 4.4)
#: More classes than this are not drawn, the most probable ones are.
MOST_LINES = 8

_RATE, _N_FFT, _HOP = 16000, 512, 160
_RANGE_DB = 80.0
_LEAST_POWER = 1e-12  # of silence
_MOST_COLUMNS = 1500
_BLOCK_S = 60.0  # read at once
#: Of the axis of scores; what is nearer to 0 or 1 stands at its edge.
_LEAST, _SCORES = 5e-4, (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_MINUTES_FROM = 600.0  # seconds: what is longer has its axis in minutes


@dataclass
class Shown:
    """What a picture is to show.

    Arguments
    ---------
    track : ScoreTrack
        Scores over time.
    classes : list of str
        The positive one last.
    threshold : float or None
        Of the positive class.
    spectrogram : numpy.ndarray
        ``[bins, columns]`` in dB, from 0 to 8 kHz.
    title : str
        Above it.
    """

    track: ScoreTrack
    classes: List[str]
    threshold: Optional[float]
    spectrogram: np.ndarray
    title: str = ""

    @property
    def seconds(self) -> float:
        """Of the recording."""
        return float(self.track.stops[-1])


def spectrogram(path: str, seconds: float) -> np.ndarray:
    """Power over time and frequency, in bounded memory.

    Shapes: returns ``[257, columns]``.

    Example
    -------
    >>> import soundfile
    >>> path = str(getfixture("tmpdir").join("a.wav"))
    >>> sine = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    >>> soundfile.write(path, sine, 16000)
    >>> found = spectrogram(path, 1.0)
    >>> found.shape, int(found.mean(axis=1).argmax() * 16000 / 512)
    ((257, 100), 1000)
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
    loudest = max(power.max(), _LEAST_POWER)
    decibels = 10 * np.log10(np.maximum(power, _LEAST_POWER) / loudest)
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
    sound.imshow(
        shown.spectrogram, origin="lower", aspect="auto", cmap="magma",
        extent=(0, shown.seconds, 0, _RATE / 2000), interpolation="nearest",
    )  # fmt: skip
    sound.set_ylabel("kHz")
    sound.set_title(
        shown.title, fontsize="medium", loc="left", parse_math=False
    )
    _draw_lines(scores, shown)
    _draw_silence(scores, shown)
    _label_scores(scores)
    _label_time(scores, shown.seconds)
    if len(shown.classes) > 2 or shown.threshold is not None:
        draw_legend(scores, scores, loc="upper left", bbox_to_anchor=(1.01, 1))


def draw_legend(place, scores, **where) -> None:
    """Names of what is drawn, as they are."""
    # By hand: else names that begin with _ would be left out.
    entries = [*scores.get_lines(), *scores.collections]
    found = place.legend(
        entries,
        [entry.get_label() for entry in entries],
        fontsize="small",
        frameon=False,
        **where,
    )
    for text in found.get_texts():
        text.set_parse_math(False)  # a class may be called $x$


def _draw_lines(axes, shown):
    """A line a class; of two, of the positive one alone."""
    track = shown.track
    middles = (track.starts + track.stops) / 2
    means = np.nan_to_num(track.scores).sum(axis=0)
    lines = np.argsort(means)[::-1][:MOST_LINES]
    if len(shown.classes) == 2:
        lines = [1]
    marker = "o" if len(middles) <= 100 else None
    for i, line in enumerate(lines):
        axes.plot(
            middles, track.scores[:, line].clip(_LEAST, 1 - _LEAST), color=COLOURS[i % len(COLOURS)],
            label=shown.classes[line], marker=marker, markersize=3,
            linewidth=1.5, linestyle="-" if i < len(COLOURS) else "--",
        )  # fmt: skip
    if shown.threshold is not None:
        axes.axhline(
            np.clip(shown.threshold, _LEAST, 1 - _LEAST), color="black", linestyle=(0, (4, 3)),
            linewidth=1, label=f"threshold {shown.threshold:.3g}",
        )  # fmt: skip


def _draw_silence(axes, shown):
    """Grey where windows have no score, so that a gap is no mistake: around
    their middles, where the scores of the others stand."""
    track = shown.track
    silent = np.isnan(track.scores).any(axis=1)
    if not silent.any():
        return
    middles = (track.starts + track.stops) / 2
    between = (middles[1:] + middles[:-1]) / 2
    edges = np.concatenate([[0], between, [shown.seconds]])
    spans = zip(edges[:-1][silent], np.diff(edges)[silent])
    axes.broken_barh(
        list(spans), (0, 1), facecolors="0.85", label="silence",
        transform=axes.get_xaxis_transform(), zorder=0,
    )  # fmt: skip


def _label_scores(axes):
    """Log-odds: a threshold may be far below a half."""
    axes.set_yscale("logit", nonpositive="clip")
    axes.set_ylim(_LEAST / 2, 1 - _LEAST / 2)
    axes.yaxis.set_major_locator(FixedLocator(_SCORES))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda p, _: f"{p:g}"))
    axes.set_ylabel("score")
    axes.grid(alpha=0.2)


def _label_time(axes, seconds):
    axes.set_xlim(0, seconds)
    axes.set_xlabel("seconds")
    if seconds < _MINUTES_FROM:
        return
    axes.set_xlabel("minutes")
    at = MaxNLocator(8, steps=[1, 2, 3, 5, 6, 10]).tick_values(0, seconds / 60)
    at = at[(at >= 0) & (at <= seconds / 60)]
    axes.set_xticks(60 * at, [f"{minute:g}" for minute in at])
