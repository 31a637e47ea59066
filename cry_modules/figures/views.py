"""Two views of recordings: what the encoder is taught to ignore.

> python -m cry_modules.views results/small_simclr/2022/manifest/train.csv \\
>     --data_folder data/vggsound --out views.png

A row for each recording: the whole of it with both chunks marked, then both
views as the encoder gets them in training. Settings of the yaml file may be
changed as in training (``--chunk_s 2.0 --n_masks 0``).
"""

import os
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from cry_modules.audio import repeat_to
from cry_modules.checkpoints.encoders import run_name
from cry_modules.figures.style import INK, PAGE, SERIES, picture
from cry_modules.lengths import LONGEST_S, covering
from cry_modules.training.experiment import load
from cry_modules.training.options import parse_arguments
from data_prep.audio.folder import holds
from data_prep.files.errors import InputError, require
from data_prep.manifest import Recording, read

#: More rows than this cannot be read.
MOST_ROWS = 20
_KILOHERTZ = (0.25, 0.5, 1, 2, 4, 8, 16)  # ticks
_RANGE_DB = 60  # of a whole recording
_N_COLOURS = 25  # of an image: files stay small, and the mean is white
_MOST_COLUMNS = 400  # of an image
_CAPTION = """\
The encoder is taught that view 1 and view 2 of a row are the same thing, and \
that other rows are not:
it learns to ignore what differs between the two. Chunks, warp and masks are \
drawn again in each epoch."""
#: By ``augment_before_norm``.
_ORDER = {
    False: "Black bars next to a view show where its masks are. Masked after "
    "the mean is subtracted: a mask is the mean, white.",
    True: "Black bars next to a view show where its masks are. Masked before "
    "the mean is subtracted:\na mask in time is 0 dB, often louder than the "
    "sound (red); one in frequency is the mean, white.",
}


class Pair(NamedTuple):
    """A recording and its two views.

    ``whole`` ``[frames, n_mels]`` in dB is repeated where a chunk is longer,
    and has fewer frames where the recording is long;
    ``starts`` of the chunks are in seconds; ``views``
    ``[2, chunk frames, n_mels]`` are the encoder's input; ``masked`` has the
    same shape; ``shifts`` are the largest moves of the time warp, seconds;
    ``wavs`` ``[2, chunk samples]`` are the chunks with what is mixed in.
    """

    name: str
    seconds: float
    whole: torch.Tensor
    starts: Tuple[float, float]
    views: torch.Tensor
    masked: torch.Tensor
    shifts: List[float]
    wavs: torch.Tensor


def make_pairs(
    hparams: Dict, recordings: Sequence[Recording], root: str, epoch: int
) -> List[Pair]:
    """Views of recordings as in a training batch of these recordings."""
    chunks, rate = hparams["chunks"], hparams["sample_rate"]
    chunks.epoch = epoch
    logmel = hparams["views"].logmel
    wholes, first, second = [], [], []
    for rec in recordings:
        sound = _open(hparams["reader"], rec, root)
        n_samples = max(len(sound), chunks.n_samples)
        starts = (n / rate for n in chunks.starts(n_samples, rec.ID, 2))
        views = [c * sound.gain for c in chunks(sound, rec.ID, 2)]
        whole = _whole(sound, chunks.n_samples, logmel)
        wholes.append((rec.ID, len(sound) / rate, whole, tuple(starts)))
        first.append(views[0])
        second.append(views[1])
    wavs = torch.stack(first + second)  # in a batch's order
    wavs = _with_mixed_in(hparams, wavs, epoch)
    feats, masked, shifts = _augmented(hparams, wavs, epoch)
    rows = [[i, len(wholes) + i] for i in range(len(wholes))]
    return [
        Pair(*whole, feats[row], masked[row], shifts[row].tolist(), wavs[row])
        for whole, row in zip(wholes, rows)
    ]


