"""Further results of a study: differences between encoders, gains over controls,
nuisance probes, forgetting and costs.
"""

import math
from itertools import combinations, product
from statistics import median_high
from typing import Dict, List, NamedTuple, Optional, Tuple

from cry_modules.checkpoints.public import facts_of
from cry_modules.evaluation.controls import NAMES
from cry_modules.metrics.compare import ONE_SEED
from cry_modules.metrics.multiplicity import holm
from cry_modules.metrics.words import markdown_table, p_in_words
from cry_modules.training.history import BEFORE, BEFORE_FILE
from recipes.study import cost
from recipes.study.encoders import ENCODERS
from recipes.study.report import maps
from recipes.study.report.results import read_if_there
from recipes.study.report.tables import at_share
from recipes.study.stages import MODE_NAMES, PROBES, method_in_words

#: Control that pre-training must beat to be worth anything for a task.
BASELINE = "logmel_logistic"


class Pairs(NamedTuple):
    """Differences of all pairs of encoders in a mode; each has ``a``, ``b`` and
    the entry of ``Results.difference`` of a minus b, with ``p_holm``."""

    task: str
    mode: str
    title: str
    rows: List[Dict]


def pairs(results) -> List[Pairs]:
    """All pairwise differences of encoders, and those to log-mel statistics, for
    each task: in the best mode that all of them have, and in the paper's
    linear probe."""
    entries = []
    for task in results.settings.tasks:
        for mode, why in _compared_modes(results, task.name).items():
            title = f"{task.label_column}, {MODE_NAMES[mode]}: {why}"
            rows = _pairs(results, task.name, mode)
            entries.append(Pairs(task.name, mode, title, rows))
    return [entry for entry in entries if entry.rows]


def _compared_modes(results, task) -> Dict[str, str]:
    """Modes in which all encoders are compared, and why."""
    means = {}
    for mode in results.settings.modes:
        cells = [
            results.cell(task, encoder, mode)
            for encoder in results.settings.encoders
        ]
        values = [cell.mean for cell in cells if cell]
        if len(values) > 1 and None not in values:
            means[mode] = (len(values), sum(values) / len(values))
    best = max(means, key=means.get, default="linear")
    why = {best: "the read-out of the highest mean AUC"}
    why["linear"] = " and ".join(
        [*filter(None, [why.get("linear")]), "the paper's linear probe"]
    )
    return why


def _pairs(results, task, mode) -> List[Dict]:
    cells = {e: results.cell(task, e, mode) for e in results.settings.encoders}
    known = {e: cell.mean or 0 for e, cell in cells.items() if cell}
    ranked = sorted(known, key=known.get, reverse=True)
    rows = [
        {
            **results.difference(task, mode, b, a),  # with names of its own
            "a": ENCODERS[a].label,
            "b": ENCODERS[b].label,
        }
        for a, b in combinations(ranked, 2)
    ]
    for a in ranked:
        above = results.above_control(task, mode, a, BASELINE)
        if above is not None:
            rows.append({**above, "a": ENCODERS[a].label, "b": NAMES[BASELINE]})
    for row, p in zip(rows, holm([row["p"] for row in rows])):
        row["p_holm"] = p
    return rows


def controls(results, all_pairs: List[Pairs]) -> List[Dict]:
    """Differences between encoders and their controls. One that is among the
    pairs has their ``p_holm``, as ``in_pairs`` says; that of the others is
    corrected for the number of those."""
    rows: List[Dict] = [
        {
            "task": task.label_column,
            "mode": at_share(MODE_NAMES[mode], fraction),
            "method": ENCODERS[method].label,
            "control": row.label,
            **difference,
            **_as_pair(all_pairs, task.name, mode, fraction, method, control),
        }
        for task in results.settings.tasks
        for control, row in ENCODERS.items()
        for method in row.control_of
        for fraction in (1.0, *results.settings.compared_at)
        for mode in results.settings.modes
        if (
            difference := results.difference(
                task.name, mode, control, method, fraction
            )
        )
    ]
    rows += _above_logmel(results)
    others = [row for row in rows if not row["in_pairs"]]
    for row, p in zip(others, holm([row["p"] for row in others])):
        row["p_holm"] = p
    return rows


def _above_logmel(results) -> List[Dict]:
    """Differences of encoders to log-mel statistics with fewer labels."""
    settings = results.settings
    task = settings.tasks[0]
    return [
        {
            "task": task.label_column,
            "mode": at_share(MODE_NAMES[mode], fraction),
            "method": ENCODERS[encoder].label,
            "control": NAMES[BASELINE],
            **difference,
            "in_pairs": False,
        }
        for fraction in settings.compared_at
        for mode in settings.modes
        for encoder in settings.encoders
        if (
            difference := results.above_control(
                task.name, mode, encoder, BASELINE, fraction
            )
        )
    ]


def _as_pair(all_pairs, task, mode, fraction, *encoders) -> Dict:
    """The p of a difference in the table of all pairs, if it is there."""
    labels = {ENCODERS[name].label for name in encoders}
    for entry in all_pairs:
        for row in entry.rows:
            where = entry.task, entry.mode, 1.0, {row["a"], row["b"]}
            if where == (task, mode, fraction, labels):
                found = {name: row[name] for name in ("p", "p_holm")}
                return {**found, "in_pairs": True}
    return {"in_pairs": False}


