"""Results of a run in words: a line, a sentence, and ``report.md``."""

from typing import Dict, List

from cry_modules.embeddings import EMBEDDING
from cry_modules.evaluation import final
from cry_modules.evaluation.clinical import abstention_lines, decision_lines
from cry_modules.evaluation.controls import in_words, sorted_by_auc, unbeaten
from cry_modules.evaluation.file_facts import report_lines
from cry_modules.evaluation.subgroups import subgroup_table
from cry_modules.metrics.bootstrap import NO_PAIR
from cry_modules.metrics.figures import METRICS, shown_in
from cry_modules.metrics.multiplicity import holm
from cry_modules.metrics.predictions import UNITS
from cry_modules.metrics.words import (
    count,
    difference_in_words,
    folds_in_words,
    markdown_table,
    p_in_words,
    units_in_words,
    with_interval,
)
from data_prep.corpora.folds import FOLD


def summary(metrics: Dict, output_folder: str) -> str:
    """Summary of a run in one line, printed last."""
    test = metrics["test"]["recording"]
    auc = f"test AUC {with_interval(test)}"
    if metrics.get("folds"):
        folds = metrics["by_fold"]["auc"]
        auc = f"AUC {folds_in_words(test)} {with_interval(test)}"
        if folds["sd"] is not None:
            auc += f", mean of folds {folds['mean']:.3f} sd {folds['sd']:.3f}"
    why = f": {test['no_interval']}" if test["no_interval"] else ""
    mode, readout = metrics["finetune_mode"], metrics.get("readout")
    if readout not in (None, EMBEDDING):
        mode += f" at {readout}"
    n = units_in_words("recording", test["n"], test["n_patients"])
    return (
        f"done: {metrics['label_column']} {mode} on {_encoder(metrics)} and "
        f"{metrics['corpus']}, {auc}{why}, {n}, accuracy "
        f"{test['accuracy']:.3f} (majority {test['majority_accuracy']:.3f})"
        f"{_controls_in_short(metrics)}; report in {output_folder}/report.md"
    )


def fold_rows(metrics: Dict) -> List[str]:
    """A line for each fold, with its interval: ``left-out site north: ...``."""
    column = metrics.get("fold_column", FOLD)
    return [
        f"left-out {column} {fold['fold']}: AUC {with_interval(fold)}, "
        f"{count(fold['n'], 'recording')} of "
        f"{count(fold['n_patients'], 'patient')}"
        + (f" ({fold['no_interval']})" if fold["no_interval"] else "")
        for fold in metrics.get("by_fold", {}).get("each", [])
    ]


def _encoder(metrics) -> str:
    return metrics["encoder_source"] or "a random encoder"


def _controls_in_short(metrics) -> str:
    chance = ""
    if not is_above_chance(metrics):
        chance = ", NOT shown to be better than chance"
    if not metrics.get("controls"):
        return chance
    names = unbeaten(metrics["controls"])
    if not names:
        return chance or ", better than its controls"
    best = metrics["controls"][names[0]]["recording"]
    value = "" if best["auc"] is None else f" {best['auc']:.3f}"
    name = in_words(names[0], best)
    return f"{chance}, NOT shown to be better than {name}{value}"


def is_above_chance(metrics: Dict) -> bool:
    """Check that the 95 % interval of the test AUC lies above 0.5."""
    ci95 = metrics["test"]["recording"]["auc_ci95"]
    return ci95 is not None and ci95[0] > 0.5


def sentence(metrics: Dict) -> str:
    """Test results as sentences for a paper."""
    recording, patient = (metrics["test"][unit] for unit in UNITS)
    if recording["auc"] is None:
        return (
            f"The AUC of {metrics['label_column']} is not defined: "
            f"{recording['no_interval'] or NO_PAIR} in the test split."
        )
    where = "test recordings"
    if metrics.get("folds"):
        where = (
            "recordings, each classified by the model trained without its fold,"
        )
    macro = "macro AUC" if len(metrics["classes"]) > 2 else "AUC"
    pairs = ""
    if "n_folds" in recording:
        pairs = f"; recordings are compared {folds_in_words(recording)}"
    classes = ", ".join(
        f"{name}: {entry['n']} of {count(entry['n_patients'], 'patient')}"
        for name, entry in recording["per_class"].items()
        if entry["n"]
    )
    why_not = recording["no_interval"]
    intervals = f"no interval: {why_not}" if why_not else "95 % intervals"
    sentences = [
        f"On {recording['n']} {where} of "
        f"{units_in_words('patient', patient['n'], recording['n_patients'])} "
        f"({classes}), {metrics['label_column']} was classified with "
        f"{macro} {with_interval(recording)} by recording and "
        f"{with_interval(patient)} by patient ({intervals}{pairs})."
    ]
    if not is_above_chance(metrics):
        sentences.append("It is not shown to be better than chance.")
    if recording["sensitivity_at_spec80"] is not None:
        sentences.append(
            "At the threshold that has 80 % specificity on validation, "
            f"sensitivity was {with_interval(recording, 'sensitivity_at_spec80')}"  # fmt: skip
            " and specificity "
            f"{with_interval(recording, 'specificity_at_threshold')}."
        )
    return " ".join([*sentences, *_on_controls(metrics.get("controls") or {})])


