"""Read and score recordings, whole or in windows, in bounded memory.

What does not depend on torch is copied to ``run_onnx.py``, too.
"""

import os
from concurrent.futures import as_completed
from contextlib import contextmanager
from functools import partial
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from cry_modules.audio import PEAK, AudioNormalizer, level_dbfs, repeat_to
from cry_modules.evaluation.out_of_distribution import band_powers
from cry_modules.inference.parallel import in_parallel
from cry_modules.inference.scores import FileScore
from cry_modules.inference.windows import batches, read_windows
from cry_modules.lengths import LONGEST_S, covering
from cry_modules.training.batches import batches_by_length
from data_prep.audio.decode import mixed_windows
from data_prep.audio.measure import SILENT_DBFS, Audit, audit_file
from data_prep.audio.threads import in_threads
from data_prep.files.errors import InputError

#: Audio in one batch, seconds, padding included: it fits the caches of one
#: processor, which takes 0.8 (width 8) or 0.7 (width 64) of the time of 120 s.
BATCH_S = 30.0


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
    model,
    paths: Sequence,
    longest_s: float,
    progressbar: bool,
    detector=None,
) -> List[FileScore]:
    """Score files with a ``CryClassifier``, short ones in padded batches, of
    all of them only what a ``Detector`` finds."""
    progress = partial(
        tqdm, unit="file", dynamic_ncols=True, disable=not progressbar
    )
    measure = partial(audit_file, with_digest=False)
    with in_threads(measure, [os.fspath(path) for path in paths]) as futures:
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
    long = sorted(set(usable) - set(short))
    if detector is not None:
        kept = in_parallel(
            lambda i: is_kept(detector, scores[i], audits[i]), short
        )
        shown = progress(zip(short, kept), desc="detecting", total=len(short))
        short = [i for i, found in shown if found]
    seconds = [scores[i].seconds for i in short]

    def score_batch(batch):
        files = [short[j] for j in batch]
        _score_whole(model, [(scores[i], audits[i]) for i in files])
        return len(files)

    with progress(total=len(short) + len(long), desc="scoring") as bar:
        for n in in_parallel(score_batch, batches_by_length(seconds, BATCH_S)):
            bar.update(n)
        for i in long:
            score_windows(model, scores[i], audits[i], detector)
            bar.update()
    return scores


def longest_whole_s(hparams, detector=None) -> float:
    """Seconds up to which a recording is scored as a whole; with a detector,
    the chunk length of training."""
    return LONGEST_S if detector is None else hparams.chunk_s


def is_kept(detector, score: FileScore, audit: Audit) -> bool:
    """Ask a detector, if there is one, about a recording as a whole; without a
    find, its score says why it has none."""
    if detector is None:
        return True
    try:
        (found,) = detector.finds(audit, [(0.0, audit.duration)])
    except Unusable as error:
        score.error = error.reason
        return False
    score.n_left_out = int(not found)
    return found


def _score_whole(model, files: List[Tuple[FileScore, Audit]]) -> None:
    """Score whole recordings in one batch."""
    sigs, read = [], []
    for score, audit in files:
        try:
            sigs.append(read_whole(audit, model.audio_normalizer))
            read.append((score, audit))
        except Unusable as error:
            score.error = error.reason
    if not read:
        return
    rate = model.hparams.sample_rate
    for (score, audit), sig, *output in zip(read, sigs, *model.outputs(sigs)):
        score.set_logits(output[0], n_windows=1)
        powers = band_powers(sig.numpy(), rate)
        score.compare(model.reference, audit.level_dbfs, powers, output[1])


def score_windows(classifier, score: FileScore, audit: Audit, detector) -> None:
    """Average the logits of the windows that are not silent, and in which the
    detector, if there is one, finds something."""
    try:
        spans = covering_spans(audit.duration, classifier.hparams)
        if detector is not None:
            kept = detector.finds(audit, spans)
            score.n_left_out = len(spans) - sum(kept)
            spans = [span for span, found in zip(spans, kept) if found]
            if not spans:
                return
        windows = classifier.windows(audit, spans)
    except Unusable as error:
        score.error = error.reason
        return
    logits = windows.logits[windows.is_loud]
    if len(logits):
        score.set_logits(logits.mean(axis=0), len(logits))
        compared = audit.level_dbfs, windows.powers, windows.emb
        score.compare(classifier.reference, *compared)
    else:
        score.error = "silent: in every window"


class Windows(NamedTuple):
    """Outputs of a model for windows of a recording."""

    logits: np.ndarray  #: ``[n, n_classes]``, NaN in silent windows
    is_loud: np.ndarray  #: ``[n]``, False in silent windows
    powers: np.ndarray  #: sum of ``band_powers`` of the loud ones
    emb: np.ndarray  #: mean embedding of the loud ones ``[dimensions]``
    #: ``[n]``, True where the embedding is far from those of training
    is_far: Optional[np.ndarray] = None


def covering_spans(seconds: float, hparams) -> List[Tuple[float, float]]:
    """Start and end in seconds of as few windows of the model's chunk length
    as cover a recording."""
    rate = hparams.sample_rate
    size, length = round(hparams.chunk_s * rate), round(seconds * rate)
    return spans_of(covering(length, size), size, length, rate)


def spans_of(
    starts: Sequence[int], size: int, length: int, rate: int
) -> List[Tuple[float, float]]:
    """Start and end in seconds of windows of ``size`` samples."""
    return [(at / rate, min(at + size, length) / rate) for at in starts]


def window_outputs(
    model, audit: Audit, spans: Sequence[Tuple[float, float]]
) -> Windows:
    """Outputs for windows of a recording, in bounded memory.

    All have the gain that scales the whole recording to one peak.
    """
    rate = model.hparams.sample_rate
    how = rate, PEAK / audit.peak, audit.channel
    windows = read_windows(audit.path, spans, *how)
    longest = max(stop - start for start, stop in spans)
    size = max(1, int(BATCH_S / longest))
    score = partial(_score_windows, model)
    with reading(audit.path):
        parts = [*in_parallel(score, batches(windows, size))]
    logits, is_loud, is_far, powers, embs = zip(*parts)
    is_loud = np.concatenate(is_loud)
    return Windows(
        np.concatenate(logits),
        is_loud,
        sum(powers),
        sum(embs) / max(1, is_loud.sum()),
        np.concatenate(is_far),
    )


def _score_windows(model, batch: List[torch.Tensor]) -> Tuple:
    """Logits of the windows of a batch, which are loud and which far, and the
    sums of the band powers and embeddings of the loud ones."""
    is_loud = np.array([level_dbfs(sig) >= SILENT_DBFS for sig in batch])
    logits = np.full((len(batch), len(model.hparams.classes)), np.nan)
    is_far = np.zeros(len(batch), dtype=bool)
    if not is_loud.any():
        return logits, is_loud, is_far, 0.0, 0.0
    sigs = [
        repeat_to(batch[i], model.audio_normalizer.shortest)
        for i in np.flatnonzero(is_loud)
    ]
    logits[is_loud], embs = model.outputs(sigs)
    if model.reference is not None:
        is_far[is_loud] = model.reference.is_far(embs)
    rate = model.hparams.sample_rate
    powers = sum(band_powers(sig.numpy(), rate) for sig in sigs)
    return logits, is_loud, is_far, powers, embs.sum(axis=0)