def _open(reader, rec, root):
    require(
        holds(root, rec.wav),
        f"{rec.source}: {rec.wav} is not in {root}",
        "pass the folder of the audio as --data_folder, or prepare the "
        "manifest again",
    )
    try:
        return reader.open(str(Path(root) / rec.wav), rec.start, rec.stop)
    except RuntimeError as error:  # soundfile's errors are
        raise InputError(
            f"{rec.source}: {rec.wav} cannot be decoded ({error}); prepare "
            "the manifest again"
        )


def _whole(sound, shortest, logmel):
    """Frames ``[frames, n_mels]`` of a recording; means of neighbouring ones
    of a long one, part by part."""
    size = round(LONGEST_S * logmel.sample_rate)
    if len(sound) <= size:
        sig = repeat_to(sound, shortest)[:] * sound.gain
        return logmel(sig[None])[0][0]
    n_columns = -(-_MOST_COLUMNS * size // len(sound))
    columns = []
    for at in covering(len(sound), size):
        feats = logmel((sound[at : at + size] * sound.gain)[None])[0][0]
        columns.append(F.adaptive_avg_pool1d(feats.T, n_columns).T)
    return torch.cat(columns)


def _with_mixed_in(hparams, wavs, seed):
    """Waveforms ``[2 * recordings, samples]`` as they are augmented."""
    augment = hparams["waveform_augment"].train()
    any_may_be_background = torch.ones(len(wavs) // 2, dtype=torch.bool)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + hparams["seed"])
        return augment(wavs, any_may_be_background)


@torch.no_grad()
def _augmented(hparams, wavs, seed):
    """Features ``[batch, frames, n_mels]``, where they are masked, and the
    largest move of each item by the warp, seconds."""
    views = hparams["views"].train()
    augment = views.augment
    seed += hparams["seed"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        feats, _ = views(wavs)
        # The same draws on ones leave zeros where masks are, and on frames
        # that hold their own position they show the warp.
        torch.manual_seed(seed)
        masked = augment(torch.ones_like(feats)) == 0
        torch.manual_seed(seed)
        ramp = torch.arange(float(feats.shape[1]))[None, :, None]
        ramp = ramp.expand(len(feats), -1, 1)
        warped = augment.warp(ramp)
    frames = (warped - ramp).abs().amax(dim=(1, 2))
    hop_s = views.logmel.hop / hparams["sample_rate"]
    return feats, masked, frames * hop_s


def draw(pairs: Sequence[Pair], hparams: Dict, path: Path, title: str) -> None:
    """Write a picture with a row for each pair."""
    limit = limit_of(pairs)
    with picture(path, (13, 2.3 * len(pairs) + 2.2)) as figure:
        grid = figure.subplots(
            len(pairs), 3, squeeze=False, width_ratios=[2, 1, 1]
        )
        for n, (row, pair) in enumerate(zip(grid, pairs), start=1):
            title_of_row = f"Recording {n}, {in_words(pair, hparams)}"
            whole, view = draw_pair(row, pair, hparams, limit, title_of_row)
        for axes in grid[:-1].flat:
            axes.set_xlabel("")
        figure.colorbar(
            whole, ax=grid[:, 0], location="bottom", aspect=40, pad=0.02,
            label="level in dB, relative to the loudest point",
        )  # fmt: skip
        figure.colorbar(
            view, ax=grid[:, 1:], location="bottom", aspect=40, pad=0.02,
            extend="both",
            label="level in dB, relative to the mean of its frequency",
        )  # fmt: skip
        figure.suptitle(title)
        figure.supxlabel(_caption(hparams), fontsize="medium")


def draw_pair(
    places: Sequence[Axes], pair: Pair, hparams: Dict, limit: float, title: str
) -> Tuple:
    """Draw a recording with a frame around each chunk, and its two views with
    bars where they are masked; return the first and last image."""
    axes, *of_views = places
    level = pair.whole - pair.whole.max()
    seconds = pair.seconds if pair.seconds > LONGEST_S else None
    limits = (-_RANGE_DB, 0)
    whole = _show(axes, level, hparams, 0.0, "magma", limits, seconds)
    chunk_s = hparams["chunks"].n_samples / hparams["sample_rate"]
    n_mels = level.shape[1]
    for i, start in enumerate(pair.starts):
        # At two heights, to be seen where both coincide.
        _bar(
            axes, start, n_mels * (1.02 + 0.07 * i), chunk_s, n_mels * 0.05,
            SERIES[i],
        )  # fmt: skip
        for x in (start, start + chunk_s):
            axes.axvline(x, color=PAGE, linewidth=2.2)
            axes.axvline(
                x, color=SERIES[i], linewidth=1.5, linestyle=("-", "--")[i]
            )
    if pair.seconds < chunk_s:
        axes.axvline(pair.seconds, color=PAGE, linestyle=":")
    axes.set_title(title, loc="left", pad=26)
    for i, axes in enumerate(of_views):
        view = _draw_view(axes, pair, i, hparams, limit)
    return whole, view


def limit_of(pairs: Sequence[Pair]) -> float:
    """Limit of the views' colour scale, dB: 99th percentile of the absolute
    levels outside masks, at least 1."""
    values = torch.cat([pair.views[~pair.masked] for pair in pairs])
    if not len(values):
        return 1.0
    return max(1.0, float(np.percentile(values.abs().numpy(), 99)))


def _draw_view(axes, pair, i, hparams, limit):
    image = _show(
        axes, pair.views[i], hparams, pair.starts[i], "RdBu_r", (-limit, limit)
    )
    for spine in axes.spines.values():
        spine.set(visible=True, color=SERIES[i], linewidth=2)
    masked = pair.masked[i].numpy()
    left, right, _, top = image.get_extent()
    width, height = right - left, masked.shape[1]
    for first, last in runs(masked.all(axis=1)):
        start, stop = (left + x * width / len(masked) for x in (first, last))
        _bar(axes, start, 1.02 * top, stop - start, 0.05 * height, INK)
    for first, last in runs(masked.all(axis=0)):
        x = right + 0.015 * width
        _bar(axes, x, first, 0.025 * width, last - first, INK)
    text = f"view {i + 1}"
    if pair.shifts[i]:
        text += f", moments moved by up to {1000 * pair.shifts[i]:.0f} ms"
    axes.set_title(text, color=SERIES[i], pad=14)
    return image


def _bar(axes, x, y, width, height, colour) -> None:
    bar = Rectangle(
        (x, y), width, height, color=colour, linewidth=0, clip_on=False
    )
    axes.add_patch(bar)


def runs(flags: Sequence[bool]) -> List[Tuple[int, int]]:
    """Half-open ranges in which flags are set."""
    padded = np.concatenate([[0], np.asarray(flags, dtype=int), [0]])
    edges = np.flatnonzero(np.diff(padded))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2])]