def _on_controls(controls) -> List[str]:
    """A sentence on the best control, and on the random encoder."""
    if not controls:
        return []
    best = sorted_by_auc(controls)[0]
    sentences = [_against(controls, best)]
    if "random_encoder" in controls and best != "random_encoder":
        sentences.append(_against(controls, "random_encoder"))
    names = "; ".join(
        in_words(name, controls[name]["recording"])
        for name in unbeaten(controls)
    )
    if names:
        sentences.append(f"It is not shown to be better than: {names}.")
    return sentences


def _against(controls, name) -> str:
    entry = controls[name]["recording"]
    words = in_words(name, entry)
    text = f"{words[0].upper()}{words[1:]}: AUC {with_interval(entry)}"
    if entry["difference"]["difference"] is None:
        return f"{text}."
    difference = difference_in_words(entry["difference"])
    return f"{text}, that of the model minus this {difference}."


def page(metrics: Dict) -> str:
    """Markdown of ``report.md``: results, controls, subgroups, pictures."""
    synthetic = ""
    if metrics.get("synthetic"):
        synthetic = " It is synthetic: this says nothing about infants."
    lines = [
        f"# {metrics['label_column']}: {metrics['finetune_mode']} on "
        f"{_encoder(metrics)}",
        "",
        f"Corpus: {metrics['corpus']}.{synthetic} {sentence(metrics)}",
        "",
    ]
    pictures = [
        f"![{name}](figures/{name}.png)" for name in metrics.get("figures", [])
    ]
    sections = {
        "Results": [*metrics_table(metrics), *_validation(metrics)],
        _title_of_folds(metrics): metrics.get("folds")
        and _folds_table(metrics),
        "Final model": metrics.get("folds") and final.report_lines(metrics),
        "Controls on the same split": metrics.get("controls")
        and [*controls_table(metrics), *_number_of_tests(metrics["controls"])],
        "Decisions, and other prevalences": metrics.get("clinical")
        and decision_lines(metrics["clinical"]),
        "The most certain recordings": metrics.get("clinical")
        and abstention_lines(metrics["clinical"]),
        "What the embedding should not predict": metrics.get("nuisance")
        and _nuisance_lines(metrics["nuisance"]),
        "Subgroups": metrics.get("subgroups")
        and subgroup_table(metrics["subgroups"]),
        "Files": metrics.get("files")
        and report_lines(metrics["files"], metrics["label_column"]),
        "Pictures": pictures or ["None were requested."],
        "How to read this": [
            _READING.format(**metrics) + _OF_FOLDS * bool(metrics.get("folds"))
        ],
    }
    for title, section in sections.items():
        if section:
            lines += [f"## {title}", "", *section, ""]
    return "\n".join(lines)


_READING = """\
Intervals come from draws of *patients* (AUC, average precision, balanced \
accuracy, sensitivity and specificity: Student's t on log-odds; others: \
percentiles); they are those of this test set for this model, and another seed \
or another training set changes the results further. A class of fewer than \
five patients has none. A patient's score is `{patient_score}` of its \
recordings; if a patient has recordings of several classes, of those of one \
class. Accuracy is that of the most probable class; balanced accuracy, recalls \
and confusion matrix are those of the class whose probability exceeds its \
share in training most."""
_OF_FOLDS = """ AUC compares each positive recording with the negative ones of \
its own fold, because models of different folds have no common scale; average \
precision is of scores standardised by the negative ones of their fold; a fold \
of one class has neither. All else is of the predictions of all folds, each at \
the threshold of its fold."""


_SHARED = """{n} of several values of {column}: in each row the other \
recordings of its patients are in neither training nor test."""


