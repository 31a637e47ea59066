"""Comparison of runs: differences between sets of test predictions, and their
uncertainty from patients and seeds.

A set is one model trained with several seeds. Each set is compared to each
earlier one on the same recordings, with the same draws of patients for all.
"""

import glob
import os
import re
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from cry_modules.metrics.bootstrap import N_DRAWS, why_no_interval
from cry_modules.metrics.evaluate import finite_or_none
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.multiplicity import holm
from cry_modules.metrics.paired import (
    DIGITS,
    LEAST_DRAWS,
    MetricDraws,
    aligned,
    mean_difference,
    metric_draws,
    new_seed_interval,
    why_no_test,
)
from cry_modules.metrics.predictions import MEAN_LOG_ODDS, Predictions
from cry_modules.metrics.saved import (
    METRICS_FILE,
    RANDOM_ENCODERS,
    read_metrics,
)
from cry_modules.metrics.variance import components
from data_prep.files.errors import InputError

FILE = "predictions_test.csv"
#: Reason against a statement about methods.
ONE_SEED = "one pre-training seed, and another may reverse the difference"


class Report(NamedTuple):
    """How the report of a run computed its intervals and patients' scores."""

    seed: int = 0
    n_draws: int = N_DRAWS
    patient_score: str = MEAN_LOG_ODDS


@dataclass
class RunSet:
    """Predictions of one model, trained with several seeds."""

    name: str  # in tables and sentences
    files: List[Path]  # one per seed
    predictions: List[Predictions]  # all in the same order of recordings
    #: Pre-trained encoder of each file; empty: every file has its own.
    encoders: Sequence[str] = ()
    #: Report of each file, None if unknown.
    reports: Sequence[Optional[Report]] = ()
    #: False for a model that no pre-training seed of ours varies.
    is_pretrained: bool = True

    @property
    def seeds(self) -> List[str]:
        """Names of the runs' folders, which tell seeds apart; those of a study
        end in a digest of their settings."""
        names = [file.absolute().parent.name for file in self.files]
        return [re.sub(r"^(\d+)-[0-9a-f]{8}$", r"\1", name) for name in names]

    def by_encoder(self, values: np.ndarray) -> np.ndarray:
        """Mean over the files of each encoder, ``[encoders]``: seeds of heads
        on one encoder say nothing about another pre-training."""
        names = [*self.encoders] or [str(file) for file in self.files]
        owner = np.array([names.index(name) for name in names])
        return np.array([values[owner == i].mean() for i in np.unique(owner)])


# Reading sets.


def find_files(argument: str) -> List[Path]:
    """Find the predictions of a set of runs, one file per seed."""
    exists = os.path.exists(argument)
    places = [argument] if exists else glob.glob(argument, recursive=True)
    if not places:
        raise InputError(
            f"{argument} does not exist, and as a pattern it matches no file "
            "or folder; correct the path"
        )
    files = [file for place in places for file in _files_at(Path(place))]
    files.sort(key=lambda file: (file.absolute().parent.name, str(file)))
    seen = {}
    for file in files:
        first = seen.setdefault(file.resolve(), file)
        if first is not file:
            raise InputError(
                f"{argument} takes one file twice, as {first} and as {file}; "
                "each file is a seed, so pass it once"
            )
    return files


def _files_at(place: Path) -> List[Path]:
    """The file itself, that of a run folder, or those of the runs in it."""
    if place.is_file():
        if place.suffix != ".csv":
            raise InputError(
                f"{place} is not a csv file of predictions; pass the {FILE} "
                "of a run, or its folder"
            )
        return [place]
    if (place / FILE).is_file():
        return [place / FILE]
    files = list(place.glob(f"*/{FILE}"))
    if not files:
        raise InputError(
            f"{place} holds no {FILE}, nor do the folders in it; pass the "
            "output_folder of train_cls.py"
        )
    return files


def short_names(arguments: Sequence[str]) -> List[str]:
    """Shorten paths to the parts in which they differ."""
    paths = [Path(os.path.abspath(argument)) for argument in arguments]
    folders = [path.parent if path.name == FILE else path for path in paths]
    parts = [list(folder.parts) for folder in folders]
    for end in (0, -1):
        while (
            all(len(p) > 1 for p in parts) and len({p[end] for p in parts}) == 1
        ):
            for p in parts:
                del p[end]
    return ["/".join(p) for p in parts]