def _show(axes, feats, hparams, start, colours, limits, seconds=None):
    """Draw ``[frames, n_mels]`` as an image over seconds and kHz."""
    n_frames, n_mels = feats.shape
    rate, logmel = hparams["sample_rate"], hparams["views"].logmel
    if seconds is None:
        seconds = n_frames * logmel.hop / rate
    image = axes.imshow(
        _narrowed(feats.numpy()).T, origin="lower", aspect="auto",
        cmap=colormaps[colours].resampled(_N_COLOURS), vmin=limits[0],
        vmax=limits[1], interpolation="none",
        extent=(start, start + seconds, 0, n_mels),
    )  # fmt: skip
    ticks = [khz for khz in _KILOHERTZ if 2000 * khz <= rate]
    at = [logmel.band_at(1000 * khz) for khz in ticks]
    axes.set_yticks(at, [f"{khz:g}" for khz in ticks])
    axes.set(xlabel="seconds", ylabel="kHz")
    axes.grid(False)
    return image


def _narrowed(level: np.ndarray) -> np.ndarray:
    """Means of neighbouring frames, where there are more than can be seen."""
    n_each = -(-len(level) // _MOST_COLUMNS)
    starts = np.arange(0, len(level), n_each)
    n_of = np.diff([*starts, len(level)])
    return np.add.reduceat(level, starts, axis=0) / n_of[:, None]


def in_words(pair: Pair, hparams: Dict) -> str:
    """Describe the length of a recording and the overlap of its chunks."""
    chunk_s = hparams["chunks"].n_samples / hparams["sample_rate"]
    overlap = chunk_s - abs(pair.starts[1] - pair.starts[0])
    text = f"{pair.seconds:.1f} s"
    if pair.seconds < chunk_s:
        text += f", repeated to {chunk_s:g} s"
    if overlap <= 0:
        return f"{text}; the chunks do not overlap"
    return f"{text}; the chunks overlap by {overlap:.2f} s"


def _caption(hparams) -> str:
    """Augmentation of the recordings in words."""
    views, rate = hparams["views"], hparams["sample_rate"]
    augment, hop_ms = views.augment, 1000 * views.logmel.hop / rate
    warp, masks, order = "none", "No masks.", ""
    if augment.warp.window:
        furthest = augment.warp.window * hop_ms
        warp = f"a moment moves by up to {furthest:g} ms"
    if augment.n_masks:
        masks = (
            f"Masks: {augment.n_masks} in frequency, up to "
            f"{augment.mask_width} bands each, and {augment.n_masks} in time, "
            f"up to {augment.mask_width * hop_ms:g} ms each."
        )
        order = f"\n{_ORDER[views.augment_before_norm]}"
    return (
        f"{_CAPTION}\nChunk: {hparams['chunks'].n_samples / rate:g} s. "
        f"{_mixed_in(hparams['waveform_augment'])}"
        f"Time warp: {warp}. {masks}{order}"
    )


def _mixed_in(augment) -> str:
    """Augmentation of the waveforms in words; empty if there is none."""
    parts = []
    if augment.response is not None:
        parts.append(f"random filter of {augment.response.decibels:g} dB (rms)")
    for part, words in (
        (augment.background, "another recording"),
        (augment.noise, "white to brown noise"),
    ):
        if part is not None:
            low, high = part.snr
            parts.append(f"{words} mixed in, {low:g} to {high:g} dB below")
    return f"Each view: {'; '.join(parts)}.\n" if parts else ""


def draw_manifest(args, settings) -> None:
    """Write the picture of recordings that are evenly spread over a
    manifest."""
    n, epoch, root = args.n, args.epoch, args.data_folder
    require(1 <= n <= MOST_ROWS, f"--n is {n}", f"pass 1 to {MOST_ROWS}")
    require(epoch >= 0, f"--epoch is {epoch}", "pass 0 or more")
    recordings = read(Path(args.manifest))
    n = min(n, len(recordings))
    chosen = [recordings[i * len(recordings) // n] for i in range(n)]
    hparams = settings_of(settings)
    hparams["reader"].pack_of(root)
    pairs = make_pairs(hparams, chosen, root, epoch)
    title = f"Two views of {n} of {len(recordings)} recordings, epoch {epoch}"
    draw(pairs, hparams, Path(args.out), f"{title}\n{_title(args.manifest)}")


def _title(manifest) -> str:
    """Name of the run and of its manifest, without the folders around."""
    path = Path(os.path.abspath(manifest))
    parts = path.parts[-1:]
    if path.parent.name == "manifest":
        parts = (run_name(path.parents[1]), *path.parts[-2:])
    return "/".join(parts)


def settings_of(arguments: Sequence[str]) -> Dict:
    """Load a yaml file of SimCLR and build its objects, with a temporary output
    folder."""
    with tempfile.TemporaryDirectory() as folder:
        hparams_file, _, overrides = parse_arguments(
            [*arguments, f"--output_folder={folder}/run"]
        )
        # Only yaml files of SimCLR, whose recordings have two views, have it.
        return load(hparams_file, overrides, needs=("temperature",))
