"""Shards of a pack: recordings as 16 bit samples in a few large files."""

import hashlib
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Tuple

import numpy as np
import torch
from tqdm import tqdm

from data_prep.audio.decode import LONGEST_S
from data_prep.audio.measure import Audit
from data_prep.audio.packs import DTYPE, SAMPLE_BYTES, Packed
from data_prep.audio.read import MonoFile, read_mono
from data_prep.audio.threads import in_threads
from data_prep.files.atomic import complete_or_absent
from data_prep.files.errors import InputError

#: One step of a 16 bit file, of full scale: a power of two, so multiplying by
#: it is exact.
STEP = 2.0**-15
_LARGEST = 32767


def plan(
    audits: Iterable[Audit], rate: int, shard_mb: float
) -> List[List[Audit]]:
    """Divide the usable recordings among shards, in their order."""
    shards, room = [], 0.0
    for audit in audits:
        if not audit.usable:
            continue
        if room <= 0:
            shards.append([])
            room = shard_mb * 1e6
        shards[-1].append(audit)
        room -= SAMPLE_BYTES * audit.duration * rate
    return shards


def write_shard(
    path: Path,
    audits: List[Audit],
    root: Path,
    rate: int,
    bar: tqdm,
) -> Dict:
    """Write one shard atomically; return its index rows, size and checksum."""
    rows, offset, digest = [], 0, hashlib.sha256()
    with complete_or_absent(path) as partial_file:
        work = partial(decode, root=root, rate=rate)
        short = [audit for audit in audits if audit.duration <= LONGEST_S]
        with open(partial_file, "wb") as file, in_threads(work, short) as todo:
            for audit in audits:
                if audit.duration <= LONGEST_S:
                    # Popped: the shard is not held in memory.
                    samples, scale = todo.pop(0).result()
                    parts = [samples]
                else:
                    parts, scale = decode_in_parts(audit, root, rate)
                n_samples, peak = 0, 0
                for samples in parts:
                    file.write(samples.tobytes())
                    digest.update(samples.tobytes())
                    n_samples += len(samples)
                    peak = max(peak, int(samples.max()), -int(samples.min()))
                place = (path.name, offset, n_samples, scale, peak)
                n_frames = round(audit.duration * audit.rate)
                rows.append(Packed(audit.path, *place, audit.rate, n_frames))
                offset += n_samples
                bar.update()
    sha256 = digest.hexdigest()
    return {"rows": rows, "bytes": SAMPLE_BYTES * offset, "sha256": sha256}


def decode(audit: Audit, root: Path, rate: int) -> Tuple[np.ndarray, float]:
    """Decode a recording to int16 ``[samples]``; also return the value of one
    integer step."""
    with _readable(root / audit.path):
        sig = read_mono(str(root / audit.path), 0.0, audit.duration, rate)
    return to_int16(sig)


def decode_in_parts(
    audit: Audit, root: Path, rate: int
) -> Tuple[Iterator[np.ndarray], float]:
    """Decode a long recording twice, to bound the memory: for the value of
    one integer step, and for the int16 ``[samples]`` of its parts."""
    path, size = root / audit.path, round(LONGEST_S * rate)
    with _readable(path):
        sound = MonoFile(str(path), 0.0, audit.duration, rate)
        scale = step_of(sound.blocks(size))

    def parts():
        with _readable(path):
            for sig in sound.blocks(size):
                yield rounded(sig, scale)

    return parts(), scale


@contextmanager
def _readable(path: Path):
    """Refuse a file that has become unreadable since its audit."""
    try:
        yield
    except RuntimeError as error:  # soundfile's errors are
        raise InputError(
            f"{path} was readable before and is not now "
            f"({str(error).splitlines()[0]}); run the same command again"
        )


def to_int16(sig: torch.Tensor) -> Tuple[np.ndarray, float]:
    """Round samples ``[samples]`` to 16 bit, without loss where possible.

    Returns the integers and the value of one step.
    """
    scale = step_of([sig.numpy()])
    return rounded(sig.numpy(), scale), scale


def step_of(parts: Iterable[np.ndarray]) -> float:
    """Value of one integer step: that of 16 bit files if all samples are
    multiples of it, else such that the peak uses all bits."""
    fits, peak = True, np.float32(0)
    for sig in parts:
        steps = sig / np.float32(STEP)
        whole = np.rint(steps)
        fits = fits and -_LARGEST - 1 <= whole.min()
        fits = fits and whole.max() <= _LARGEST and (whole == steps).all()
        peak = max(peak, np.abs(sig).max())
    return STEP if fits else float(peak / np.float32(_LARGEST))


def rounded(sig: np.ndarray, step: float) -> np.ndarray:
    """Round samples ``[samples]`` to integer steps."""
    # In 64 bits: else the peak could be rounded beyond the largest integer.
    steps = np.rint(sig / np.float64(step))
    return steps.clip(-_LARGEST - 1, _LARGEST).astype(DTYPE)
