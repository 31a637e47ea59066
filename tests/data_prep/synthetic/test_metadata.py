"""All facts of a recording's file together do not tell the label."""

from collections import Counter
from datetime import datetime

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from data_prep.synthetic import (
    corpora,
    plan as synthetic_plan,
)
from data_prep.synthetic.voices import SITES

SPLITS = ("train", "valid", "test")
N_SEEDS = 3


def of_split(scale, seed, split):
    """Plans of a split, facts of each recording ``[n, facts]``, which are of
    injured patients, and the patients."""
    every = synthetic_plan.plan_cries(scale, seed)
    plans = [plan for plan in every if plan.row.split == split]
    count = Counter(plan.patient for plan in plans)
    days = [datetime.fromisoformat(p.row.recorded_at) for p in plans]
    columns = [
        [p.seconds for p in plans],
        [day.timestamp() for day in days],
        [day.hour + day.minute / 60 for day in days],
        [p.index for p in plans],
        [p.patient for p in plans],
    ]
    columns += [[p.row.site == site for p in plans] for site in sorted(SITES)]
    if scale != "poster":  # fewer of injured patients in its table
        columns.append([count[p.patient] for p in plans])
    positive = np.array([p.row.neuro_injury == "injury" for p in plans])
    patients = np.array([p.patient for p in plans])
    return plans, np.array(columns, dtype=float).T, positive, patients


def fitted(facts, positive):
    """Logistic regression on the facts, their squares and products."""
    model = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=500),
    )
    return model.fit(facts, positive)


def cross_validated(facts, positive, patients):
    """AUC over folds of patients, mean of the folds."""
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
    aucs = []
    for train, test in folds.split(facts, positive, patients):
        model = fitted(facts[train], positive[train])
        scores = model.decision_function(facts[test])
        aucs.append(roc_auc_score(positive[test], scores))
    return np.mean(aucs)


def error_of(positive, patients):
    """Standard error of an AUC of patients under the null hypothesis (Mann and
    Whitney)."""
    n = len(set(patients[positive]))
    m = len(set(patients)) - n
    return np.sqrt((n + m + 1) / (12 * n * m))


def figures_of(scale, split, longer=1.0):
    """Cross-validated AUC in a split, mean of some corpora, and its error;
    injured patients may be recorded for `longer`."""
    aucs = []
    for seed in range(N_SEEDS):
        _, facts, positive, patients = of_split(scale, seed, split)
        facts[positive, 0] *= longer
        aucs.append(cross_validated(facts, positive, patients))
    return np.mean(aucs), error_of(positive, patients) / np.sqrt(N_SEEDS)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("scale", ["miniature", "demo", "poster"])
def test_no_facts_of_the_table_together_tell_the_label(scale, split):
    """Below 0.5 is no information: lengths and sites are dealt out exactly
    evenly, so what a fold has more of, the others have less of."""
    auc, error = figures_of(scale, split)
    assert auc - 0.5 < 2 * error


@pytest.mark.parametrize("scale", ["miniature", "demo", "poster"])
def test_what_training_holds_tells_nothing_of_the_others(scale):
    for split in ("valid", "test"):
        aucs = []
        for seed in range(N_SEEDS):
            _, facts, positive, _ = of_split(scale, seed, "train")
            model = fitted(facts, positive)
            _, facts, positive, patients = of_split(scale, seed, split)
            scores = model.decision_function(facts)
            aucs.append(roc_auc_score(positive, scores))
        error = error_of(positive, patients) / np.sqrt(N_SEEDS)
        assert abs(np.mean(aucs) - 0.5) < 3 * error, split


def test_a_tenth_of_the_length_would_be_seen():
    auc, error = figures_of("miniature", "train", 1.1)
    assert auc - 0.5 > 3 * error


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["miniature", "demo"])
def test_nor_do_they_with_the_level_of_the_audio(scale):
    for split in SPLITS:
        plans, facts, positive, patients = of_split(scale, 1234, split)
        waves = [corpora.render_cry(plan) for plan in plans]
        levels = [[10 * np.log10(np.mean(wave**2))] for wave in waves]
        error = error_of(positive, patients)
        for columns in (levels, np.hstack([facts, levels])):
            auc = cross_validated(np.array(columns), positive, patients)
            assert auc - 0.5 < 2 * error, split
