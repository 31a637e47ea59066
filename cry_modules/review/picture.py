"""Spectrogram of what is played."""

import threading
from functools import lru_cache
from io import BytesIO
from typing import Optional, Tuple

import numpy as np
from matplotlib.figure import Figure

from cry_modules.figures.style import COLOURS, style
from cry_modules.inference.picture import spectrogram
from cry_modules.review.clip import Clip

#: Sizes of the picture on a wide and on a narrow screen, inches; dots per inch.
_WIDE, _NARROW, _DPI = (9.0, 3.0), (4.2, 2.6), 150
#: Margins around the axes, inches: left, bottom, right, top.
_MARGINS = (0.45, 0.4, 0.1, 0.12)
_HIGHEST_KHZ = 8.0
#: matplotlib's settings are those of the process.
_drawing = threading.Lock()


def axes_of(is_narrow: bool) -> Tuple[float, float]:
    """Left and right end of the axes, as shares of the picture's width."""
    width = (_NARROW if is_narrow else _WIDE)[0]
    return _MARGINS[0] / width, 1 - _MARGINS[2] / width


@lru_cache(maxsize=256)
def draw(
    clip: Clip,
    span: Optional[Tuple[float, float]],
    is_dark: bool,
    is_narrow: bool,
) -> bytes:
    """PNG of a window in the colours of a theme, with lines at the begin and
    end of an event."""
    levels = _levels(clip)
    size = _NARROW if is_narrow else _WIDE
    left, bottom, right, top = _MARGINS
    box = (
        *(left / size[0], bottom / size[1]),
        *(1 - (left + right) / size[0], 1 - (bottom + top) / size[1]),
    )
    ink = COLOURS["ink"][is_dark]
    stop_s = clip.start_s + clip.duration_s
    buffer = BytesIO()
    with _drawing, style():
        figure = Figure(size)
        axes = figure.add_axes(box)
        axes.imshow(
            levels, origin="lower", aspect="auto", cmap="magma",
            extent=(clip.start_s, stop_s, 0, _HIGHEST_KHZ),
            interpolation="nearest",
        )  # fmt: skip
        axes.grid(False)
        for second in span or ():
            axes.axvline(second, color="white", linewidth=2)
            axes.axvline(second, color="black", linewidth=1, linestyle="--")
        axes.set_xlim(clip.start_s, stop_s)
        axes.set_ylabel("kHz", color=ink)
        axes.set_xlabel("seconds", color=ink)
        axes.tick_params(colors=ink)
        for spine in axes.spines.values():
            spine.set_edgecolor(ink)
        figure.savefig(buffer, format="png", dpi=_DPI, transparent=True)
    return buffer.getvalue()


@lru_cache(maxsize=16)
def _levels(clip: Clip) -> np.ndarray:
    return spectrogram(clip.path, clip.duration_s, clip.start_s, clip.channel)
