"""Separability of labels in embeddings: neighbours, retrieval and a linear
probe.

Patients (or sources) are kept apart: a recording is never classified by
another one of its patient. Embeddings are ``[n, emb_dim]``; labels and groups
(the patients) have one entry per recording.
"""

from typing import Iterator, Optional, Sequence, Tuple

import numpy as np

from cry_modules.evaluation.linear_model import grouped_scores, indices, scaled
from cry_modules.metrics.bootstrap import patients_per_class
from cry_modules.metrics.within_folds import auc_of_folds

#: Folds of the linear probe.
N_FOLDS = 5

#: Cosines that differ by less differ by the rounding of a product, which
#: depends on the processor, the threads and the number of rows.
_DECIMALS = 12
_QUERIES_AT_ONCE = 256


def knn_accuracy(
    embs: np.ndarray, labels: Sequence, groups: Sequence, k: int = 1
) -> Optional[float]:
    """Accuracy of classifying each recording by its nearest ones of other
    groups; None if no label occurs in two groups.

    By majority of the `k` nearest by cosine, after standardising each
    dimension. If labels tie among the k, that of the nearest counts. A
    recording whose label occurs in its group alone cannot be right and does not
    count, but can be a neighbour.
    """
    labels, groups = indices(labels), indices(groups)
    counts = (patients_per_class(labels, groups) > 1)[labels]
    if not counts.any():
        return None
    right = []
    for rows, order, similarity in _by_similarity(embs, groups):
        nearest = labels[order[:, :k]]
        others = np.isfinite(similarity[:, :k])
        same = nearest[:, :, None] == nearest[:, None, :]  # [rows, k, k]
        votes = (same & others[:, None, :]).sum(axis=2) * others
        # The first of the largest: the nearest.
        chosen = votes.argmax(axis=1)[:, None]
        predicted = np.take_along_axis(nearest, chosen, axis=1)[:, 0]
        right.append(predicted == labels[rows])
    return float(np.concatenate(right)[counts].mean())


def retrieval_map(
    embs: np.ndarray, labels: Sequence, groups: Sequence
) -> Optional[float]:
    """Mean average precision of retrieving recordings of the same label from
    other groups; None if no label occurs in two groups.

    Recordings are ranked as in ``knn_accuracy``. Equally similar ones count
    together, as in scikit-learn: the order of rows must not matter if an
    encoder gives all recordings one embedding.
    """
    labels, groups = indices(labels), indices(groups)
    averages = []
    for rows, order, similarity in _by_similarity(embs, groups):
        relevant = labels[order] == labels[rows, None]
        relevant &= np.isfinite(similarity)
        hits = relevant.cumsum(axis=1)
        last = _last_of_equals(similarity)
        precision = np.take_along_axis(hits, last, axis=1) / (last + 1)
        total = (precision * relevant).sum(axis=1)
        has_any = hits[:, -1] > 0
        averages.append(total[has_any] / hits[has_any, -1])
    averages = np.concatenate(averages)
    return float(averages.mean()) if len(averages) else None


def linear_auc(
    embs: np.ndarray,
    labels: Sequence,
    groups: Sequence,
    seed: int = 0,
    n_folds: int = N_FOLDS,
) -> Optional[float]:
    """AUC of a logistic regression, cross-validated with groups kept apart;
    None if a label occurs in fewer groups than there are folds.
    """
    labels, groups = indices(labels), indices(groups)
    if patients_per_class(labels, groups).min() < n_folds:
        return None
    scored = grouped_scores(embs, labels, groups, seed, n_folds)
    return auc_of_folds(labels, *scored)


def _by_similarity(
    embs: np.ndarray, groups: np.ndarray
) -> Iterator[Tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Some recordings at once: their rows, all recordings from the most
    similar on, and the cosines; minus infinity, and last, for those of the
    same group."""
    rows_scaled = scaled(embs)
    norms = np.linalg.norm(rows_scaled, axis=1, keepdims=True)
    unit = rows_scaled / np.where(norms > 0, norms, 1)
    for first in range(0, len(unit), _QUERIES_AT_ONCE):
        rows = np.arange(first, min(first + _QUERIES_AT_ONCE, len(unit)))
        cosine = np.round(unit[rows] @ unit.T, _DECIMALS)
        cosine[groups[rows, None] == groups] = -np.inf
        order = np.argsort(-cosine, axis=1, kind="stable")
        yield rows, order, np.take_along_axis(cosine, order, axis=1)


def _last_of_equals(ordered: np.ndarray) -> np.ndarray:
    """Column in which the run of values equal to this one ends."""
    n = ordered.shape[1]
    continues = ordered[:, :-1] == ordered[:, 1:]
    ends = np.tile(np.arange(n), (len(ordered), 1))
    ends[:, :-1][continues] = n
    return np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
