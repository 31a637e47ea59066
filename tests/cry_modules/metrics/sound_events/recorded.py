"""Figures that sed_eval computed of some lists of events.

> python -m tests.cry_modules.metrics.sound_events.recorded

writes ``sed_eval.json`` anew, where sed_eval is installed.
"""

import json
import sys
import types
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from cry_modules.metrics.sound_events.event_based import Collar
from data_prep.annotations.event import Event
from tests.cry_modules.metrics.sound_events.event_lists import (
    DURATION_S,
    LABELS,
    numpy_lists,
    rows,
)

FILE = Path(__file__).with_name("sed_eval.json")
Pairs = List[Tuple[List[Event], List[Event]]]  # annotated and detected


class Case(NamedTuple):
    """Lists of events of some recordings, and what was computed of them."""

    pairs: Pairs
    parameters: Tuple[float, ...]
    figures: Dict[str, Any]


def imported():
    """sed_eval, or None: it imports pkg_resources for no use, which setuptools
    no longer brings."""
    missing = "pkg_resources" not in sys.modules
    sys.modules.setdefault("pkg_resources", types.ModuleType("pkg_resources"))
    try:
        return import_module("sed_eval")
    except ModuleNotFoundError:
        return None
    finally:
        if missing:
            del sys.modules["pkg_resources"]


def event_based(sed_eval, pairs: Pairs, collar: Collar) -> Dict[str, Any]:
    """Precision, recall and F1 with optimal matching."""
    metrics = sed_eval.sound_event.EventBasedMetrics(
        LABELS,
        t_collar=collar.onset_s,
        percentage_of_length=collar.offset_share,
        event_matching_type="optimal",
    )
    for annotated, detected in pairs:
        metrics.evaluate(rows(annotated), rows(detected))
    return {
        "micro": metrics.overall_f_measure(),
        "per_class": {x: metrics.class_wise_f_measure(x) for x in LABELS},
    }


def segment_based(sed_eval, pairs: Pairs, segment_s: float) -> Dict[str, Any]:
    """Precision, recall, F1 and error rates."""
    metrics = sed_eval.sound_event.SegmentBasedMetrics(LABELS, segment_s)
    for annotated, detected in pairs:
        metrics.evaluate(
            rows(annotated), rows(detected), evaluated_length_seconds=DURATION_S
        )
    # sed_eval 0.2.1 asks for an attribute it lacks where nothing is detected.
    metrics.empty_system_output_handling = None
    return {
        "micro": metrics.overall_f_measure(),
        "per_class": {
            label: {
                **metrics.class_wise_f_measure(label),
                **metrics.class_wise_error_rate(label),
            }
            for label in LABELS
        },
        "rates": metrics.overall_error_rate(),
    }


def read(kind: str) -> List[Case]:
    """Recorded cases of a kind: ``event_based`` or ``segment_based``."""
    return [
        Case(
            [
                tuple([Event(*e) for e in side] for side in pair)
                for pair in case["pairs"]
            ],
            tuple(case["parameters"]),
            case["figures"],
        )
        for case in json.loads(FILE.read_text("utf-8"))[kind]
    ]


def main() -> None:
    """Record the figures."""
    sed_eval = imported()
    cases: Dict[str, List] = {"event_based": [], "segment_based": []}
    for seed, share in ((0, 0.2), (1, 0.5)):
        pairs = [numpy_lists([seed, i], jitter=0.15) for i in range(2)]
        collar = Collar(0.2, 0.2, share)
        figures = event_based(sed_eval, pairs, collar)
        cases["event_based"].append(Case(pairs, tuple(collar), figures))
    for segment_s in (0.5, 1.0, 7.0):
        pairs = [numpy_lists([9, i], n=4) for i in range(2)]
        figures = segment_based(sed_eval, pairs, segment_s)
        cases["segment_based"].append(Case(pairs, (segment_s,), figures))
    text = json.dumps(
        {
            kind: [case._asdict() for case in of_kind]
            for kind, of_kind in cases.items()
        },
        default=lambda event: [
            event.onset_s, event.offset_s, event.label, event.score,
        ],
    )  # fmt: skip
    FILE.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