def as_markdown(all_pairs: List[Pairs], of_controls: List[Dict]) -> str:
    """Tables of the differences of all pairs, and of those to controls."""
    entries = [
        (f"Differences: {entry.title}", entry.rows) for entry in all_pairs
    ]
    rows = [
        {
            **row,
            "a": f"{row['task']}, {row['mode']}: {row['method']}",
            "b": row["control"],
        }
        for row in of_controls
    ]
    entries.append(("Differences to controls", rows))
    head = ["first", "second", "first minus second, AUC", "95 % interval"]
    head += ["p, corrected", "found with 80 % power"]
    parts = []
    for title, rows in filter(lambda entry: entry[1], entries):
        cells = [[row["a"], row["b"], *_in_cells(row)] for row in rows]
        parts += [f"## {title}", "", *markdown_table(head, cells), ""]
    return "\n".join(parts)


def _in_cells(row) -> List[str]:
    """Difference, interval, p and detectable difference as text."""
    texts = [
        "none" if row[name] is None else form.format(row[name])
        for name, form in (("difference", "{:+.3f}"), ("detectable", "{:.3f}"))
    ]
    ends = "none"
    if row["ci95"]:
        ends = "{:+.3f} to {:+.3f}".format(*row["ci95"])
    p = "undecided"
    if row["no_interval"] != ONE_SEED:
        p = p_in_words(row["p_holm"]).replace("p = ", "").replace("p ", "")
    return [texts[0], ends, p, texts[1]]


def nuisance(results) -> List[Dict]:
    """AUC of predicting the nuisance column from embeddings and from log-mel
    statistics."""
    task, rows = results.settings.tasks[0].name, []
    modes = [mode for mode in PROBES if mode in results.settings.modes]
    for encoder, mode in product(results.settings.encoders, modes):
        metrics = results.of(task, encoder, mode)
        probes = metrics[0].get("nuisance", {}) if metrics else {}
        for column, probe in probes.items():
            embedding = probe.get("embedding", {})
            rows.append(
                {
                    "encoder": method_in_words(encoder, mode),
                    "column": column,
                    "embedding": embedding.get("auc"),
                    "ci95": embedding.get("auc_ci95"),
                    "logmel": probe.get("log-mel", {}).get("auc"),
                    "voice": probe.get("speaker encoder", {}).get("auc"),
                }
            )
    return rows


def outside(results) -> List[Dict]:
    """Facts of the encoders of others: parameters, hours, licence, and seconds
    for a minute of audio on one core, measured where the study ran."""
    rows = []
    for name in results.settings.encoders:
        row = ENCODERS[name]
        if not row.outside:
            continue
        known, measured = facts_of(row.source), maps.costs_of(results, name)
        rows.append(
            {
                "encoder": row.label,
                "parameters": measured.get("n_parameters") or known.parameters,
                "hours": known.hours,
                "licence": known.licence,
                "seconds": measured.get("seconds", known.seconds),
            }
        )
    return rows


def forgetting(results) -> List[Dict]:
    """Contrastive accuracy on held-out generic audio and on cries, before and
    after each adaptation, by seed."""
    rows = []
    for encoder in results.settings.encoders:
        if not ENCODERS[encoder].cries:
            continue
        row = {"encoder": ENCODERS[encoder].label}
        for corpus in ("generic", "cry"):
            pairs = [
                _change(results, encoder, seed, f"valid_accuracy_{corpus}")
                for seed in results.settings.pretraining_seeds
            ]
            pairs = [pair for pair in pairs if pair is not None]
            row[corpus] = {
                "before": [before for before, _ in pairs],
                "after": [after for _, after in pairs],
            }
        if row["cry"]["after"]:
            rows.append(row)
    return rows


def _change(results, encoder, seed, key) -> Optional[Tuple[float, float]]:
    """Values before and after an adaptation, means over folds."""
    pairs = []
    for fold in results.plan.adapted_folds(encoder) or [""]:
        run = results.plan.encoder(encoder, seed, fold)
        first = read_if_there(run.folder / BEFORE_FILE, BEFORE) or {}
        last = (results.history(run) or [{}])[-1]
        if run.done and key in first and key in last:
            pairs.append((first[key], last[key]))
    if not pairs:
        return None
    before, after = (sum(values) / len(pairs) for values in zip(*pairs))
    return before, after


def costs(results) -> List[Dict]:
    """Time, speed and memory by kind of run."""
    kinds: Dict[str, List] = {}
    for run in results.plan.runs.values():
        measured = cost.timed(run, results.settings)
        if measured is not None and run.done:
            kinds.setdefault(_kind(run), []).append((run, measured))
    rows = []
    for kind, runs in kinds.items():
        seconds = [measured["seconds"] for _, measured in runs]
        speeds = [
            row["clips_per_s"]
            for run, _ in runs
            for row in results.history(run)[1:]
            if row.get("clips_per_s") and math.isfinite(row["clips_per_s"])
        ]
        rows.append(
            {
                "kind": kind,
                "runs": len(runs),
                "median_s": median_high(seconds),
                "hours": sum(seconds) / 3600,
                "clips_per_s": median_high(speeds) if speeds else None,
                "peak_mb": max(measured["peak_mb"] for _, measured in runs),
            }
        )
    return rows


def _kind(run) -> str:
    if run.rule == "train_cls":
        return f"{MODE_NAMES[run.facts['mode']]} classifier"
    if run.rule == "embed":
        return "embeddings for this page"
    if "encoder" in run.facts:
        return ENCODERS[run.facts["encoder"]].label
    return run.rule