def read_sets(
    arguments: Sequence[str], names: Optional[Sequence[str]] = None
) -> List[RunSet]:
    """Read sets of predictions, sorted by the recordings of the first file."""
    names = short_names(arguments) if names is None else list(names)
    if len(names) != len(arguments):
        raise InputError(
            f"--names has {len(names)} names ({', '.join(names)}) for "
            f"{len(arguments)} sets; give one a set, separated by commas"
        )
    files_of = [find_files(argument) for argument in arguments]
    keys = [{file.resolve() for file in files} for files in files_of]
    for i, key in enumerate(keys):
        if key in keys[:i]:
            raise InputError(
                f"{arguments[i]} is the same as {arguments[keys.index(key)]}; "
                "keep one of them"
            )
    for name in names:
        if not name or names.count(name) > 1:
            raise InputError(
                f"the name {name!r} does not distinguish the sets; pass "
                "different ones with --names"
            )
    first, sets = None, []
    for name, files in zip(names, files_of):
        predictions = []
        for file in files:
            read = Predictions.read(file)
            first = first or (read, file)
            predictions.append(aligned(*first, read, file))
        sets.append(RunSet(name, files, predictions, **facts_of(files)))
    return sets


def facts_of(files: Sequence[Path]) -> Dict[str, List]:
    """``encoders`` and ``reports`` of a set's files."""
    return {
        "encoders": [encoder_of(file) for file in files],
        "reports": [report_of(file) for file in files],
    }


def encoder_of(file: Path) -> str:
    """Identity of the pre-trained encoder of a run, from the ``metrics.json``
    beside its predictions: the checksum of its weights, in older runs its name;
    the predictions file if the encoder is random or unknown.
    """
    metrics = _metrics_beside(file)
    source = metrics.get("encoder_source")
    if source in RANDOM_ENCODERS:
        return str(file)
    return metrics.get("encoder_checksum") or source


def report_of(file: Path) -> Optional[Report]:
    """How a run was evaluated, from the ``metrics.json`` beside its
    predictions; None if unknown."""
    metrics = _metrics_beside(file)
    if not {"seed", "patient_score", "test"} <= set(metrics):
        return None
    n_draws = metrics["test"]["recording"]["bootstrap_draws"]
    return Report(metrics["seed"], n_draws, metrics["patient_score"])


def _metrics_beside(file: Path) -> Dict:
    if not (file.parent / METRICS_FILE).is_file():
        return {}
    return read_metrics(file.parent, required=())


def _common_report(sets: Sequence[RunSet]) -> Report:
    """Options that all reports share; the default for the others."""
    known = {report for s in sets for report in s.reports if report}
    fields = zip(map(set, zip(*known)), Report())
    return Report(*(x.pop() if len(x) == 1 else other for x, other in fields))


# Numbers.


def compare(
    sets: Sequence[RunSet],
    unit: str = "recording",
    patient_score: Optional[str] = None,
    seed: Optional[int] = None,
    n_draws: Optional[int] = None,
    metric: str = "auc",
    draws_of: Callable[..., MetricDraws] = metric_draws,
) -> Dict:
    """Compute a metric of each set and each set's difference to each earlier
    one, those to the first set first: the numbers of ``--out``.

    By default scores of patients, seed and number of draws are those that all
    runs have in common, and the interval of a single run is that of its report.
    `draws_of` may be a ``KeptDraws``.
    """
    common, as_reported = _common_report(sets), seed is None and n_draws is None
    patient_score = patient_score or common.patient_score
    seed = common.seed if seed is None else seed
    n_draws = max(common.n_draws, LEAST_DRAWS) if n_draws is None else n_draws
    units = [
        [p.by_unit(unit, patient_score) for p in run_set.predictions]
        for run_set in sets
    ]
    first = units[0][0]
    several = len(sets) > 1
    computed = draws_of(sum(units, []), metric, seed, n_draws, several)
    ends = np.cumsum([len(files) for files in units])
    rows = [list(range(end - len(u), end)) for end, u in zip(ends, units)]
    values = [computed.values[r] for r in rows]
    draws = [computed.draws[r] for r in rows]
    if as_reported:
        draws = [
            _draws_of_report(*x, metric, (seed, n_draws), draws_of)
            for x in zip(sets, units, draws)
        ]
    parts = list(zip(sets, units, values, rows))
    compared = first.with_pairs()
    why = why_no_interval(compared.labels, compared.patients, first.classes)
    result = {
        "metric": metric,
        "unit": unit,
        "patient_score": patient_score if unit == "patient" else None,
        "seed": seed,
        "n_draws": n_draws,
        "n": len(first.labels),
        "n_patients": len(set(first.patients)),
        "classes": first.classes,
        "no_interval": why,
        "sets": [
            _summary_of(run_set, v, d, first, metric, why)
            | _variance_of(run_set, v, d, why)
            for run_set, v, d in zip(sets, values, draws)
        ],
        "differences": _differences(parts, computed, n_draws),
    }
    if first.folds is not None:
        result["n_folds"] = len(set(first.folds))
        result["n_without_pair"] = len(first.ids) - len(compared.ids)
    return result


