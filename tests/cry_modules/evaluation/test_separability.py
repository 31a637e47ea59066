"""Neighbours, retrieval and the linear probe against plain versions."""

from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from cry_modules.evaluation import separability
from cry_modules.evaluation.separability import (
    knn_accuracy,
    linear_auc,
    retrieval_map,
)


def cloud(n=60, n_groups=13, n_labels=3, dim=5, seed=0, apart=1.0):
    """Noise about one centre a label; groups have several labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_labels, size=n)
    groups = rng.integers(n_groups, size=n)
    centres = apart * rng.normal(size=(n_labels, dim))
    embs = centres[labels] + rng.normal(size=(n, dim))
    return embs * rng.uniform(0.1, 9, dim) + 5, labels, groups


def cosines(embs):
    """By the definition, pair by pair."""
    z = (embs - embs.mean(axis=0)) / embs.std(axis=0)
    norms = [np.sqrt(row @ row) for row in z]
    n = range(len(z))
    return [[z[i] @ z[j] / (norms[i] * norms[j]) for j in n] for i in n]


def slow_knn(embs, labels, groups, k):
    similar, right = cosines(embs), []
    for i in range(len(labels)):
        others = [j for j in range(len(labels)) if groups[j] != groups[i]]
        if labels[i] not in {labels[j] for j in others}:
            continue
        others.sort(key=lambda j: -similar[i][j])
        votes = Counter(labels[j] for j in others[:k])
        most = max(votes.values())
        predicted = next(labels[j] for j in others if votes[labels[j]] == most)
        right.append(predicted == labels[i])
    return np.mean(right)


def slow_map(embs, labels, groups):
    similar, averages = cosines(embs), []
    for i in range(len(labels)):
        others = [j for j in range(len(labels)) if groups[j] != groups[i]]
        others.sort(key=lambda j: -similar[i][j])
        hits, precisions = 0, []
        for rank, j in enumerate(others, start=1):
            if labels[j] == labels[i]:
                hits += 1
                precisions.append(hits / rank)
        if precisions:
            averages.append(np.mean(precisions))
    return np.mean(averages)


@pytest.mark.parametrize("k", [1, 2, 4, 7, 100])
@pytest.mark.parametrize("seed", [0, 1])
def test_knn_is_the_loop(k, seed):
    data = cloud(seed=seed)
    assert knn_accuracy(*data, k) == pytest.approx(slow_knn(*data, k))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_map_is_the_loop(seed):
    data = cloud(seed=seed)
    assert retrieval_map(*data) == pytest.approx(slow_map(*data))


def test_equals_count_together_as_in_scikit_learn():
    rng = np.random.default_rng(0)
    # Few values, so many are at exactly the same place.
    embs = rng.integers(2, size=(40, 1)).astype(float)
    labels, groups = rng.integers(2, size=40), np.arange(40)
    expected = np.mean(
        [
            average_precision_score(
                np.delete(labels == labels[i], i),
                np.delete(embs[:, 0] == embs[i, 0], i),
            )
            for i in range(40)
        ]
    )
    assert retrieval_map(embs, labels, groups) == pytest.approx(expected)


def test_copies_are_equally_similar_however_many_are_compared(monkeypatch):
    """Products of one row and of many are rounded differently."""
    rng = np.random.default_rng(0)
    embs = rng.normal(size=(50, 33))[rng.integers(50, size=101)]
    data = embs, rng.integers(2, size=101), np.arange(101)
    expected = knn_accuracy(*data), retrieval_map(*data)
    for n in (1, 7):
        monkeypatch.setattr(separability, "_QUERIES_AT_ONCE", n)
        computed = knn_accuracy(*data), retrieval_map(*data)
        # A sum of the same numbers in blocks.
        assert computed == pytest.approx(expected, rel=1e-12)


def test_linear_auc_is_about_that_of_folds_averaged():
    embs, labels, groups = cloud(200, 40, 2, apart=0.5)
    folds = np.arange(40).reshape(5, 8)
    aucs = []
    for held_out in folds:
        test = np.isin(groups, held_out)
        model = LogisticRegression(class_weight="balanced", max_iter=999)
        scores = model.fit(embs[~test], labels[~test]).decision_function(embs)
        aucs.append(roc_auc_score(labels[test], scores[test]))
    value = linear_auc(embs, labels, groups)
    assert value == pytest.approx(np.mean(aucs), abs=0.04)
    assert value == linear_auc(embs, labels, groups, seed=0)
    assert value != linear_auc(embs, labels, groups, seed=1)


def test_an_own_groups_recordings_never_count():
    """Groups are tight clusters of one label each: predicted perfectly
    by recordings of the same group, by chance by those of others."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), 2)
    labels = groups % 2
    embs = rng.normal(size=(300, 16))[groups] + rng.normal(0, 1e-3, (600, 16))
    assert knn_accuracy(embs, labels, np.arange(600)) == 1.0
    for figure in (knn_accuracy, retrieval_map, linear_auc):
        assert figure(embs, labels, groups) == pytest.approx(0.5, abs=0.1)


