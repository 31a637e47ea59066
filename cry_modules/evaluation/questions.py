"""Questions of the confound report: which source predicts the label or the
site? Each is answered by cross-validation of the classical baseline."""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

import numpy as np

from cry_modules.evaluation.baseline import one_hot
from cry_modules.evaluation.cross_validation import (
    Evidence,
    Settings,
    cross_validate,
    interval_over_patients,
)
from cry_modules.evaluation.linear_model import indices
from cry_modules.metrics.bootstrap import LEAST_PATIENTS, patients_per_class
from data_prep.files.words import count

#: Target, source of the features, and whether patients are kept apart.
_QUESTIONS = {
    "label_audio_grouped": ("label", "audio", True),
    "label_audio_random": ("label", "audio", False),
    "label_site": ("label", "site", True),
    "label_file": ("label", "file", True),
    "label_background": ("label", "background", True),
    "site_audio": ("site", "audio", True),
    "site_background": ("site", "background", True),
}
_SOURCES = {
    "audio": "audio",
    "site": "site alone",
    "file": "all file facts together",
    "background": "quietest frames alone",
}


@dataclass
class ConfoundData:
    """Patients, labels, sites and features of the recordings examined."""

    patients: np.ndarray  # indices, [n]
    labels: np.ndarray  # names, empty if unknown, [n]
    sites: np.ndarray  # names, empty if unknown, [n]
    features: Dict[str, np.ndarray]  # audio, background, file: [n, features]


@dataclass
class Question:
    """Question if features of a source predict a target; its answer."""

    target: str  # label or site
    source: str  # audio, site, file or background
    grouped: bool  # whether patients are kept apart
    classes: List[str] = field(default_factory=list)
    fewest: Tuple[str, int] = ("", 0)  # class of fewest patients, and how many
    evidence: Optional[Evidence] = None  # None if it cannot be answered
    why_not: str = ""

    def in_words(self, label: str = "label") -> str:
        """Target and source as text: ``label from site alone``."""
        text = f"{label if self.target == 'label' else 'site'} from "
        text += _SOURCES[self.source]
        return text + ", recordings split at random" * (not self.grouped)


@dataclass
class Gap:
    """AUC difference between recordings split at random and patients kept
    apart, with its interval over patients."""

    value: float
    ci95: Optional[List[float]]


def join_rare(
    labels: np.ndarray, patients: np.ndarray
) -> Tuple[np.ndarray, List[str]]:
    """Merge classes of fewer than five patients with the next rarest; also
    return notes for the report.

    At least two classes remain.
    """
    labels, notes = labels.astype(object), []
    while True:
        n_of = _patients_of(labels, patients)
        rarest = sorted(n_of, key=n_of.get)[:2]
        if len(n_of) < 3 or n_of[rarest[0]] >= LEAST_PATIENTS:
            return labels, notes
        notes.append(
            f"{rarest[0]}: {count(n_of[rarest[0]], 'patient')}, too few to be "
            f"judged alone; put together with {rarest[1]}."
        )
        labels[np.isin(labels, rarest)] = " or ".join(sorted(rarest))


def blank_rare(
    sites: np.ndarray, patients: np.ndarray
) -> Tuple[np.ndarray, List[str]]:
    """Set sites of fewer than five patients to "", unknown; also return notes
    for the report."""
    sites, notes = sites.astype(object), []
    for name, n in _patients_of(sites, patients).items():
        if n < LEAST_PATIENTS:
            sites[sites == name] = ""
            notes.append(
                f"site {name}: {count(n, 'patient')}, too few; left out where "
                "sites are compared."
            )
    return sites, notes


def _patients_of(names, patients) -> Dict[str, int]:
    """Number of patients by name, sorted by name."""
    known = sorted({name for name in names if name})
    return {name: len(set(patients[names == name])) for name in known}


def answer_questions(
    data: ConfoundData, settings: Settings
) -> Tuple[Dict[str, Question], Optional[Gap], List[str]]:
    """Cross-validate for every question of the confound report; also return
    the gap between splits, and notes."""
    labels, joined = join_rare(data.labels, data.patients)
    sites, dropped = blank_rare(data.sites, data.patients)
    targets = {"label": labels, "site": sites}
    features = {**data.features, "site": one_hot(sites.astype(str))}
    n_sites = len({name for name in sites if name})
    questions = {}
    for name, (target, source, grouped) in _QUESTIONS.items():
        question = questions[name] = Question(target, source, grouped)
        if "site" in (target, source) and n_sites < 2:
            question.why_not = (
                f"no two sites of {LEAST_PATIENTS} patients or more"
            )
            continue
        known = targets[target] != ""
        if source == "site":
            known &= sites != ""
        _answer(
            question,
            features[source][known],
            targets[target][known],
            data.patients[known],
            settings,
        )
    gap = _gap(questions, labels, data.patients)
    notes = [*joined, *dropped, *_fewer_folds(questions, settings)]
    return questions, gap, notes


def _answer(question, features, names, patients, settings):
    """Add the evidence, or the reason against it."""
    question.classes = sorted(set(names))
    if len(question.classes) < 2:
        question.why_not = f"fewer than two {question.target}s"
        return
    labels = np.array([question.classes.index(name) for name in names])
    per_class = patients_per_class(labels, patients)
    rarest = int(per_class.argmin())
    question.fewest = (question.classes[rarest], int(per_class[rarest]))
    if question.fewest[1] < 2:
        question.why_not = f"{question.fewest[0]} has a single patient"
        return
    question.evidence = cross_validate(
        features,
        labels,
        patients,
        question.grouped,
        settings,
        question.in_words(),
    )


def _gap(questions, labels, patients) -> Optional[Gap]:
    grouped, random = (
        questions[name].evidence
        for name in ("label_audio_grouped", "label_audio_random")
    )
    if grouped is None:
        return None
    known = labels != ""
    return Gap(
        random.auc - grouped.auc,
        interval_over_patients(
            random.draws - grouped.draws,
            indices(labels[known].astype(str)),
            patients[known],
        ),
    )


def _fewer_folds(questions, settings) -> List[str]:
    notes = []
    for question in questions.values():
        evidence = question.evidence
        if evidence and evidence.folds < settings.folds:
            name, n = question.fewest
            notes.append(
                f"{question.target}: {evidence.folds} folds, because {name} "
                f"has {count(n, 'patient')}."
            )
    return list(dict.fromkeys(notes))
