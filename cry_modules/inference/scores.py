"""Scores of recordings, and the tables that hold them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from cry_modules.evaluation.out_of_distribution import Reference
from data_prep.files.errors import InputError
from data_prep.files.tables import write_table

#: Columns of the table of scores, before one column per class.
COLUMNS = (
    "path", "seconds", "call", "n_windows", "error", "unlike_training",
    "training_distance",
)  # fmt: skip
#: Column before those of the classes where a detector has left out windows.
LEFT_OUT = "windows_left_out"
#: In ``unlike_training`` of a tape that is scored as if all of it were cries.
NO_DETECTOR = "no detector"
NOT_FINITE = (
    "scores are not finite: the weights are damaged, or the precision is too "
    "low for them; pass precision fp32, or download the model again"
)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis.

    Without scipy: this file is copied next to exported ONNX models.
    """
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@dataclass
class FileScore:
    """Scores of one file, or the reason why it has none."""

    path: str  #: as passed
    seconds: float = 0.0
    scores: Optional[np.ndarray] = None  #: class probabilities ``[n_classes]``
    n_windows: int = 0  #: that were averaged; 1 for a whole recording
    error: str = ""  #: reason for missing scores
    #: what lies outside the training recordings, see ``out_of_distribution``
    unlike: Sequence[str] = ()
    #: distance to them, over its 99th percentile there; None if unknown
    distance: Optional[float] = None
    n_left_out: int = 0  #: windows in which a detector found nothing

    def set_logits(self, logits: np.ndarray, n_windows: int) -> None:
        """Set the scores from logits ``[n_classes]``, or the error if these
        are not finite."""
        scores = softmax(logits)
        if np.isfinite(scores).all():
            self.scores, self.n_windows = scores, n_windows
        else:
            self.error = NOT_FINITE

    def compare(
        self,
        reference: Optional[Reference],
        level: float,
        powers: np.ndarray,
        emb: np.ndarray,
    ) -> None:
        """Compare a scored recording with those of training: its level in dB,
        its ``band_powers`` and its embedding ``[dimensions]``."""
        if reference is not None and not self.error:
            self.distance = reference.ratio(emb)
            self.unlike = reference.unlike(
                self.seconds, powers, level, self.distance
            )


class ScoreTrack(NamedTuple):
    """Scores of a recording over time."""

    starts: np.ndarray  #: of the windows, seconds ``[n]``
    stops: np.ndarray  #: seconds ``[n]``
    scores: np.ndarray  #: ``[n, n_classes]``; NaN in silent windows
    #: True where the sound is far from those of training, ``[n]``
    is_far: Optional[np.ndarray] = None


def call_of(
    scores: np.ndarray, classes: Sequence[str], threshold: Optional[float]
) -> str:
    """Class that a recording is assigned to.

    The last class if its score reaches the threshold, else the first; the
    most probable class without a threshold. Scores are ``[n_classes]``.

    Example
    -------
    >>> call_of(np.array([0.8, 0.2]), ["healthy", "injury"], 0.15)
    'injury'
    """
    if not np.isfinite(scores).all():
        raise InputError(NOT_FINITE)
    if threshold is None:
        return classes[int(scores.argmax())]
    return classes[-1] if scores[-1] >= threshold else classes[0]


def rows_of(
    scores: Sequence[FileScore],
    classes: Sequence[str],
    threshold: Optional[float],
    columns: Sequence[str] = COLUMNS,
    tape_s: float = float("inf"),
) -> List[List]:
    """Rows of the table: ``COLUMNS``, with or without ``LEFT_OUT``, and the
    probability of each class. Recordings longer than ``tape_s`` are unlike
    those of training in having no detector."""
    rows = []
    for score in scores:
        call, cells, ratio = "", [""] * len(classes), ""
        if score.scores is not None:
            call = call_of(score.scores, classes, threshold)
            cells = [repr(value) for value in score.scores.tolist()]
        unlike = [*score.unlike]
        if score.scores is not None and score.seconds > tape_s:
            unlike.append(NO_DETECTOR)
        if score.distance is not None:
            ratio = f"{score.distance:.3f}"
        rows.append(
            [score.path, f"{score.seconds:.3f}", call, score.n_windows or ""]
            + [score.error, "; ".join(unlike), ratio]
            + [score.n_left_out] * (LEFT_OUT in columns)
            + cells
        )
    return rows


def header_of(
    classes: Sequence[str], columns: Sequence[str] = COLUMNS
) -> List[str]:
    """Column names of the table of scores; a class with the name of another
    column has ``class`` before its name."""
    names, taken = [], {*columns, *classes}
    for name in classes:
        if name in columns:
            while name in taken:
                name = f"class {name}"
            taken.add(name)
        names.append(name)
    return [*columns, *names]


def write_track(track: ScoreTrack, classes: Sequence[str], path: Path) -> None:
    """Write start and stop in seconds and the probability of each class,
    empty for silent windows."""
    rows = [
        [f"{start:.3f}", f"{stop:.3f}"]
        + ["" if np.isnan(value) else repr(value) for value in row.tolist()]
        for start, stop, row in zip(*track[:3])
    ]
    write_table(path, header_of(classes, ("start", "stop")), rows)


def file_names(paths: Sequence[str]) -> Dict[str, str]:
    """Name of the files of each recording, without a suffix; all different.

    Example
    -------
    >>> file_names(["a/x.wav", "b/x.wav"])
    {'a/x.wav': 'x', 'b/x.wav': 'x_2'}
    """
    names, taken = {}, set()
    for path in paths:
        stem = re.sub(r"[^\w.-]+", "_", Path(path).stem)[:100] or "recording"
        name, n = stem, 1
        while name.lower() in taken:
            n += 1
            name = f"{stem}_{n}"
        taken.add(name.lower())
        names[path] = name
    return names
