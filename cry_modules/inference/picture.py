"""A recording and its scores over time, as a picture."""

from typing import List, Optional

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cry_modules.figures.style import INK, SERIES, add_legend, shortened
from cry_modules.inference.scores import ScoreTrack
from cry_modules.inference.windows import batches, read_windows

#: Inches.
SIZE = (8.0, 4.4)
#: Where the threshold of a model comes from, for the legend.
THRESHOLD_FROM = "of whole recordings:\n80 % specificity on validation"
#: Of more classes, only the most probable are drawn.
MOST_LINES = 8

_UNLIKE = "#f3dcc0"  # shade of windows unlike training
_RATE, _N_FFT, _HOP = 16000, 512, 160
_RANGE_DB = 80.0
_SMALLEST_POWER = 1e-12  # of silence
_MOST_COLUMNS = 1500
_BLOCK_S = 60.0  # read at once
#: Scores nearer to 0 or 1 are drawn at this distance.
_SMALLEST, _TICKS = 5e-4, (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_MINUTES_FROM = 600.0  # seconds; longer recordings have an axis in minutes


def spectrogram(
    path: str,
    seconds: float,
    start: float = 0.0,
    channel: Optional[int] = None,
) -> np.ndarray:
    """Power in dB over time and frequency, ``[257, columns]``, of so many
    seconds of a file from a start on, in bounded memory. Of several channels,
    the mean or one is drawn; the first is 1.
    """
    n_columns = max(1, min(_MOST_COLUMNS, round(seconds * _RATE / _HOP)))
    edges = np.linspace(start, start + seconds, n_columns + 1)
    n_at_once = max(1, int(_BLOCK_S * n_columns / seconds))
    parts = list(batches(range(n_columns), n_at_once))
    spans = [(edges[part[0]], edges[part[-1] + 1]) for part in parts]
    number = None if channel is None else channel - 1
    windows = read_windows(path, spans, _RATE, channel=number)
    sounds = zip(windows, parts)
    columns = [_columns(sig, len(part)) for sig, part in sounds]
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


def draw_scores(
    figure: Figure,
    track: ScoreTrack,
    classes: List[str],
    threshold: Optional[float],
    levels: np.ndarray,
    title: str = "",
    is_narrow: bool = False,
    unscored: str = "silence",
    threshold_from: str = "",
) -> None:
    """Draw a spectrogram ``[bins, columns]`` in dB from 0 to 8 kHz and, below
    it, the scores on the same time axis. The last class is the positive one;
    ``unscored`` is the legend of windows without scores. Windows whose sound
    is far from those of training are shaded.
    """
    sound, scores = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"hspace": 0.12}
    )
    is_long = track.stops[-1] >= _MINUTES_FROM
    unit_s = 60 if is_long else 1
    end = track.stops[-1] / unit_s
    middles = (track.starts + track.stops) / 2 / unit_s
    sound.imshow(
        levels, origin="lower", aspect="auto", cmap="magma",
        extent=(0, end, 0, _RATE / 2000), interpolation="nearest",
    )  # fmt: skip
    sound.grid(False)
    sound.set_ylabel("kHz")
    sound.set_title(title, loc="left")
    _draw_lines(scores, middles, track.scores, classes)
    if threshold is not None:
        label = f"threshold {threshold:.3g} {threshold_from}".strip()
        _draw_threshold(scores, threshold, label)
    is_empty = np.isnan(track.scores).any(axis=1)
    is_far = is_empty & False if track.is_far is None else track.is_far
    _shade(scores, middles, is_empty, end, unscored, "0.85")
    label = "sound unlike training:\nscores may mean nothing"
    _shade(scores, middles, is_far & ~is_empty, end, label, _UNLIKE)
    # Log-odds: a threshold may be far below a half.
    scores.set_yscale("logit", nonpositive="clip")
    scores.set_ylim(_SMALLEST / 2, 1 - _SMALLEST / 2)
    scores.set_yticks(_TICKS, [f"{p:g}" for p in _TICKS])
    scores.yaxis.set_minor_locator(NullLocator())
    scores.set_ylabel(_in_words(track, classes))
    scores.set_xlim(0, end)
    scores.set_xlabel("minutes" if is_long else "seconds")
    artists = [*scores.get_lines(), *scores.collections]
    entries = [(artist.get_label(), artist) for artist in artists]
    if len(classes) == 2 and threshold is None and not is_far.any():
        return
    if is_narrow:  # below, as there is no room next to the lines
        n_rows = -(-len(entries) // 2)
        figure.set_figheight(figure.get_figheight() + 0.2 * n_rows)
        add_legend(figure, entries, ncols=2)
    else:
        add_legend(scores, entries, loc="upper left", bbox_to_anchor=(1.01, 1))


def _in_words(track: ScoreTrack, classes: List[str]) -> str:
    """Name of the axis of scores."""
    of = f" of\n{shortened(classes[1], 28)}" if len(classes) == 2 else ""
    size = np.median(track.stops - track.starts)
    return f"predicted probability{of},\n{size:.3g} s windows, log-odds scale"


def _draw_lines(axes, middles, scores, classes) -> None:
    """Draw a line for each class; of two, only for the positive one."""
    lines = np.argsort(np.nan_to_num(scores).sum(axis=0))[::-1][:MOST_LINES]
    if len(classes) == 2:
        lines = [1]
    for i, k in enumerate(lines):
        axes.plot(
            middles, scores[:, k].clip(_SMALLEST, 1 - _SMALLEST),
            color=SERIES[i % len(SERIES)], label=classes[k],
            marker="o" if len(middles) <= 100 else None, markersize=3,
            linewidth=1.5, linestyle="-" if i < len(SERIES) else "--",
        )  # fmt: skip


def _draw_threshold(axes, threshold, label) -> None:
    axes.axhline(
        np.clip(threshold, _SMALLEST, 1 - _SMALLEST), color=INK,
        linestyle=(0, (4, 3)), linewidth=1, label=label,
    )  # fmt: skip


def _shade(axes, middles, chosen, end, label, color) -> None:
    """Shade some windows around their middles."""
    if not chosen.any():
        return
    edges = np.array([0, *(middles[1:] + middles[:-1]) / 2, end])
    spans = zip(edges[:-1][chosen], np.diff(edges)[chosen])
    axes.broken_barh(
        list(spans), (0, 1), facecolors=color, label=label,
        transform=axes.get_xaxis_transform(), zorder=0,
    )  # fmt: skip
