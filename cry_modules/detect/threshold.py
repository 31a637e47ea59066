"""Thresholds of events: the model's own, a saved one, or the lowest one that
keeps a number of false alarms an hour on annotated recordings."""

import json
import os
from pathlib import Path
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cry_modules.detect.events import Rule, find_events, low_of, searched
from cry_modules.metrics.bootstrap import (
    LEAST_PATIENTS,
    N_DRAWS,
    interval,
    patient_weights,
)
from cry_modules.metrics.sound_events.alarms import touches
from cry_modules.metrics.sound_events.intervals import covered_s
from data_prep.files.errors import InputError, require
from data_prep.files.option_values import (
    Number,
    Unfit,
    convert,
    path as a_path,
)
from data_prep.files.shapes import number, read_json
from data_prep.files.tables import write_text
from data_prep.files.words import count

THRESHOLD_FILE = "threshold.json"
_FORMAT = "cry-ssl threshold 1"
#: Scores that are tried: so many of the highest, and so many of the others.
_HIGHEST, _OTHERS = 600, 400
#: Events that cover more of the time without annotated ones detect nothing.
_MOST_FALSE = 0.5
#: Settings of events that a threshold was chosen with.
SETTINGS = ("window_s", "hop_s", "edge_s", "least_s", "bridge_s")
#: Lower thresholds down to which annotated recordings are scored finely, one
#: after the other until the false alarms are too many.
FLOORS = (0.3, 0.1, 0.02, 0.0)
_SHAPE = {
    "format": str,
    "model": str,
    "label": str,
    "threshold": number(0, 1.001),
    "low_threshold": number(0, 1.001),
    "channels": str,
    **dict.fromkeys(SETTINGS, number(0, 86_400)),
    **dict.fromkeys(("window_s", "hop_s", "edge_s"), number(0.01, 86_400)),
    str: object,
}


class Scored(NamedTuple):
    """An annotated recording, or one channel of it, with its scores."""

    recording: str
    edges: np.ndarray  #: of the cells ``[n + 1]``, seconds
    scores: np.ndarray  #: ``[n]``
    annotated: np.ndarray  #: onset and offset in seconds ``[m, 2]``
    #: indices of the windows of the first pass; None: all
    first_pass: Optional[np.ndarray] = None

    def events(self, rule: Rule) -> np.ndarray:
        """Events ``[m, 3]`` by a rule."""
        scores = self.scores
        if self.first_pass is not None:
            scores = searched(scores, self.first_pass, rule.low)
        return find_events(self.edges, scores, rule)

    @property
    def hours(self) -> float:
        """Length of the recording."""
        return float(self.edges[-1]) / 3600


def threshold_of_model(
    threshold: Optional[float], classes: Sequence[str], label: str
) -> Tuple[float, str]:
    """Threshold of a class without annotated recordings, and its origin."""
    if threshold is None:
        return 0.5, "a probability of one half; the model has no other"
    if label != classes[-1]:
        threshold = 1 - threshold
    return threshold, (
        "of the model's validation, where a fifth of the clips of the other "
        "class pass too: choose one on annotated recordings of your own by "
        "--target_false_alarms_per_hour"
    )