def metrics_table(metrics: Dict) -> List[str]:
    """Markdown table of the test metrics, by recording and by patient."""
    rows = []
    blocks = [metrics["test"][unit] for unit in UNITS]
    for name in shown_in("report"):
        if all(block[name] is None for block in blocks):
            continue
        cells = [with_interval(block, name) for block in blocks]
        if name == "accuracy":
            cells = [
                f"{cell}, majority {block['majority_accuracy']:.3f}"
                for cell, block in zip(cells, blocks)
            ]
        rows.append([METRICS[name].label, *cells])
    return markdown_table(["test", "by recording", "by patient"], rows)


def _validation(metrics: Dict) -> List[str]:
    """Name the AUC on validation, which the choices made there flatter, beside
    that of the test set, which they have not seen."""
    if metrics.get("folds"):
        each = [block.get("valid_auc") for block in metrics["by_fold"]["each"]]
        where = "on the validation parts of the folds, on average"
    else:
        each = [metrics["valid"]["recording"]["auc"]]
        where = "on validation"
    known = [value for value in each if value is not None]
    if not known:
        return []
    return [
        "",
        f"AUC {where}: {sum(known) / len(known):.3f}. Epoch, penalty and "
        "thresholds were chosen there, which flatters it; the table is of "
        "patients that no choice has seen.",
    ]


def _title_of_folds(metrics) -> str:
    column = metrics.get("fold_column", FOLD)
    if column == FOLD:
        return "Folds"
    return f"External validation: each left-out {column}"


def _folds_table(metrics) -> List[str]:
    shown, column = shown_in("folds"), metrics.get("fold_column", FOLD)
    rows = [
        [
            fold["fold"],
            f"{fold['n']} / {fold['n_patients']}",
            *(with_interval(fold, name) for name in shown),
        ]
        for fold in metrics["by_fold"]["each"]
    ]
    names = [METRICS[name].words for name in shown]
    head = [f"left-out {column}", "recordings / patients", *names]
    lines = markdown_table(head, rows)
    shared = metrics["by_fold"].get("n_patients_of_several", 0)
    if shared:
        lines += ["", _SHARED.format(n=count(shared, "patient"), column=column)]
    return lines


def controls_table(metrics: Dict) -> List[str]:
    """Markdown table of the model, its controls and the majority class."""
    shown = shown_in("controls")
    test = metrics["test"]["recording"]
    rows = [["this model", *_cells(test, shown), ""]]
    for name, entry in metrics["controls"].items():
        block = entry["recording"]
        difference = difference_in_words(block["difference"])
        rows.append([in_words(name, block), *_cells(block, shown), difference])
    n_present = sum(bool(c["n"]) for c in test["per_class"].values())
    majority = {
        "auc": "0.500",
        "balanced_accuracy": f"{1 / n_present:.3f}",
        "accuracy": f"{test['majority_accuracy']:.3f}",
    }
    cells = [majority.get(name, "") for name in shown]
    rows.append(["the majority class", *cells, ""])
    head = ["by recording", *(METRICS[name].words for name in shown)]
    return markdown_table([*head, "AUC of the model minus this"], rows)


def _number_of_tests(controls) -> List[str]:
    """State the number of comparisons, and their p after Holm's correction."""
    ps = [c["recording"]["difference"]["p"] for c in controls.values()]
    if sum(p is not None for p in ps) < 2:
        return []
    corrected = "; ".join(
        f"{in_words(name, entry['recording'])} {p_in_words(p)}"
        for (name, entry), p in zip(controls.items(), holm(ps))
    )
    return [
        "",
        f"The p of these {len(ps)} comparisons are not corrected for their "
        f"number; after Holm's correction: {corrected}.",
    ]


def _cells(block, shown) -> List[str]:
    """Metrics with intervals; accuracy, which a control may lack, without."""
    cells = {n: with_interval(block, n) for n in shown if n != "accuracy"}
    accuracy = block["accuracy"]
    cells["accuracy"] = "" if accuracy is None else f"{accuracy:.3f}"
    return [cells[name] for name in shown]


def _nuisance_lines(nuisance) -> List[str]:
    lines = []
    for column, entry in nuisance.items():
        for source, probe in entry.items():
            if "not_asked" in probe:
                text = f"not evaluated: {probe['not_asked']}"
            else:
                folds = ""
                if "folds" in probe:
                    folds = f"; mean of {probe['folds']} folds"
                text = (
                    f"AUC {with_interval(probe)} for {', '.join(probe['values'])}"  # fmt: skip
                    f" ({probe['n']} recordings of {probe['n_patients']} "
                    f"patients{folds}; 0.5 is best)"
                )
            lines.append(f"- {column} from the {source}: {text}")
    return lines
