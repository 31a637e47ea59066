"""A run's figures in words: one line, one sentence, one page."""

from typing import Dict, List

from cry_modules.evaluation.controls import NAMES, unbeaten
from cry_modules.evaluation.subgroups import table as subgroup_table
from cry_modules.metrics.figures import METRICS, shown_in
from cry_modules.metrics.predictions import UNITS
from cry_modules.metrics.words import count, p_in_words, with_interval

PICTURES = (
    "roc",
    "precision_recall",
    "calibration",
    "confusion",
    "patients",
    "training",
)


def summary(metrics: Dict, output_folder: str) -> str:
    """One line for the terminal."""
    test = metrics["test"]["recording"]
    auc = f"test AUC {with_interval(test)}"
    if metrics.get("folds"):
        each = metrics["by_fold"]["auc"]
        auc = f"{len(metrics['folds'])} folds, pooled AUC {with_interval(test)}"
        if each["sd"] is not None:
            auc += f", mean of folds {each['mean']:.3f} sd {each['sd']:.3f}"
    why = f": {test['no_interval']}" if test["no_interval"] else ""
    return (
        f"done: {metrics['label_column']} {metrics['finetune_mode']} on "
        f"{_encoder(metrics)} and {metrics['corpus']}, {auc}{why}, "
        f"{test['n']} recordings of {test['n_patients']} patients, accuracy "
        f"{test['accuracy']:.3f} (majority {test['majority_accuracy']:.3f})"
        f"{_controls_in_short(metrics)}; report in {output_folder}/report.md"
    )


def _encoder(metrics) -> str:
    return metrics["encoder_source"] or "a random encoder"


def _controls_in_short(metrics) -> str:
    chance = ""
    if not is_above_chance(metrics):
        chance = ", NOT shown to be better than guessing"
    if not metrics.get("controls"):
        return chance
    left = unbeaten(metrics["controls"])
    if not left:
        return chance or ", better than its controls"
    best = metrics["controls"][left[0]]["recording"]
    value = "" if best["auc"] is None else f" {best['auc']:.3f}"
    return f"{chance}, NOT shown to be better than {NAMES[left[0]]}{value}"


def is_above_chance(metrics: Dict, unit: str = "recording") -> bool:
    """Whether the interval of the AUC lies above 0.5.

    Example
    -------
    >>> is_above_chance({"test": {"recording": {"auc_ci95": [0.45, 0.7]}}})
    False
    """
    found = metrics["test"][unit]["auc_ci95"]
    return found is not None and found[0] > 0.5


def sentence(metrics: Dict) -> str:
    """What a paper could print."""
    recording, patient = (metrics["test"][unit] for unit in UNITS)
    if recording["auc"] is None:
        return (
            f"Of {metrics['label_column']} no AUC can be given: "
            f"{recording['no_interval']} in test."
        )
    where = "test recordings"
    if metrics.get("folds"):
        where = (
            "recordings, each told by the model that had not heard its fold,"
        )
    macro = "macro AUC" if len(metrics["classes"]) > 2 else "AUC"
    text = (
        f"On {recording['n']} {where} of "
        f"{recording['n_patients']} patients "
        f"({_counts(recording)}), {metrics['label_column']} was told with "
        f"{macro} {with_interval(recording)} by recording and "
        f"{with_interval(patient)} by patient "
    )
    why_not = recording["no_interval"]
    text += f"(no interval: {why_not})." if why_not else "(95 % intervals)."
    if not is_above_chance(metrics):
        text += " That is not shown to be better than guessing."
    if recording["sensitivity_at_spec80"] is not None:
        text += (
            " At the threshold that has 80 % specificity on validation, "
            f"sensitivity was {with_interval(recording, 'sensitivity_at_spec80')}"  # fmt: skip
            " and specificity "
            f"{with_interval(recording, 'specificity_at_threshold')}."
        )
    return " ".join([text, *_on_controls(metrics)])


def _counts(block) -> str:
    return ", ".join(
        f"{name}: {entry['n']} of {count(entry['n_patients'], 'patient')}"
        for name, entry in block["per_class"].items()
        if entry["n"]
    )


def _on_controls(metrics) -> List[str]:
    """A sentence on the best of the controls, and on the random encoder."""
    controls = metrics.get("controls") or {}
    if not controls:
        return []
    ranked = sorted(
        controls, key=lambda n: -(controls[n]["recording"]["auc"] or 0)
    )
    said = [_against(controls, ranked[0])]
    if "random_encoder" in controls and ranked[0] != "random_encoder":
        said.append(_against(controls, "random_encoder"))
    left = unbeaten(controls)
    if left:
        names = "; ".join(NAMES[name] for name in left)
        said.append(f"It is not shown to be better than: {names}.")
    return said


def _against(controls, name) -> str:
    entry = controls[name]["recording"]
    found = entry["difference"]
    text = f"{NAMES[name].capitalize()}: AUC {with_interval(entry)}"
    if found["difference"] is None:
        return f"{text}."
    text += f", the model's less that {found['difference']:+.3f}"
    if found["ci95"] is None:
        return f"{text}."
    low, high = found["ci95"]
    return f"{text} ({low:+.3f} to {high:+.3f}, {p_in_words(found['p'])})."


