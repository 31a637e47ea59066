"""Shards of a pack: recordings as 16 bit samples in a few large files."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

import numpy as np
import torch
from tqdm import tqdm

from data_prep.audio.measure import Audit
from data_prep.audio.packs import DTYPE, Packed
from data_prep.audio.read import read_mono
from data_prep.audio.threads import in_threads
from data_prep.files.atomic import complete_or_absent
from data_prep.files.errors import InputError

SAMPLE_BYTES = 2
#: One step of a 16 bit file, of full scale: a power of two, so multiplying by
#: it is exact.
STEP = 2.0**-15
_LARGEST = 32767
_BYTES_AT_ONCE = 1 << 22


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
        with open(partial_file, "wb") as file, in_threads(work, audits) as todo:
            for audit in audits:
                # Popped: the shard is not held in memory.
                samples, scale = todo.pop(0).result()
                file.write(samples.tobytes())
                digest.update(samples.tobytes())
                rows.append(_row(audit, path.name, offset, samples, scale))
                offset += len(samples)
                bar.update()
    sha256 = digest.hexdigest()
    return {"rows": rows, "bytes": SAMPLE_BYTES * offset, "sha256": sha256}


def decode(audit: Audit, root: Path, rate: int) -> Tuple[np.ndarray, float]:
    """Decode a recording to int16 ``[samples]``; also return the value of one
    integer step."""
    try:
        sig = read_mono(str(root / audit.path), 0.0, audit.duration, rate)
    except RuntimeError as error:
        raise InputError(
            f"{root / audit.path} was readable before and is not now "
            f"({str(error).splitlines()[0]}); run the same command again"
        )
    return to_int16(sig)


def to_int16(sig: torch.Tensor) -> Tuple[np.ndarray, float]:
    """Round samples ``[samples]`` to 16 bit, without loss where possible.

    Returns the integers and the value of one step.
    """
    sig = sig.numpy()
    steps = sig / np.float32(STEP)
    whole = np.rint(steps)
    fits = -_LARGEST - 1 <= whole.min() and whole.max() <= _LARGEST
    if fits and (whole == steps).all():
        return whole.astype(DTYPE), STEP
    scale = np.abs(sig).max() / np.float32(_LARGEST)
    # In 64 bits: else the peak could be rounded beyond the largest integer.
    steps = np.rint(sig / np.float64(scale)).clip(-_LARGEST, _LARGEST)
    return steps.astype(DTYPE), float(scale)


def _row(audit: Audit, shard, offset, samples, scale) -> Packed:
    return Packed(
        audit.path,
        shard,
        offset,
        len(samples),
        scale,
        peak=max(int(samples.max()), -int(samples.min())),
        rate=audit.rate,
        frames=round(audit.duration * audit.rate),
    )


def checksum(path: Path, bar: Optional[tqdm] = None) -> Dict:
    """Size and sha256 of a file."""
    digest, n_bytes = hashlib.sha256(), 0
    with open(path, "rb") as file:
        for block in iter(partial(file.read, _BYTES_AT_ONCE), b""):
            digest.update(block)
            n_bytes += len(block)
            if bar is not None:
                bar.update(len(block))
    return {"bytes": n_bytes, "sha256": digest.hexdigest()}
