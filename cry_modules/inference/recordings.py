"""Read and score recordings, whole or in windows, in bounded memory."""

import os
from concurrent.futures import as_completed
from contextlib import contextmanager
from functools import partial
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from cry_modules.audio import PEAK, AudioNormalizer, level_dbfs, repeat_to
from cry_modules.inference.scores import FileScore
from cry_modules.inference.windows import batches, read_windows, sliding
from cry_modules.lengths import covering
from cry_modules.training.batches import batches_by_length
from data_prep.audio.decode import mixed_windows
from data_prep.audio.measure import SILENT_DBFS, Audit, audit_file
from data_prep.audio.threads import in_threads
from data_prep.files.errors import InputError

#: Audio in one batch, seconds, padding included.
BATCH_S = 120.0


class Unusable(InputError):
    """A recording has no scores, for the ``reason``."""

    def __init__(self, path, reason: str):
        super().__init__(f"{path}: {reason}; pass another recording")
        self.reason = reason


@contextmanager
def reading(path) -> Iterator[None]:
    """Context manager that raises ``Unusable`` if a file has become unreadable
    since its audit."""
    try:
        yield
    except (soundfile.LibsndfileError, OSError) as error:
        raise Unusable(path, f"unreadable: {' '.join(str(error).split())}")


def audit_usable(path) -> Audit:
    """Audit of a file; raises ``Unusable`` if the audit rejects it."""
    audit = audit_file(os.fspath(path))
    if not audit.usable:
        raise Unusable(path, audit.reason)
    return audit


def read_whole(audit: Audit, normalizer: AudioNormalizer) -> torch.Tensor:
    """A whole recording as model input ``[samples]``."""
    with reading(audit.path):
        spans = [(0.0, audit.duration)]
        ((sig, rate),) = mixed_windows(audit.path, spans)
        if not len(sig):
            raise OSError("the file no longer holds samples")
    return normalizer(torch.from_numpy(sig), rate)


def score_files(
    model, paths: Sequence, longest_s: float, progressbar: bool
) -> List[FileScore]:
    """Score files with a ``CryClassifier``, short ones in padded batches."""
    progress = partial(
        tqdm, unit="file", dynamic_ncols=True, disable=not progressbar
    )
    with in_threads(audit_file, [os.fspath(path) for path in paths]) as futures:
        for _ in progress(
            as_completed(futures), desc="reading", total=len(futures)
        ):
            pass
        audits = [future.result() for future in futures]
    scores = [
        FileScore(a.path, a.duration, error="" if a.usable else a.reason)
        for a in audits
    ]
    usable = [i for i, score in enumerate(scores) if not score.error]
    short = [i for i in usable if scores[i].seconds <= longest_s]
    seconds = [scores[i].seconds for i in short]
    with progress(total=len(usable), desc="scoring") as bar:
        for batch in batches_by_length(seconds, BATCH_S):
            files = [short[j] for j in batch]
            _score_whole(model, [(scores[i], audits[i]) for i in files])
            bar.update(len(files))
        for i in sorted(set(usable) - set(short)):
            _score_in_windows(model, scores[i], audits[i])
            bar.update()
    return scores


def _score_whole(model, files: List[Tuple[FileScore, Audit]]) -> None:
    """Score whole recordings in one batch."""
    sigs, read = [], []
    for score, audit in files:
        try:
            sigs.append(read_whole(audit, model.audio_normalizer))
            read.append(score)
        except Unusable as error:
            score.error = error.reason
    if read:
        for score, logits in zip(read, model.padded_logits(sigs)):
            score.set_logits(logits, n_windows=1)


def _score_in_windows(model, score: FileScore, audit: Audit) -> None:
    """Average the logits of the windows that are not silent."""
    size = round(model.hparams.chunk_s * model.hparams.sample_rate)
    try:
        _, logits, is_loud = window_logits(model, audit, size)
    except Unusable as error:
        score.error = error.reason
        return
    if is_loud.any():
        score.set_logits(logits[is_loud].mean(axis=0), int(is_loud.sum()))
    else:
        score.error = "silent: in every window"


def window_logits(
    model, audit: Audit, size: int, hop: Optional[int] = None
) -> Tuple[List[Tuple[float, float]], np.ndarray, np.ndarray]:
    """Logits of the windows of a recording, in bounded memory.

    Windows have ``size`` samples and are ``hop`` samples apart, or as few as
    cover the recording. All have the gain that scales the whole recording to
    one peak.

    Returns the windows' start and end in seconds, their logits ``[n,
    n_classes]``, NaN if silent, and a mask ``[n]``: False if silent.
    """
    rate = model.hparams.sample_rate
    length = round(audit.duration * rate)
    starts = sliding(length, size, hop) if hop else covering(length, size)
    spans = [(at / rate, min(at + size, length) / rate) for at in starts]
    windows = read_windows(audit.path, spans, rate, PEAK / audit.peak)
    longest = max(stop - start for start, stop in spans)
    logits, is_loud = [], []
    with reading(audit.path):
        for batch in batches(windows, max(1, int(BATCH_S / longest))):
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
