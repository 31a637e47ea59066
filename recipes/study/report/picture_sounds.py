"""Pictures of sounds: two views of a recording, and maps of embeddings."""

from typing import Dict, List

import numpy as np
from matplotlib import colormaps
from matplotlib.patches import Rectangle

from cry_modules.figures.views import COLOURS, Pair, runs
from recipes.study.report.svg import (
    GREY,
    INK,
    WIDTH,
    Picture,
    drawing,
    look,
    name_entries,
    words,
)

#: More points than this are drawn as so many of them.
MOST_POINTS = 1500
#: More values than this have no legend.
MOST_NAMES = 8

_N_COLOURS = 25  # of a spectrogram: files stay small, and the mean is white
_MOST_COLUMNS = 400  # of a spectrogram
_RANGE_DB = 60
_KILOHERTZ = (0.25, 1, 4, 16)
_CELL = 255, 240  # px, of a map
#: Patients with few recordings: grey, below the others.
OTHERS = "others"
_NOT_GIVEN = "not given"


# Views.


def views(name: str, title: str, pair: Pair, hparams: Dict) -> Picture:
    """A recording with its two chunks, and both views as the encoder gets
    them.
    """
    chunk_s = hparams["chunks"].n_samples / hparams["sample_rate"]
    about = _about_pair(pair, chunk_s)
    alt = (
        f"{about[0].upper()}{about[1:]}. Above its spectrogram with both "
        "chunks marked, below the two views of it that the encoder gets: red "
        "is louder than the mean of its frequency, blue quieter, and bars "
        f"beside a view are masks. {_about_masked(pair)}"
    )
    with drawing(name, (WIDTH, 400), title, alt) as (figure, picture):
        upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.05])
        _draw_whole(upper.subplots(), pair, hparams, chunk_s, about)
        for i, axes in enumerate(lower.subplots(1, 2, sharey=True)):
            _draw_view(axes, pair, i, hparams)
    return picture


def _about_pair(pair, chunk_s) -> str:
    overlap = max(0.0, chunk_s - abs(pair.starts[1] - pair.starts[0]))
    about = f"a recording of {pair.seconds:.1f} s"
    if pair.seconds < chunk_s:
        about += f", repeated to {chunk_s:g} s"
    if overlap == 0:
        return f"{about}, with two chunks of {chunk_s:g} s that do not overlap"
    return (
        f"{about}, with two chunks of {chunk_s:g} s that overlap by "
        f"{overlap:.2f} s"
    )


def _about_masked(pair) -> str:
    shares = [100 * float(m.double().mean()) for m in pair.masked]
    return f"Masked: {shares[0]:.0f} % of view 1, {shares[1]:.0f} % of view 2."


def _draw_whole(axes, pair, hparams, chunk_s, about) -> None:
    level = (pair.whole - pair.whole.max()).numpy()
    _show(axes, level, hparams, 0.0, "magma", (-_RANGE_DB, 0))
    n_mels = level.shape[1]
    for i, start in enumerate(pair.starts):
        # The second a little higher, to be seen where they coincide.
        y = n_mels * (1.03 + 0.09 * i)
        _bar(axes, (start, y), chunk_s, 0.06 * n_mels, COLOURS[i])
        for x in (start, start + chunk_s):
            axes.axvline(x, color="white", linewidth=2.2)
            axes.axvline(x, color=COLOURS[i], linewidth=1.3)
    axes.set(ylabel="kHz", xlabel="seconds")
    axes.set_title(about, loc="left", pad=28)


def _draw_view(axes, pair, i, hparams) -> None:
    view, masked = pair.views[i].numpy(), pair.masked[i].numpy()
    limit, start = _limit(pair), pair.starts[i]
    end = _show(axes, view, hparams, start, "RdBu_r", (-limit, limit))
    n_frames, n_mels = view.shape
    second = (end - start) / n_frames
    for a, b in runs(masked.all(axis=1)):
        place = start + a * second, 1.03 * n_mels
        _bar(axes, place, (b - a) * second, 0.06 * n_mels, INK)
    for a, b in runs(masked.all(axis=0)):
        _bar(axes, (end + 0.02 * (end - start), a), 3 * second, b - a, INK)
    for spine in axes.spines.values():
        spine.set(visible=True, color=COLOURS[i], linewidth=2)
    axes.set(xlabel="seconds", ylabel="" if i else "kHz")
    axes.set_title(f"view {i + 1}", pad=18)