def _draws_of_report(
    run_set, unit, draws, metric, drawn_with, draws_of
) -> np.ndarray:
    """Draws of the report of a single run; the given ones of several runs."""
    own = run_set.reports[0] if len(run_set.reports) == 1 else None
    if own is None or own[:2] == drawn_with:
        return draws
    n_draws = max(own.n_draws, LEAST_DRAWS)
    return draws_of(unit, metric, own.seed, n_draws, False).draws


def _differences(parts, computed, n_draws) -> List[Dict]:
    """Difference of each set to each earlier one, p corrected by Holm too."""
    differences = [
        _difference(*zip(*pair), computed, n_draws)
        for pair in combinations(parts, 2)
    ]
    corrected = holm([d["p"] for d in differences])
    of_methods = holm([d["methods"]["p"] for d in differences])
    for d, p, methods_p in zip(differences, corrected, of_methods):
        d.update(p_holm=p, methods_p_holm=methods_p)
    return differences


def _difference(sets, units, values, rows, computed, n_draws) -> Dict:
    """Difference of the second of two sets to the first."""
    (a, b), first = sets, units[0][0]
    no_test = why_no_test(*units, (a.name, b.name), n_draws)
    pair = *rows, first
    both = a, values[0], b, values[1]
    difference = partial(mean_difference, computed, *pair)
    return {
        "a": a.name,
        "b": b.name,
        **difference(no_test),
        **_between_seeds(*both),
        "methods": _of_methods(*both, difference, no_test),
    }


def _summary_of(run_set, values, draws, first, metric, why) -> Dict:
    """Mean and spread over seeds; intervals over patients, and over patients
    and seeds for a run with another one."""
    several, interval = len(values) > 1, METRICS[metric].interval
    result = {
        "name": run_set.name,
        "files": [str(file) for file in run_set.files],
        "by_seed": [finite_or_none(value) for value in values],
        "mean": finite_or_none(values.mean()),
        "sd_between_seeds": finite_or_none(_sd(values)) if several else None,
        "ci95": None,
        "ci95_new_seed": None,
    }
    if why is None and result["mean"] is not None:
        mean = draws.mean(axis=0)
        if interval:
            result["ci95"] = interval(values.mean(), mean, first)
        seeds = run_set.by_encoder(values)
        result["ci95_new_seed"] = new_seed_interval(seeds, mean, first)
    return result


def _variance_of(run_set, values, draws, why) -> Dict:
    """Variance of one run by source: patients and pre-training seeds, or those
    of heads on one encoder."""
    seeds = run_set.by_encoder(values)
    seeds = seeds if len(seeds) > 1 else values
    known = why is None and draws.shape[1] > 1
    variance = components(draws, seeds) if known else None
    n_encoders = len(run_set.by_encoder(values))
    return {
        "variance": variance,
        "n_seeds": len(seeds),
        "n_encoders": n_encoders,
    }


def _between_seeds(a: RunSet, values_a, b: RunSet, values_b) -> Dict:
    """How the difference varies between seeds: seed by seed if both sets have
    the same, else each seed of b against the mean of a."""
    paired = a.seeds == b.seeds and len(set(a.seeds)) == len(a.seeds) > 1
    by_seed = np.round(
        values_b - (values_a if paired else values_a.mean()), DIGITS
    )
    varied = [by_seed] if paired else [values_a, values_b]
    varied = [x for x in varied if len(x) > 1]
    sd = np.sqrt(sum(_sd(x) ** 2 for x in varied)) if varied else None
    return {
        "paired_by_seed": paired,
        "by_seed": [finite_or_none(value) for value in by_seed],
        "n_above": int((by_seed > 0).sum()),
        "n_below": int((by_seed < 0).sum()),
        "sd_between_seeds": finite_or_none(sd) if varied else None,
    }


def _of_methods(a, values_a, b, values_b, difference, no_test) -> Dict:
    """Interval and p of the difference between the methods: over patients and
    pre-training seeds."""
    sets = (a, values_a), (b, values_b)
    varied = [s.by_encoder(v) for s, v in sets if s.is_pretrained]
    n_encoders = [len(values) for values in varied]
    if a.seeds == b.seeds and n_encoders == [len(a.files)] * 2:
        varied = [np.round(values_b - values_a, DIGITS)]
    if no_test is None and min(n_encoders, default=2) < 2:
        no_test = ONE_SEED
    result = difference(no_test, varied)
    keys = ("ci95", "p", "detectable", "no_interval")
    return {**{key: result[key] for key in keys}, "n_encoders": n_encoders}


def _sd(values) -> float:
    """Standard deviation; exactly 0 if all values are equal."""
    if np.ptp(values) == 0:
        return 0.0
    return float(np.std(values, ddof=1))
