"""The page that goes with a model: what it is for, what it must not be used
for, and with what error it does it.
"""

from pathlib import Path
from typing import Dict, List, Sequence

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cry_modules.checkpoints.public import public_encoder
from cry_modules.evaluation.controls import NAMES, unbeaten
from cry_modules.evaluation.report import (
    controls_table,
    figures_table,
    is_above_chance,
)
from cry_modules.export.facts import FEWEST
from cry_modules.metrics.predictions import UNITS
from cry_modules.metrics.words import with_interval

_TEMPLATE = "card.md.j2"
#: Fewer patients of a class than this make an interval wide.
_FEW_PATIENTS = 40


def model_card(
    about: Dict, metrics: Dict, licence: str, onnx: Sequence[str]
) -> str:
    """``README.md`` of an exported model."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=plain,
    )
    return environment.get_template(_TEMPLATE).render(
        **{key: about[key] for key in _OF_DESCRIPTION},
        classes=about["model"]["classes"],
        point=about["operating_point"],
        **_validation(about["operating_point"]),
        fewest=FEWEST,
        above_chance=is_above_chance(metrics),
        public=" and ".join(
            step for step in about["origin"] if public_encoder(step)
        ),
        aucs=[with_interval(metrics["test"][unit]) for unit in UNITS],
        figures=_lines(figures_table(metrics)),
        controls=_lines(
            controls_table(metrics) if metrics.get("controls") else []
        ),
        subgroups=_with_words(about["subgroups"]),
        limits=[Markup(limit) for limit in limits(about, metrics)],
        licence=licence,
        licence_in_words=_LICENCE.get(licence, f"Weights: {licence}."),
        has_slope=metrics["test"]["recording"]["calibration_slope"] is not None,
        onnx=list(onnx),
    )


_OF_DESCRIPTION = (
    "name", "task", "corpus", "model", "emb_dim", "origin", "finetune_mode", "seed",
    "label_fraction", "n_parameters", "n_trainable", "prevalence", "versions",
)  # fmt: skip

_LICENCE = {
    "unknown": "The licence of the weights is not stated: ask who shared them "
    "before using them."
}


def plain(value):
    """Names that stand in a page as they are: a corpus, a class or a group
    may be called anything. Tables and sentences of ours stay what they are.

    Example
    -------
    >>> plain("<img src=x>"), plain(Markup("<b>"))
    ('&lt;img src=x>', Markup('<b>'))
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return value.replace("|", "\\|").replace("<", "&lt;")


def _lines(lines: Sequence[str]) -> Markup:
    """Of Markdown that is ours."""
    return Markup("\n".join(lines))


def _validation(point) -> Dict[str, str]:
    if point is None:
        return {}
    valid = point["valid"]
    return {
        "valid_sensitivity": with_interval(valid, "sensitivity_at_spec80"),
        "valid_specificity": with_interval(valid, "specificity_at_threshold"),
    }


def _with_words(subgroups) -> Dict:
    return {
        column: {
            group: {**found, "auc_in_words": _auc(found)}
            for group, found in groups.items()
        }
        for column, groups in subgroups.items()
    }


def _auc(found) -> str:
    return "not defined" if found["auc"] is None else with_interval(found)


def limits(about: Dict, metrics: Dict) -> List[str]:
    """What a reader must know before believing the figures."""
    test = metrics["test"]["recording"]
    found = _against_controls(metrics)
    rarest = min(test["per_class"].items(), key=lambda c: c[1]["n_patients"])
    if rarest[1]["n_patients"] < _FEW_PATIENTS:
        found.append(
            f"The test split has few patients of a class "
            f"(`{plain(rarest[0])}`): the intervals are wide, and what is inside "
            "them is not excluded."
        )
    slope = test.get("calibration_slope_ci95")
    if slope is not None and not slope[0] <= 1 <= slope[1]:
        kind = "too extreme" if slope[1] < 1 else "too timid"
        found.append(
            f"Its probabilities are {kind} on the test split (calibration "
            f"slope {with_interval(test, 'calibration_slope')})."
        )
    found += [
        "Trained, chosen and tested on recordings of one corpus; nothing is "
        "known of others.",
        "What else differs between the classes (recorder, room, age, hospital)"
        " may be what it hears.",
        "A recording without a cry, or of an adult, gets a score all the same.",
        "Recordings longer than two minutes are heard in windows and their "
        "log-odds averaged; the figures are of recordings as the corpus has "
        "them.",
    ]
    return found


def _against_controls(metrics) -> List[str]:
    left = unbeaten(metrics.get("controls") or {})
    if not left:
        return []
    names = "; nor than ".join(NAMES[name] for name in left)
    return [
        f"It is not shown to be better than {names}, on the same recordings."
    ]
