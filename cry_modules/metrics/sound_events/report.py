"""Figures of detected events as tables to read."""

from typing import Dict, List, Sequence

from cry_modules.metrics.sound_events.comparison import NIGHT_HOURS, Settings
from cry_modules.metrics.words import count, markdown_table

_SHARES = (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
_ERRORS = (
    ("error_rate", "error rate"),
    ("substitution_rate", "substitutions"),
    ("deletion_rate", "deletions"),
    ("insertion_rate", "insertions"),
)
_ALARMS = (
    ("false_alarms_per_hour", "false alarms an hour"),
    ("false_alarms_per_night", f"false alarms a night ({NIGHT_HOURS} h)"),
    ("missed_per_hour", "missed events an hour"),
    ("missed_share", "share of events missed"),
)
_AGREEMENT = (
    ("pearson", "Pearson"),
    ("icc", "ICC"),
    ("concordance", "concordance"),
    ("mean_absolute_difference", "mean absolute difference"),
)
_SCENARIOS = {
    "paper": "PSDS (Bilen et al. 2020)",
    "dcase_1": "PSDS, DCASE scenario 1",
    "dcase_2": "PSDS, DCASE scenario 2",
}


def in_words(block: Dict, name: str) -> str:
    """A figure with its interval.

    Example
    -------
    >>> in_words({"f1": 0.51, "f1_ci95": [0.4, 0.62]}, "f1")
    '0.510 (0.400 to 0.620)'
    >>> in_words({"f1": None, "f1_ci95": None}, "f1")
    'not defined'
    """
    if block[name] is None:
        return "not defined"
    ci95 = block[f"{name}_ci95"]
    text = f"{block[name]:.3f}"
    return f"{text} ({ci95[0]:.3f} to {ci95[1]:.3f})" if ci95 else text


def report(comparison: Dict, settings: Settings) -> str:
    """Report of one comparison: how it was made, then its tables."""
    labels = ", ".join(settings.labels)
    lines = [
        f"{comparison['detected']} against {comparison['annotated']}: "
        f"{labels}, {count(comparison['n_recordings'], 'recording')}, "
        f"{comparison['hours']:.2f} h",
        "",
        *markdown_table(
            ("figure", "value (95 %)"), _rows(comparison, settings)
        ),
    ]
    if comparison["no_interval"]:
        lines += ["", f"No intervals: {comparison['no_interval']}."]
    if len(settings.labels) > 1:
        lines += ["", *_by_class(comparison, settings.labels)]
    if settings.confusers:
        lines += ["", *_of_confusers(comparison)]
    return "\n".join([*lines, "", *_of_amounts(comparison)])


def _rows(comparison: Dict, settings: Settings) -> List[Sequence[str]]:
    collar, criteria = settings.collar, settings.criteria
    titles = {
        "event_based": f"event-based (onset {collar.onset_s:g} s, offset "
        f"{collar.offset_s:g} s or {100 * collar.offset_share:g} %)",
        "segment_based": f"segment-based ({settings.segment_s:g} s)",
        "intersection_based": f"intersection-based (DTC {criteria.dtc:g}, GTC "
        f"{criteria.gtc:g})",
    }
    rows = []
    for key, title in titles.items():
        micro = comparison[key]["micro"]
        names = _SHARES + (_ERRORS if key == "segment_based" else ())
        rows += [(f"{title}: {w}", in_words(micro, n)) for n, w in names]
    scores = comparison["psds"]
    n = count(scores["n_thresholds"], "threshold")
    rows += [
        (f"{title}, {n}", in_words(scores, name))
        for name, title in _SCENARIOS.items()
    ]
    alarms = comparison["alarms"]["micro"]
    return rows + [(words, in_words(alarms, name)) for name, words in _ALARMS]


def _by_class(comparison: Dict, labels: Sequence[str]) -> List[str]:
    kinds = ("event_based", "segment_based", "intersection_based")
    head = ("label", "annotated", "detected")
    head += tuple(f"F1, {kind.replace('_', '-')}" for kind in kinds)
    rows = [
        (
            label,
            comparison["n_annotated"][label],
            comparison["n_detected"][label],
            *(
                in_words(comparison[kind]["per_class"][label], "f1")
                for kind in kinds
            ),
        )
        for label in labels
    ]
    macro = [in_words(comparison[kind]["macro"], "f1") for kind in kinds]
    return markdown_table(head, [*rows, ("mean", "", "", *macro)])


def _of_confusers(comparison: Dict) -> List[str]:
    head = (
        *("annotated sound", "events", "false alarms in it"),
        *("an hour of it", "share of events with one"),
    )
    rows = [
        (
            name,
            f"{block['n_events']:.0f}",
            f"{block['false_alarms']:.0f}",
            in_words(block, "false_alarms_per_hour_of_it"),
            in_words(block, "share_with_false_alarm"),
        )
        for name, block in comparison["alarms"]["confusers"].items()
    ]
    return markdown_table(head, rows)


def _of_amounts(comparison: Dict) -> List[str]:
    """Table of agreement; the difference is in minutes an hour."""
    head = ("amount of", "bins of", "number")
    rows = [
        (
            label,
            bins.replace("_", " "),
            block["n_bins"],
            *(in_words(block, name) for name, _ in _AGREEMENT),
        )
        for label, of_label in comparison["agreement"].items()
        for bins, block in of_label.items()
    ]
    names = [words for _, words in _AGREEMENT]
    names[-1] += " (minutes an hour)"
    return markdown_table((*head, *names), rows)
