"""Folds that keep groups apart are those of scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from cry_modules.evaluation.group_folds import StratifiedGroupFolds


def split(kind, labels, groups, n_folds, seed):
    splitter = kind(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            test.tolist() for _, test in splitter.split(labels, labels, groups)
        ]


@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("n_folds", [2, 3, 5, 11])
def test_folds_equal_those_of_scikit_learn(n_classes, n_folds):
    """Groups of one recording and of many, of one label and of several, and
    classes that are rarer than folds; every tie is broken alike."""
    for seed in range(25):
        rng = np.random.default_rng([seed, n_classes, n_folds])
        n = int(rng.integers(4 * n_folds, 200))
        groups = rng.integers(n_folds, 3 * n_folds + n // 2, n)
        groups[:n_folds] = np.arange(n_folds)  # enough groups
        shares = rng.dirichlet(np.ones(n_classes))
        labels = rng.choice(n_classes, n, p=shares)
        if seed % 2:  # one label a group, as patients have
            labels = rng.choice(n_classes, groups.max() + 1, p=shares)[groups]
        labels[:n_folds] = 0
        expected = split(StratifiedGroupKFold, labels, groups, n_folds, seed)
        found = split(StratifiedGroupFolds, labels, groups, n_folds, seed)
        assert found == expected


def test_the_method_is_asked(monkeypatch):
    """Otherwise scikit-learn has another one, and the class is of no use."""
    asked = []
    own = StratifiedGroupFolds._find_best_fold
    monkeypatch.setattr(
        StratifiedGroupFolds,
        "_find_best_fold",
        lambda *a, **k: asked.append(1) or own(*a, **k),
    )
    split(StratifiedGroupFolds, np.arange(20) % 2, np.arange(20) // 2, 5, 0)
    assert len(asked) == 10
