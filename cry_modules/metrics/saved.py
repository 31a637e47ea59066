"""Read and check ``metrics.json``, the results of a classifier's run."""

from pathlib import Path
from typing import Dict, Sequence

from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.predictions import AGGREGATIONS, UNITS
from data_prep.files.errors import require
from data_prep.files.folders import FILE_NAME
from data_prep.files.shapes import Rule, number, one_of, read_json, whole

METRICS_FILE = "metrics.json"
#: ``encoder_source`` of runs that draw an encoder of their own.
RANDOM_ENCODERS = (None, "random_calibrated")
_CURE = "let that run finish, or train again into another folder"

_SHARE = number(1e-12, 1)
_INTERVAL = ([float, float], None)
_VALUES = {
    **{f"{name}?": (float, None) for name in METRICS},
    **{f"{name}_ci95?": _INTERVAL for name in METRICS},
}
_COUNTS = {"n": whole(0), "n_patients": whole(0)}
#: Shape of all metrics of one set of predictions, see ``evaluate``.
_BLOCK = {
    **_VALUES,
    **_COUNTS,
    "bootstrap_draws": whole(0),
    "no_interval": (str, None),
    "majority_accuracy": number(0, 1),
    "threshold": (float, None),
    "per_class": {str: {**_COUNTS, str: (float, None)}},
    "confusion_matrix": [[whole(0)]],
    str: object,
}
_CONTROL = {
    **_VALUES,
    "n_encoders?": whole(1),
    "auc_range?": [float, float],
    "difference": {"ci95": _INTERVAL, str: object},
    str: object,
}
_NUMBER = (float, None)
#: Shape of the value of a model's decisions, see ``evaluation/clinical.py``.
_CLINICAL = {
    "abstention": [{**_VALUES, "coverage": number(0, 1), "kept": {str: float}}],
    "decision_curve?": {
        "prevalence": number(0, 1),
        **dict.fromkeys(("thresholds", "model", "treat_all", "gain"), [float]),
        **dict.fromkeys(("model_ci95", "gain_ci95"), ([_INTERVAL], None)),
    },
    "prevalences?": [
        {
            "prevalence": number(0, 1),
            **dict.fromkeys(("threshold", "intercept"), _NUMBER),
            "intercept_corrected": _NUMBER,
            **dict.fromkeys(("ppv?", "npv?", "net_benefit_gain?"), _NUMBER),
            str: object,
        }
    ],
}
_BY_FOLD = {
    "each": [
        {**_VALUES, **_COUNTS, "valid_auc?": _NUMBER, "fold?": str, str: object}
    ],
    str: object,
}
_GROUPS = {str: {**_COUNTS, **_VALUES, str: object}}


def _is_classes(value) -> bool:
    is_texts = isinstance(value, list) and all(
        isinstance(name, str) for name in value
    )
    return is_texts and len(set(value)) == len(value) > 1


#: Shape of the names of classes.
CLASSES = Rule(_is_classes, "a list of two or more class names")


_RANGE = ([float, float], None)
#: Shape of the numbers of a model's training recordings, see ``Training`` of
#: ``cry_modules/evaluation/out_of_distribution.py``.
TRAINING = (
    {
        "length_s": [number(1e-3), number(1e-3)],
        "bandwidth_hz": _RANGE,
        "level_dbfs": _RANGE,
        "distance": ([number(1e-12), number(1e-12)], None),
    },
    None,
)
#: Shapes of the entries of ``metrics.json``.
_ENTRIES = {
    "task": str,
    "label_column": (str, None),
    "finetune_mode": str,
    "seed": whole(0),
    "label_fraction": number(0, 1),
    "encoder_source": (str, None),
    "encoder_checksum": (str, None),
    "readout": str,
    "tested_on": str,
    "balance": str,
    "patient_score": one_of(*AGGREGATIONS),
    "corpus": str,
    "classes": CLASSES,
    "prevalence": ([_SHARE], None),
    "n_trainable": whole(0),
    "n_parameters": whole(0),
    "valid": dict.fromkeys(UNITS, _BLOCK),
    "test": dict.fromkeys(UNITS, _BLOCK),
    "clinical": (_CLINICAL, None),
    "by_fold": (_BY_FOLD, None),
    "controls": ({str: dict.fromkeys(UNITS, _CONTROL)}, None),
    "subgroups": ({str: {"groups": _GROUPS, str: object}}, None),
    "nuisance": ({str: {str: {**_VALUES, str: object}}}, None),
    "files": (
        {
            **dict.fromkeys(("class_warning", "split_warning"), (str, None)),
            **dict.fromkeys(("by_class", "by_split"), {str: [str]}),
        },
        None,
    ),
    "training_recordings": TRAINING,
    "chosen": ({"epoch?": whole(0), "c?": number(0)}, None),
    "final": (
        {
            **{"epochs?": whole(1), "c?": number(0), "n_folds?": whole(1)},
            **{"slope?": number(0), "shift?": [float]},
        },
        None,
    ),
    "folds": [FILE_NAME],
    "fold_column": str,
}


def read_metrics(folder: Path, required: Sequence[str] = ("test",)) -> Dict:
    """Read the ``metrics.json`` of a run, which must hold the required entries;
    refuse values of another type or range."""
    path = Path(folder) / METRICS_FILE
    shape = {
        name if name in required else f"{name}?": entry
        for name, entry in _ENTRIES.items()
    }
    metrics = read_json(path, {**shape, str: object}, _CURE)
    if "classes" in metrics:
        _check_classes(metrics, path)
    folds = metrics.get("folds", ["."])
    require(len(folds) > 0, f"{path}: folds is empty", _CURE)
    return metrics


def _check_classes(metrics: Dict, path: Path) -> None:
    """Check that all entries are about the same classes."""
    classes, share = metrics["classes"], metrics.get("prevalence")
    require(
        share is None or len(share) == len(classes),
        f"{path}: prevalence has other than {len(classes)} values",
        _CURE,
    )
    for split in ("valid", "test"):
        for unit, block in metrics.get(split, {}).items():
            rows = block["confusion_matrix"]
            require(
                set(block["per_class"]) == set(classes)
                and {len(rows), *map(len, rows)} == {len(classes)},
                f"{path}: {split}.{unit} is of {', '.join(block['per_class'])} "
                f"and {METRICS_FILE} of {', '.join(classes)}",
                _CURE,
            )
