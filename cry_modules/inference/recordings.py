"""Read and score recordings, whole or in windows, in bounded memory."""

import os
from concurrent.futures import as_completed
from contextlib import contextmanager
from typing import Callable, Iterator, List, Sequence, Tuple

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from cry_modules.audio import PEAK, AudioNormalizer, repeat_to
from cry_modules.inference.scores import FileScore
from cry_modules.inference.windows import (
    WindowReader,
    batches,
    level_dbfs,
    read_mixed,
)
from cry_modules.lengths import covering
from cry_modules.training.batches import batches_by_length
from data_prep.audio.measure import SILENT_DBFS, Audit, audit_file
from data_prep.audio.threads import in_threads
from data_prep.files.errors import InputError

#: Longer recordings are split into windows, so that memory is bounded; seconds.
LONGEST_S = 120.0
#: Audio in one batch, seconds, padding included.
BATCH_S = 120.0


class Unusable(Exception):
    """A recording has no scores; the message is the reason."""


@contextmanager
def reading() -> Iterator[None]:
    """Raise ``Unusable`` for a file that has changed since its audit."""
    try:
        yield
    except (soundfile.LibsndfileError, OSError) as error:
        raise Unusable(f"unreadable: {' '.join(str(error).split())}")


@contextmanager
def required(path) -> Iterator[None]:
    """Turn ``Unusable`` into an ``InputError`` that names the file."""
    try:
        yield
    except Unusable as reason:
        raise InputError(f"{path}: {reason}; pass another recording")


def audit_usable(path) -> Audit:
    """Audit of a file; raises ``Unusable`` if the audit rejects it."""
    audit = audit_file(os.fspath(path))
    if not audit.usable:
        raise Unusable(audit.reason)
    return audit


def audit_all(paths: Sequence[str], progressbar: bool) -> List[Audit]:
    """Audits of files, in their order."""
    with in_threads(audit_file, paths) as audits:
        with progress(len(paths), "reading", progressbar) as bar:
            for _ in as_completed(audits):
                bar.update()
        return [audit.result() for audit in audits]


def progress(n_files: int, description: str, is_shown: bool) -> tqdm:
    """Progress bar that counts files."""
    return tqdm(
        total=n_files,
        unit="file",
        desc=description,
        dynamic_ncols=True,
        disable=not is_shown,
    )


def read_whole(audit: Audit, normalizer: AudioNormalizer) -> torch.Tensor:
    """A whole recording as model input ``[samples]``."""
    with reading(), soundfile.SoundFile(audit.path) as file:
        sig = read_mixed(file, round(audit.duration * audit.rate))
        if not len(sig):
            raise OSError("the file no longer holds samples")
    return normalizer(sig, audit.rate)


def score_files(
    model, paths: Sequence, longest_s: float, progressbar: bool
) -> List[FileScore]:
    """Score files with a ``CryClassifier``, short ones in padded batches."""
    audits = audit_all([os.fspath(path) for path in paths], progressbar)
    scores = [
        FileScore(a.path, a.duration, error="" if a.usable else a.reason)
        for a in audits
    ]
    usable = [i for i, score in enumerate(scores) if not score.error]
    short = [i for i in usable if scores[i].seconds <= longest_s]
    seconds = [scores[i].seconds for i in short]
    with progress(len(usable), "scoring", progressbar) as bar:
        for batch in batches_by_length(seconds, BATCH_S):
            files = [short[j] for j in batch]
            score_whole(model, [(scores[i], audits[i]) for i in files])
            bar.update(len(files))
        for i in sorted(set(usable) - set(short)):
            score_in_windows(model, scores[i], audits[i])
            bar.update()
    return scores


def score_whole(model, files: List[Tuple[FileScore, Audit]]) -> None:
    """Score whole recordings in one batch."""
    sigs, read = [], []
    for score, audit in files:
        try:
            sigs.append(read_whole(audit, model.audio_normalizer))
            read.append(score)
        except Unusable as reason:
            score.error = str(reason)
    if read:
        for score, logits in zip(read, model.padded_logits(sigs)):
            score.set_logits(logits, n_windows=1)


def score_in_windows(model, score: FileScore, audit: Audit) -> None:
    """Average the logits of the windows that are not silent."""
    size = round(model.hparams.chunk_s * model.hparams.sample_rate)
    try:
        _, logits, is_loud = window_logits(
            model, audit, size, lambda length: covering(length, size)
        )
    except Unusable as reason:
        score.error = str(reason)
        return
    if is_loud.any():
        score.set_logits(logits[is_loud].mean(axis=0), int(is_loud.sum()))
    else:
        score.error = "silent: in every window"


def window_logits(
    model,
    audit: Audit,
    size: int,
    starts_of: Callable[[int], List[int]],
) -> Tuple[List[Tuple[float, float]], np.ndarray, np.ndarray]:
    """Logits of the windows of a recording, in bounded memory.

    Windows have ``size`` samples and begin where ``starts_of`` says for a
    recording's length in samples. All have the gain that scales the whole
    recording to one peak.

    Returns the windows' start and end in seconds, their logits ``[n,
    n_classes]``, NaN if silent, and a mask ``[n]``: False if silent.
    """
    rate = model.hparams.sample_rate
    length = round(audit.duration * rate)
    spans = [
        (start / rate, min(start + size, length) / rate)
        for start in starts_of(length)
    ]
    gain = PEAK / audit.peak if audit.peak > 0 else 1.0
    reader = WindowReader(audit.path, rate, gain)
    longest = max(stop - start for start, stop in spans)
    logits, is_loud = [], []
    with reading():
        for batch in batches(reader(spans), max(1, int(BATCH_S / longest))):
            mask = np.array([level_dbfs(sig) >= SILENT_DBFS for sig in batch])
            sigs = [
                repeat_to(batch[i], model.audio_normalizer.shortest)
                for i in np.flatnonzero(mask)
            ]
            rows = np.full((len(batch), len(model.hparams.classes)), np.nan)
            if sigs:
                rows[mask] = model.padded_logits(sigs)
            logits.append(rows)
            is_loud.append(mask)
    return spans, np.concatenate(logits), np.concatenate(is_loud)
