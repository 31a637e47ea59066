"""Read every file once before anything depends on it.

Authors
 * The contributors of cry-ssl 2026
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import soundfile
from tqdm import tqdm

from data_prep.errors import InputError
from data_prep.tables import write_table

#: Shorter than one analysis window is not a recording, seconds.
SHORTEST_S = 0.1
#: Nothing to be heard: root mean square below this, dB of full scale. The
#: quietest usable cry of Donate-a-Cry has -59, its silent uploads -61 to -90.
SILENT_DBFS = -60.0
#: More rejects than this share of a corpus is a mistake, not bad luck.
MOST_REJECTED = 0.2

_BLOCK = 1 << 18  # frames read at once: memory does not grow with the file


@dataclass
class Audit:
    """What reading a file showed.

    Arguments
    ---------
    path : str
        As it was given.
    duration : float
        Decoded, seconds; 0 where nothing could be.
    reason : str
        Why it is rejected; empty where it is not.
    """

    path: str
    duration: float
    reason: str = ""


def audit_file(path: str) -> Audit:
    """Decode a file and judge it.

    Arguments
    ---------
    path : str
        Any file.

    Returns
    -------
    Audit

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("a.wav"))
    >>> soundfile.write(path, np.zeros(16000), 16000)
    >>> audit_file(path).reason
    'silent: -inf dBFS'
    """
    try:
        with soundfile.SoundFile(path) as file:
            promised, rate = file.frames, file.samplerate
            frames, energy, finite = 0, 0.0, True
            for block in file.blocks(_BLOCK, dtype="float32", always_2d=True):
                frames += len(block)
                finite = finite and bool(np.isfinite(block).all())
                energy += float(np.square(block.mean(axis=1)).sum())
    except soundfile.LibsndfileError as error:
        return Audit(path, 0.0, f"unreadable: {error.error_string}")
    duration = frames / rate
    return Audit(
        path, duration, _judge(frames, promised, duration, energy, finite)
    )


def _judge(frames, promised, duration, energy, finite) -> str:
    if frames == 0:
        return "empty: no samples"
    if frames < promised:
        return f"truncated: {frames} of {promised} samples"
    if duration < SHORTEST_S:
        return f"too short: {duration:.3f} s"
    if not finite:
        return "not finite: NaN or infinite samples"
    with np.errstate(divide="ignore"):
        level = 10 * np.log10(energy / frames)
    if level < SILENT_DBFS:
        return f"silent: {level:.0f} dBFS"
    return ""


def audit_files(paths: Sequence[str], root: Path) -> Dict[str, Audit]:
    """Audit many files at once, with a progress bar.

    Arguments
    ---------
    paths : sequence of str
        Relative to ``root``.
    root : pathlib.Path
        The data folder.

    Returns
    -------
    dict
        Audit by path, in the order given.

    Example
    -------
    >>> audit_files(["no.wav"], getfixture("tmpdir"))["no.wav"].reason
    'unreadable: System error.'
    """
    full = [str(Path(root) / path) for path in paths]
    # Threads: libsndfile works outside Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        audits = list(
            tqdm(
                pool.map(audit_file, full, chunksize=16),
                total=len(full),
                desc="reading audio",
                unit="file",
                dynamic_ncols=True,
                disable=len(full) < 200,
            )
        )
    return dict(zip(paths, audits))


def reject(
    audits: Dict[str, Audit], others: List[Tuple[str, str, str]], path: Path
) -> int:
    """Write ``rejected.csv``; stop where too much of a corpus is bad.

    Arguments
    ---------
    audits : dict
        Audit by path.
    others : list of (path, verdict, reason)
        Rows left out for another reason: verdict "excluded".
    path : pathlib.Path
        The csv file to write.

    Returns
    -------
    int
        Files rejected.

    Raises
    ------
    InputError
        More than a fifth of the files rejected, or all.
    """
    rows = [
        (name, "rejected", audit.reason)
        for name, audit in audits.items()
        if audit.reason
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, ("path", "verdict", "reason"), rows + others)
    if len(rows) > MOST_REJECTED * len(audits):
        raise InputError(
            f"{len(rows)} of {len(audits)} audio files cannot be used, such as "
            f"{rows[0][0]} ({rows[0][2]}); all are listed in {path}: convert "
            "or replace them"
        )
    return len(rows)
