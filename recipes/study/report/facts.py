"""What a study knows of itself, in the words of a reporting checklist."""

from typing import Any, Dict, List, Optional

from recipes.study import corpora
from recipes.study.encoders import ENCODERS
from recipes.study.report.results import Results
from recipes.study.report.tables import interval_of, value_of
from recipes.study.settings import MODE_NAMES

#: The method of the paper.
_OWN = "adapt_replay"


def facts_of(results: Results, context: Dict[str, Any]) -> Dict[str, Any]:
    """Facts for ``checklist.rows``; None where the study does not know."""
    settings = results.settings
    task = settings.tasks[0]
    runs = results.of(task.name, "simclr", "linear")
    block = runs[0]["test"]["recording"] if runs else {}
    own = next(iter(context["cries"]), None)
    software = ", ".join(f"{k} {v}" for k, v in context["versions"].items())
    return {
        "title": settings.title,
        "corpus": _and(sorted({c.name for c in _all(context)})),
        "synthetic": context["synthetic"],
        "licence": _and(sorted({c.licence for c in _all(context)} - {""})),
        "sites": f"{own.sites} site" + "s" * (own.sites > 1)
        if own and own.sites
        else None,
        "split_words": _split(settings),
        "participants": _participants(context["splits"][task.label_column]),
        "n_patients": own and own.patients,
        "n_patients_test": block.get("n_patients"),
        "n_recordings": own and own.recordings,
        "n_recordings_test": block.get("n"),
        "n_events_test": _events(block),
        "hours": own and f"{own.hours:.1f}",
        "label_columns": _and([t.label_column for t in settings.tasks]),
        "predictors": "log-mel features (16 kHz, 80 bands, 25 ms windows every "
        "10 ms, in dB, each recording's peak at 0.9, the mean over time of each "
        "band taken away), no other variable",
        "excluded": _excluded(own),
        "missing": "recordings without a label are left out of classification "
        "and used, unlabelled, for adaptation",
        "model_words": _model(settings, runs),
        "training_words": "AdamW or SGD with warm-up and cosine decay; "
        f"balance: {runs[0]['balance'] if runs else 'not known'} (rare classes "
        "weigh more, taken back in the probabilities); the epoch with the best validation AUC is kept; "
        "all settings are in the commands of this report",
        "tuning_words": "the pipeline chooses the epoch and the thresholds alone, "
        "on validation patients",
        "comparators": _and(
            [
                ENCODERS[name].label
                for name in settings.encoders
                if ENCODERS[name].control
            ]
            + list(results.classical(task.name))
        ),
        "measures": "AUC by recording (primary) and by patient, average "
        "precision, calibration curves",
        "interval_words": "95 % intervals from a bootstrap that draws test "
        "patients with replacement; spread between seeds is given apart",
        "thresholds_words": "thresholds are chosen on validation patients",
        "calibration_words": _calibration(runs),
        "subgroups_words": _nuisance(context["nuisance"]),
        "results_words": _results(results, task),
        "hypotheses_words": "; ".join(
            f"claim {v.claim.number}: {v.verdict}" for v in context["verdicts"]
        ),
        "seeds": f"{_and(map(str, settings.seeds))} (encoders: "
        f"{_and(map(str, settings.pretraining_seeds))})",
        "software": software,
        "commit": context["commit"],
        "hardware": context["hardware"],
        "code": "the commands in this report, or the study's yaml file with "
        "python -m recipes.study.run",
        "checksums": f"SHA-256 of {len(context['checksums'])} manifests in "
        "this report",
        "audit_words": own
        and f"each file was decoded and checked; {_excluded(own)}",
        "confounds_words": _confounds(context["confounds"][task.label_column]),
        "leakage_words": "no patient is in two splits; encoders are adapted "
        "without the patients of validation and test, compared by id and by "
        "samples",
        "fairness_words": None,
    }


def _all(context) -> List[corpora.Corpus]:
    return [c for c in [context["generic"], *context["cries"]] if c]


def _and(words) -> Optional[str]:
    words = list(words)
    if len(words) < 2:
        return words[0] if words else None
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _split(settings) -> str:
    if settings.folds:
        return (
            "whole patients in folds; each fold is tested on once, the next "
            "one validates"
        )
    return "whole patients in training, validation and test"


def _participants(table) -> Optional[str]:
    if not table:
        return None
    head, *rows = table
    return "; ".join(
        f"{row[0]}: "
        + ", ".join(f"{split} {cell}" for split, cell in zip(head[1:], row[1:]))
        for row in rows
    ) + " (recordings / patients / hours)"  # fmt: skip


def _events(block) -> Optional[int]:
    per_class = block.get("per_class")
    if not per_class:
        return None
    return min(one["n_patients"] for one in per_class.values())


def _excluded(own) -> Optional[str]:
    if own is None:
        return None
    left_out = {k: n for k, n in own.rejected.items() if k != "flagged"}
    reasons = ", ".join(f"{n} {why}" for why, n in sorted(left_out.items()))
    return (
        f"{sum(left_out.values())} files left out"
        + (f" ({reasons})" if reasons else "")
        + f", {own.duplicates} pairs of copies found"
    )


def _model(settings, runs) -> Optional[str]:
    if not runs:
        return None
    return (
        f"CNN14 of width {settings.width} with BatchNorm and a linear layer, "
        f"{runs[0]['n_parameters']:,} parameters"
    )


def _calibration(runs) -> Optional[str]:
    if not runs:
        return None
    block = runs[0]["test"]["recording"]
    slope, intercept = (
        block.get(f"calibration_{name}") for name in ("slope", "intercept")
    )
    if slope is None or intercept is None:
        return None
    return (
        f"linear probe on SimCLR: slope {slope:.2f}, intercept "
        f"{intercept:.2f} (1 and 0 are right), Brier score "
        f"{block['brier']:.3f}"
    )


def _nuisance(found) -> Optional[str]:
    told = [one for one in found if one["embedding"] is not None]
    if not told:
        return None
    return "; ".join(
        f"{one['column']} from {one['encoder']}: AUC {one['embedding']:.2f}"
        for one in told
    )


def _results(results, task) -> Optional[str]:
    found = []
    for mode in results.settings.modes:
        cell = results.cell(task.name, _OWN, mode)
        if cell is not None:
            found.append(
                f"{MODE_NAMES[mode]} {value_of(cell)} ({interval_of(cell)})"
            )
    if not found:
        return None
    return f"{ENCODERS[_OWN].label}, AUC by recording: {', '.join(found)}"


def _confounds(found) -> Optional[str]:
    if not found:
        return None
    return " ".join(one.rstrip(".") + "." for one in found["verdict"]).rstrip(
        "."
    )
