"""What the runs of a study found, read from their folders."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from cry_modules.metrics.bootstrap import why_no_interval
from cry_modules.metrics.compare import RunSet, compare
from cry_modules.metrics.paired import aligned
from cry_modules.metrics.predictions import Predictions
from recipes.study.encoders import ENCODERS
from recipes.study.plan import Plan, Run
from recipes.study.settings import Task

#: The classical models beside the networks.
CLASSICAL = {
    "logmel_logistic": "log-mel statistics, logistic regression",
    "logmel_svm": "log-mel statistics, SVM",
}


@dataclass
class SeedSet(RunSet):
    """Predictions of one method, a file a seed.

    Arguments
    ---------
    seed_names : list of str
        The seeds: folders of a study end in a digest besides.
    """

    seed_names: Sequence[str] = ()

    @property
    def seeds(self) -> List[str]:
        """Names of the seeds."""
        return list(self.seed_names)


class Cell(NamedTuple):
    """A figure of a method, with the spread of seeds and of patients apart.

    Arguments
    ---------
    mean : float
        Over seeds.
    by_seed : list of float
        Of each.
    sd : float or None
        Between seeds.
    ci95 : list of float or None
        Over patients.
    """

    mean: Optional[float]
    by_seed: List[float]
    sd: Optional[float]
    ci95: Optional[List[float]]


class Results:
    """Everything the runs of a study left, as far as they are done."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.settings = plan.settings
        self._read: Dict[Path, Predictions] = {}
        self._cells: Dict[Tuple, Cell] = {}

    @property
    def missing(self) -> List[Run]:
        """Runs without a result."""
        return [
            run for run in self.plan.runs.values() if not run.result.is_file()
        ]

    def metrics(self, run: Run) -> Optional[Dict]:
        """``metrics.json`` of a run, or None."""
        return read_json(run.folder / "metrics.json")

    def of(self, task, encoder, mode, fraction=1.0) -> List[Dict]:
        """``metrics.json`` of each seed that is done."""
        runs = self.plan.classifiers(task, encoder, mode, fraction)
        return [m for m in map(self.metrics, runs) if m is not None]

    def set_of(self, task, encoder, mode, fraction=1.0) -> Optional[SeedSet]:
        """Test predictions of the seeds that are done, or None."""
        runs = self.plan.classifiers(task, encoder, mode, fraction)
        return self._set(
            ENCODERS[encoder].label,
            [(run, run.folder / "predictions_test.csv") for run in runs],
        )

    def classical(self, task: str) -> Dict[str, Cell]:
        """Test AUC of the classical controls by their name; they have no
        seed."""
        found = self.of(task, "simclr", "linear")
        if not found:
            return {}
        return {
            CLASSICAL[name]: Cell(
                block["recording"]["auc"],
                [block["recording"]["auc"]],
                None,
                block["recording"]["auc_ci95"],
            )
            for name, block in found[0].get("controls", {}).items()
            if name in CLASSICAL
        }

    def _set(self, name, files) -> Optional[SeedSet]:
        files = [(run, file) for run, file in files if run.result.is_file()]
        if not files:
            return None
        first = self._predictions(files[0][1])
        return SeedSet(
            name,
            [file for _, file in files],
            [
                aligned(first, files[0][1], self._predictions(file), file)
                for _, file in files
            ],
            [str(run.facts["seed"]) for run, _ in files],
        )

    def _predictions(self, file) -> Predictions:
        if file not in self._read:
            self._read[file] = Predictions.read(file)
        return self._read[file]

    def cell(
        self, task, encoder, mode, fraction=1.0, metric="auc", unit="recording"
    ) -> Optional[Cell]:
        """A figure of a method on the test recordings, or None."""
        key = (task, encoder, mode, fraction, metric, unit)
        if key not in self._cells:
            one = self.set_of(task, encoder, mode, fraction)
            self._cells[key] = one and cell_of(one, metric, unit)
        return self._cells[key]

    def difference(self, task, mode, lower, higher) -> Optional[Dict]:
        """Of two encoders in one mode, paired by patient; see ``compare``."""
        sets = [self.set_of(task, name, mode) for name in (lower, higher)]
        if None in sets:
            return None
        first = sets[0]
        sets[1].predictions = [
            aligned(first.predictions[0], first.files[0], p, file)
            for p, file in zip(sets[1].predictions, sets[1].files)
        ]
        return compare(sets)["differences"][0]

    def no_interval(self, task: str) -> Optional[str]:
        """Why figures of a task have no interval over patients, or None."""
        for run in self.plan.of_rule("train_cls"):
            if run.facts["task"] == task and run.result.is_file():
                p = self._predictions(run.folder / "predictions_test.csv")
                return why_no_interval(p.labels, p.patients, p.classes)
        return None

    def history(self, run: Run) -> List[Dict]:
        """Rows of ``history.json``, or none."""
        return read_json(run.folder / "history.json") or []

    def main_run(self, task: Task) -> Optional[Run]:
        """A run that is done and has all of a task's recordings."""
        for run in self.plan.of_rule("train_cls"):
            facts = run.facts
            whole = facts["task"] == task.name and facts["fraction"] == 1.0
            if whole and run.result.is_file():
                return run
        return None


def cell_of(one: RunSet, metric: str = "auc", unit: str = "recording") -> Cell:
    """A figure of some seeds' predictions."""
    found = compare([one], unit=unit, metric=metric)["sets"][0]
    return Cell(
        found["mean"],
        found["by_seed"],
        found["sd_between_seeds"],
        found["ci95"],
    )


def read_json(path: Path):
    """What a json file holds, or None where it is not there."""
    if not Path(path).is_file():
        return None
    return json.loads(Path(path).read_text("utf-8"))
