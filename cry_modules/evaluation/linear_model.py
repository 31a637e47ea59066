"""Standardisation, folds that keep patients apart, and out-of-fold scores of a
linear model or a support vector machine."""

import warnings
from typing import List, Optional, Sequence, Tuple

import numpy as np

# scikit-learn is imported where it is used: it takes a second, and what a user
# types is checked before.

#: A feature that spreads less, relative to its largest value, is constant:
#: dividing by its spread would turn rounding errors into a feature.
_FLOAT32_ROUNDING = 1e-6


def indices(names: Sequence) -> np.ndarray:
    """Index of each name among the sorted distinct names, ``[n]``."""
    return np.unique(np.asarray(names), return_inverse=True)[1]


def varies(features: np.ndarray) -> np.ndarray:
    """Mask of the features that are not constant up to float32 rounding."""
    least = _FLOAT32_ROUNDING * np.abs(features).max(axis=0)
    return features.std(axis=0) > least


def standardised(features: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Standardise features by mean and standard deviation of training rows;
    features that are constant there are only centred."""
    spread = np.where(varies(training), training.std(axis=0), 1)
    return (features - training.mean(axis=0)) / spread


def scaled(embs: np.ndarray) -> np.ndarray:
    """Standardise each dimension of all embeddings; 0 where it is constant.

    Units that a ReLU never activates are constant except for rounding, which
    must not count as much as the others.
    """
    embs = np.asarray(embs, dtype=np.float64)
    return np.where(varies(embs), standardised(embs, embs), 0.0)


def folds(
    labels: np.ndarray, groups: Optional[np.ndarray], n_folds: int, seed: int
) -> List:
    """Train and test rows of folds stratified by label, with each group in one
    fold; without groups, recordings are split."""
    from sklearn.model_selection import StratifiedKFold

    from cry_modules.evaluation.group_folds import StratifiedGroupFolds

    kind = StratifiedKFold if groups is None else StratifiedGroupFolds
    splitter = kind(n_folds, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        # Shuffled labels may leave a class fewer patients than folds.
        warnings.filterwarnings("ignore", "The least populated class")
        return list(splitter.split(labels, labels, groups))


def out_of_fold_scores(
    features: np.ndarray,
    labels: np.ndarray,
    splits: List,
    model: str = "logistic",
) -> Tuple[np.ndarray, np.ndarray]:
    """Score each recording by a model trained without its fold: scores
    ``[n, n_classes]``, and the fold of each.

    The models have no common scale, see ``metrics.within_folds``.
    """
    out = np.zeros((len(labels), labels.max() + 1))
    fold = np.empty(len(labels), dtype=int)
    for i, (train, test) in enumerate(splits):
        fold[test] = i
        known = np.unique(labels[train])
        if len(known) > 1:  # else there is nothing to learn: all tie
            rows = standardised(features, features[train])
            fitted = _model(model).fit(rows[train], labels[train])
            out[np.ix_(test, known)] = decision_per_class(
                fitted.decision_function(rows[test])
            )
    return out, fold


def grouped_scores(
    embs: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    seed: int,
    n_folds: int,
) -> Tuple[np.ndarray, np.ndarray]:
    """Out-of-fold scores of a logistic regression on standardised embeddings,
    with each group in one fold, and the folds."""
    splits = folds(labels, groups, n_folds, seed)
    return out_of_fold_scores(scaled(embs), labels, splits)


def _model(name: str):
    """Ten times scikit-learn's default penalty for the logistic regression,
    because there are often more features than patients."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    if name == "logistic":
        return LogisticRegression(
            C=0.1, class_weight="balanced", tol=1e-3, max_iter=200
        )
    return SVC(class_weight="balanced")


def decision_per_class(decision: np.ndarray) -> np.ndarray:
    """Decision values ``[n, n_classes]``: scikit-learn gives ``[n]`` for two
    classes."""
    if decision.ndim == 1:
        return np.stack([-decision, decision], axis=1)
    return decision
