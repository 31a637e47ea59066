"""The model card: intended use, results and limits of an exported model."""

from pathlib import Path
from typing import Dict, List, Sequence

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cry_modules.checkpoints.public import public_encoder
from cry_modules.evaluation.controls import in_words, unbeaten
from cry_modules.evaluation.final import (
    card_sentence,
    study_limits,
    study_sentence,
)
from cry_modules.evaluation.out_of_distribution import Training
from cry_modules.evaluation.report import (
    controls_table,
    is_above_chance,
    metrics_table,
)
from cry_modules.export.facts import FEWEST, few, mode_in_words
from cry_modules.metrics.predictions import UNITS
from cry_modules.metrics.words import with_interval

_TEMPLATE = "card.md.j2"
#: With fewer patients of a class, intervals are wide.
_FEW_PATIENTS = 40
_NO_LICENCE = (
    "The licence of the weights is not stated: ask their author before using "
    "them."
)


def model_card(
    description: Dict, metrics: Dict, licence: str, onnx: Sequence[str]
) -> str:
    """Write ``README.md`` of an exported model.

    ``description`` is ``model.json``, ``onnx`` names the ONNX files.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=plain,
    )
    public = map(public_encoder, description["origin"])
    controls = controls_table(metrics) if metrics.get("controls") else []
    unknown = licence == "unknown"
    final, study = metrics.get("final"), description.get("study")
    results = {
        "final_sentence": Markup(card_sentence(final)) if final else "",
        "study_sentence": study and study_sentence(study, metrics["seed"]),
        "mode": mode_in_words(metrics),
        "tested": "In cross-validation" if final else "On the test split",
        "figures": Markup("\n".join(metrics_table(metrics))),
        "controls": Markup("\n".join(controls)),
        "limits": [Markup(limit) for limit in limits(description, metrics)],
    }
    return environment.get_template(_TEMPLATE).render(
        {**description, **results},
        point=description["operating_point"],
        fewest=FEWEST,
        with_interval=with_interval,
        above_chance=is_above_chance(metrics),
        public=" and ".join(encoder.name for encoder in public if encoder),
        aucs=[with_interval(metrics["test"][unit]) for unit in UNITS],
        licence=licence,
        licence_in_words=_NO_LICENCE if unknown else f"Weights: {licence}.",
        has_slope=metrics["test"]["recording"]["calibration_slope"] is not None,
        onnx=list(onnx),
    )


def plain(value):
    """Escape Markdown's table bars and HTML's brackets in names; text of type
    ``Markup`` is unchanged."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return value.replace("|", "\\|").replace("<", "&lt;")


def limits(description: Dict, metrics: Dict) -> List[str]:
    """Caveats of the results, one sentence each."""
    test, caveats = metrics["test"]["recording"], []
    controls = metrics.get("controls") or {}
    ahead = unbeaten(controls)
    if ahead:
        names = "; or than ".join(
            in_words(name, controls[name]["recording"]) for name in ahead
        )
        caveats.append(
            "We found no evidence that it is better, on the same recordings, "
            f"than {names}."
        )
    study, is_final = description.get("study"), bool(metrics.get("final"))
    if study:
        caveats += map(plain, study_limits(study))
    rare = {
        label: entry["n_patients"]
        for label, entry in test["per_class"].items()
        if entry["n_patients"] < _FEW_PATIENTS
    }
    if rare:
        where = "All folds together have" if is_final else "The test split has"
        names = ", ".join(
            f"`{plain(label)}` {few(n)}" for label, n in rare.items()
        )
        caveats.append(
            f"{where} fewer than {_FEW_PATIENTS} patients of a class ({names}): "
            "the intervals are wide, and no value inside them is excluded."
        )
    slope = test.get("calibration_slope_ci95")  # a final one is recalibrated
    if slope is not None and not (is_final or slope[0] <= 1 <= slope[1]):
        kind = "overconfident" if slope[1] < 1 else "underconfident"
        caveats.append(
            f"Its probabilities are {kind} on the test split (calibration "
            f"slope {with_interval(test, 'calibration_slope')})."
        )
    for name in ("class_warning", "split_warning"):
        warning = (metrics.get("files") or {}).get(name)
        if warning:
            caveats.append(f"{warning[0].upper()}{plain(warning[1:])}.")
    known = description["training_recordings"]
    if known:
        ranges = [f"{k} {v}" for k, v in Training(**known).in_words().items()]
        caveats.append(
            f"98 % of its training recordings have {', '.join(ranges)}; the "
            "column `unlike_training` of the command says which recordings lie "
            "outside, or are far from all of them."
        )
    return [
        *caveats,
        "It was trained, chosen and tested on recordings of one corpus; its "
        "error on others is unknown.",
        "It may use whatever else differs between the classes: recorder, room, "
        "age, hospital.",
        "A recording without a cry, or of an adult, gets a score as well.",
        "Recordings longer than two minutes are split into windows whose "
        "log-odds are averaged; the results are for recordings as long as "
        "those of the corpus.",
    ]
