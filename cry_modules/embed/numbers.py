"""Numbers of recordings and windows: what an encoder gives, and what is measured
of the sound, in bounded memory."""

from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import soundfile
import torch
from torch.nn.utils.rnn import pad_sequence

from cry_modules.audio import (
    LongRecording,
    RecordingReader,
    level_dbfs,
    repeat_to,
    shortest_input,
)
from cry_modules.embed.inputs import Item
from cry_modules.embed.table import Row
from cry_modules.embeddings import Embedder, embedded
from cry_modules.evaluation.acoustics import acoustic_measures
from cry_modules.evaluation.pitch import RATE
from cry_modules.inference.recordings import BATCH_S
from cry_modules.inference.windows import batches, sliding
from cry_modules.lengths import LONGEST_S
from cry_modules.training.batches import batches_by_length
from data_prep.audio.measure import SILENT_DBFS, Audit, audit_file, header_facts
from data_prep.audio.threads import in_threads
from data_prep.files.errors import InputError, require

#: Recordings that are read before they share batches of similar length, and
#: seconds of sound after which no more are: what is lost at an interruption.
_AT_ONCE, _AT_ONCE_S = 32, 30.0
_UNREADABLE = (soundfile.LibsndfileError, OSError, InputError)


class Numbers:
    """Numbers of sounds: those of an encoder, acoustic measures, or both.

    Windows have the gain that scales the whole recording to one peak.
    """

    def __init__(
        self,
        embedder: Optional[Embedder],
        with_acoustics: bool,
        window_s: Optional[float] = None,
        hop_s: Optional[float] = None,
        device: str = "cpu",
    ):
        self.embedder, self.device = embedder, device
        self.with_acoustics = with_acoustics
        self.rate, self.shortest = RATE, 1
        n_embs = 0
        if embedder is not None:
            self.rate = embedder.features.logmel.sample_rate
            self.shortest = shortest_input(embedder.features.logmel.hop)
            n_embs = embedder.dimension()
            embedder.to(device)
        self.names = [f"emb_{i}" for i in range(n_embs)]
        if with_acoustics:
            self.names += acoustic_measures(np.zeros(RATE), RATE)
        self.sizes = None
        if window_s is not None:
            self.sizes = self._sizes(window_s, hop_s)
        self._reader = RecordingReader(self.rate)

    def _sizes(self, window_s: float, hop_s: Optional[float]):
        """Samples of a window and from one to the next."""
        hop_s = window_s / 2 if hop_s is None else hop_s
        least = max(self.shortest, self.rate // 10) / self.rate
        for name, value, low, high in (
            ("window_s", window_s, least, LONGEST_S),
            ("hop_s", hop_s, 0.001, window_s),
        ):
            require(
                low <= value <= high,
                f"--{name} is {value:g}",
                f"pass seconds from {low:g} to {high:g}",
            )
        return round(window_s * self.rate), round(hop_s * self.rate)

    def rows(
        self, items: Sequence[Item], done: Dict[int, int]
    ) -> Iterator[List[Row]]:
        """Yield rows in the order of the recordings, a few at a time; ``done``
        is the number of rows that each of the first recordings has already."""
        last = max(done, default=-1)
        if self.sizes is not None:
            for i, item, audit in _audited(items, max(0, last)):
                yield from self._windows(i, item, audit, done.get(i, 0))
            return
        some, seconds = [], 0.0
        for i, item, audit in _audited(items, last + 1):
            some.append((i, item, audit))
            seconds += (item.stop or audit.duration or 0.0) - item.start
            if len(some) == _AT_ONCE or seconds >= _AT_ONCE_S:
                yield self._whole(some)
                some, seconds = [], 0.0
        if some:
            yield self._whole(some)

    def n_windows(self, items: Sequence[Item]) -> int:
        """Number of windows of all recordings, by their headers."""
        size, hop = self.sizes
        paths = {item.path for item in items}
        facts_of = {path: header_facts(Path(path)) for path in paths}
        n = 0
        for item in items:
            facts, n_samples = facts_of[item.path], 0  # a row that says why
            if facts is not None:
                stop = facts[0] if item.stop is None else item.stop
                n_samples = round((stop - item.start) * self.rate)
            n += len(sliding(n_samples, size, hop))
        return n

    def _whole(self, pairs: List[Tuple[int, Item, Audit]]) -> List[Row]:
        """Rows of whole recordings; short ones share batches."""
        rows, sigs = {}, {}
        for i, item, audit in pairs:
            stop = audit.duration if item.stop is None else item.stop
            row = Row(i, item.start, stop, None, _fault(item, audit))
            rows[i] = row
            if row.error:
                continue
            try:
                if stop - item.start > LONGEST_S:
                    numbers = self._of_long(item.path, item.start, stop)
                    rows[i] = _checked(row, numbers)
                else:
                    sigs[i] = self._reader(item.path, item.start, stop)
            except _UNREADABLE:
                rows[i] = row._replace(error="unreadable since its audit")
        keys = list(sigs)
        seconds = [len(sigs[i]) / self.rate for i in keys]
        for batch in batches_by_length(seconds, BATCH_S):
            some = [keys[j] for j in batch]
            for i, numbers in zip(some, self([sigs[i] for i in some])):
                rows[i] = _checked(rows[i], numbers)
        return [rows[i] for i, _, _ in pairs]

    def _windows(
        self, i: int, item: Item, audit: Audit, n_done: int
    ) -> Iterator[List[Row]]:
        """Rows of the windows of a recording, from the first that is missing."""
        stop = audit.duration if item.stop is None else item.stop
        failed = Row(i, item.start, stop, None, _fault(item, audit))
        if failed.error:
            if not n_done:
                yield [failed]
            return
        size, hop = self.sizes
        try:
            sound = self._reader.open(item.path, item.start, stop)
            starts = sliding(len(sound), size, hop)[n_done:]
            at_once = max(1, int(_AT_ONCE_S * self.rate / size))
            for some in batches(starts, at_once):
                sigs = [sound[at : at + size] * sound.gain for at in some]
                yield self._of_windows(failed, some, sigs)
        except _UNREADABLE:
            yield [failed._replace(error="unreadable since its audit")]

    def _of_windows(
        self, whole: Row, starts: List[int], sigs: List[torch.Tensor]
    ) -> List[Row]:
        loud = [level_dbfs(sig) >= SILENT_DBFS for sig in sigs]
        numbers = iter(self([s for s, is_loud in zip(sigs, loud) if is_loud]))
        rows = []
        for at, sig, is_loud in zip(starts, sigs, loud):
            start = whole.start + at / self.rate
            stop = start + len(sig) / self.rate
            row = Row(whole.item, start, stop, None, "silent")
            if is_loud:
                row = _checked(row._replace(error=""), next(numbers))
            rows.append(row)
        return rows

    def __call__(self, sigs: List[torch.Tensor]) -> np.ndarray:
        """Numbers ``[n, len(names)]`` of sounds ``[samples]``."""
        parts = [np.zeros((len(sigs), 0), dtype=np.float32)]
        if self.embedder is not None and sigs:
            long_enough = [repeat_to(sig, self.shortest) for sig in sigs]
            wavs = pad_sequence(long_enough, batch_first=True)
            lengths = torch.tensor([len(sig) for sig in long_enough])
            lengths = (lengths / wavs.shape[1]).to(self.device)
            with torch.inference_mode():
                embs = self.embedder(wavs.to(self.device), lengths)
            parts.append(embs.float().cpu().numpy())
        if self.with_acoustics and sigs:
            measures = [acoustic_measures(sig, self.rate) for sig in sigs]
            rows = [list(values.values()) for values in measures]
            parts.append(np.array(rows, dtype=np.float32))
        return np.concatenate(parts, axis=1)

    def _of_long(self, path: str, start: float, stop: float) -> np.ndarray:
        """Numbers of a recording above ``LONGEST_S``: means over its windows,
        as in training; counts are summed, the longest is the longest."""
        long = LongRecording(path, start, stop, self.rate)
        parts = []
        if self.embedder is not None:
            with torch.inference_mode():
                embs = embedded(self.embedder, [long], self.device)
            parts.append(embs[0].float().cpu().numpy())
        if self.with_acoustics:
            windows = long.windows(round(LONGEST_S * self.rate))
            measured = [acoustic_measures(w, self.rate) for w in windows]
            parts.append([_joined(n, measured) for n in measured[0]])
        return np.concatenate(parts).astype(np.float32)


def _audited(
    items: Sequence[Item], first: int
) -> Iterator[Tuple[int, Item, Audit]]:
    """Number, recording and audit of each recording from the first that is
    missing. The next ones are audited meanwhile, and a file that follows
    itself, as of several events, once."""
    audits: Dict[str, Audit] = {}
    for at in range(first, len(items), _AT_ONCE):
        some = items[at : at + _AT_ONCE]
        audits = {i.path: audits[i.path] for i in some if i.path in audits}
        paths = [*dict.fromkeys(i.path for i in some if i.path not in audits)]
        with in_threads(audit_file, paths) as futures:
            future_of = dict(zip(paths, futures))
            for i, item in enumerate(some, start=at):
                if item.path in future_of:
                    audits[item.path] = future_of[item.path].result()
                yield i, item, audits[item.path]


def _joined(name: str, measured: List[Dict[str, float]]) -> float:
    """Measure of a long recording from those of its windows."""
    values = [measures[name] for measures in measured]
    if name.endswith("_count"):
        return sum(values)
    return max(values) if "_longest_" in name else sum(values) / len(values)


def _fault(item: Item, audit: Audit) -> str:
    """Reason why a recording cannot be used, empty if it can."""
    if not item.path:
        return "missing"
    if not audit.usable:
        return audit.reason
    stop = audit.duration if item.stop is None else item.stop
    if not 0 <= item.start < stop <= audit.duration + 0.01:
        return f"from {item.start:g} to {stop:g} s of {audit.duration:g} s"
    return ""


def _checked(row: Row, numbers: np.ndarray) -> Row:
    """Row with its numbers, unless one is not finite."""
    if np.isfinite(numbers).all():
        return row._replace(numbers=numbers)
    return row._replace(error="numbers are not finite")
