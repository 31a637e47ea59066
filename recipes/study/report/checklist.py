"""Answers of a study to items of the reporting guidelines TRIPOD+AI and
STARD-AI, as far as the pipeline knows them.

Topics are in the words of this project. The guidelines themselves were not at
hand: item numbers are from public transcriptions.
"""

from typing import Dict, List, NamedTuple

TRIPOD, STARD = "TRIPOD+AI", "STARD-AI"
LINKS = {
    TRIPOD: "https://doi.org/10.1136/bmj-2023-078378",
    STARD: "https://www.equator-network.org/reporting-guidelines/",
}
UNKNOWN = "not known to the pipeline"

#: Topic, items of both guidelines, and answer with facts in braces.
_ITEMS = (
    ("title", "1", "1", "{title}"),
    (
        "objectives and hypotheses", "4", "4",
        "development and evaluation of encoders for {label_columns}; "
        "hypotheses and verdicts: {hypotheses}",
    ),
    ("data sources", "5a", "11", "{corpus}; synthetic: {synthetic}"),
    ("sites", "6a", "9", "{sites}"),
    ("exclusion of recordings", "6b", "7", "{excluded}"),
    (
        "preparation and quality checks", "7", "14",
        "features: {predictors}; audit: each file was decoded and checked; "
        "{excluded}",
    ),
    ("outcome", "8a", "16a", "label columns: {label_columns}"),
    (
        "predictors", "9a, 9b, 12b", "",
        "{predictors}; none is selected by its relation to the label",
    ),
    ("assessors of predictors", "9c", "", "none: the features are computed"),
    (
        "study size", "10", "22",
        "{n_patients} patients and {n_recordings} recordings; test set: "
        "{n_patients_test} patients, {n_events_test} of the rarest class",
    ),
    (
        "missing data", "11", "20",
        "recordings without a label are not classified, and {unlabelled}; "
        "{excluded}",
    ),
    ("use of the data", "12a", "15b", "{split}; leakage: {leakage}"),
    (
        "model, training and tuning", "12c", "15a, 15b",
        "model: {model}; training: {training}; tuning: only {tuned} are "
        "chosen, on validation patients",
    ),
    ("differences between sites", "12d, 23b", "21", "{subgroups}"),
    (
        "metrics and comparisons", "12e", "18",
        "AUC by recording (primary) and by patient, average precision, "
        "calibration curves; {intervals}; compared with: {comparators}",
    ),
    ("model updating", "12f, 24", "", "none after evaluation"),
    ("calculation of predictions", "12g", "", "{code}, at commit {commit}"),
    (
        "class imbalance", "13", "",
        "classes: see flow of participants; training: {training}; "
        "calibration: {calibration}",
    ),
    (
        "output and thresholds", "15", "15c",
        "a probability for each class; thresholds are chosen on validation "
        "patients",
    ),
    (
        "development and evaluation data", "16, 20c", "",
        "see flow of participants; recording factors related to the label: "
        "{confounds}",
    ),
    (
        "availability of data", "18e", "40a",
        "{corpus}; licence: {licence}; {checksums}",
    ),
    (
        "availability of code", "18f", "40a",
        "{code}, at commit {commit}; {software}",
    ),
    ("flow of participants", "20a", "24", "{participants}; {excluded}"),
    (
        "characteristics of the data", "20b", "25",
        "{n_recordings} recordings, {hours} hours; by class, see flow of "
        "participants",
    ),
    (
        "participants and events", "21", "",
        "test set: {n_patients_test} patients, {n_recordings_test} "
        "recordings, {n_events_test} patients of the rarest class",
    ),
    ("full model", "22", "15a", "{model}; trained by {code}"),
    (
        "performance", "23a", "31",
        "{results}; {intervals}; calibration: {calibration}",
    ),
    (
        "limitations", "26", "33",
        "{n_events_test} test patients of the rarest class; synthetic: "
        "{synthetic}; recording factors related to the label: {confounds}",
    ),
    ("software and hardware", "", "13", "{software}; {hardware}"),
    (
        "information available to the model", "", "17a",
        "the sound alone; what encoders have heard: see use of the data",
    ),
    (
        "indeterminate results", "", "19",
        "every recording that is not excluded has a score; {excluded}",
    ),
    ("variability", "", "21", "seeds: {seeds}"),
    ("audit of the outputs", "", "40b", "{checksums}; commit {commit}"),
)  # fmt: skip


class Row(NamedTuple):
    """Topic, item numbers by guideline, and answer; text is not escaped."""

    topic: str
    items: Dict[str, str]
    answer: str


def rows(facts: Dict[str, object]) -> List[Row]:
    """Answer the items; without one of its facts an item is ``UNKNOWN``."""
    known = {name: fact for name, fact in facts.items() if fact is not None}
    answered = []
    for topic, tripod, stard, template in _ITEMS:
        items = {k: v for k, v in ((TRIPOD, tripod), (STARD, stard)) if v}
        try:
            answer = template.format_map(known)
        except KeyError:
            answer = UNKNOWN
        answered.append(Row(topic, items, answer))
    return answered
