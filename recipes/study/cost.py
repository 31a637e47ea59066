"""Estimate the duration of a study's runs, corrected by finished runs.

The rates were measured at width 8 on one core of a shared machine without GPU:
hours are right to within a factor of about two until runs of this study have
been timed.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

from cry_modules.training.history import HISTORY_FILE
from data_prep.audio.folder import audio_files
from data_prep.corpora.database import read_database
from data_prep.files.tables import read_lines
from data_prep.files.words import duration_in_words
from data_prep.synthetic.plan import SCALES
from recipes.study.data import generic_table
from recipes.study.encoders import ENCODERS
from recipes.study.plan import Plan, Run
from recipes.study.settings import Settings
from recipes.study.stages import PROBES, plain_settings

#: Seconds of a run without its training: start, audit, embeddings, bootstrap.
_OVERHEAD = {
    "audit": 3.0, "tables": 1.0, "train_simclr": 4.0, "train_adapt": 6.0,
    "train_supervised": 8.0, "train_cls": 8.0, "confounds": 30.0,
    "embed": 7.0,
}  # fmt: skip
#: Seconds of audio per second of training at width 8.
_RATE = {
    "train_simclr": 400.0, "train_adapt": 350.0, "train_supervised": 400.0,
    "train_cls": 400.0,
}  # fmt: skip
#: Share of the cost of a second at width 8 that does not grow with the width:
#: reading, features, small layers (measured at widths 1 to 16).
_WIDTH, _FIXED = 8, 0.4
_CORPUS = 0.1  # seconds to make a synthetic recording
_VIEWS = 2  # of SimCLR


class Size(NamedTuple):
    """Recordings for training: of generic audio, labelled cries and all
    cries; and the number of folds, a model for each."""

    generic: int
    labelled: int
    everything: int
    folds: int


def size_of(settings: Settings, n_folds: int) -> Size:
    """Count the recordings."""
    if settings.synthetic is not None:
        scale = SCALES[settings.synthetic["scale"]]
        train = [c for c in scale.cells if c.split == "train"]
        labelled = sum(cell.recordings for cell in train)
        more = sum(c.recordings for c in scale.cells if not c.split)
        return Size(scale.clips, labelled, labelled + more, 1)
    rows = read_database(settings.recordings_csv, [], settings.named)
    column = settings.tasks[0].label_column
    labelled = sum(bool(cells.get(column)) for _, cells in rows)
    more = 0
    if settings.unlabelled_csv is not None:
        table = settings.unlabelled_csv
        more = len(read_database(table, [], settings.named, False))
    elif settings.unlabelled is not None:
        more = len(audio_files(settings.unlabelled))
    table = generic_table(settings.generic)
    listed = (
        audio_files(settings.generic) if table is None else read_lines(table)
    )
    n_generic = len(listed)
    share = 1 - 2 / n_folds if n_folds > 2 else 0.7
    heard = 0 if settings.unlabelled is not None else round(share * len(rows))
    return Size(
        n_generic,
        round(share * labelled),
        heard + more,
        max(n_folds, 1),
    )


def seconds_of(run: Run, size: Size, width: int, speed: float) -> float:
    """Estimate the duration of a run."""
    if run.rule == "corpus":
        return _CORPUS * (size.generic + size.everything)
    n_models = size.folds if run.rule == "train_cls" else 1
    # A GPU is faster in training only.
    overhead = _OVERHEAD[run.rule] * n_models / min(1.0, speed)
    if run.rule not in _RATE or run.facts.get("mode") in PROBES:
        return overhead
    options = _options(run)
    audio = float(options["number_of_epochs"]) * float(options["chunk_s"])
    audio *= _recordings(run, size) * n_models
    return overhead + audio / _RATE[run.rule] * _relative_cost(width) / speed


def _options(run: Run) -> Dict[str, str]:
    """Values of a training's yaml file and command."""
    options = dict(plain_settings(Path(run.command[1])))
    options.update(part[2:].split("=", 1) for part in run.command[2:])
    return options


def epochs(run: Run) -> Tuple[int, int]:
    """Finished and all epochs of a training that has begun, else (0, 0)."""
    history = run.folder / HISTORY_FILE
    if run.rule not in _RATE or not history.is_file():
        return 0, 0
    finished = history.read_text("utf-8", "replace").count('"epoch":')
    return finished, int(_options(run)["number_of_epochs"])


