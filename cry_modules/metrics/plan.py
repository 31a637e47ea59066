"""Study-size planning: the patients that an interval or a paired difference
needs, by simulation from the predictions of a run.

A study of n patients is simulated by drawing n patients of the run with
replacement, each with all of its recordings (or one of them), so that the
share of positives, the likeness of a patient's recordings and the scores are
those of the run. The spread of a metric over such studies gives the half-width
of its interval (``logit_interval``), and the power of a paired test at 5 %.
The sizes are as uncertain as the run: its metric has an interval itself, and
patients of another hospital or models of another seed differ more.
"""

import math
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np
from scipy.special import stdtrit
from tqdm import tqdm

from cry_modules.metrics.bootstrap import (
    LEAST_PATIENTS,
    N_DRAWS,
    interval,
    logit_interval,
    patients_per_class,
    rarest_and_pairs,
    why_no_interval,
)
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.compare import RunSet
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.paired import ALPHA
from cry_modules.metrics.predictions import MEAN_LOG_ODDS, Predictions
from cry_modules.metrics.words import markdown_table
from data_prep.files.errors import InputError, require
from data_prep.files.words import count

POWER = 0.8
HALF_WIDTH = 0.05
DIFFERENCE = 0.05
#: A study of more patients is not planned.
MOST_PATIENTS = 1_000_000

_DRAWS_AT_ONCE = 100  # memory does not grow with their number
_STEPS = 8  # of the search; each lands within a few percent


class Design(NamedTuple):
    """A study: drawn from these runs' recordings, each patient with all of its
    recordings or with one. The metric is its mean over seeds."""

    models: List[Sequence[Predictions]]  # one, or two to be compared
    metric: str
    one_recording: bool
    seed: int
    n_draws: int

    @property
    def first(self) -> Predictions:
        """Recordings of all models."""
        return self.models[0][0]

    @property
    def rarest(self) -> int:
        """Class of the fewest patients."""
        n_of = patients_per_class(self.first.labels, self.first.patients)
        return int(np.where(n_of > 0, n_of, n_of.max() + 1).argmin())

    @property
    def share(self) -> float:
        """Share of the patients who have a recording of the rarest class."""
        n_of = patients_per_class(self.first.labels, self.first.patients)
        return float(n_of[self.rarest] / len(set(self.first.patients)))

    def few(self, n: int) -> int:
        """Patients of the rarest class among n."""
        return max(2, round(n * self.share))

    def n_pairs(self, n: int) -> int:
        """Pairs of patients of two classes among n."""
        p = self.first
        few, n_pairs = rarest_and_pairs(p.labels, p.patients, p.folds)
        return round(n_pairs * (self.few(n) / few) ** 2)

    def draws(self, n: int) -> np.ndarray:
        """Metric of each model in simulated studies of n patients,
        ``[models, draws]``."""
        blocks = [
            [self._mean(model, weights) for model in self.models]
            for weights in self._weights(n)
        ]
        return np.concatenate(blocks, axis=-1)

    def values(self) -> np.ndarray:
        """Metric of each model in the run, ``[models]``."""
        _, owner, size = self._patients()
        weights = np.ones((1, len(owner)))
        if self.one_recording:
            weights = weights / size[owner]
        return np.array(
            [self._mean(model, weights)[0] for model in self.models]
        )

    def _patients(self):
        """Patients, the patient of each recording, and their recordings."""
        patients = np.asarray(self.first.patients)
        return np.unique(patients, return_inverse=True, return_counts=True)

    def _mean(self, model, weights) -> np.ndarray:
        function = METRICS[self.metric].function
        return np.mean([function(p, Choices(), weights) for p in model], axis=0)

    def _weights(self, n) -> Iterator[np.ndarray]:
        names, owner, size = self._patients()
        share = np.full(len(names), 1 / len(names))
        if self.one_recording:
            share, owner = 1 / len(names) / size[owner], np.arange(len(owner))
        rng = np.random.default_rng(self.seed)
        for first in range(0, self.n_draws, _DRAWS_AT_ONCE):
            n_draws = min(_DRAWS_AT_ONCE, self.n_draws - first)
            times = rng.multinomial(n, share, n_draws)
            yield times[:, owner].astype(np.float64)


def half_width(design: Design, n: int) -> float:
    """Half the width of the metric's interval in a study of n patients."""
    draws = design.draws(n)[0]
    few, n_pairs = design.few(n), design.n_pairs(n)
    ends = logit_interval(design.values()[0], draws, few, n_pairs)
    return math.inf if ends is None else (ends[1] - ends[0]) / 2


def detectable(design: Design, n: int) -> float:
    """Difference that a study of n patients finds with a power of 80 %."""
    first, second = design.draws(n)
    difference = second - first
    spread = np.nanstd(difference, ddof=1)
    if interval(difference) is None:
        return math.inf
    freedom = design.few(n) - 1
    limit = stdtrit(freedom, 1 - ALPHA / 2) * spread
    # The study's error is drawn, not taken to be normal.
    error = difference - np.nanmean(difference)
    return float(limit - np.nanquantile(error, 1 - POWER))


