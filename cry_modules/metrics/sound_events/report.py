"""Figures of detected events as tables to read."""

from typing import Dict, Iterator, List, Sequence, Tuple

from cry_modules.metrics.sound_events.comparison import NIGHT_HOURS, Settings
from cry_modules.metrics.words import markdown_table, with_interval
from data_prep.files.words import count

#: Figures by their place in a comparison, and their words.
_SHARES = {"precision": "precision", "recall": "recall", "f1": "F1"}
_ERRORS = {
    "error_rate": "error rate",
    "substitution_rate": "substitutions",
    "deletion_rate": "deletions",
    "insertion_rate": "insertions",
}
_ALARMS = {
    "false_alarms_per_hour": "false alarms an hour",
    "false_alarms_per_night": f"false alarms a night ({NIGHT_HOURS} h)",
    "missed_per_hour": "missed events an hour",
    "missed_share": "share of events missed",
}
_AGREEMENT = {
    "pearson": "Pearson",
    "icc": "ICC",
    "concordance": "concordance",
    "mean_absolute_difference": "mean absolute difference (minutes an hour)",
}
_SCENARIOS = {
    "paper": "PSDS (Bilen et al. 2020)",
    "dcase_1": "PSDS, DCASE scenario 1",
    "dcase_2": "PSDS, DCASE scenario 2",
}
_KINDS = ("event_based", "segment_based", "intersection_based")


def in_words(block: Dict, name: str) -> str:
    """A figure, with its interval if it has one."""
    return with_interval(block, name).removesuffix(" (no interval)")


def report(comparison: Dict, settings: Settings) -> str:
    """Report of one comparison: how it was made, then its tables."""
    head = ("figure", "value (95 %)")
    lines = [
        f"{comparison['detected']} against {comparison['annotated']}: "
        f"{', '.join(settings.labels)}, "
        f"{count(comparison['n_recordings'], 'recording')}, "
        f"{comparison['hours']:.2f} h",
        "",
        *markdown_table(head, _rows(comparison, settings)),
    ]
    if comparison["no_interval"]:
        lines += ["", f"No intervals: {comparison['no_interval']}."]
    if len(settings.labels) > 1:
        lines += ["", *_by_class(comparison, settings.labels)]
    if settings.confusers:
        lines += ["", *_of_confusers(comparison)]
    n_points = comparison["left_out_of_zero_length"]
    if any(n_points.values()):
        words = ", ".join(f"{n} {side}" for side, n in n_points.items())
        lines += ["", f"Left out as events of zero length: {words}."]
    return "\n".join([*lines, "", *_of_amounts(comparison)])


def _rows(comparison: Dict, settings: Settings) -> Iterator[Tuple[str, str]]:
    collar, criteria = settings.collar, settings.criteria
    titles = (
        f"event-based (onset {collar.onset_s:g} s, offset "
        f"{collar.offset_s:g} s or {100 * collar.offset_share:g} %)",
        f"segment-based ({settings.segment_s:g} s)",
        f"intersection-based (DTC {criteria.dtc:g}, GTC {criteria.gtc:g})",
    )
    for kind, title in zip(_KINDS, titles):
        names = _SHARES | (_ERRORS if kind == "segment_based" else {})
        for name, words in names.items():
            micro = comparison[kind]["micro"]
            yield f"{title}: {words}", in_words(micro, name)
    scores, alarms = comparison["psds"], comparison["alarms"]["micro"]
    n = count(scores["n_thresholds"], "threshold")
    for name, words in _SCENARIOS.items():
        yield f"{words}, {n}", in_words(scores, name)
    for name, words in _ALARMS.items():
        yield words, in_words(alarms, name)


def _by_class(comparison: Dict, labels: Sequence[str]) -> List[str]:
    head = ["label", "annotated", "detected"]
    head += [f"F1, {kind.replace('_', '-')}" for kind in _KINDS]
    rows = []
    for label in labels:
        n_of = [comparison[f"n_{side}"][label] for side in head[1:3]]
        blocks = [comparison[kind]["per_class"][label] for kind in _KINDS]
        rows.append([label, *n_of, *(in_words(b, "f1") for b in blocks)])
    macro = [in_words(comparison[kind]["macro"], "f1") for kind in _KINDS]
    return markdown_table(head, [*rows, ("mean", "", "", *macro)])


def _of_confusers(comparison: Dict) -> List[str]:
    head = (
        *("annotated sound", "events", "false alarms in it"),
        *("an hour of it", "share of events with one"),
    )
    rows = [
        (
            name,
            *(f"{block[n]:.0f}" for n in ("n_events", "false_alarms")),
            in_words(block, "false_alarms_per_hour_of_it"),
            in_words(block, "share_with_false_alarm"),
        )
        for name, block in comparison["alarms"]["confusers"].items()
    ]
    return markdown_table(head, rows)


def _of_amounts(comparison: Dict) -> List[str]:
    rows = [
        (
            *(label, bins.replace("_", " "), block["n_bins"]),
            *(in_words(block, name) for name in _AGREEMENT),
        )
        for label, of_label in comparison["agreement"].items()
        for bins, block in of_label.items()
    ]
    head = ("amount of", "bins of", "number", *_AGREEMENT.values())
    lines = markdown_table(head, rows)
    of_label = next(iter(comparison["agreement"].values()))
    for bins, block in of_label.items():
        n = block["n_recordings_shorter_than_a_bin"]
        if n:
            lines += [
                "",
                f"Shorter than {bins.replace('_', ' ')}, one bin each: "
                f"{n} of {count(comparison['n_recordings'], 'recording')}.",
            ]
    return lines
