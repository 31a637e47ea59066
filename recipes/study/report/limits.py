"""Statements that a study does not support and a paper may not make."""

from typing import Dict, List

from cry_modules.metrics.compare import ONE_SEED
from cry_modules.metrics.paired import ALPHA
from cry_modules.metrics.words import interval_in_words
from data_prep.files.words import count
from recipes.study.encoders import ENCODERS
from recipes.study.report import corpora
from recipes.study.report.results import Results
from recipes.study.settings import Task
from recipes.study.stages import MODE_NAMES, method_in_words

#: Slopes of calibration that are near enough to 1.
_SLOPES = 0.8, 1.25
CALIBRATION = "calibration_slope", "calibration_intercept", "brier"


def not_to_say(
    results: Results, context: Dict, tested: List, best: Dict
) -> List[str]:
    """Statements that the study does not support, each with its reason."""
    lines = []
    if context["synthetic"]:
        lines.append("Anything about infants: the audio is synthetic.")
    if context["missing"]:
        n = len(context["missing"])
        lines.append(f"Anything about the {count(n, 'run')} that are missing.")
    for each in tested:
        lines += _on_best(results, each, context["nested"])
        lines += _on_chance(results, each)
        lines += _on_probabilities(each, best[each.task.label_column])
        lines += _on_pairs(context["pairs"], each.task.name)
        lines += [
            f"That {each.task.label_column} is recognised by the cry: {clause}."
            for clause in not_the_cry(results, each.task)
        ]
        shared = each.counts["n_of_several_folds"]
        if shared:
            lines.append(
                f"That each fold has its own patients: {count(shared, 'patient')} "
                "with recordings in several; in each fold, their other "
                "recordings are in neither training nor test."
            )
    return [*lines, *_on_patients(results, context)]


def _on_best(results, tested, nested) -> List[str]:
    """Selection of the best method, and controls that reach it."""
    task, counts = tested.task, tested.counts
    best = results.cell(task.name, tested.encoder, tested.mode)
    label = f"{ENCODERS[tested.encoder].label}, {MODE_NAMES[tested.mode]}"
    lines = []
    if counts["no_interval"]:
        lines.append(
            f"How certain any AUC of {task.label_column} is: "
            f"{counts['no_interval']}."
        )
    if counts["n_methods"] > 1:
        lines.append(
            f"That {label}, reaches {best.mean:.3f} on other patients: it is "
            f"the highest of {counts['n_methods']}, chosen on these patients"
            f"{_of_choice(nested.get(task.label_column))}."
        )
    low = best.ci95[0] if best.ci95 else 0.0
    reached = [
        f"{name} ({cell.mean:.3f})"
        for name, cell in corpora.controls(results, task).items()
        if cell.mean is not None and cell.mean >= low
    ]
    if reached:
        lines.append(
            f"That {label}, is better than these controls, whose AUC is within "
            f"or above its interval: {'; '.join(reached)}."
        )
    return lines


def _of_choice(entry) -> str:
    if not entry:
        return ""
    folds = " in each fold" * (entry["n_choices"] > 1)
    return (
        f"; a method chosen{folds} by validation AUC reaches {entry['auc']:.3f}"
    )


def _on_chance(results, tested) -> List[str]:
    """Methods whose interval includes 0.5."""
    task = tested.task
    names = [
        method_in_words(encoder, mode)
        for encoder in results.settings.encoders
        for mode in results.settings.modes
        if (cell := results.cell(task.name, encoder, mode))
        and cell.ci95
        and cell.ci95[0] <= 0.5
    ]
    if not names:
        return []
    return [
        f"That {task.label_column} is predicted better than by chance, whose "
        f"0.5 is in the interval, by: {'; '.join(names)}."
    ]


def _on_probabilities(tested, known) -> List[str]:
    """Probabilities that are too extreme or too near the prevalence."""
    if "calibration_slope" not in known:
        return []
    slope = known["calibration_slope"]["mean"]
    if _SLOPES[0] <= slope <= _SLOPES[1]:
        return []
    fault = "too extreme" if slope < 1 else "too near the share of the class"
    return [
        f"That the probabilities of {ENCODERS[tested.encoder].label}, "
        f"{MODE_NAMES[tested.mode]}, are those of {tested.task.label_column}: "
        f"they are {fault} ({_slope_in_words(known)}); calibrate them on "
        "other patients before one is shown to anybody."
    ]


def in_words(known: Dict) -> str:
    """Calibration of a method, as text."""
    _, intercept, brier = (known[name]["mean"] for name in CALIBRATION)
    return (
        f"{_slope_in_words(known)}, intercept {intercept:.3f} (0 is right), "
        f"Brier score {brier:.3f}"
    )


def _slope_in_words(known) -> str:
    return f"slope {over_seeds(known['calibration_slope'], '1 is right')}"


def over_seeds(value: Dict, note: str = "") -> str:
    """Mean over seeds of a metric, with what it ranges over and a note."""
    ends = value["ends"]
    between = f"{interval_in_words(ends)} {value['ends_of']}" if ends else ""
    notes = "; ".join(filter(None, [between, note]))
    return f"{value['mean']:.3f}" + (f" ({notes})" if notes else "")


def _on_pairs(pairs, task) -> List[str]:
    """Differences between encoders that are not significant."""
    lines = []
    for entry in pairs:
        names = [
            f"{row['a']} and {row['b']}"
            for row in entry.rows
            if row["p_holm"] is None or row["p_holm"] >= ALPHA
        ]
        if entry.task != task or not names:
            continue
        text = "That one of two methods is better than the other with "
        text += MODE_NAMES[entry.mode]
        if len(names) < len(entry.rows):
            text += f", in these pairs: {'; '.join(names)}"
        why = "not significant"
        if any(row["no_interval"] == ONE_SEED for row in entry.rows):
            why = ONE_SEED
        lines.append(f"{text} ({why}).")
    return lines


def not_the_cry(results: Results, task: Task) -> List[str]:
    """Clauses on what predicts the label besides the cry."""
    warning = results.file_warning(task)
    clauses = [warning] if warning else []
    cells = corpora.confound_cells(results, task)
    for label, cell in cells.items():
        if cell.ci95 and cell.ci95[0] > 0.5:
            clauses.append(
                f"{task.label_column} is also predicted by {label}, AUC "
                f"{cell.mean:.3f} ({interval_in_words(cell.ci95)})"
            )
    if not cells:
        clauses.append("background and file were not examined for it")
    return clauses


def _on_patients(results, context) -> List[str]:
    """Places and infants that were not tested."""
    sites = max((corpus.sites for corpus in context["cries"]), default=0)
    of = {0: "of unknown sites", 1: "of one site"}.get(sites)
    lines = [
        "That it works elsewhere: no external data were tested"
        + (f", and the recordings are {of}." if of else ".")
    ]
    if any(ENCODERS[name].stage for name in results.settings.encoders):
        lines.append(
            "That no encoder has met a test patient: the generic sounds are "
            "not compared with the cries"
            + (
                f"; {corpora.adapted_without(context)}."
                if context["adapted"]
                else "."
            )
        )
    return lines
