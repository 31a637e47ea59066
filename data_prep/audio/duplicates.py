"""Exact and near copies among recordings.

Exact copies have the same decoded samples, in any lossless format, under any
name, with any sample rate in the header. Near copies share many landmarks
(``landmarks.py``) at the same offset in time: shifted, scaled, resampled and
re-encoded copies, and overlapping windows of one recording. Over 862 real
clips, copies through MP3, Ogg, 8 kHz or 20 dB of added noise, or half a clip,
shared a median of 40 to 400 landmarks (one half clip in twenty, being quiet,
shared none), different clips at most 6: measured by
`python benchmarks/data.py FOLDER`.

Limits: overlaps under about a second, sound after the tenth minute, copies
with noise as loud as the sound, and changes of speed or pitch are not
detected; recordings of one pure tone look alike. Memory is 40 kB for ten
seconds of sound. Time grows with the square of the hours: on two cores 20 s
for 2,000 recordings of 30 s, 45 s for 10,000 of 10 s, hours for all of
VGGSound.
"""

from dataclasses import dataclass
from typing import Iterable, Iterator, List, Tuple

import numpy as np
from tqdm import tqdm

from data_prep.audio.landmarks import HOP_S
from data_prep.audio.measure import Audit

#: Copies share at least so many landmarks at one offset ...
LEAST_COMMON = 10
#: ... and at least this share of the landmarks in the overlap.
LEAST_SHARE = 0.05

_SPAN = 1 << 32  # larger than any offset, in frames


@dataclass
class Copy:
    """Two files with the same sound: an ``exact`` or ``near`` copy.

    Sound at t seconds in ``path`` is at t + ``offset_s`` in ``copy``;
    ``common`` counts the shared landmarks, 0 for exact copies.
    """

    kind: str
    path: str
    copy: str
    offset_s: float = 0.0
    common: int = 0


def exact_copies(audits: Iterable[Audit]) -> List[Copy]:
    """Files with the same decoded samples."""
    first = {}
    copies = []
    for audit in audits:
        if not audit.usable:
            continue
        path = first.setdefault(audit.digest, audit.path)
        if path != audit.path:
            copies.append(Copy("exact", path, audit.path))
    return copies


def near_copies(audits: Iterable[Audit]) -> List[Copy]:
    """Files that share a stretch of sound, without the exact copies."""
    usable = [a for a in audits if a.usable and a.landmarks is not None]
    copies = []
    for a, b, offset, common in _matches([x.landmarks for x in usable]):
        if usable[a].digest != usable[b].digest:
            copies.append(
                Copy(
                    "near",
                    usable[a].path,
                    usable[b].path,
                    round(offset * HOP_S, 3),
                    common,
                )
            )
    return copies


def _matches(
    landmarks: List[np.ndarray],
) -> Iterator[Tuple[int, int, int, int]]:
    """Yield (first, second, offset in frames, shared landmarks)."""
    if not landmarks:
        return
    lengths = [len(marks) for marks in landmarks]
    owner = np.repeat(np.arange(len(landmarks), dtype=np.int32), lengths)
    number, frame = np.concatenate(landmarks).astype(np.int64).T
    order = np.argsort(number, kind="stable")
    index = number[order], frame[order], owner[order]
    for a, marks in enumerate(
        tqdm(
            landmarks,
            desc="comparing",
            unit="file",
            dynamic_ncols=True,
            disable=len(landmarks) < 2000 or None,
        )
    ):
        for b, offset, common in _candidates(a, marks.astype(np.int64), index):
            overlap = _in_overlap(marks[:, 1], landmarks[b][:, 1], offset)
            if common >= max(LEAST_COMMON, LEAST_SHARE * overlap):
                yield a, b, offset, common


def _candidates(a, marks, index):
    """Yield (second, offset, shared landmarks) for recordings after a."""
    number, frame, owner = index
    start = np.searchsorted(number, marks[:, 0], "left")
    stop = np.searchsorted(number, marks[:, 0], "right")
    n_hits = stop - start
    begin = np.cumsum(n_hits) - n_hits
    hits = np.arange(n_hits.sum()) + np.repeat(start - begin, n_hits)
    offset = frame[hits] - np.repeat(marks[:, 1], n_hits)
    later = owner[hits] > a
    owners, offset = owner[hits][later], offset[later]
    often = np.bincount(owners) >= LEAST_COMMON
    keep = often[owners]
    yield from _most_common(owners[keep], offset[keep])


def _most_common(owners, offsets) -> Iterable[Tuple[int, int, int]]:
    """(owner, offset, shared landmarks) of each owner's best offset.

    Offsets one frame away count too: the frames of a copy may begin between
    those of the original.
    """
    keys = owners.astype(np.int64) * _SPAN + offsets
    keys, counts = np.unique(keys, return_counts=True)
    wide = counts.copy()
    next_to = np.flatnonzero(np.diff(keys) == 1)
    wide[next_to] += counts[next_to + 1]
    wide[next_to + 1] += counts[next_to]
    best = {}
    for k in np.flatnonzero(wide >= LEAST_COMMON).tolist():
        owner, offset = divmod(int(keys[k]) + _SPAN // 2, _SPAN)
        match = (owner, offset - _SPAN // 2, int(wide[k]))
        best[owner] = max(best.get(owner, match), match, key=lambda m: m[2])
    return best.values()


def _in_overlap(frames_a, frames_b, offset) -> int:
    """Number of landmarks in the overlap, of the recording with fewer."""
    frames_a = frames_a.astype(np.int64) + offset
    frames_b = frames_b.astype(np.int64)
    low = max(frames_a.min(), frames_b.min())
    high = min(frames_a.max(), frames_b.max())
    return min(
        np.count_nonzero((low <= frames) & (frames <= high))
        for frames in (frames_a, frames_b)
    )
