"""Facts about a study, as text for the reporting checklist."""

from typing import Any, Dict, Iterable, List, Optional

from recipes.study.encoders import ENCODERS, PROPOSED
from recipes.study.report.corpora import Corpus
from recipes.study.report.results import Results
from recipes.study.report.tables import interval_of, value_of
from recipes.study.settings import MODE_NAMES, Settings


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
    n_sites = cries.sites if cries else 0
    return {
        "corpus": and_(sorted({c.name for c in corpora})),
        "synthetic": "yes" if context["synthetic"] else "no",
        "licence": and_(sorted({c.licence for c in corpora} - {""})),
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
        "label_columns": and_([t.label_column for t in settings.tasks]),
        "predictors": predictors(settings),
        "excluded": excluded(cries),
        "confounds": _confounds(context["confounds"][column]),
        "checksums": f"SHA-256 of {len(context['checksums'])} manifests in "
        "this report",
    }


def _model_facts(results) -> Dict[str, Any]:
    settings = results.settings
    task = settings.tasks[0].name
    runs = results.of(task, "simclr", "linear")
    encoders = [ENCODERS[name] for name in settings.encoders]
    comparators = [encoder.label for encoder in encoders if encoder.control]
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
        "comparators": and_([*comparators, *results.controls(task)]),
        "intervals": "95 % intervals from a bootstrap over test patients; "
        "the spread between seeds is given separately",
        "seeds": f"{and_(map(str, settings.seeds))} (encoders: "
        f"{and_(map(str, settings.pretraining_seeds))})",
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


def predictors(settings: Settings) -> Optional[str]:
    """Input of the encoders; None if it is not the usual front end."""
    if settings.option("simclr", "front_end") != "fbank":
        return None
    return (
        "log-mel features (16 kHz, 80 bands, 25 ms windows every 10 ms, in dB, "
        "peak of each recording at 0.9, minus the mean over time of each band), "
        "no other variable"
    )


def and_(words: Iterable[str]) -> Optional[str]:
    """List as text, or None if it is empty."""
    words = list(words)
    if len(words) < 2:
        return words[0] if words else None
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _participants(table: Optional[List[List[str]]]) -> Optional[str]:
    if not table:
        return None
    (_, *splits), *rows = table
    lines = [
        f"{name}: {', '.join(map(' '.join, zip(splits, cells)))}"
        for name, *cells in rows
    ]
    return "; ".join(lines) + " (recordings / patients / hours)"


def excluded(cries: Optional[Corpus]) -> Optional[str]:
    """Number of files that are excluded, by reason, and of copies."""
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
    lines = [
        f"{MODE_NAMES[mode]} {value_of(cell)} ({interval_of(cell)})"
        for mode in results.settings.modes
        if (cell := results.cell(task, PROPOSED, mode))
    ]
    if not lines:
        return None
    return f"{ENCODERS[PROPOSED].label}, AUC by recording: {', '.join(lines)}"


def _confounds(confounds) -> Optional[str]:
    if not confounds:
        return None
    return " ".join(line.rstrip(".") + "." for line in confounds["verdict"])
