"""Controls that a classifier must beat: classical models on the same split.

Their features are acoustic measures of cries, or mean and spread over time of
the log-mel bands of whole recordings. The means hold the microphone and the
room, which encoders do not see since ``fbank`` takes them off; so one model has
the spread alone. The one setting of each is chosen on the validation split, as
the epoch of the network is.
"""

from typing import Dict, List, Optional, Sequence, Tuple, TypeVar

import numpy as np

from cry_modules.evaluation.linear_model import decision_per_class
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.figures import rarest_class_interval, shown_in
from cry_modules.metrics.paired import (
    aligned,
    mean_difference,
    metric_draws,
    paired_difference,
    why_no_test,
)
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import auc
from data_prep.files.errors import InputError

T = TypeVar("T")

#: Names of the controls in a report.
NAMES = {
    "logmel_logistic": "log-mel statistics, logistic regression",
    "logmel_svm": "log-mel statistics, support vector machine",
    "logmel_spread": "log-mel statistics without means, logistic regression",
    "acoustic_logistic": "acoustic measures, logistic regression",
    "random_encoder": "random encoder, calibrated BatchNorm, same read-out",
}
#: Random encoders in the control of that name where a run is cheap: one seed
#: differs from another by up to 0.12 AUC (width 8, read at block 2 or 3).
N_RANDOM_ENCODERS = 3
#: The time of a support vector machine grows with the square of these.
_MOST_RECORDINGS = 20000