def _relative_cost(width: int) -> float:
    """Cost of a second of audio, relative to that at width 8.

    Example
    -------
    >>> _relative_cost(8), round(_relative_cost(1), 2), _relative_cost(64)
    (1.0, 0.41, 38.8)
    """
    return _FIXED + (1 - _FIXED) * (width / _WIDTH) ** 2


def relative_speed(audio_per_second: float, width: int) -> float:
    """Speed of a machine on which SimCLR trains on so many seconds of audio in
    a second: the setting ``speed`` of a study.

    Example
    -------
    >>> relative_speed(200.0, 8), relative_speed(200.0, 2)
    (0.5, 0.22)
    """
    rate = _RATE["train_simclr"] / _relative_cost(width)
    return max(0.01, float(f"{audio_per_second / rate:.2g}"))


def _recordings(run: Run, size: Size) -> float:
    """Number of chunks in an epoch."""
    if run.rule == "train_adapt":
        labelled = ENCODERS[run.facts["encoder"]].cries == "labelled"
        n = size.labelled if labelled else size.everything
        # Replay adds as many chunks of generic audio.
        return n * _VIEWS * (2 if "replay" in run.command[1] else 1)
    if run.rule == "train_simclr":
        return size.generic * _VIEWS
    if run.rule == "train_supervised":
        return size.generic
    return size.labelled * run.facts["fraction"]


def file_of(folder: Path, settings: Settings) -> Path:
    """Path of the file to which ``command`` writes the costs of the run with
    this folder."""
    out = settings.output_folder
    path = folder.relative_to(out)
    return out / "costs" / path.parent / f"{path.name}.tsv"


def timed(run: Run, settings: Settings) -> Optional[Dict[str, float]]:
    """Seconds, processor seconds and peak memory of a finished run."""
    return read(file_of(run.folder, settings))


def read(path: Path) -> Optional[Dict[str, float]]:
    """Read a file of costs; None if it does not exist or has no values."""
    if not path.is_file():
        return None
    values = path.read_text("utf-8", "replace").split()[3:]
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return None
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        return None  # not yet written
    return dict(zip(("seconds", "peak_mb", "cpu_s"), numbers))


class Estimate:
    """Duration of a plan's runs, corrected by the finished ones."""

    def __init__(self, plan: Plan):
        size = size_of(plan.settings, len(plan.folds))
        width = plan.settings.width
        self.settings = plan.settings
        self.seconds = {
            name: seconds_of(run, size, width, plan.settings.speed)
            for name, run in plan.runs.items()
        }

    def of(self, runs: Iterable[Run], done: Iterable[Run]) -> float:
        """Estimated seconds that some runs still take, if they run one after
        the other."""
        ratios = self._ratios(list(done))
        overall = ratios.get("", 1.0)
        return sum(
            self.seconds[run.name]
            * ratios.get(_kind(run), overall)
            * _share_left(run)
            for run in runs
        )

    def _ratios(self, done: List[Run]) -> Dict[str, float]:
        """Measured over estimated time by kind of run, and ('') of all."""
        measured, estimated = Counter(), Counter()
        for run in done:
            cost = timed(run, self.settings)
            if cost is None:
                continue
            # Short runs, such as the tables, say nothing of trainings.
            for kind in (_kind(run), *([""] if run.rule in _RATE else [])):
                measured[kind] += cost["seconds"]
                estimated[kind] += self.seconds[run.name]
        return {kind: measured[kind] / estimated[kind] for kind in measured}


def _share_left(run: Run) -> float:
    """Share of a training's epochs that are not finished; 1 of other runs."""
    finished, of = epochs(run)
    return 1 - min(finished / of, 1.0) if of else 1.0


def _kind(run: Run) -> str:
    """Kind of a run: those of one kind have similar speeds."""
    return f"{run.rule} {run.facts.get('mode', '')}"


def in_words(seconds: float) -> str:
    """Format the estimate of a duration, which is rough: a minute at least.

    Example
    -------
    >>> in_words(40), in_words(700), in_words(9000)
    ('1 minute', '12 minutes', '2.5 hours')
    """
    return duration_in_words(60 * max(1, round(seconds / 60)))
