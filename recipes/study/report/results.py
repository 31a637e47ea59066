"""Results of a study's runs, read from their folders."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from cry_modules.metrics.bootstrap import why_no_interval
from cry_modules.metrics.compare import ONE_SEED, RunSet, compare, facts_of
from cry_modules.metrics.paired import aligned
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.saved import METRICS_FILE, read_metrics
from cry_modules.training.history import HISTORY_FILE, ROW
from data_prep.files.shapes import read_json
from recipes.study.encoders import ENCODERS
from recipes.study.plan import Plan, Run
from recipes.study.settings import Task

#: Classical models that the networks are compared with.
CLASSICAL = {
    "logmel_logistic": "log-mel statistics, logistic regression",
    "logmel_svm": "log-mel statistics, SVM",
    "logmel_spread": "log-mel statistics without means, logistic regression",
}


@dataclass
class SeedSet(RunSet):
    """Predictions of one method, a file for each seed; ``seed_names`` are the
    seeds, which a study's folder names do not end in."""

    seed_names: Sequence[str] = ()

    @property
    def seeds(self) -> List[str]:
        """Seeds as text."""
        return list(self.seed_names)


class Cell(NamedTuple):
    """A metric of one method: mean over seeds, value of each seed, standard
    deviation between seeds, and 95 % interval over patients."""

    mean: Optional[float]
    by_seed: List[float]
    sd: Optional[float]
    ci95: Optional[List[float]]


class Results:
    """Results of a study's runs, as far as they are done."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.settings = plan.settings
        self._predictions = functools.cache(Predictions.read)
        self._cells: Dict[Tuple, Cell] = {}

    @property
    def missing(self) -> List[Run]:
        """Runs without a result."""
        return [run for run in self.plan.runs.values() if not run.done]

    def of(self, task, encoder, mode, fraction=1.0) -> List[Dict]:
        """Read ``metrics.json`` of each seed that is done."""
        runs = self.plan.classifiers(task, encoder, mode, fraction)
        folders = [run.folder for run in runs]
        return [
            read_metrics(folder)
            for folder in folders
            if (folder / METRICS_FILE).is_file()
        ]

    def set_of(self, task, encoder, mode, fraction=1.0) -> Optional[SeedSet]:
        """Test predictions of the seeds that are done, or None."""
        runs = self.plan.classifiers(task, encoder, mode, fraction)
        runs = [run for run in runs if run.done]
        if not runs:
            return None
        files = [run.folder / "predictions_test.csv" for run in runs]
        read = self._predictions
        aligned_sets = [
            aligned(read(files[0]), files[0], read(file), file)
            for file in files
        ]
        seeds = [str(run.facts["seed"]) for run in runs]
        label = ENCODERS[encoder].label
        facts = facts_of(files)
        return SeedSet(label, files, aligned_sets, **facts, seed_names=seeds)

    def classical(self, task: str, fraction: float = 1.0) -> Dict[str, Cell]:
        """Test AUC of the classical controls by name; they have no seed."""
        cells = {}
        for metrics in self.of(task, "simclr", "linear", fraction)[:1]:
            for name, block in metrics.get("controls", {}).items():
                auc = block["recording"]["auc"]
                ci95 = block["recording"]["auc_ci95"]
                if name in CLASSICAL:
                    cells[CLASSICAL[name]] = Cell(auc, [auc], None, ci95)
        return cells

    def cell(
        self, task, encoder, mode, fraction=1.0, metric="auc", unit="recording"
    ) -> Optional[Cell]:
        """A metric of a method on the test set, or None."""
        key = (task, encoder, mode, fraction, metric, unit)
        if key not in self._cells:
            runs = self.set_of(task, encoder, mode, fraction)
            cell = None
            if runs is not None:
                summary = compare([runs], unit=unit, metric=metric)["sets"][0]
                names = ("mean", "by_seed", "sd_between_seeds", "ci95")
                cell = Cell(*(summary[name] for name in names))
            self._cells[key] = cell
        return self._cells[key]

    def difference(
        self, task, mode, lower, higher, fraction=1.0
    ) -> Optional[Dict]:
        """Difference in AUC of two methods in one mode, over patients and
        pre-training seeds; see ``cry_modules.metrics.compare``. With one seed
        the interval is over patients alone, and there is no p."""
        sets = [
            self.set_of(task, name, mode, fraction) for name in (lower, higher)
        ]
        if None in sets:
            return None
        first = sets[0]
        sets[1].predictions = [
            aligned(first.predictions[0], first.files[0], p, file)
            for p, file in zip(sets[1].predictions, sets[1].files)
        ]
        difference = compare(sets)["differences"][0]
        methods = difference.pop("methods")
        if methods["no_interval"] == ONE_SEED:
            methods = {"p": None, "no_interval": ONE_SEED}
        for name in ("p_holm", "methods_p_holm"):  # of one comparison
            del difference[name]
        return {**difference, **methods}

    def no_interval(self, task: str) -> Optional[str]:
        """Reason why a task's metrics have no interval, or None."""
        for run in self.plan.of_rule("train_cls"):
            if run.facts["task"] == task and run.done:
                p = self._predictions(run.folder / "predictions_test.csv")
                return why_no_interval(p.labels, p.patients, p.classes)
        return None

    def history(self, run: Run) -> List[Dict]:
        """Rows of ``history.json``, if there is one."""
        return read_if_there(run.folder / HISTORY_FILE, [ROW]) or []

    def main_run(self, task: Task) -> Optional[Run]:
        """A finished run with all recordings of a task, or None."""
        runs = (
            run
            for run in self.plan.of_rule("train_cls")
            if run.facts["task"] == task.name
            and run.facts["fraction"] == 1.0
            and run.done
        )
        return next(runs, None)


def read_if_there(path: Path, shape: Any = object) -> Any:
    """Contents of a JSON file of a shape, or None if it does not exist."""
    if not Path(path).is_file():
        return None
    return read_json(path, shape, "delete it, and run the study again")