def _limit(pair) -> float:
    """Where the colours of the views end, dB: masks do not count."""
    values = pair.views[~pair.masked].abs().numpy()
    return max(1.0, float(np.percentile(values, 99))) if len(values) else 1.0


def _bar(axes, place, width, height, colour) -> None:
    axes.add_patch(
        Rectangle(place, width, height, color=colour, lw=0, clip_on=False)
    )


def _show(axes, level, hparams, start, colours, limits) -> float:
    """Draw ``[frames, n_mels]`` over seconds and kHz; return its end."""
    n_frames, n_mels = level.shape
    rate = hparams["sample_rate"]
    end = start + n_frames * hparams["views"].logmel.hop / rate
    axes.imshow(
        _narrowed(level).T, origin="lower", aspect="auto",
        cmap=colormaps[colours].resampled(_N_COLOURS), vmin=limits[0],
        vmax=limits[1], extent=(start, end, 0, n_mels),
        interpolation="none",  # the reader's program scales it
    )  # fmt: skip
    ticks = [khz for khz in _KILOHERTZ if 2000 * khz <= rate]
    at = [hparams["views"].logmel.band_at(1000 * khz) for khz in ticks]
    axes.set_yticks(at, [f"{khz:g}" for khz in ticks])
    axes.grid(False)
    return end


def _narrowed(level) -> np.ndarray:
    """Means of neighbouring frames, where there are more than one can see."""
    n_each = -(-len(level) // _MOST_COLUMNS)
    starts = np.arange(0, len(level), n_each)
    n_of = np.diff([*starts, len(level)])
    return np.add.reduceat(level, starts, axis=0) / n_of[:, None]


def embedding_maps(
    name: str,
    title: str,
    maps: Dict[str, np.ndarray],
    colourings: Dict[str, List[str]],
) -> Picture:
    """Embeddings in two dimensions, coloured by what is known of them.

    Shapes: maps ``[n, 2]``.
    """
    n = len(next(iter(maps.values()), []))
    if n == 0 or not colourings:
        return words(name, title, "No embeddings are there to draw.")
    shown = np.arange(n)
    if n > MOST_POINTS:
        draw = np.random.default_rng(0).choice(n, MOST_POINTS, replace=False)
        shown = np.sort(draw)
    size = _CELL[0] * len(colourings), _CELL[1] * len(maps) + 130
    alt = _about_maps(maps, colourings, n)
    with drawing(name, size, title, alt) as (figure, picture):
        grid = figure.subplots(len(maps), len(colourings), squeeze=False)
        for row, (method, points) in zip(grid, maps.items()):
            row[0].set_ylabel(method)
            for axes, values in zip(row, colourings.values()):
                values = [value or _NOT_GIVEN for value in values]
                _draw_map(axes, np.asarray(points), values, shown)
        for axes, (what, values) in zip(grid[0], colourings.items()):
            axes.set_title(_heading(what, values))
        for axes, values in zip(grid[-1], colourings.values()):
            _name_values(
                axes, sorted({value or _NOT_GIVEN for value in values})
            )
    return picture


def _draw_map(axes, points, values, shown) -> None:
    kept = np.asarray(values, dtype=object)[shown]
    for i, value in enumerate(sorted(set(values))):
        x, y = points[shown[kept == value]].T
        style = {**look(i), "markersize": 3.5, "zorder": 2}
        if value in (_NOT_GIVEN, OTHERS):
            style.update(color=GREY, markersize=2.5, zorder=1)
        axes.plot(x, y, **style, linestyle="", markeredgewidth=0, label=".")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, alpha=0.4)


def _heading(what, values) -> str:
    n = len(set(values))
    return f"{what}: {n} values" if n > MOST_NAMES else what


def _name_values(axes, values) -> None:
    if len(values) <= MOST_NAMES:
        found = axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.01),
            ncols=1 if len(values) <= 4 else 2, markerscale=1.6,
            handletextpad=0.2, columnspacing=0.8,
        )  # fmt: skip
        name_entries(found, values)


def _about_maps(maps, colourings, n) -> str:
    numbers = ", ".join(
        f"{what} ({len(set(values))} values)"
        for what, values in colourings.items()
    )
    about = (
        f"Embeddings of {n} recordings in two dimensions by "
        f"{' and '.join(maps)}, coloured by {numbers}. Axes have no unit."
    )
    if n > MOST_POINTS:
        about += f" {MOST_POINTS} of them, drawn at random, are shown."
    return about
