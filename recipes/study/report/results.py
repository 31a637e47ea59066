"""Results of a study's runs, read from their folders."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cry_modules.evaluation.controls import NAMES, in_words
from cry_modules.metrics.bootstrap import why_no_interval
from cry_modules.metrics.compare import (
    FILE as _PREDICTIONS,
    ONE_SEED,
    RunSet,
    compare,
    facts_of,
)
from cry_modules.metrics.paired import KeptDraws, aligned
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.saved import METRICS_FILE, read_metrics
from cry_modules.training.history import HISTORY_FILE, ROW
from data_prep.files.shapes import read_json
from recipes.study.encoders import ENCODERS
from recipes.study.plan import Plan, Run
from recipes.study.settings import Task
from recipes.study.stages import MODE_NAMES


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
        self._metrics = functools.cache(read_metrics)
        self.set_of = functools.cache(self._set_of)
        self.control_set = functools.cache(self._control_set)
        self._draws = KeptDraws()  # all pairs of encoders share them
        self._compared: Dict[Tuple, Optional[Dict]] = {}
        self._differences: Dict[Tuple, Optional[Dict]] = {}

    @property
    def missing(self) -> List[Run]:
        """Runs without a result."""
        return [run for run in self.plan.runs.values() if not run.done]

    def of(self, task, encoder, mode, fraction=1.0) -> List[Dict]:
        """Read ``metrics.json`` of each seed that is done."""
        runs = self.plan.classifiers(task, encoder, mode, fraction)
        folders = [run.folder for run in runs]
        return [
            self._metrics(folder)
            for folder in folders
            if (folder / METRICS_FILE).is_file()
        ]

    def of_folds(self, task, encoder, mode) -> List[Dict]:
        """Read ``metrics.json`` of each fold of each seed that is done."""
        runs = self.plan.classifiers(task, encoder, mode)
        return [
            read_metrics(run.folder / name, required=())
            for run in runs
            if run.done
            for name in self._metrics(run.folder).get("folds", ["."])
            if (run.folder / name / METRICS_FILE).is_file()
        ]

    def _set_of(self, task, encoder, mode, fraction=1.0) -> Optional[SeedSet]:
        """Test predictions of the seeds that are done, or None."""
        runs = self.plan.classifiers(task, encoder, mode, fraction)
        runs = [run for run in runs if run.done]
        if not runs:
            return None
        # All sets of a task are in one order.
        first, *files = (
            run.folder / _PREDICTIONS for run in (self._first_run(task), *runs)
        )
        read = self._predictions
        aligned_sets = [
            aligned(read(first), first, read(file), file) for file in files
        ]
        seeds = [str(run.facts["seed"]) for run in runs]
        label = ENCODERS[encoder].label
        return SeedSet(
            label, files, aligned_sets, **facts_of(files),
            # What others have published is one encoder, whatever its seed.
            is_pretrained=not ENCODERS[encoder].outside, seed_names=seeds,
        )  # fmt: skip

    def _control_set(self, task, name, fraction=1.0) -> Optional[SeedSet]:
        """Test predictions of a control by its name, such as
        ``logmel_logistic``, or None: of the first run of SimCLR that holds it,
        or, with fewer labels, of each seed, which draws labels of its own."""
        runs: Dict[str, Run] = {}
        for mode in self.settings.modes:
            for run in self.plan.classifiers(task, "simclr", mode, fraction):
                if run.done and name in (
                    self._metrics(run.folder).get("controls") or {}
                ):
                    runs.setdefault(str(run.facts["seed"]), run)
        chosen = dict([*runs.items()][: None if fraction < 1 else 1])
        if not chosen:
            return None
        return SeedSet(
            NAMES[name],
            [run.folder / _PREDICTIONS for run in chosen.values()],
            [self._of_control(task, run, name) for run in chosen.values()],
            is_pretrained=fraction < 1,  # it has seeds, those of its labels
            seed_names=[*chosen],
        )

    def _of_control(self, task, run: Run, name) -> Predictions:
        """Test predictions of a control that a run holds."""
        folds = self._metrics(run.folder).get("folds", ["."])
        parts = [
            self._predictions(
                run.folder / fold / "controls" / name / _PREDICTIONS
            )
            for fold in folds
        ]
        first, file = (
            r.folder / _PREDICTIONS for r in (self._first_run(task), run)
        )
        whole = self._predictions(file)
        fold_of = dict(zip(whole.ids, whole.folds or []))
        names = [fold_of[part.ids[0]] for part in parts if fold_of] or None
        control = Predictions.joined(parts, names)
        return aligned(self._predictions(first), first, control, file)

    def controls(
        self, task: str, fraction=1.0, metric="auc", unit="recording"
    ) -> Dict[str, Cell]:
        """A metric of the controls that the runs of SimCLR hold, by label;
        random encoders only if the study has none of its own."""
        known = [ENCODERS[name].source for name in self.settings.encoders]
        cells: Dict[str, Cell] = {}
        for mode in self.settings.modes:
            for metrics in self.of(task, "simclr", mode, fraction)[:1]:
                for name, units in (metrics.get("controls") or {}).items():
                    label = in_words(name, units["recording"])
                    if name == "random_encoder":
                        if "random_calibrated" in known:
                            continue
                        label += f", {MODE_NAMES[mode]}"
                    value = units[unit].get(metric)
                    ci95 = units[unit].get(f"{metric}_ci95")
                    cells.setdefault(label, Cell(value, [value], None, ci95))
        return cells

    def compared(
        self, task, encoder, mode, fraction=1.0, metric="auc", unit="recording"
    ) -> Optional[Dict]:
        """``compare`` of one method, whose entry in ``sets`` has ``sd_encoders``
        too, the standard deviation between pre-trained encoders; or None."""
        key = (task, encoder, mode, fraction, metric, unit)
        if key not in self._compared:
            runs, result = self.set_of(task, encoder, mode, fraction), None
            if runs is not None:
                result = compare(
                    [runs], unit=unit, metric=metric, draws_of=self._draws
                )
                (entry,) = result["sets"]
                entry["sd_encoders"] = _sd_encoders(runs, entry["by_seed"])
            self._compared[key] = result
        return self._compared[key]

    def cell(
        self, task, encoder, mode, fraction=1.0, metric="auc", unit="recording"
    ) -> Optional[Cell]:
        """A metric of a method on the test set, or None."""
        result = self.compared(task, encoder, mode, fraction, metric, unit)
        return result and _cell(result)

    def cell_of(self, runs: RunSet) -> Cell:
        """Test AUC by recording of such a set of runs."""
        return _cell(compare([runs], draws_of=self._draws))

    def difference(
        self, task, mode, lower, higher, fraction=1.0
    ) -> Optional[Dict]:
        """Difference in AUC of two methods in one mode, over patients and
        pre-training seeds; see ``cry_modules.metrics.compare``. With one seed
        the interval is over patients alone, and there is no p."""
        key = (task, mode, lower, higher, fraction)
        if key not in self._differences:
            self._differences[key] = self._difference(
                self.set_of(task, lower, mode, fraction),
                self.set_of(task, higher, mode, fraction),
            )
        return self._differences[key]

    def above_control(
        self, task, mode, encoder, control, fraction=1.0
    ) -> Optional[Dict]:
        """``difference`` of an encoder to a control, see ``control_set``; with
        fewer labels paired by seed, which both have the labels of."""
        runs = self.set_of(task, encoder, mode, fraction)
        if runs and fraction < 1 and not runs.is_pretrained:
            runs = replace(runs, encoders=(), is_pretrained=True)
        return self._difference(self.control_set(task, control, fraction), runs)

    def _difference(self, *sets: Optional[RunSet]) -> Optional[Dict]:
        if None in sets:
            return None
        compared = compare(sets, draws_of=self._draws)
        difference = compared["differences"][0]
        methods = difference.pop("methods")
        if methods["no_interval"] == ONE_SEED:
            methods = {"p": None, "detectable": None, "no_interval": ONE_SEED}
        for name in ("p_holm", "methods_p_holm"):  # of one comparison
            del difference[name]
        return {**difference, **methods}

    def no_interval(self, task: str) -> Optional[str]:
        """Reason why a task's metrics have no interval, or None."""
        run = self._first_run(task)
        if run is None:
            return None
        p = self._predictions(run.folder / "predictions_test.csv")
        return why_no_interval(p.labels, p.patients, p.classes)

    def _first_run(self, task: str) -> Optional[Run]:
        """The first finished classifier of a task, or None."""
        runs = self.plan.of_rule("train_cls")
        done = (run for run in runs if run.facts["task"] == task and run.done)
        return next(done, None)

    def history(self, run: Run) -> List[Dict]:
        """Rows of ``history.json``, if there is one."""
        return read_if_there(run.folder / HISTORY_FILE, [ROW]) or []

    def file_warning(self, task: Task) -> Optional[str]:
        """Sentence of a run whose files alone reveal the classes, or None."""
        run = self.main_run(task)
        files = run and self._metrics(run.folder).get("files")
        return files and files.get("class_warning")

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


def _cell(compared: Dict) -> Cell:
    """Cell of the first set of ``compare``."""
    names = ("mean", "by_seed", "sd_between_seeds", "ci95")
    return Cell(*(compared["sets"][0][name] for name in names))


def _sd_encoders(runs: RunSet, by_seed) -> Optional[float]:
    """Standard deviation between pre-trained encoders, each the mean of its
    seeds of fine-tuning; None for one encoder."""
    values = runs.by_encoder(np.array(by_seed, dtype=float))
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    return float(values.std(ddof=1))


def read_if_there(path: Path, shape: Any = object) -> Any:
    """Contents of a JSON file of a shape, or None if it does not exist."""
    if not Path(path).is_file():
        return None
    return read_json(path, shape, "delete it, and run the study again")
