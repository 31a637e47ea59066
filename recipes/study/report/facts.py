"""Facts about a study, as text for the reporting checklist."""

from typing import Any, Dict, Iterable, List, Optional

from cry_modules.metrics.predictions import UNITS
from recipes.study.encoders import ENCODERS
from recipes.study.report.corpora import Corpus
from recipes.study.report.doubtful import best_method
from recipes.study.report.limits import CALIBRATION, in_words
from recipes.study.report.results import Results
from recipes.study.report.tables import interval_of, value_of
from recipes.study.settings import Settings
from recipes.study.stages import (
    HPARAMS,
    MODE_NAMES,
    hparams_of,
    method_in_words,
    plain_settings,
)


def facts_of(results: Results, context: Dict[str, Any]) -> Dict[str, Any]:
    """Facts for ``checklist.rows``; None if the study does not know."""
    return {
        **_data_facts(results, context),
        **_model_facts(results, context),
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
        f"with {settings.valid_in_words} for validation"
        if settings.folds
        else "whole patients in training, validation and test set",
        "leakage": "; ".join(
            filter(None, ["no patient is in two splits", context["apart"]])
        ),
        "unlabelled": _unlabelled(settings),
        "participants": _participants(context["splits"][column]),
        "n_patients": (cries and cries.patients) or None,
        "n_recordings": cries and cries.recordings,
        "hours": cries and f"{cries.hours:.1f}",
        "label_columns": and_([t.label_column for t in settings.tasks]),
        "predictors": predictors(settings),
        "excluded": excluded(cries),
        "confounds": _confounds(context["confounds"][column]),
        "checksums": f"SHA-256 of {len(context['checksums'])} manifests in "
        "this report",
    }


def _unlabelled(settings) -> str:
    """Use of the recordings without a label."""
    if not any(ENCODERS[name].cries == "all" for name in settings.encoders):
        return "not used"
    if settings.unlabelled is not None:
        return "not used; the unlabelled cries of adaptation are other ones"
    return "used for adaptation, if no patient of validation or test made them"


def _model_facts(results, context) -> Dict[str, Any]:
    settings = results.settings
    task = settings.tasks[0].name
    runs = _of_best(results, task)
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
        "training": f"{_trained(settings)}; balance: {balance} (loss: rare "
        "classes have a higher weight, which is reversed in the probabilities)"
        "; all settings are in the commands of this report",
        "tuned": _tuned(settings, context),
        "comparators": and_([*comparators, *results.controls(task)]),
        "intervals": "95 % intervals from a bootstrap over test patients; "
        "the spread between seeds is given separately",
        "seeds": f"{and_(map(str, settings.seeds))} (encoders: "
        f"{and_(map(str, settings.pretraining_seeds))})",
    }


def _result_facts(results, context) -> Dict[str, Any]:
    task = results.settings.tasks[0].name
    runs = _of_best(results, task)
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
        "calibration": _calibration(results, context),
        "subgroups": _nuisance(context["nuisance"]),
        "results": _results(results, task),
        "hypotheses": "; ".join(verdicts),
        "software": ", ".join(f"{name} {v}" for name, v in versions),
        "commit": context["commit"],
        "hardware": context["hardware"],
        "code": "the commands in this report, or the study's yaml file with "
        "python -m recipes.study.run",
    }


def _of_best(results, task) -> List[Dict]:
    """Metrics of the method that the page reports as the best, by seed."""
    best = best_method(results, task)
    return results.of(task, *best) if best else []


def _trained(settings) -> str:
    """Training of the encoders and of each kind of classifier."""
    solved = [m for m in settings.modes if _is_solved(settings, m)]
    others = [MODE_NAMES[m] for m in settings.modes if m not in solved]
    parts = []
    if any(ENCODERS[name].stage for name in settings.encoders):
        how = "AdamW or SGD with warm-up and cosine decay"
        parts.append(f"encoders: {how}")
    if solved:
        names = and_([MODE_NAMES[m] for m in solved])
        parts.append(f"{names}: logistic regression, solved by L-BFGS")
    if others:
        parts.append(f"{and_(others)}: AdamW or SGD by epochs")
    return "; ".join(parts)


def option_of(settings: Settings, mode: str, name: str) -> Any:
    """Value of an option of the first task's classifiers in a mode."""
    file = HPARAMS / f"{hparams_of(settings.tasks[0].hparams, mode)}.yaml"
    return {**plain_settings(file), **settings.stages.get(mode, {})}[name]


def _is_solved(settings, mode) -> bool:
    """True if a mode has a penalty in place of epochs."""
    try:
        return option_of(settings, mode, "solver") == "lbfgs"
    except KeyError:
        return False


def _tuned(settings, context) -> str:
    """Quantities that validation chooses."""
    chosen = context["paper"].numbers["chosen"]
    names = {name for values in chosen.values() for name in values}
    solved = {_is_solved(settings, mode) for mode in settings.modes}
    words = ["the thresholds"]
    if "c" in names or True in solved:
        words.insert(0, "the penalty C")
    if "epoch" in names or False in solved:
        words.insert(0, "the epoch")
    return and_(words)


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
        + f", {cries.duplicates} pairs of copies among these cries"
    )


def _calibration(results, context) -> Optional[str]:
    task = results.settings.tasks[0]
    known = context["paper"].numbers["best"].get(task.label_column, {})
    if not {*CALIBRATION} <= {*known}:
        return None
    return f"{_best_in_words(results, task.name)}: {in_words(known)}"


def _nuisance(probes) -> Optional[str]:
    lines = [
        f"{probe['column']} from {probe['encoder']}: AUC "
        f"{probe['embedding']:.2f}"
        for probe in probes
        if probe["embedding"] is not None
    ]
    return "; ".join(lines) or None


def _results(results, task) -> Optional[str]:
    best = best_method(results, task)
    if best is None:
        return None
    cells = {unit: results.cell(task, *best, unit=unit) for unit in UNITS}
    lines = [
        f"{value_of(cell)} ({interval_of(cell)}) by {unit}"
        for unit, cell in cells.items()
    ]
    return f"{_best_in_words(results, task)}: AUC {' and '.join(lines)}"


def _best_in_words(results, task) -> str:
    method = method_in_words(*best_method(results, task))
    return f"{method} (the highest AUC, mean over seeds)"


def _confounds(confounds) -> Optional[str]:
    if not confounds:
        return None
    return " ".join(line.rstrip(".") + "." for line in confounds["verdict"])
