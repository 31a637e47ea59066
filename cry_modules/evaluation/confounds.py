"""Confound report: does a result come from the cry, or from the baby, the
phone or the room?

> python -m data_prep.confounds recordings.csv --label_column trigger \\
>     --out results/confounds

A classical baseline is cross-validated on one question at a time: does it
predict the label with patients kept apart, and with recordings split at
random; from the site alone, the facts of the file alone, the quietest frames
alone; and does it predict the site. Each question is repeated with labels
shuffled between patients. The report is a table, a verdict in words, a
picture, and all numbers.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import matplotlib

matplotlib.use("Agg")  # no screen needed
import numpy as np
from matplotlib import pyplot as plt

from cry_modules.evaluation.baseline import N_MELS, file_facts, sound_features
from cry_modules.evaluation.cross_validation import MODELS, Evidence, Settings
from cry_modules.evaluation.linear_model import indices
from cry_modules.evaluation.questions import (
    ConfoundData,
    Gap,
    Question,
    answer_questions,
)
from cry_modules.evaluation.verdict import (
    SURE,
    auc_in_words,
    p_value_in_words,
    range_in_words,
    verdict,
)
from cry_modules.metrics.bootstrap import N_DRAWS
from data_prep.corpora.database import (
    database_name,
    locate_table,
    read_database,
    usable_rows,
)
from data_prep.corpora.preparation import corpus_of, require_out
from data_prep.files.atomic import complete_or_absent
from data_prep.files.errors import InputError
from data_prep.files.identifiers import cleaned
from data_prep.files.lock import locked
from data_prep.files.tables import Named, write_text
from data_prep.files.words import count

#: A column of more labels holds ids, dates or ages.
MOST_CLASSES = 20
#: With fewer shuffles the p value cannot be 0.05.
LEAST_PERMUTATIONS = 19


def results_table(
    questions: Dict[str, Question], gap: Optional[Gap], label: str, padded: bool
) -> str:
    """Results of the confound report as Markdown, a row per question."""
    rows = [
        (
            "question",
            "AUC (95 % interval)",
            "labels shuffled: AUC (95 % of them)",
            "p",
            "recordings / patients",
        )
    ]
    for name, question in questions.items():
        rows.append((question.in_words(label), *_cells(question)))
        if name == "label_audio_random" and gap is not None:
            ci95 = f" ({range_in_words(gap.ci95)})" if gap.ci95 else ""
            rows.append(
                ("random minus patient-grouped", f"{gap.value:+.2f}" + ci95)
                + ("",) * 3
            )
    widths = [max(map(len, column)) * padded for column in zip(*rows)]
    lines = [
        "| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows
    ]
    rule = "|".join("-" * max(3, width + 2) for width in widths)
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _cells(question: Question) -> Tuple[str, str, str, str]:
    evidence = question.evidence
    if evidence is None:
        return f"not evaluated: {question.why_not}", "", "", ""
    ci95 = range_in_words(evidence.ci95) if evidence.ci95 else "no interval"
    null = (
        f"{np.mean(evidence.null):.2f} ({range_in_words(null_range(evidence))})"
    )
    return (
        f"{evidence.auc:.2f} ({ci95})",
        null,
        p_value_in_words(evidence.p),
        f"{evidence.n} / {evidence.n_patients}",
    )


def null_range(evidence: Evidence) -> List[float]:
    """Central 95 % range of the AUC of shuffled labels."""
    return np.quantile(evidence.null, [0.025, 0.975]).tolist()


# The column's name may hold a $.
@matplotlib.rc_context({"text.parse_math": False})
def draw_results(
    questions: Dict[str, Question], label: str, caption: str, path: Path
) -> None:
    """Draw the AUC of each question, its interval and the shuffled labels."""
    answered = [q for q in questions.values() if q.evidence is not None]
    figure, axes = plt.subplots(
        figsize=(9.5, 1.9 + 0.5 * len(answered)), layout="constrained"
    )
    for row, question in enumerate(reversed(answered)):
        _draw_row(axes, row, question)
    axes.axvline(0.5, color="black", linestyle=":", label="chance")
    names = [q.in_words(label).replace(", ", ",\n") for q in answered]
    axes.set_yticks(range(len(answered)), names[::-1])
    axes.set_ylim(-0.6, len(answered) - 0.4)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel(f"AUC (0.5: chance, 1: all correct)\n{caption}")
    axes.grid(axis="x", alpha=0.3)
    handles, names = axes.get_legend_handles_labels()
    shown = dict(zip(names, handles))  # each once
    figure.legend(
        shown.values(), shown.keys(), loc="outside upper center", ncols=4,
        frameon=False,
    )  # fmt: skip
    with complete_or_absent(path) as partial:
        figure.savefig(partial, dpi=150)
    plt.close(figure)


def _draw_row(axes, row, question):
    evidence = question.evidence
    marker, colour, split = ("o", "#0072B2", "patients kept apart")
    if not question.grouped:
        marker, colour, split = ("D", "#D55E00", "split at random")
    low, high = null_range(evidence)
    axes.barh(
        row, high - low, left=low, height=0.6, color="0.85", zorder=0,
        label="95 % of shuffled labels",
    )  # fmt: skip
    if evidence.ci95 is not None:
        axes.plot(evidence.ci95, [row, row], color=colour, linewidth=2)
    axes.plot(
        evidence.auc, row, marker, color=colour, markersize=8, label=split,
        linestyle="none", markeredgewidth=2,
        markerfacecolor=colour if question.grouped else "white",
    )  # fmt: skip
    axes.annotate(
        auc_in_words(evidence).replace("AUC ", "").replace(", p", "\np"),
        (1.02, row),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize="small",
        annotation_clip=False,
    )


_METHOD = """\
Baseline: a {words} on the mean and standard deviation over time of {n_mels} \
log-mel bands (the whole recording, peak 0.9). Scores are out of fold, in \
{folds} folds stratified by class, and become ranks within their fold; the AUC \
is the mean of {repeats} cross-validations with other folds. AUC: how often a \
recording of one class is ranked above one of the other; with more than two \
classes, the mean of each against the rest. Intervals: {n_draws} draws of \
patients. Shuffled labels: {permutations} times every patient was given the \
labels of another patient of nearly as many recordings, all together, so that \
similarity within a patient remains; p is the share of shuffles that do as \
well, (1 + those) / (1 + all). In the row of the random split this is a \
comparison with recognising patients alone. A result is called proven if the \
interval lies above 0.5 and p is at most {sure}."""

_LIMITS = """\
A classical baseline finds what is plain; a network may find more, of signal \
and of leaks. Each question has up to one chance in twenty to be proven by \
luck, and there are several. Intervals keep the fitted models as they are, so \
they are somewhat too narrow; therefore p must agree. The quietest frames of a \
cry without pauses are not silence. Duration and level belong to the recording \
and to the baby. Copies of a recording under two patients look like signal: \
see `python -m data_prep.audit`."""


def confounds(
    recordings: str,
    out: str,
    label_column: str,
    settings: Settings,
    data_folder: Optional[str] = None,
    classes: Optional[Sequence[str]] = None,
    named: Optional[Named] = None,
) -> List[str]:
    """Write a confound report of a database: ``confounds.md``, ``.json`` and
    ``.png``; return the lines to print."""
    _check(settings)
    root, csv = locate_table(recordings, data_folder)
    rows = read_database(csv, [label_column], named)
    _keep_classes(rows, classes, label_column, csv)
    _check_patients(rows, settings, csv)
    folder = require_out(Path(out), root)
    with locked(folder):
        rows, audits = usable_rows(rows, root, folder)
        _check_patients(rows, settings, csv)
        data = _data([rec for rec, _ in rows], root, audits)
        questions, gap, notes = answer_questions(data, settings)
        if audits.n_rejected:
            left_out = count(audits.n_rejected, "recording")
            notes.insert(0, f"{left_out} cannot be used: see rejected.csv.")
        corpus = corpus_of(root, database_name(root, csv))
        return _report(
            folder, corpus, label_column, settings, questions, gap, notes, data
        )


def _check(settings: Settings):
    for name, least in (("folds", 2), ("repeats", 1), ("seed", 0)):
        value = getattr(settings, name)
        if value < least:
            raise InputError(f"--{name} is {value}; pass {least} or more")
    if settings.permutations < LEAST_PERMUTATIONS:
        raise InputError(
            f"--permutations is {settings.permutations}; pass "
            f"{LEAST_PERMUTATIONS} or more, or no p value can be {SURE}"
        )


def _keep_classes(rows, classes, label_column, csv):
    """Label the recordings; empty outside the classes."""
    present = sorted({cells[label_column] for _, cells in rows} - {""})
    classes = classes and [cleaned(str(name)) for name in classes]
    if classes is None and len(present) > MOST_CLASSES:
        raise InputError(
            f"{csv}: {label_column} has {len(present)} different values, too "
            "many for classes; correct --label_column or pass --classes"
        )
    for name in classes or present:
        if name not in present:
            raise InputError(
                f"{csv}: no row has {name!r} in {label_column}, only "
                f"{', '.join(present[:MOST_CLASSES])}; correct --classes"
            )
    kept = set(classes or present)
    if len(kept) < 2:
        raise InputError(
            f"{csv}: {label_column} has {len(kept)} different labels "
            "(empty ones do not count) and needs two; correct "
            "--label_column or --classes"
        )
    for rec, cells in rows:
        rec.label = cells[label_column] if cells[label_column] in kept else ""


def _check_patients(rows, settings, csv):
    n = len({rec.patient_id for rec, _ in rows if rec.label})
    if n < settings.folds:
        raise InputError(
            f"{csv} has {count(n, 'patient')} with a label, fewer than "
            f"--folds {settings.folds}; add patients or lower --folds"
        )


def _data(recordings, root, audits) -> ConfoundData:
    audio, background = sound_features(recordings, root)
    return ConfoundData(
        patients=indices([rec.patient_id for rec in recordings]),
        labels=np.array([rec.label for rec in recordings], dtype=object),
        sites=np.array([rec.site for rec in recordings], dtype=object),
        features={
            "audio": audio,
            "background": background,
            "file": file_facts([audits.files[rec.wav] for rec in recordings]),
        },
    )


def _report(
    folder, corpus, label, settings, questions, gap, notes, data
) -> List[str]:
    """Write the report and return the lines to print."""
    paragraphs = verdict(questions, gap, label)
    examined = (
        f"{corpus['name']}: {count(len(data.patients), 'recording')} of "
        f"{count(len(set(data.patients)), 'patient')}; {label}: "
        + _numbers(data.labels, data.patients)
    )
    if corpus.get("synthetic"):
        examined += ". Synthetic audio: this says nothing about infants"
    method = _METHOD.format(
        **asdict(settings),
        words=MODELS[settings.model],
        n_mels=N_MELS,
        n_draws=N_DRAWS,
        sure=SURE,
    )
    verdict_lines = [f"- {line}" for line in paragraphs]
    note_lines = [f"- {note}" for note in notes]
    text = [
        f"# Leakage and confounding: {label}\n\n{examined}.\n\n## Verdict\n",
        "\n".join(verdict_lines),
        "\n## Results\n\n" + results_table(questions, gap, label, padded=False),
        "\n![AUC of each question](confounds.png)\n",
        "\n".join(["## Notes\n", *note_lines, ""] if notes else []),
        f"## Method\n\n{method}\n\n## Limits\n\n{_LIMITS}\n",
    ]
    write_text(folder / "confounds.md", "\n".join(text))
    numbers = {
        "corpus": corpus,
        "label_column": label,
        "settings": asdict(settings),
        "probes": {name: _as_json(q) for name, q in questions.items()},
        "gap": asdict(gap) if gap else None,
        "verdict": paragraphs,
        "notes": notes,
    }
    write_text(folder / "confounds.json", json.dumps(numbers, indent=1) + "\n")
    draw_results(
        questions,
        label,
        f"{corpus['name']}; lines: 95 % intervals over patients",
        folder / "confounds.png",
    )
    results = results_table(questions, gap, label, padded=True)
    return [examined, "", results, "", *verdict_lines, *note_lines]


def _numbers(labels, patients) -> str:
    parts = []
    for name in sorted(set(labels) - {""}):
        rows = labels == name
        parts.append(f"{name} {rows.sum()} of {len(set(patients[rows]))}")
    return ", ".join(parts)


def _as_json(question: Question) -> Dict:
    entry = asdict(question)
    if entry["evidence"] is not None:
        del entry["evidence"]["draws"]
    return entry