def candidates(recordings: Sequence[Scored], floor: float = 0.0) -> np.ndarray:
    """Thresholds that differ in what they detect, the highest first: one above
    all scores, then half-way between neighbouring ones, as long as the lower
    threshold is at least `floor`.

    Example
    -------
    >>> scored = Scored("a", np.arange(4.0), np.array([0.2, 0.6, 0.4]), [])
    >>> candidates([scored]).round(2).tolist()
    [0.8, 0.5, 0.3, 0.1]
    """
    scores = np.concatenate([recording.scores for recording in recordings])
    scores = np.unique(scores[np.isfinite(scores)])[::-1]
    middles = (np.append(1.0, scores) + np.append(scores, 0.0)) / 2
    if len(scores) and scores[0] >= 1:
        middles[0] = 1.0005  # no score is above it
    rest = np.arange(_HIGHEST, len(middles))
    rest = rest[:: max(1, len(rest) // _OTHERS)]
    tried = middles[np.append(np.arange(min(_HIGHEST, len(middles))), rest)]
    return tried[: sum(low_of(high) >= floor for high in tried)]


def false_alarms(scored: Scored, rule: Rule) -> Tuple[int, float]:
    """Events that share no time with an annotated one, and the share of the
    time without annotated events that all events cover."""
    events = scored.events(rule)[:, :2]
    n_false = int((~touches(events, scored.annotated)).sum())
    begin_end = scored.edges[None, [0, -1]]
    free = _seconds(begin_end) - _seconds(scored.annotated)
    inside = float(covered_s(scored.annotated, events).sum())
    return n_false, (_seconds(events) - inside) / max(free, 1e-9)


def _seconds(spans: np.ndarray) -> float:
    return float((spans[:, 1] - spans[:, 0]).sum())


def choose(exceeds: np.ndarray) -> np.ndarray:
    """Index of the last threshold before the first one, from the highest on,
    that `exceeds` ``[draws, n]`` a limit: ``[draws]``.

    Not the lowest of all that do not: at a very low threshold the whole night
    is one event, which is not false if anything is annotated.

    Example
    -------
    >>> choose(np.array([[False, False, True, False]]))
    array([1])
    """
    always = np.ones((len(exceeds), 1), bool)
    return np.argmax(np.hstack([exceeds, always]), axis=1) - 1


def chosen(
    recordings: Sequence[Scored],
    rule: Rule,
    target: float,
    seed: int = 0,
    floor: float = 0.0,
) -> Optional[Dict]:
    """Threshold for so many false alarms an hour, and how sure it is: 95 %
    intervals over recordings, drawn with replacement.

    None if lower thresholds than `floor`, down to which gaps are scored, are
    needed for that.
    """
    tried = candidates(recordings, floor)
    if floor and len(tried) < 2:
        return None
    require(
        len(tried) > 1,
        "the annotated recordings are silent in every window",
        "pass others",
    )
    rules = [rule._replace(high=high, low=low_of(high)) for high in tried]
    table = np.array(
        [[false_alarms(scored, at) for at in rules] for scored in recordings]
    )  # [recordings, thresholds, 2]
    hours = np.array([scored.hours for scored in recordings])
    rates = table[:, :, 0].sum(axis=0) / hours.sum()
    shares = hours @ table[:, :, 1] / hours.sum()
    exceeds = _too_many(rates, target) | (shares > _MOST_FALSE)
    if floor and not exceeds.any():
        return None
    place = int(choose(exceeds[None])[0])
    require(
        place > 0,
        f"at the highest score alone there are {rates[1]:.2f} false alarms an "
        f"hour, and events cover {shares[1]:.0%} of the time without annotated "
        "ones: the model does not tell them apart",
        "allow more, annotate what these are, or train another model",
    )
    if not _too_many(rates, target)[place + 1 : place + 2].any():
        # No limit but that of time: the highest threshold that finds as many.
        n_found = [_found(recordings, at) for at in rules[: place + 1]]
        place = int(np.argmax(n_found))
    names = [scored.recording for scored in recordings]
    how_sure = _intervals(names, table, hours, tried, place, target, seed)
    lowest = (how_sure["threshold_ci95"] or [1.0])[0]
    if floor and lowest <= tried[-1]:
        return None
    return {
        "threshold": float(tried[place]),
        "low_threshold": float(rules[place].low),
        "target_false_alarms_per_hour": target,
        "false_alarms_per_hour": float(rates[place]),
        **how_sure,
        "recordings": len(set(names)),
        "hours": float(hours.sum()),
        "annotated_events": sum(len(s.annotated) for s in recordings),
        "found_events": _found(recordings, rules[place]),
    }


def _too_many(rates: np.ndarray, target: float) -> np.ndarray:
    """Check for more false alarms an hour than wanted, but for rounding."""
    return rates > target * (1 + 1e-9) + 1e-12


def _intervals(names, table, hours, tried, place, target, seed) -> Dict:
    """Intervals of the threshold and of the false alarms an hour."""
    keys = "threshold_ci95", "false_alarms_per_hour_ci95", "no_interval"
    n_names = len(set(names))
    if n_names < LEAST_PATIENTS:
        reason = f"an interval needs {LEAST_PATIENTS} recordings"
        return dict(zip(keys, (None, None, reason)))
    thresholds, rates = [], []
    for weights in patient_weights(names, seed, N_DRAWS):
        n_hours = (weights @ hours)[:, None]
        of_draws = weights @ table[:, :, 0] / n_hours
        shares = weights @ (hours[:, None] * table[:, :, 1]) / n_hours
        exceeds = _too_many(of_draws, target) | (shares > _MOST_FALSE)
        thresholds.append(tried[choose(exceeds).clip(0)])
        rates.append(of_draws[:, place])
    pair = interval(np.concatenate(thresholds)), interval(np.concatenate(rates))
    reason = None if any(pair) else "all draws of recordings agree"
    return dict(zip(keys, (*pair, reason)))


def _found(recordings: Sequence[Scored], rule: Rule) -> int:
    """Annotated events that share time with a detected one."""
    n_found = 0
    for scored in recordings:
        events = scored.events(rule)
        n_found += int(touches(scored.annotated, events[:, :2]).sum())
    return n_found


def in_words(facts: Dict) -> str:
    """Line about a chosen threshold."""

    def value(key: str, digits: str) -> str:
        ends = facts[f"{key}_ci95"]
        text = f"{facts[key]:{digits}}"
        if ends is None:
            return text
        return f"{text} ({ends[0]:{digits}} to {ends[1]:{digits}})"

    line = (
        f"threshold {value('threshold', '.3g')}: "
        f"{value('false_alarms_per_hour', '.2f')} false alarms an hour on "
        f"{count(facts['recordings'], 'annotated recording')} of "
        f"{facts['hours']:.2f} hours, {facts['found_events']} of "
        f"{facts['annotated_events']} annotated events found"
    )
    if facts["no_interval"]:
        return f"{line}; how sure is unknown, {facts['no_interval']}"
    return f"{line}; 95 % intervals over recordings"


def save(facts: Dict, path: Path) -> None:
    """Write a threshold file."""
    text = json.dumps({"format": _FORMAT, **facts}, indent=2)
    write_text(path, text + "\n")


def read_threshold(path: str) -> Dict:
    """Read a threshold file; refuse another file."""
    cure = f"pass a number, or a {THRESHOLD_FILE} that this command wrote"
    facts = read_json(Path(path), _SHAPE, cure)
    require(
        facts["format"] == _FORMAT,
        f"{path} has the format {facts['format']!r}",
        cure,
    )
    return facts


def number_or_file(text: str) -> Tuple[Optional[float], Optional[Dict]]:
    """Value of ``--threshold``: a number, or the content of a file."""
    try:
        return float(Number(0, 1)(text)), None
    except Unfit as error:
        is_file = os.path.lexists(
            os.path.expanduser(text)
        ) or text.lower().endswith(".json")
        if not is_file:
            raise InputError(f"--threshold {error}, or a {THRESHOLD_FILE}")
    path = Path(convert("--threshold", a_path, text))
    path = path / THRESHOLD_FILE if path.is_dir() else path
    return None, read_threshold(str(path))