def page(metrics: Dict) -> str:
    """``report.md``: all figures, controls, subgroups, pictures."""
    title = f"{metrics['label_column']}: {metrics['finetune_mode']} on {_encoder(metrics)}"  # fmt: skip
    lines = [f"# {title}", "", f"{_corpus(metrics)} {sentence(metrics)}", ""]
    lines += ["## Figures", "", *figures_table(metrics), ""]
    if metrics.get("folds"):
        lines += ["## Folds", "", *_folds_table(metrics), ""]
    if metrics.get("controls"):
        lines += ["## Controls on the same split", ""]
        lines += [*controls_table(metrics), ""]
    if metrics.get("nuisance"):
        lines += ["## What the embedding should not tell", ""]
        lines += [*_nuisance_lines(metrics["nuisance"]), ""]
    if metrics.get("subgroups"):
        lines += ["## Subgroups", "", *subgroup_table(metrics["subgroups"]), ""]
    lines += ["## Pictures", "", *_pictures(metrics), ""]
    lines += ["## How to read this", "", _READING.format(**metrics), ""]
    return "\n".join(lines)


_READING = """\
Intervals come from draws of *patients* (AUC, average precision, balanced \
accuracy, sensitivity and specificity: Student's t on log-odds; else percentiles); they are \
those of this test set for this model, and another seed or another training \
set moves the figures besides. There is none where a class has fewer than five patients. A patient's \
score is `{patient_score}` of its recordings'; where a patient has recordings \
of several classes, of those of one class. Thresholds and the epoch were \
chosen on validation. Accuracy is that of calling the most probable class; \
balanced accuracy, recalls and confusion matrix are those of calling the class \
whose probability exceeds its share in training most."""


def _corpus(metrics) -> str:
    synthetic = " It is synthetic: this says nothing about infants."
    name = f"Corpus: {metrics['corpus']}."
    return name + (synthetic if metrics.get("synthetic") else "")


def figures_table(metrics: Dict) -> List[str]:
    """Figures of the test split, by recording and by patient."""
    rows = ["| test | by recording | by patient |", "|---|---|---|"]
    blocks = [metrics["test"][unit] for unit in UNITS]
    for key in shown_in("report"):
        if all(block[key] is None for block in blocks):
            continue
        cells = [with_interval(block, key) for block in blocks]
        if key == "accuracy":
            cells = [
                f"{cell}, majority {block['majority_accuracy']:.3f}"
                for cell, block in zip(cells, blocks)
            ]
        rows.append(f"| {METRICS[key].label} | {cells[0]} | {cells[1]} |")
    return rows


def _folds_table(metrics) -> List[str]:
    rows = [
        "| left out | recordings / patients | AUC | average precision |",
        "|---|---|---|---|",
    ]
    for fold in metrics["by_fold"]["each"]:
        rows.append(
            f"| {_cell(fold['fold'])} | {fold['n']} / {fold['n_patients']} | "
            f"{with_interval(fold)} | "
            f"{with_interval(fold, 'average_precision')} |"
        )
    return rows


def controls_table(metrics: Dict) -> List[str]:
    """What the model must be seen beside."""
    rows = [
        "| by recording | AUC | average precision | balanced accuracy | "
        "accuracy | AUC of the model less this |",
        "|---|---|---|---|---|---|",
    ]
    test = metrics["test"]["recording"]
    rows.append(f"| this model | {_four(test)} | |")
    for name, entry in metrics["controls"].items():
        block, found = entry["recording"], entry["recording"]["difference"]
        difference = "not defined"
        if found["difference"] is not None:
            difference = f"{found['difference']:+.3f}"
        if found["ci95"] is not None:
            low, high = found["ci95"]
            difference += (
                f" ({low:+.3f} to {high:+.3f}, {p_in_words(found['p'])})"
            )
        rows.append(f"| {NAMES[name]} | {_four(block)} | {difference} |")
    there = [c for c in test["per_class"].values() if c["n"]]
    chance = 1 / len(there)
    rows.append(
        f"| the majority class | 0.500 | | {chance:.3f} | "
        f"{test['majority_accuracy']:.3f} | |"
    )
    return rows


def _four(block) -> str:
    names = ("auc", "average_precision", "balanced_accuracy")
    cells = [with_interval(block, name) for name in names]
    accuracy = "" if block["accuracy"] is None else f"{block['accuracy']:.3f}"
    return " | ".join([*cells, accuracy])


def _cell(text) -> str:
    return str(text).replace("|", "\\|")


def _nuisance_lines(nuisance) -> List[str]:
    lines = []
    for column, entry in nuisance.items():
        for source, found in entry.items():
            if "not_asked" in found:
                text = f"not asked: {found['not_asked']}"
            else:
                text = (
                    f"AUC {with_interval(found)} for {', '.join(found['values'])}"  # fmt: skip
                    f" ({found['n']} recordings of {found['n_patients']} "
                    f"patients{_mean_of(found)}; 0.5 is best)"
                )
            lines.append(f"- {column} from the {source}: {text}")
    return lines


def _mean_of(found) -> str:
    return f"; mean of {found['folds']} folds" if "folds" in found else ""


def _pictures(metrics) -> List[str]:
    drawn = metrics.get("figures", [])
    if not drawn:
        return ["None were asked for."]
    return [f"![{name}](figures/{name}.png)" for name in drawn]
