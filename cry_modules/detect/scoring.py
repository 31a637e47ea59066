"""Score the windows of long recordings, part by part, kept in journals.

An interrupted command resumes: it loses the part that it was at. Scores are
rounded to a journal's single precision even if they are new, so that a resumed
command gives the same events as one that was never interrupted.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from cry_modules.checkpoints.module_identity import add_weights
from cry_modules.detect.events import open_gaps
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.recordings import Unusable, Windows, spans_of
from cry_modules.inference.scores import NOT_FINITE, FileScore, softmax
from cry_modules.inference.windows import sliding
from data_prep.audio.measure import (
    LOUDEST,
    RATES,
    SHORTEST_S,
    Audit,
    audit_file,
)
from data_prep.files.fingerprint import is_same, stamp
from data_prep.files.journal import Journal
from data_prep.files.shapes import Rule, number, whole

#: Audio between two entries of a journal, seconds.
PART_S = 1800.0

_VERSION = 2  # increment when the scores of a window change
_MEASURED = {
    "rate": whole(*RATES),
    "channels": whole(1),
    "duration": number(SHORTEST_S, 1e9),
    "level_dbfs": float,
    "peak": number(1e-30),
    "reason": str,
}
_NUMBERS = Rule(lambda text: _numbers(text) is not None, "numbers in base64")
_PART = {
    "logits": _NUMBERS,
    "emb": _NUMBERS,
    "powers": [float],
    "n_loud": whole(0),
}
_EDGES = {"edges": {str: _NUMBERS}}


class Track(NamedTuple):
    """Scores over time of a recording, or of one of its channels."""

    audit: Audit
    starts: np.ndarray  #: of the windows, seconds ``[n]``
    stops: np.ndarray  #: seconds ``[n]``
    #: ``[n, n_classes]``; NaN in silent windows, those of the first pass before
    #: them in windows that are not scored
    scores: np.ndarray
    first_pass: np.ndarray  #: indices of the windows that are always scored
    #: comparison with the recordings of training, by window
    compared: FileScore
    note: str  #: what is doubtful about the file, or empty

    @property
    def channel(self) -> Optional[int]:
        """Number of the channel, the first is 1; None for the mix."""
        return None if self.audit.channel is None else self.audit.channel + 1


class Failure(NamedTuple):
    """A recording, or one of its channels, that cannot be scored."""

    path: str
    channel: Optional[int]  #: the first is 1; None for all
    reason: str


class Part(NamedTuple):
    """Outputs for the windows of a part of a recording."""

    logits: np.ndarray  #: ``[n, n_classes]``, NaN in silent windows
    emb: np.ndarray  #: mean embedding of those that are not silent
    powers: np.ndarray  #: sum of their ``band_powers``
    n_loud: int  #: their number


@dataclass
class Scorer:
    """Score recordings with one model and one kind of windows."""

    classifier: CryClassifier
    window_s: float
    hop_s: float  #: from one window of the first pass to the next
    edge_s: float  #: from one window to the next near an event
    channels: str  #: one of ``CHANNELS``
    folder: Path  #: of the journals

    def __post_init__(self):
        self.model = fingerprint(self.classifier)
        self._header = {
            "detect": _VERSION,
            "model": self.model,
            "windows": [*map(float, (self.window_s, self.hop_s, self.edge_s))],
        }

    @property
    def step(self) -> int:
        """Steps of the fine grid from one window of the first pass to the
        next."""
        return max(1, int(self.hop_s / self.edge_s + 1e-9))

    def journal(self, name: str) -> Journal:
        """Journal of a recording, by the name of its files."""
        path = self.folder / f"{name}.jsonl"
        shapes = _MEASURED, _PART, _EDGES, {"drawn": str}
        return Journal(path, self._header, shapes)

    def tracks(
        self, path: str, journal: Journal, lows: Mapping[int, float]
    ) -> Tuple[List[Track], List[Failure]]:
        """Scores of a recording, or of each of its channels, and failures.

        Finely around windows that reach the lower threshold of a class; `lows`
        has those by the index of the class.
        """
        if self.channels == "mix":
            return self._tracks(path, [None], journal, lows)
        tracks, failures = self._tracks(path, [0], journal, lows)
        n_channels = 1
        if tracks:
            n_channels = tracks[0].audit.channels
        elif failures:
            n_channels = audit_file(path).channels
        others = self._tracks(path, range(1, n_channels), journal, lows)
        return tracks + others[0], failures + others[1]

    def _tracks(self, path, channels: Sequence[Optional[int]], journal, lows):
        tracks, failures = [], []
        for channel in channels:
            kept = _Kept(journal, path, channel)
            try:
                tracks.append(self._track(kept, lows))
            except Unusable as error:
                shown = None if channel is None else channel + 1
                failures.append(Failure(path, shown, error.reason))
        return tracks, failures

    def _track(self, kept: "_Kept", lows: Mapping[int, float]) -> Track:
        audit = kept.audit()
        rate = self.classifier.hparams.sample_rate
        size, edge = (round(s * rate) for s in (self.window_s, self.edge_s))
        length = round(audit.duration * rate)
        spans = spans_of(sliding(length, size, edge), size, length, rate)
        last = len(spans) - 1
        first_pass = np.array([*range(0, last, self.step), last])
        at_once = max(1, round(PART_S / self.hop_s))
        firsts = range(0, len(first_pass), at_once)
        parts = []
        for i in _shown(firsts, audit):
            chosen = [spans[k] for k in first_pass[i : i + at_once]]
            parts.append(kept.part(self.classifier, audit, chosen, i))
        scores = softmax(np.concatenate([part.logits for part in parts]))
        sizes = np.diff(np.append(first_pass, len(spans)))
        is_open = np.zeros(len(first_pass), dtype=bool)
        for k, low in lows.items():
            is_open |= open_gaps(scores[:, k], low)
        scores = np.repeat(scores, sizes, axis=0)
        is_open &= sizes > 1
        for i in _shown(firsts, audit) if is_open.any() else ():
            places = i + np.flatnonzero(is_open[i : i + at_once])
            gaps = {
                g: spans[first_pass[g] + 1 : first_pass[g] + sizes[g]]
                for g in places.tolist()
            }
            for g, logits in kept.gaps(self.classifier, audit, gaps, i).items():
                begin = first_pass[g] + 1
                scores[begin : begin + len(logits)] = softmax(logits)
        notes = [_doubt(audit)] if audit.reason else []
        if not kept.is_unchanged():
            notes.append(
                f"changed while it was read; {audit.duration:.0f} s are scored"
            )
        starts, stops = np.array(spans).T
        compared = self._compared(audit, parts)
        note = "; ".join(filter(None, notes))
        return Track(audit, starts, stops, scores, first_pass, compared, note)

    def _compared(self, audit: Audit, parts: List[Part]) -> FileScore:
        """Comparison of the windows with the recordings of training."""
        seconds = min(self.window_s, audit.duration)
        compared = FileScore(audit.path, seconds)
        loud = [part for part in parts if part.n_loud]
        if loud:
            n_loud = sum(part.n_loud for part in loud)
            emb = sum(part.emb * part.n_loud for part in loud) / n_loud
            powers = sum(part.powers for part in loud)
            reference = self.classifier.reference
            compared.compare(reference, audit.level_dbfs, powers, emb)
        return compared


class _Kept:
    """A channel of a file, and the journal that keeps what is known of it."""

    def __init__(self, journal: Journal, path: str, channel: Optional[int]):
        self._journal = journal
        self._path, self._channel = Path(path), channel
        self._before = stamp(self._path)

    def is_unchanged(self) -> bool:
        """Check that the file is the one that was opened first."""
        return is_same(self._before, self._path, by_time=True)

    def audit(self) -> Audit:
        """Measurements of the channel; ``Unusable`` says why it has none."""
        entry, path = self._get("measured", _MEASURED), str(self._path)
        if entry is not None:
            return Audit(path, channel=self._channel, **entry)
        audit = audit_file(path, channel=self._channel, with_digest=False)
        reason = _rejection(audit)
        if reason:
            raise Unusable(path, reason)
        # Not the numpy numbers that json cannot write.
        level = float(audit.level_dbfs)
        values = {name: getattr(audit, name) for name in _MEASURED}
        self._add("measured", {**values, "level_dbfs": level})
        return audit

    def part(
        self, classifier: CryClassifier, audit: Audit, spans, first: int
    ) -> Part:
        """Outputs for windows, the first of which has this number."""
        name = f"windows {first}"
        shape = len(spans), len(classifier.hparams.classes)
        entry = self._get(name, _PART)
        if entry is None or _numbers(entry["logits"]).size != np.prod(shape):
            entry = _entry(_finite_windows(classifier, audit, spans))
            self._add(name, entry)
        logits, emb = _numbers(entry["logits"]), _numbers(entry["emb"])
        powers = np.array(entry["powers"])
        return Part(logits.reshape(shape), emb, powers, entry["n_loud"])

    def gaps(
        self, classifier: CryClassifier, audit: Audit, spans: Dict, first: int
    ) -> Dict[int, np.ndarray]:
        """Logits of the windows in some gaps of a part, by number of the gap;
        those that are known of other gaps are kept, too."""
        name, n_classes = f"edges {first}", len(classifier.hparams.classes)
        texts = (self._get(name, _EDGES) or {"edges": {}})["edges"]
        missing = [
            gap
            for gap in spans
            if _numbers(texts.get(str(gap), "")).size
            != len(spans[gap]) * n_classes
        ]
        if missing:
            wanted = [span for gap in missing for span in spans[gap]]
            logits = _finite_windows(classifier, audit, wanted).logits
            ends = np.cumsum([len(spans[gap]) for gap in missing])
            for gap, rows in zip(missing, np.split(logits, ends[:-1])):
                texts[str(gap)] = _text(rows)
            self._add(name, {"edges": texts})
        return {
            gap: _numbers(texts[str(gap)]).reshape(-1, n_classes)
            for gap in spans
        }

    def _get(self, name: str, shape: Dict) -> Optional[Dict]:
        name = f"{name} {self._channel}"
        entry = self._journal.get(name, self._path, by_time=True)
        return entry if entry and entry.keys() == shape.keys() else None

    def _add(self, name: str, entry: Dict) -> None:
        if self.is_unchanged():
            self._journal.add(f"{name} {self._channel}", self._path, entry)


def _shown(firsts: range, audit: Audit):
    """First windows of the parts of a recording, with a bar if they are many."""
    return tqdm(
        firsts, desc=Path(audit.path).name[:20], unit="part", leave=False,
        dynamic_ncols=True, disable=len(firsts) < 3,
    )  # fmt: skip


def _finite_windows(
    classifier: CryClassifier, audit: Audit, spans: Sequence
) -> Windows:
    """Outputs of the model for windows, if they are finite."""
    windows = classifier.windows(audit, spans)
    if not np.isfinite(windows.logits[windows.is_loud]).all():
        raise Unusable(audit.path, NOT_FINITE)
    return windows


def _entry(windows: Windows) -> Dict:
    return {
        "logits": _text(windows.logits),
        "emb": _text(windows.emb),
        "powers": np.atleast_1d(windows.powers).tolist(),
        "n_loud": int(windows.is_loud.sum()),
    }


def _text(values: np.ndarray) -> str:
    """Numbers as text, in single precision."""
    content = np.asarray(values).astype("<f4").tobytes()
    return base64.b64encode(content).decode("ascii")


def _numbers(text: str) -> Optional[np.ndarray]:
    """Numbers of such a text; None if it is damaged."""
    try:
        content = base64.b64decode(text, validate=True)
        return np.frombuffer(content, "<f4").astype(float)
    except (TypeError, ValueError):
        return None


def _rejection(audit: Audit) -> str:
    """Reason why nothing of a file can be scored, or an empty text.

    A night is not a clip: its mean level may be low, and what a recorder wrote
    before it lost its power can be scored.
    """
    if audit.usable:
        return ""
    if audit.peak == 0 < audit.duration and not audit.non_finite:
        return "silent: only zeros"
    is_part = audit.reason.startswith(("truncated: ", "silent: "))
    is_sound = audit.peak <= LOUDEST and not audit.non_finite
    if is_part and is_sound and audit.duration >= SHORTEST_S:
        return ""
    return audit.reason


def _doubt(audit: Audit) -> str:
    """Reasons for doubt about a scored file; long ones are what we want."""
    parts = audit.reason.split("; ")
    return "; ".join(p for p in parts if not p.startswith("very long"))


def fingerprint(classifier: CryClassifier) -> str:
    """Hash of what the scores of a window depend on: weights and front end,
    classes, rate and precision."""
    digest = hashlib.blake2b(digest_size=16)
    add_weights(digest, classifier.mods)
    hparams = classifier.hparams
    settings = hparams.classes, hparams.sample_rate, classifier.precision
    digest.update(repr(settings).encode())
    return digest.hexdigest()
