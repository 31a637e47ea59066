"""Facts about a study, as text for the reporting checklist."""

from typing import Any, Dict, List, Optional

from recipes.study.encoders import ENCODERS, PROPOSED
from recipes.study.report.corpora import Corpus
from recipes.study.report.results import Results
from recipes.study.report.tables import interval_of, value_of
from recipes.study.settings import MODE_NAMES


def facts_of(results: Results, context: Dict[str, Any]) -> Dict[str, Any]:
    """Facts for ``checklist.rows``; None if the study does not know."""
    return {
        **_data_facts(results, context),
        **_model_facts(results),
        **_result_facts(results, context),
    }


def _data_facts(results, context) -> Dict[str, Any]:
    settings = results.settings
    corpora = [c for c in [context["generic"], *context["cries"]] if c]
    cries: Optional[Corpus] = next(iter(context["cries"]), None)
    column = settings.tasks[0].label_column
    excluded = _excluded(cries)
    n_sites = cries.sites if cries else 0
    return {
        "corpus": _and(sorted({c.name for c in corpora})),
        "synthetic": "yes" if context["synthetic"] else "no",
        "licence": _and(sorted({c.licence for c in corpora} - {""})),
        "sites": f"{n_sites} site" + "s" * (n_sites > 1) if n_sites else None,
        "split": "whole patients in folds; each fold is the test set once, "
        "the next one is for validation"
        if settings.folds
        else "whole patients in training, validation and test set",
        "leakage": "no patient is in two splits; encoders are adapted without "
        "the patients of validation and test set, compared by id and by "
        "samples",
        "participants": _participants(context["splits"][column]),
        "n_patients": cries and cries.patients,
        "n_recordings": cries and cries.recordings,
        "hours": cries and f"{cries.hours:.1f}",
        "label_columns": _and([t.label_column for t in settings.tasks]),
        "predictors": "log-mel features (16 kHz, 80 bands, 25 ms windows every "
        "10 ms, in dB, peak of each recording at 0.9, minus the mean over time "
        "of each band), no other variable",
        "excluded": excluded,
        "missing": "recordings without a label are not classified; they are "
        "used, unlabelled, for adaptation",
        "audit": excluded and f"each file was decoded and checked; {excluded}",
        "confounds": _confounds(context["confounds"][column]),
        "checksums": f"SHA-256 of {len(context['checksums'])} manifests in "
        "this report",
    }


def _model_facts(results) -> Dict[str, Any]:
    settings = results.settings
    task = settings.tasks[0].name
    runs = results.of(task, "simclr", "linear")
    comparators = [
        ENCODERS[name].label
        for name in settings.encoders
        if ENCODERS[name].control
    ]
    n_parameters = runs[0]["n_parameters"] if runs else 0
    balance = runs[0]["balance"] if runs else "unknown"
    return {
        "title": settings.title,
        "model": f"{settings.architecture} of width {settings.width} with "
        f"BatchNorm and a linear layer, {n_parameters:,} parameters"
        if runs
        else None,
        "training": "AdamW or SGD with warm-up and cosine decay; balance: "
        f"{balance} (rare classes have a higher weight, which is reversed in "
        "the probabilities); the epoch with the best validation AUC is kept; "
        "all settings are in the commands of this report",
        "tuning": "only the epoch and the thresholds are chosen, on validation "
        "patients",
        "thresholds": "thresholds are chosen on validation patients",
        "comparators": _and([*comparators, *results.classical(task)]),
        "metrics": "AUC by recording (primary) and by patient, average "
        "precision, calibration curves",
        "intervals": "95 % intervals from a bootstrap over test patients; "
        "the spread between seeds is given separately",
        "seeds": f"{_and(map(str, settings.seeds))} (encoders: "
        f"{_and(map(str, settings.pretraining_seeds))})",
    }


def _result_facts(results, context) -> Dict[str, Any]:
    task = results.settings.tasks[0].name
    runs = results.of(task, "simclr", "linear")
    block = runs[0]["test"]["recording"] if runs else {}
    classes = block.get("per_class") or {}
    events = [entry["n_patients"] for entry in classes.values()]
    versions = context["versions"].items()
    verdicts = [
        f"claim {v.claim.number}: {v.verdict}" for v in context["verdicts"]
    ]
    return {
        "n_patients_test": block.get("n_patients"),
        "n_recordings_test": block.get("n"),
        "n_events_test": min(events) if events else None,
        "calibration": _calibration(block),
        "subgroups": _nuisance(context["nuisance"]),
        "results": _results(results, task),
        "hypotheses": "; ".join(verdicts),
        "software": ", ".join(f"{name} {v}" for name, v in versions),
        "commit": context["commit"],
        "hardware": context["hardware"],
        "code": "the commands in this report, or the study's yaml file with "
        "python -m recipes.study.run",
    }


def _and(words) -> Optional[str]:
    words = list(words)
    if len(words) < 2:
        return words[0] if words else None
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _participants(table: Optional[List[List[str]]]) -> Optional[str]:
    if not table:
        return None
    (_, *splits), *rows = table
    lines = [
        f"{name}: "
        + ", ".join(f"{split} {cell}" for split, cell in zip(splits, cells))
        for name, *cells in rows
    ]
    return "; ".join(lines) + " (recordings / patients / hours)"


def _excluded(cries: Optional[Corpus]) -> Optional[str]:
    if cries is None:
        return None
    counts = {k: n for k, n in cries.rejected.items() if k != "flagged"}
    reasons = ", ".join(f"{n} {why}" for why, n in sorted(counts.items()))
    return (
        f"{sum(counts.values())} files excluded"
        + (f" ({reasons})" if reasons else "")
        + f", {cries.duplicates} pairs of copies"
    )


def _calibration(block) -> Optional[str]:
    slope = block.get("calibration_slope")
    intercept = block.get("calibration_intercept")
    if slope is None or intercept is None:
        return None
    return (
        f"linear probe on SimCLR: slope {slope:.2f}, intercept "
        f"{intercept:.2f} (1 and 0 are right), Brier score "
        f"{block['brier']:.3f}"
    )


def _nuisance(probes) -> Optional[str]:
    lines = [
        f"{probe['column']} from {probe['encoder']}: AUC "
        f"{probe['embedding']:.2f}"
        for probe in probes
        if probe["embedding"] is not None
    ]
    return "; ".join(lines) or None


def _results(results, task) -> Optional[str]:
    cells = {
        MODE_NAMES[mode]: results.cell(task, PROPOSED, mode)
        for mode in results.settings.modes
    }
    lines = [
        f"{mode} {value_of(cell)} ({interval_of(cell)})"
        for mode, cell in cells.items()
        if cell is not None
    ]
    if not lines:
        return None
    return f"{ENCODERS[PROPOSED].label}, AUC by recording: {', '.join(lines)}"


def _confounds(confounds) -> Optional[str]:
    if not confounds:
        return None
    return " ".join(line.rstrip(".") + "." for line in confounds["verdict"])
