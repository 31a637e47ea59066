"""How long the runs of a study take: reckoned before, corrected by those done.

The rates were measured on one core of a shared machine without GPU, at width
8: they give hours to within a factor of two or so, until runs of this study
on this machine have been timed.
"""

import csv
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional

from data_prep.corpora.database import read_database
from data_prep.files.tables import read_lines
from data_prep.synthetic.plan import SCALES
from recipes.study.data import generic_table
from recipes.study.plan import Plan, Run
from recipes.study.settings import Settings, plain_settings

#: Seconds of a run besides its training: start, audit, embeddings, bootstrap.
_BESIDE = {
    "audit": 3.0, "tables": 1.0, "train_simclr": 4.0, "train_adapt": 6.0,
    "train_supervised": 8.0, "train_cls": 8.0, "confounds": 30.0,
    "embed": 7.0,
}  # fmt: skip
#: Seconds of audio that a second of training takes, at width 8.
_RATE = {
    "train_simclr": 400.0, "train_adapt": 350.0, "train_supervised": 400.0,
    "train_cls": 400.0,
}  # fmt: skip
_WIDTH = 8
#: Seconds of a synthetic recording.
_CORPUS = 0.1
#: Of SimCLR.
_VIEWS = 2


class Size(NamedTuple):
    """Recordings that runs train on.

    Arguments
    ---------
    generic : int
        Of generic audio.
    labelled : int
        Of the labelled cries, in training.
    everything : int
        Of all cries that encoders adapt to.
    folds : int
        Models of a classification.
    """

    generic: int
    labelled: int
    everything: int
    folds: int


def size_of(settings: Settings, n_folds: int) -> Size:
    """How many recordings there are."""
    if settings.synthetic is not None:
        scale = SCALES[settings.synthetic["scale"]]
        train = [c for c in scale.cells if c.split == "train"]
        labelled = sum(cell.recordings for cell in train)
        more = sum(c.recordings for c in scale.cells if not c.split)
        return Size(scale.clips, labelled, labelled + more, 1)
    rows = read_database(settings.recordings_csv, [])
    column = settings.tasks[0].label_column
    labelled = sum(bool(cells.get(column)) for _, cells in rows)
    more = 0
    if settings.unlabelled_csv is not None:
        more = len(read_database(settings.unlabelled_csv, []))
    share = 1 - 2 / n_folds if n_folds > 2 else 0.7
    return Size(
        _count_generic(settings.generic),
        round(share * labelled),
        round(share * len(rows)) + more,
        max(n_folds, 1),
    )


def _count_generic(folder: Path) -> int:
    table = generic_table(folder)
    if table is not None:
        return len(read_lines(table))
    return sum(1 for path in Path(folder).rglob("*") if path.is_file())


def seconds_of(run: Run, size: Size, width: int, speed: float = 1.0) -> float:
    """Reckoned time of a run."""
    if run.rule == "corpus":
        return _CORPUS * (size.generic + size.everything)
    n_models = size.folds if run.rule == "train_cls" else 1
    beside = _BESIDE[run.rule] * n_models
    if run.rule not in _RATE or run.facts.get("mode") == "linear":
        return beside
    options = _options(run)
    audio = options["number_of_epochs"] * options["chunk_s"]
    audio *= _recordings(run, size) * n_models
    rate = _RATE[run.rule] * (_WIDTH / width) ** 2
    return beside + audio / rate / speed


def _recordings(run: Run, size: Size) -> float:
    """Chunks of an epoch."""
    if run.rule == "train_adapt":
        adapted = run.facts["encoder"]
        n = size.labelled if adapted == "adapt_labelled" else size.everything
        # As much generic audio is replayed.
        return n * _VIEWS * (2 if "replay" in run.command[1] else 1)
    if run.rule == "train_simclr":
        return size.generic * _VIEWS
    if run.rule == "train_supervised":
        return size.generic
    return size.labelled * run.facts["fraction"]


def _options(run: Run) -> Dict[str, float]:
    """Epochs and seconds of a chunk: the yaml file's, or the command's."""
    found = plain_settings(Path(run.command[1]))
    for part in run.command[2:]:
        name, _, value = part.lstrip("-").partition("=")
        found[name] = value
    return {key: float(found[key]) for key in ("number_of_epochs", "chunk_s")}


def file_of(folder: Path, settings: Settings) -> Path:
    """Where ``command`` writes what the run of a folder cost."""
    out = settings.output_folder
    place = folder.relative_to(out)
    return out / "costs" / place.parent / f"{place.name}.tsv"


def timed(run: Run, settings: Settings) -> Optional[Dict[str, float]]:
    """What a finished run took, as ``command`` measured it."""
    return read(file_of(run.folder, settings))


def read(path: Path) -> Optional[Dict[str, float]]:
    """The costs in a file of ``command``, as ``timed`` returns them."""
    if not path.is_file():
        return None
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        return {
            "seconds": sum(float(row["s"]) for row in rows),
            "cpu_s": sum(float(row["cpu_time"]) for row in rows),
            "peak_mb": max(float(row["max_rss"]) for row in rows),
        }
    except (KeyError, TypeError, ValueError):  # NA: too short to be measured
        return None


class Estimate:
    """Hours of a plan, learning from what is done."""

    def __init__(self, plan: Plan):
        size = size_of(plan.settings, len(plan.folds))
        width = plan.settings.width
        self.settings = plan.settings
        self.seconds = {
            name: seconds_of(run, size, width, plan.settings.speed)
            for name, run in plan.runs.items()
        }

    def of(self, runs: Iterable[Run], done: Iterable[Run]) -> float:
        """Seconds of some runs, one after the other."""
        ratio = self._ratios(list(done))
        every = ratio.get("", 1.0)
        return sum(
            self.seconds[run.name] * ratio.get(_kind(run), every)
            for run in runs
        )

    def _ratios(self, done: List[Run]) -> Dict[str, float]:
        """Measured over reckoned by kind of run, and ('') over all."""
        took, reckoned = {}, {}
        for run in done:
            cost = timed(run, self.settings)
            if cost is None:
                continue
            for kind in (_kind(run), ""):
                took[kind] = took.get(kind, 0.0) + cost["seconds"]
                reckoned[kind] = (
                    reckoned.get(kind, 0.0) + self.seconds[run.name]
                )
        return {kind: took[kind] / reckoned[kind] for kind in took}


def _kind(run: Run) -> str:
    """Runs that take like long."""
    return f"{run.rule} {run.facts.get('mode', '')}"


def in_words(seconds: float) -> str:
    """A time as people say it.

    Example
    -------
    >>> in_words(40), in_words(700), in_words(9000), in_words(400000)
    ('1 minute', '12 minutes', '2.5 hours', '111 hours')
    """
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return f"{minutes} minute" + "s" * (minutes > 1)
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours < 10 else f"{hours:.0f} hours"
