"""Paragraphs for a paper: methods and results of a study, in the order of
TRIPOD+AI, with the numbers of its runs.

A sentence whose figure is missing is left out. ``recipes.study.report.limits``
lists what the paper may not say.
"""

from collections import Counter
from statistics import mean, median
from typing import Any, Dict, List, NamedTuple, Optional

from cry_modules.metrics.paired import ALPHA
from cry_modules.metrics.predictions import UNITS
from cry_modules.metrics.words import (
    count,
    folds_in_words,
    interval_in_words,
    p_in_words,
    units_in_words,
)
from recipes.study.encoders import ENCODERS
from recipes.study.report import corpora, multiplicity
from recipes.study.report.doubtful import best_method
from recipes.study.report.facts import and_
from recipes.study.report.limits import (
    CALIBRATION,
    in_words,
    not_to_say,
    over_seeds,
)
from recipes.study.report.methods import methods
from recipes.study.report.results import Cell, Results
from recipes.study.settings import Task
from recipes.study.stages import MODE_NAMES

FILE = "paper.md"
AT_THRESHOLD = "sensitivity_at_spec80", "specificity_at_threshold"
OF_BEST = (*AT_THRESHOLD, *CALIBRATION)


class Paper(NamedTuple):
    """Paragraphs, what may not be said, and the numbers that the sentences
    have in addition to those of the tables."""

    methods: str
    tests: str  # families of tests, and their correction
    results: str
    not_said: List[str]
    numbers: Dict[str, Any]


class Tested(NamedTuple):
    """A task's test set and its best method."""

    task: Task
    counts: Dict[str, Any]  # of recordings, patients, classes, folds, draws
    encoder: str
    mode: str


def paragraphs(results: Results, context: Dict[str, Any]) -> Paper:
    """Write the paragraphs of a study's tasks that have results."""
    tested = [
        Tested(task, _counts(results, task.name, *method), *method)
        for task in results.settings.tasks
        if (method := best_method(results, task.name))
    ]
    numbers = {
        "tasks": {t.task.label_column: t.counts for t in tested},
        "epochs": _epochs(results),
        "chosen": _chosen(results),
        "best": {t.task.label_column: _over_seeds(results, t) for t in tested},
    }
    done = methods(results, context, tested, numbers)
    sentences = [
        sentence
        for t in tested
        for sentence in _results(results, context, t, numbers)
    ]
    return Paper(
        " ".join(filter(None, done)),
        multiplicity.paragraph(context),
        " ".join(filter(None, sentences)),
        not_to_say(results, context, tested, numbers["best"]),
        numbers,
    )


def as_markdown(written: Paper, title: str) -> str:
    """Contents of ``paper.md``."""
    return "\n".join(
        [
            f"# {' '.join(title.split())}",
            "",
            "## Methods",
            "",
            written.methods,
            "",
            written.tests,
            "",
        ]
        + ["## Results", "", written.results, ""]
        + ["## What may not be said", ""]
        + [f"- {line}" for line in written.not_said]
        + ["", "Order of TRIPOD+AI; its checklist is in report.html.", ""]
    )


# Numbers.


def _counts(results: Results, task: str, encoder: str, mode: str) -> Dict:
    """Counts of a task's test set."""
    compared = results.compared(task, encoder, mode)
    by_patient = results.compared(task, encoder, mode, unit="patient")
    p = results.set_of(task, encoder, mode).predictions[0]
    rows = list(zip(p.labels.tolist(), p.patients))
    folds = p.folds or [""] * len(rows)
    folds_of = Counter(who for who, _ in {*zip(p.patients, folds)})
    names = ("n", "n_patients", "n_folds", "n_without_pair")
    every = [
        other
        for e in results.settings.encoders
        for m in results.settings.modes
        if (other := results.compared(task, e, m))
    ]
    n_draws = [other["n_draws"] for other in every]
    return {
        **{name: compared[name] for name in names if name in compared},
        "n_units": by_patient["n"],
        "n_of_several_folds": sum(n > 1 for n in folds_of.values()),
        "no_interval": compared["no_interval"],
        "n_methods": len(every),
        "n_draws": [min(n_draws), max(n_draws)],
        "classes": {
            name: {
                "n": sum(label == k for label, _ in rows),
                "n_patients": len({who for label, who in rows if label == k}),
            }
            for k, name in enumerate(p.classes)
        },
    }


def _epochs(results: Results) -> Dict[str, List[int]]:
    """Fewest and most epochs of each encoder's finished trainings."""
    epochs = {}
    for name in results.settings.encoders:
        histories = [
            results.history(run)
            for run in results.plan.runs.values()
            if run.done and run.name.startswith(f"encoders/{name}/")
        ]
        ends = [int(rows[-1]["epoch"]) for rows in histories if rows]
        if ends:
            epochs[name] = [min(ends), max(ends)]
    return epochs


def _chosen(results: Results) -> Dict[str, Dict[str, List[float]]]:
    """Median, least and most of what validation has chosen, by mode: epochs,
    or penalties ``c``, of all encoders, seeds and folds of the first task."""
    chosen: Dict[str, Dict[str, List[float]]] = {}
    task = results.settings.tasks[0].name
    for mode in results.settings.modes:
        values: Dict[str, List[float]] = {}
        for encoder in results.settings.encoders:
            for metrics in results.of_folds(task, encoder, mode):
                for name, value in metrics.get("chosen", {}).items():
                    values.setdefault(name, []).append(value)
        for name, of_name in values.items():
            ends = [median(of_name), min(of_name), max(of_name)]
            chosen.setdefault(mode, {})[name] = ends
    return chosen