def test_a_tie_is_the_nearests():
    angles = np.radians([0, 10, 20, 30, 40])
    embs = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    embs = np.concatenate([embs, -embs])  # of mean zero
    labels = np.array(list("abbaacdcdc"))
    groups = np.arange(10)
    for k in (1, 2, 3, 4):
        expected = slow_knn(embs, labels, groups, k)
        assert knn_accuracy(embs, labels, groups, k) == pytest.approx(expected)


def test_labels_of_one_group_are_not_asked_but_may_answer():
    angles = np.radians([0, 10, 20])
    embs = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    embs = np.concatenate([embs, -embs])  # of mean zero
    labels, groups = np.array(list("abaccc")), np.arange(6)
    # Both a's are nearest to the b, which could not be right; the c's are.
    assert knn_accuracy(embs, labels, groups) == pytest.approx(3 / 5)
    computed = retrieval_map(embs, labels, groups)
    assert computed == pytest.approx(slow_map(embs, labels, groups))
    alone = [0, 1, 0, 2, 2, 2]
    assert knn_accuracy(embs, labels, alone) is None
    assert retrieval_map(embs, labels, alone) is None


def test_auc_needs_a_group_of_each_label_in_each_fold():
    embs, labels = np.arange(20.0)[:, None], np.repeat(["a", "b"], [15, 5])
    assert linear_auc(embs, labels, np.arange(20)) is not None
    groups = [*range(15), 15, 16, 17, 18, 18]
    assert linear_auc(embs, labels, groups) is None
    assert linear_auc(embs, labels, groups, n_folds=4) is not None
    assert linear_auc(embs, ["a"] * 20, np.arange(20)) is None


def test_constant_dimensions_and_a_collapsed_encoder():
    embs, labels, groups = cloud()
    rng = np.random.default_rng(0)
    rounding = 0.3 + 1e-9 * rng.normal(size=(len(embs), 40))
    padded = np.concatenate([embs, rounding, np.zeros_like(embs)], axis=1)
    for figure in (knn_accuracy, retrieval_map):
        expected = figure(embs, labels, groups)
        assert figure(padded, labels, groups) == pytest.approx(expected)
    same = np.full_like(embs, 0.1)
    shares = [
        np.mean(labels[groups != group] == label)
        for label, group in zip(labels, groups)
    ]
    computed = retrieval_map(same, labels, groups)
    assert computed == pytest.approx(np.mean(shares))
    assert linear_auc(same, labels, groups) == 0.5


@pytest.mark.parametrize("n_labels", [2, 3])
def test_clusters_are_perfect_and_shuffled_labels_at_chance(n_labels):
    rng = np.random.default_rng(0)
    labels = np.arange(600) % n_labels
    groups = np.arange(600) // n_labels
    embs = 50 * np.eye(n_labels)[labels]
    embs += rng.normal(0, 0.01, embs.shape)
    names = np.array(["crying", "silence", "fuss"])[labels]
    for metric in (knn_accuracy, retrieval_map, linear_auc):
        assert metric(embs, names, groups) == 1.0
    shuffled = rng.permutation(labels)
    chance = 1 / n_labels
    data = embs, shuffled, groups
    assert knn_accuracy(*data) == pytest.approx(chance, abs=0.07)
    assert retrieval_map(*data) == pytest.approx(chance, abs=0.03)
    assert linear_auc(*data) == pytest.approx(0.5, abs=0.07)
