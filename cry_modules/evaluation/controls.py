"""Controls that a classifier must beat: classical models on the same split.

Their features are mean and spread over time of the log-mel bands of whole
recordings. The means hold the microphone and the room, which encoders do not
see since ``fbank`` takes them off; so one model has the spread alone. The one
setting of each is chosen on the validation split, as the epoch of the network
is.
"""

from typing import Dict, List, Tuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from cry_modules.evaluation.linear_model import decision_per_class
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.figures import shown_in
from cry_modules.metrics.paired import paired_difference
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import auc
from data_prep.files.errors import InputError

#: Names of the controls in a report.
NAMES = {
    "logmel_logistic": "log-mel statistics, logistic regression",
    "logmel_svm": "log-mel statistics, support vector machine",
    "logmel_spread": "log-mel statistics without means, logistic regression",
    "random_encoder": "random encoder, calibrated BatchNorm, same read-out",
}
#: The time of a support vector machine grows with the square of these.
_MOST_RECORDINGS = 20000


def train_classical(
    features: Dict[str, np.ndarray],
    recordings: Dict[str, Predictions],
    prevalence: np.ndarray,
) -> Dict[str, Tuple[Dict[str, Predictions], np.ndarray]]:
    """Train the classical models on means and spreads, ``[n, 2 * bands]``, by
    split.

    Returns by name the predictions of validation and test, and the class
    frequencies that the scores assume.
    """
    uniform = np.full(len(prevalence), 1 / len(prevalence))
    spread = {s: f[:, f.shape[1] // 2 :] for s, f in features.items()}
    return {
        "logmel_logistic": (
            _best(features, recordings, *_logistic(prevalence)),
            prevalence,
        ),
        "logmel_svm": (_best(features, recordings, *_svm()), uniform),
        "logmel_spread": (
            _best(spread, recordings, *_logistic(prevalence)),
            prevalence,
        ),
    }


def _logistic(prevalence):
    """Candidates, and scores that are probabilities: the effect of balanced
    classes is removed."""
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
    models = [SVC(C=c, class_weight="balanced") for c in (0.1, 1.0, 10.0)]

    def scores(model, features):
        decision = decision_per_class(model.decision_function(features))
        odds = np.exp(decision - decision.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    return models, scores


def _best(features, recordings, models, scores) -> Dict[str, Predictions]:
    """Predictions of the candidate with the best AUC on validation; of equal
    ones, or if validation has one class, the most regular candidate."""
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