def _over_seeds(results: Results, tested: Tested) -> Dict[str, Dict[str, Any]]:
    """Metrics of the best method that the page's tables lack: mean over seeds,
    and the least and the largest; of one seed the 95 % interval."""
    runs = results.of(tested.task.name, tested.encoder, tested.mode)
    blocks = [metrics["test"]["recording"] for metrics in runs]
    known = {}
    for name in OF_BEST:
        values = [block.get(name) for block in blocks]
        if None in values:
            continue
        ends, ends_of = [min(values), max(values)], "between seeds"
        if len(values) == 1:
            ends, ends_of = blocks[0].get(f"{name}_ci95"), "95 %"
        known[name] = {"mean": mean(values), "ends": ends, "ends_of": ends_of}
    return known


# Results.


def _results(results, context, tested, numbers) -> List[Optional[str]]:
    name = tested.task.name
    return [
        _participants(tested),
        _best(results, tested),
        _nested(context, tested.task),
        *_by_mode(results, context, name),
        _of_controls(results, tested.task),
        *(_differences(e) for e in context["pairs"] if e.task == name),
        _at_threshold(tested, numbers["best"][tested.task.label_column]),
        _calibrated(tested, numbers["best"][tested.task.label_column]),
        *_decisions(context["decisions"], tested.task),
    ]


def _nested(context, task) -> Optional[str]:
    entry = context["nested"].get(task.label_column)
    return entry and entry["sentence"]


def _decisions(entry, task) -> List[str]:
    of_task = entry and entry["task"] == task.label_column
    return entry["sentences"] if of_task else []


def _participants(tested) -> str:
    counts = tested.counts
    units = counts["n_units"], counts["n_patients"]
    classes = "; ".join(
        f"{name}: {of['n']} of {count(of['n_patients'], 'patient')}"
        for name, of in counts["classes"].items()
    )
    each = ""
    if "n_folds" in counts:
        each = (
            ", each by the model trained without its fold; AUC compares "
            f"recordings {folds_in_words(counts)}"
        )
    return (
        f"For {tested.task.label_column}, {count(counts['n'], 'recording')} of "
        f"{units_in_words('patient', *units)} were tested ({classes}){each}."
    )


def _best(results, tested) -> str:
    where = (tested.task.name, tested.encoder, tested.mode)
    parts = [
        f"{value_in_words(results.cell(*where, unit=unit))} by {unit}"
        for unit in UNITS
    ]
    sd = results.compared(*where)["sets"][0]["sd_encoders"]
    spread = ""
    if sd is not None:
        spread = f"; standard deviation between encoders {sd:.3f}"
    precision = results.cell(*where, metric="average_precision")
    return (
        f"Of {count(tested.counts['n_methods'], 'combination')} of encoder and "
        f"read-out, {ENCODERS[tested.encoder].label}, "
        f"{MODE_NAMES[tested.mode]}, had the highest AUC, {and_(parts)}{spread};"
        f" average precision {value_in_words(precision)}."
    )


def value_in_words(cell: Cell) -> str:
    """A metric with its interval, as text."""
    if cell.mean is None:
        return "not defined"
    ends = f" ({interval_in_words(cell.ci95)})" if cell.ci95 else ""
    return f"{cell.mean:.3f}{ends}"


def _by_mode(results, context, task) -> List[str]:
    """AUC of each encoder in the modes of the pairwise differences."""
    sentences = []
    for entry in context["pairs"]:
        if entry.task == task:
            values = ", ".join(
                f"{ENCODERS[encoder].label} {value_in_words(cell)}"
                for encoder in results.settings.encoders
                if (cell := results.cell(task, encoder, entry.mode))
            )
            sentences.append(f"AUC of {MODE_NAMES[entry.mode]}: {values}.")
    return sentences


def _of_controls(results, task) -> Optional[str]:
    values = ", ".join(
        f"{label} {value_in_words(cell)}"
        for label, cell in corpora.controls(results, task).items()
    )
    return f"AUC without an encoder of the study: {values}." if values else None


def _differences(pairs) -> Optional[str]:
    """The significant differences of all pairs in a mode."""
    n, of = len(pairs.rows), f"of {MODE_NAMES[pairs.mode]}"
    known = [row for row in pairs.rows if row["p_holm"] is not None]
    if not known:
        return None
    proven = [
        f"{row['a']} minus {row['b']} {row['difference']:+.3f} "
        f"({interval_in_words(row['ci95'], '+.3f')}, "
        f"{p_in_words(row['p_holm'])})"
        for row in known
        if row["p_holm"] < ALPHA
    ]
    if not proven:
        least = min(row["p_holm"] for row in known)
        return (
            f"No difference {of}, between encoders or from log-mel statistics, "
            f"was significant (smallest corrected {p_in_words(least)}, {count(n, 'pair')})."
        )
    return (
        f"Significant differences in AUC {of} ({len(proven)} of "
        f"{count(n, 'pair')}): {'; '.join(proven)}."
    )


def _at_threshold(tested, known) -> Optional[str]:
    if not {*AT_THRESHOLD} <= {*known}:
        return None
    sensitivity, specificity = (over_seeds(known[n]) for n in AT_THRESHOLD)
    return (
        "At thresholds that have 80 % specificity on validation patients, the "
        f"sensitivity of {ENCODERS[tested.encoder].label}, "
        f"{MODE_NAMES[tested.mode]}, for {[*tested.counts['classes']][-1]} was "
        f"{sensitivity} and its specificity {specificity}."
    )


def _calibrated(tested, known) -> Optional[str]:
    if not {*CALIBRATION} <= {*known}:
        return None
    return (
        f"Calibration of {ENCODERS[tested.encoder].label}, "
        f"{MODE_NAMES[tested.mode]}, means over seeds: {in_words(known)}."
    )