def smallest(reach, target: float, design: Design, step) -> Optional[int]:
    """Fewest patients for which ``reach(design, n)`` is `target` or less, to
    two digits; None above ``MOST_PATIENTS``."""
    least = math.ceil(LEAST_PATIENTS / design.share)
    n = wanted = max(least, len(set(design.first.patients)))
    for _ in range(_STEPS):
        ratio = reach(design, n) / target
        step()
        wanted = 4 * n
        if math.isfinite(ratio):
            wanted = max(least, math.ceil(n * ratio**2))
        wanted = min(wanted, 2 * MOST_PATIENTS)
        if abs(wanted - n) <= 0.02 * n:
            break
        n = wanted
    if wanted > MOST_PATIENTS:
        return None
    unit = 10 ** max(0, len(str(wanted)) - 2)
    return math.ceil(wanted / unit) * unit


def plan(
    sets: Sequence[RunSet],
    width: Optional[float] = HALF_WIDTH,
    difference: Optional[float] = None,
    unit: str = "recording",
    patient_score: str = MEAN_LOG_ODDS,
    metric: str = "auc",
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Dict:
    """Sizes of studies: a row for each question, with all recordings of a
    patient as in the run, and with one.

    `sets` are the run and, if a `difference` is to be found, the other one.
    """
    models = [
        [p.by_unit(unit, patient_score) for p in run_set.predictions]
        for run_set in sets
    ]
    first = models[0][0]
    why = why_no_interval(first.labels, first.patients, first.classes)
    require(
        why is None,
        f"{sets[0].name} cannot be a pilot: {why}",
        "pass a run with more patients of each class",
    )
    n_patients = len(set(first.patients))
    one_each = [False, True][: 1 + (len(first.ids) > n_patients)]
    questions = [(half_width, width, 1), (detectable, difference, 2)]
    questions = [q for q in questions if q[1] is not None]
    rows = []
    total = _STEPS * len(one_each) * len(questions)
    with tqdm(total=total, desc="plan", leave=False, disable=None) as bar:
        for reach, target, n_models in questions:
            for single in one_each:
                design = Design(
                    models[:n_models], metric, single, seed, n_draws
                )
                _require_spread(design, reach, sets)
                n = smallest(reach, target, design, bar.update)
                rows.append(_row(reach, target, design, n))
    design = Design(models[:1], metric, False, seed, n_draws)
    return {
        "metric": metric,
        "unit": unit,
        "names": [run_set.name for run_set in sets],
        "value": float(design.values()[0]),
        "half_width": half_width(design, n_patients),
        "n": len(first.ids),
        "n_patients": n_patients,
        "rarest": first.classes[design.rarest],
        "n_rarest": round(design.share * n_patients),
        "rows": rows,
    }


def _require_spread(design, reach, sets) -> None:
    """Refuse runs whose metric no draw of patients changes."""
    n = 4 * math.ceil(LEAST_PATIENTS / design.share)
    if math.isfinite(reach(design, max(n, len(set(design.first.patients))))):
        return
    names = " and ".join(run_set.name for run_set in sets)
    raise InputError(
        f"{names}: no draw of patients changes the "
        f"{METRICS[design.metric].words}, so its spread is not known; pass runs "
        "that make errors, and differ"
    )


def _row(reach, target, design, n) -> Dict:
    _, owner, size = design._patients()
    each = 1.0 if design.one_recording else len(owner) / len(size)
    return {
        "question": "half_width" if reach is half_width else "difference",
        "target": target,
        "recordings_each": each,
        "n_patients": n,
        "n_rarest": n and design.few(n),
        "n": n and round(n * each),
    }


def report(result: Dict) -> str:
    """Result of ``plan`` as Markdown."""
    words, unit = METRICS[result["metric"]].words, result["unit"]
    lines = [
        f"Pilot {result['names'][0]}: {words} by {unit} {result['value']:.3f} "
        f"+- {result['half_width']:.3f} (95 %) on {result['n']} {unit}s of "
        f"{count(result['n_patients'], 'patient')}, {result['n_rarest']} of "
        f"them {result['rarest']}.",
        "",
    ]
    rows = [_cells(result, row) for row in result["rows"]]
    lines += markdown_table(list(rows[0]), [row.values() for row in rows])
    lines += [
        "",
        "By simulation: patients of the pilot, drawn with replacement. "
        "Intervals of 95 %; differences paired by patient, at 5 % with 80 % "
        "power, between these models. Not included: other seeds, other "
        "hospitals, and the pilot's own uncertainty.",
    ]
    return "\n".join(lines)


def _cells(result, row) -> Dict[str, str]:
    """Cells of a row of the table, by the heads of their columns."""

    def size(name):
        n = row[name]
        return f"above {MOST_PATIENTS:,}" if n is None else f"{n:,}"

    goal = f"{METRICS[result['metric']].words} within +-{row['target']:g}"
    if row["question"] == "difference":
        goal = f"difference of {row['target']:g} to {result['names'][1]}"
    sizes = {
        "patients": size("n_patients"),
        f"of them {result['rarest']}": size("n_rarest"),
    }
    if result["unit"] == "patient":
        return {"goal": goal, **sizes}
    each = {"recordings each": f"{row['recordings_each']:.1f}"}
    return {"goal": goal, **each, **sizes, "recordings": size("n")}
