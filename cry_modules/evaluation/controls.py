"""What a classifier must beat: classical models on the same split.

The mean and spread over time of the log-mel bands of whole recordings, with a
logistic regression and a support vector machine; their one setting is chosen
on the validation split, as the epoch of the network is.
"""

from typing import Dict, List, Sequence, Tuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from cry_modules.metrics.choices import Choices
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.paired import paired_difference
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import auc
from data_prep.files.errors import InputError

#: What a control is called in a report.
NAMES = {
    "logmel_logistic": "log-mel statistics, logistic regression",
    "logmel_svm": "log-mel statistics, support vector machine",
    "random_encoder": "random encoder, calibrated BatchNorm, same read-out",
}
#: Figures of a control that are kept.
_FIGURES = (
    "auc",
    "auc_ci95",
    "average_precision",
    "average_precision_ci95",
    "balanced_accuracy",
    "balanced_accuracy_ci95",
    "accuracy",
    "majority_accuracy",
)
#: A support vector machine's time grows with the square of these.
_MOST_RECORDINGS = 20000


def classical(
    features: Dict[str, np.ndarray],
    recordings: Dict[str, Predictions],
    prevalence: np.ndarray,
) -> Dict[str, Tuple[Dict[str, Predictions], np.ndarray]]:
    """Train the classical models and let them tell validation and test.

    Shapes: features ``[n, features]``, prevalence ``[n_classes]``.
    """
    uniform = np.full(len(prevalence), 1 / len(prevalence))
    return {
        "logmel_logistic": (
            _best(features, recordings, _logistic(prevalence)),
            prevalence,
        ),
        "logmel_svm": (_best(features, recordings, _svm()), uniform),
    }


def _logistic(prevalence):
    """Candidates, and scores that are probabilities: balanced classes are
    given back their prevalence."""
    models = [
        LogisticRegression(C=c, class_weight="balanced", max_iter=2000)
        for c in (1e-3, 1e-2, 1e-1, 1.0)
    ]

    def scores(model, features):
        odds = model.predict_proba(features) * prevalence
        return odds / odds.sum(axis=1, keepdims=True)

    return models, scores


def _svm():
    """Candidates, and scores that rank but are no probabilities."""
    models = [SVC(C=c, class_weight="balanced") for c in (0.1, 1.0, 10.0)]

    def scores(model, features):
        decision = model.decision_function(features)
        if decision.ndim == 1:
            decision = np.stack([-decision, decision], axis=1)
        odds = np.exp(decision - decision.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    return models, scores


def _best(features, recordings, candidates) -> Dict[str, Predictions]:
    """Predictions of the candidate with the best AUC on validation; of equal
    ones, or where it has one class, the most regular one."""
    models, scores = candidates
    found = []
    for model in models:
        fitted = make_pipeline(StandardScaler(), model)
        fitted.fit(features["train"], recordings["train"].labels)
        told = {
            split: _with_scores(
                recordings[split], scores(fitted, features[split])
            )
            for split in ("valid", "test")
        }
        value = auc(told["valid"].labels, told["valid"].scores)
        found.append((-1.0 if value is None else value, told))
    return max(found, key=lambda pair: pair[0])[1]


def _with_scores(p: Predictions, scores: np.ndarray) -> Predictions:
    return Predictions(p.ids, p.patients, p.labels, scores, p.classes)


def beside(
    model: Predictions,
    control: Predictions,
    choices: Choices,
    seed: int,
    n_draws: int,
) -> Dict:
    """What stands in ``controls`` of ``metrics.json``, by recording or by
    patient.
    """
    block = evaluate(control, choices, seed, n_draws)
    return {
        **{name: block[name] for name in _FIGURES},
        "difference": paired_difference(control, model, seed, n_draws),
    }


def check_size(n: int) -> None:
    """Refuse what would take days.

    Example
    -------
    >>> check_size(500)
    """
    if n > _MOST_RECORDINGS:
        raise InputError(
            f"controls is True and there are {n} training recordings, too many "
            "for a support vector machine; pass --controls False"
        )


def unbeaten(controls: Dict[str, Dict], unit: str = "recording") -> List[str]:
    """Controls that the model is not shown to be better than.

    Example
    -------
    >>> entry = {"auc": 0.9, "difference": {"ci95": [-0.1, 0.2]}}
    >>> unbeaten({"logmel_svm": {"recording": entry}})
    ['logmel_svm']
    """
    left = [
        name
        for name, entry in controls.items()
        if not (entry[unit]["difference"]["ci95"] or [0])[0] > 0
    ]
    return _by_auc(left, controls, unit)


def _by_auc(names: Sequence[str], controls, unit) -> List[str]:
    return sorted(names, key=lambda n: -(controls[n][unit]["auc"] or 0))
