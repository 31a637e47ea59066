"""A picture of two views of recordings: what the encoder is taught to ignore.

> python -m cry_modules.views results/small_simclr/2022/manifest/train.csv \\
>     --data_folder data/vggsound --out views.png

A row a recording: the whole of it with the two chunks marked, then both views
as the encoder gets them in training. Settings of the yaml file may be changed
as in training (``--chunk_s 2.0 --n_masks 0``).
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from matplotlib.patches import Rectangle

from cry_modules.audio import repeat_to
from cry_modules.figures.training import picture
from cry_modules.training.experiment import load
from cry_modules.training.options import parse_arguments
from data_prep.audio.folder import holds
from data_prep.files.errors import InputError, one_line_errors
from data_prep.manifest import Recording, read

#: Of the first and of the second view; told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00")
#: Ticks of the frequency axes, kHz.
_KILOHERTZ = (0.25, 0.5, 1, 2, 4, 8, 16)
#: Darkest below the loudest point of a whole recording, dB.
_RANGE_DB = 60
#: More rows than this are no picture.
MOST_ROWS = 20

_CAPTION = """\
The encoder is taught that view 1 and view 2 of a row are the same thing, and \
that other rows are not:
it learns to ignore what differs between the two. Chunks, warp and masks are \
drawn anew in each epoch."""
#: By ``augment_before_norm``.
_ORDER = {
    False: "Black bars beside a view show where its masks are. Masked after "
    "the mean is subtracted: a mask is the mean, white.",
    True: "Black bars beside a view show where its masks are. Masked before "
    "the mean is subtracted:\na mask in time is 0 dB, often louder than the "
    "sound (red); one in frequency is the mean, white.",
}


@dataclass
class Pair:
    """A recording and its two views.

    Arguments
    ---------
    name : str
        ID of the recording.
    seconds : float
        How long it is.
    whole : torch.Tensor
        ``[frames, n_mels]`` of all of it in dB; repeated where a chunk is
        longer.
    starts : tuple of float
        Of the chunks, seconds.
    views : torch.Tensor
        ``[2, chunk frames, n_mels]``, what the encoder gets.
    masked : torch.Tensor
        As ``views``; True where something was masked.
    shifts : list of float
        How far the time warp moved a moment at the most, seconds.
    """

    name: str
    seconds: float
    whole: torch.Tensor
    starts: Tuple[float, float]
    views: torch.Tensor
    masked: torch.Tensor
    shifts: List[float]


def make_pairs(
    hparams: Dict, recordings: Sequence[Recording], root: str, epoch: int
) -> List[Pair]:
    """Views of recordings as a training batch has them."""
    chunks, rate = hparams["chunks"], hparams["sample_rate"]
    chunks.epoch = epoch
    sigs, firsts, seconds = [], [], []
    for rec in recordings:
        sig = _hear(hparams["reader"], rec, root)
        seconds.append(len(sig) / rate)
        sigs.append(repeat_to(sig, chunks.n_samples))
        # Samples that count themselves tell where the chunks begin.
        counts = torch.arange(len(sigs[-1]))
        firsts.append([int(c[0]) for c in chunks(counts, rec.ID, 2)])
    wavs = torch.stack(
        [
            sig[both[view] : both[view] + chunks.n_samples]
            for view in range(2)
            for sig, both in zip(sigs, firsts)
        ]
    )
    feats, masked, shifts = _augmented(hparams, wavs, epoch)
    n = len(recordings)
    logmel = hparams["views"].logmel
    return [
        Pair(
            rec.ID,
            seconds[i],
            logmel(sigs[i][None])[0][0],
            (firsts[i][0] / rate, firsts[i][1] / rate),
            feats[[i, n + i]],
            masked[[i, n + i]],
            [shifts[i], shifts[n + i]],
        )
        for i, rec in enumerate(recordings)
    ]


def _hear(reader, rec, root):
    if not holds(root, rec.wav):
        raise InputError(
            f"{rec.source}: {rec.wav} is not in {root}; pass the folder of "
            "the audio as --data_folder, or prepare the manifest again"
        )
    try:
        return reader(str(Path(root) / rec.wav), rec.start, rec.stop)
    except RuntimeError as error:  # soundfile's errors are
        raise InputError(
            f"{rec.source}: {rec.wav} cannot be decoded ({error}); prepare "
            "the manifest again"
        )


@torch.no_grad()
def _augmented(hparams, wavs, seed):
    """Features ``[batch, frames, n_mels]``, where they are masked, and how
    far the warp moved each item, seconds."""
    views = hparams["views"].train()
    augment = views.augment
    seed += hparams["seed"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        feats, _ = views(wavs)
        # The same draws on ones leave zeros where masks are, and on frames
        # that count themselves they show the warp.
        torch.manual_seed(seed)
        masked = augment(torch.ones_like(feats)) == 0
        torch.manual_seed(seed)
        ramp = torch.arange(float(feats.shape[1]))[None, :, None]
        ramp = ramp.expand(len(feats), -1, 1)
        warped = augment.warp(ramp)
    frames = (warped - ramp).abs().amax(dim=(1, 2))
    hop_s = views.logmel.hop / hparams["sample_rate"]
    return feats, masked, (frames * hop_s).tolist()


def draw(pairs: Sequence[Pair], hparams: Dict, path: Path, title: str) -> None:
    """Draw a row for each pair."""
    limit = _limit(pairs)
    chunk_s = hparams["chunks"].n_samples / hparams["sample_rate"]
    with picture(path, (13, 2.3 * len(pairs) + 2.2)) as figure:
        grid = figure.subplots(
            len(pairs), 3, squeeze=False, width_ratios=[2, 1, 1]
        )
        for row, pair in zip(grid, pairs):
            whole = _draw_whole(row[0], pair, hparams, chunk_s)
            for i in range(2):
                view = _draw_view(row[1 + i], pair, i, hparams, limit)
        for axes in grid[-1]:
            axes.set_xlabel("seconds")
        figure.colorbar(
            whole, ax=grid[:, 0], location="bottom", aspect=40, pad=0.02,
            label="level in dB, relative to the loudest point",
        )  # fmt: skip
        figure.colorbar(
            view, ax=grid[:, 1:], location="bottom", aspect=40, pad=0.02,
            extend="both",
            label="level in dB, relative to the mean of its frequency",
        )  # fmt: skip
        figure.suptitle(title, parse_math=False)
        figure.supxlabel(caption(hparams), fontsize="medium")


def caption(hparams: Dict) -> str:
    """What was done to the recordings, in words."""
    views, rate = hparams["views"], hparams["sample_rate"]
    warp = views.augment.warp
    hop_ms = 1000 * views.logmel.hop / rate
    moves = "none"
    if warp.window:
        moves = f"a moment moves by up to {warp.window * hop_ms:g} ms"
    return (
        f"{_CAPTION}\n"
        f"Chunk: {hparams['chunks'].n_samples / rate:g} s. "
        f"Time warp: {moves}. {_about_masks(views.augment, hop_ms)}"
        + (
            f"\n{_ORDER[views.augment_before_norm]}"
            if views.augment.n_masks
            else ""
        )
    )


def _about_masks(augment, hop_ms) -> str:
    n_masks, widest = augment.n_masks, augment.mask_width
    if n_masks == 0:
        return "No masks."
    return (
        f"Masks: {n_masks} in frequency, up to {widest} bands each, and "
        f"{n_masks} in time, up to {widest * hop_ms:g} ms each."
    )


def _limit(pairs) -> float:
    """Where the colours of the views end, dB: masks do not count."""
    values = torch.cat([pair.views[~pair.masked] for pair in pairs])
    if not len(values):
        return 1.0
    return max(1.0, float(np.percentile(values.abs().numpy(), 99)))


def _draw_whole(axes, pair, hparams, chunk_s):
    """The recording, with a frame around each chunk; return the image."""
    whole = pair.whole - pair.whole.max()
    image = _show(axes, whole, hparams, 0.0, "magma", -_RANGE_DB, 0)
    n_mels = whole.shape[1]
    for i, start in enumerate(pair.starts):
        # The second a little lower, to be seen where they coincide.
        y = n_mels * (1.02 + 0.07 * i)
        axes.add_patch(
            Rectangle(
                (start, y),
                chunk_s,
                n_mels * 0.05,
                color=COLOURS[i],
                clip_on=False,
            )  # fmt: skip
        )
        for x in (start, start + chunk_s):
            axes.axvline(x, color="white", linewidth=2.2)
            axes.axvline(
                x, color=COLOURS[i], linewidth=1.5, linestyle=("-", "--")[i]
            )
    if pair.seconds < chunk_s:
        axes.axvline(pair.seconds, color="white", linestyle=":")
    axes.set_ylabel("kHz")
    axes.set_title(
        _about(pair, chunk_s), loc="left", fontsize="medium", pad=20,
        parse_math=False,
    )  # fmt: skip
    return image


def _about(pair, chunk_s) -> str:
    first, second = pair.starts
    overlap = max(0.0, chunk_s - abs(first - second))
    text = f"{shortened(pair.name)}, {pair.seconds:.1f} s"
    if pair.seconds < chunk_s:
        text += f", repeated to {chunk_s:g} s"
    if overlap == 0:
        return f"{text}; the chunks do not overlap"
    return f"{text}; the chunks overlap by {overlap:.2f} s"


def shortened(name: str, longest: int = 36) -> str:
    """A name, without its middle where it is long.

    Example
    -------
    >>> shortened("0123456789", longest=7)
    '012...9'
    """
    if len(name) <= longest:
        return name
    n_last = (longest - 3) // 2 - 1
    return f"{name[: longest - 3 - n_last]}...{name[-n_last:]}"


def _draw_view(axes, pair, i, hparams, limit):
    """A view, with bars where it is masked; return the image."""
    image = _show(
        axes, pair.views[i], hparams, pair.starts[i], "RdBu_r", -limit, limit
    )
    for spine in axes.spines.values():
        spine.set(color=COLOURS[i], linewidth=2)
    _bar_masks(axes, pair.masked[i].numpy())
    text = f"view {i + 1}"
    if pair.shifts[i]:
        text += f", moments moved by up to {1000 * pair.shifts[i]:.0f} ms"
    axes.set_title(text, color=COLOURS[i], fontsize="medium", pad=14)
    return image


def _bar_masks(axes, masked):
    """Bars above masked moments and right of masked bands."""
    left, right, _, top = axes.get_images()[0].get_extent()
    n_frames, n_mels = masked.shape
    frame_s = (right - left) / n_frames
    for first, last in runs(masked.all(axis=1)):
        axes.add_patch(
            Rectangle(
                (left + first * frame_s, top + 0.02 * n_mels),
                (last - first) * frame_s,
                0.05 * n_mels,
                color="black",
                clip_on=False,
            )  # fmt: skip
        )
    for first, last in runs(masked.all(axis=0)):
        axes.add_patch(
            Rectangle(
                (right + 0.015 * (right - left), first),
                0.025 * (right - left),
                last - first,
                color="black",
                clip_on=False,
            )  # fmt: skip
        )


def runs(flags: Sequence[bool]) -> List[Tuple[int, int]]:
    """Where flags are set, as half-open ranges.

    Example
    -------
    >>> runs([True, True, False, True])
    [(0, 2), (3, 4)]
    """
    padded = np.concatenate([[0], np.asarray(flags, dtype=int), [0]])
    edges = np.flatnonzero(np.diff(padded))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2])]


def _show(axes, feats, hparams, start, colours, low, high):
    """A ``[frames, n_mels]`` image over seconds and kHz."""
    n_frames, n_mels = feats.shape
    rate = hparams["sample_rate"]
    hop_s = hparams["views"].logmel.hop / rate
    image = axes.imshow(
        feats.T.numpy(), origin="lower", aspect="auto", cmap=colours,
        vmin=low, vmax=high, interpolation="nearest",
        extent=(start, start + n_frames * hop_s, 0, n_mels),
    )  # fmt: skip
    ticks = [khz for khz in _KILOHERTZ if 2000 * khz <= rate]
    at = [hparams["views"].logmel.band_at(1000 * khz) for khz in ticks]
    axes.set_yticks(at, [f"{khz:g}" for khz in ticks])
    axes.tick_params(labelsize="small")
    return image


def picture_views(
    manifest: str,
    data_folder: Optional[str],
    settings: Sequence[str],
    n: int,
    epoch: int,
    out: str,
) -> None:
    """Draw views of recordings that lie evenly over a manifest."""
    if not 1 <= n <= MOST_ROWS:
        raise InputError(f"--n is {n}; pass 1 to {MOST_ROWS}")
    if epoch < 0:
        raise InputError(f"--epoch is {epoch}; pass 0 or more")
    recordings = read(Path(manifest))
    n = min(n, len(recordings))
    chosen = [recordings[i * len(recordings) // n] for i in range(n)]
    if data_folder is None and not holds(".", chosen[0].wav):
        raise InputError(
            f"{manifest} does not say where {chosen[0].wav} lies; pass the "
            "folder of the audio as --data_folder"
        )
    root = data_folder or "."
    if not Path(root).is_dir():
        raise InputError(f"{root} is no folder; correct --data_folder")
    hparams = _settings(settings)
    hparams["reader"].pack_of(root)
    pairs = make_pairs(hparams, chosen, root, epoch)
    title = f"Two views of {n} of {len(recordings)} recordings, epoch {epoch}"
    draw(pairs, hparams, Path(out), f"{title}\n{manifest}")


def _settings(arguments) -> Dict:
    """Objects of the yaml file, which is not to leave an output folder."""
    with tempfile.TemporaryDirectory() as folder:
        hparams_file, _, overrides = parse_arguments(
            [*arguments, f"--output_folder={folder}/run"]
        )
        # What tells SimCLR's yaml files, whose recordings have two views.
        return load(hparams_file, overrides, needs=("temperature",))


def main(argv: Optional[Sequence[str]] = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m cry_modules.views",
        description=__doc__.split("\n")[0],
        epilog="Other options are settings of the yaml file.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "manifest", metavar="MANIFEST", help="such as <run>/manifest/train.csv"
    )
    parser.add_argument("--data_folder", help="where its paths begin")
    parser.add_argument(
        "--hparams",
        default="hparams/small_simclr.yaml",
        help="yaml file of a SimCLR training",
    )
    parser.add_argument("--n", type=int, default=4, help="recordings")
    parser.add_argument(
        "--epoch", type=int, default=1, help="0: validation's chunks"
    )
    parser.add_argument("--out", default="views.png", help="the picture")
    args, rest = parser.parse_known_args(argv)
    with one_line_errors():
        settings = [args.hparams, *rest]
        picture_views(
            args.manifest, args.data_folder, settings, args.n, args.epoch,
            args.out,
        )  # fmt: skip
        print(f"picture in {args.out}")