def train_classical(
    features: Dict[str, np.ndarray],
    recordings: Dict[str, Predictions],
    prevalence: np.ndarray,
    measures: Optional[Dict[str, np.ndarray]] = None,
) -> Dict[str, Tuple[Dict[str, Predictions], np.ndarray]]:
    """Train the classical models on means and spreads, ``[n, 2 * bands]``, and
    on acoustic measures, ``[n, measures]``, by split.

    Returns by name the predictions of validation and test, and the class
    frequencies that the scores assume.
    """
    uniform = np.full(len(prevalence), 1 / len(prevalence))
    spread = {s: f[:, f.shape[1] // 2 :] for s, f in features.items()}
    of_logistic = {"logmel_logistic": features, "logmel_spread": spread}
    if measures is not None:
        of_logistic["acoustic_logistic"] = measures
    trained = {
        name: (_best(each, recordings, *_logistic(prevalence)), prevalence)
        for name, each in of_logistic.items()
    }
    trained["logmel_svm"] = _best(features, recordings, *_svm()), uniform
    return {name: trained[name] for name in NAMES if name in trained}


def _logistic(prevalence):
    """Candidates, and scores that are probabilities: the effect of balanced
    classes is removed."""
    from sklearn.linear_model import LogisticRegression

    models = [
        LogisticRegression(C=c, class_weight="balanced", max_iter=2000)
        for c in (1e-3, 1e-2, 1e-1, 1.0)
    ]

    def scores(model, features):
        odds = model.predict_proba(features) * prevalence
        return odds / odds.sum(axis=1, keepdims=True)

    return models, scores


def _svm():
    """Candidates, and scores that rank but are not probabilities."""
    from sklearn.svm import SVC

    models = [SVC(C=c, class_weight="balanced") for c in (0.1, 1.0, 10.0)]

    def scores(model, features):
        decision = decision_per_class(model.decision_function(features))
        odds = np.exp(decision - decision.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    return models, scores


def _best(features, recordings, models, scores) -> Dict[str, Predictions]:
    """Predictions of the candidate with the best AUC on validation; of equal
    ones, or if validation has one class, the most regular candidate."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    candidates = []
    for model in models:
        fitted = make_pipeline(StandardScaler(), model)
        fitted.fit(features["train"], recordings["train"].labels)
        predicted = {
            split: recordings[split].with_scores(
                scores(fitted, features[split])
            )
            for split in ("valid", "test")
        }
        value = auc(predicted["valid"].labels, predicted["valid"].scores)
        candidates.append((-1.0 if value is None else value, predicted))
    return max(candidates, key=lambda pair: pair[0])[1]


def compare_with_control(
    model: Predictions,
    control: Predictions,
    choices: Choices,
    seed: int,
    n_draws: int,
) -> Dict:
    """Metrics of a control and the AUC difference of the model to it: an entry
    of ``controls`` in ``metrics.json``."""
    block = evaluate(control, choices, seed, n_draws)
    entry = {}
    for name in shown_in("controls"):
        entry[name] = block[name]
        if name != "accuracy":  # compared with the majority instead
            entry[f"{name}_ci95"] = block[f"{name}_ci95"]
    return {
        **entry,
        "majority_accuracy": block["majority_accuracy"],
        "difference": paired_difference(control, model, seed, n_draws),
    }


def random_encoder(draw: int) -> str:
    """Name of the run of a random encoder: ``random_encoder-2``."""
    return f"random_encoder-{draw + 1}" if draw else "random_encoder"


def by_method(controls: Dict[str, T]) -> Dict[str, List[T]]:
    """Gather controls that differ in the draw of a random encoder alone.

    Example
    -------
    >>> by_method({"logmel_svm": 0, "random_encoder": 1, "random_encoder-2": 2})
    {'logmel_svm': [0], 'random_encoder': [1, 2]}
    """
    methods: Dict[str, List[T]] = {}
    for name, control in controls.items():
        methods.setdefault(name.partition("-")[0], []).append(control)
    return methods


def compare_with_encoders(
    model: Predictions,
    encoders: Sequence[Tuple[Predictions, Choices]],
    seed: int,
    n_draws: int,
) -> Dict:
    """``compare_with_control`` for several random encoders: their mean metrics,
    ``auc_range``, and the difference of the model to their mean AUC, over
    patients and random encoders. Predictions are not averaged, which would be
    an ensemble."""
    if len(encoders) == 1:
        return compare_with_control(model, *encoders[0], seed, n_draws)
    each = [compare_with_control(model, *e, seed, 0) for e in encoders]
    if any(entry["auc"] is None for entry in each):
        return each[0]
    names = "the model", "a random encoder"
    files = [aligned(model, names[0], p, names[1]) for p, _ in encoders]
    why = why_no_test(files, [model], names[::-1], n_draws)
    computed = metric_draws([*files, model], "auc", seed, 0 if why else n_draws)
    rows, values = [*range(len(files))], computed.values[:-1]
    entry = {f"{name}_ci95": None for name in shown_in("controls")}
    for name in (*shown_in("controls"), "majority_accuracy"):
        values_of = [e[name] for e in each if e[name] is not None]
        entry[name] = float(np.mean(values_of)) if values_of else None
    if why is None:
        draws = computed.draws[:-1].mean(axis=0)
        entry["auc_ci95"] = rarest_class_interval(*(entry["auc"], draws, model))
    return {
        **entry,
        "n_encoders": len(each),
        "auc_range": [float(values.min()), float(values.max())],
        "difference": mean_difference(
            *(computed, rows, [len(files)], model, why), [values]
        ),
    }


def in_words(name: str, entry: Dict) -> str:
    """Name of a control for a report; of random encoders with their number, as
    they differ."""
    if name != "random_encoder":
        return NAMES.get(name, name)
    if "auc_range" not in entry:
        return f"{NAMES[name]} (one; others differ)"
    low, high = entry["auc_range"]
    n = entry["n_encoders"]
    return f"{NAMES[name]} (mean of {n}, AUC {low:.3f} to {high:.3f})"


def check_training_size(n: int) -> None:
    """Refuse training sets that take a support vector machine days."""
    if n > _MOST_RECORDINGS:
        raise InputError(
            f"controls is True and there are {n} training recordings, too many "
            "for a support vector machine; pass --controls False"
        )


def unbeaten(controls: Dict[str, Dict]) -> List[str]:
    """Controls that the model is not shown to beat, by decreasing AUC."""
    return [
        name
        for name in sorted_by_auc(controls)
        if not (controls[name]["recording"]["difference"]["ci95"] or [0])[0] > 0
    ]


def sorted_by_auc(controls: Dict[str, Dict]) -> List[str]:
    """Names of controls by decreasing AUC per recording."""
    return sorted(
        controls, key=lambda n: -(controls[n]["recording"]["auc"] or 0)
    )
