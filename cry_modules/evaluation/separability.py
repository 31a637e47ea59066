"""How well labels can be told from embeddings: by neighbours, by retrieval,
and by a line.

Patients (or sources) are kept apart: a recording is never told by another one
of its own patient.
"""

from typing import Iterator, Optional, Sequence, Tuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from cry_modules.evaluation.baseline import out_of_fold_ranks, varies
from cry_modules.metrics.bootstrap import patients_per_class
from cry_modules.metrics.ranking import auc

#: Of the cross-validation of the linear probe.
N_FOLDS = 5

#: Cosines that differ by less differ by the rounding of a product, which
#: depends on the processor, the threads and the number of rows.
_DECIMALS = 12
_QUERIES_AT_ONCE = 256


def knn_accuracy(
    embs: np.ndarray, labels: Sequence, groups: Sequence, k: int = 1
) -> Optional[float]:
    """How often the nearest recordings of other groups have the same label.

    Nearest by cosine, after standardising each dimension. Of labels that tie
    among the k, the nearest's counts. A recording whose label occurs in its
    own group alone cannot be right, and is not asked (it does answer).

    Shapes: embs ``[n, emb_dim]``, labels ``[n]``, groups ``[n]``.

    Example
    -------
    >>> embs = np.array([[0.0], [0.1], [1.0], [1.1]])
    >>> knn_accuracy(embs, ["a", "a", "b", "b"], [1, 2, 3, 4])
    1.0
    """
    labels, groups = indices(labels), indices(groups)
    asked = (patients_per_class(labels, groups) > 1)[labels]
    if not asked.any():
        return None
    right = []
    for rows, order, similarity in _by_similarity(embs, groups):
        nearest = labels[order[:, :k]]
        others = np.isfinite(similarity[:, :k])
        same = nearest[:, :, None] == nearest[:, None, :]  # [rows, k, k]
        votes = (same & others[:, None, :]).sum(axis=2) * others
        # The first of the largest: the nearest.
        chosen = votes.argmax(axis=1)[:, None]
        told = np.take_along_axis(nearest, chosen, axis=1)[:, 0]
        right.append(told == labels[rows])
    return float(np.concatenate(right)[asked].mean())


def retrieval_map(
    embs: np.ndarray, labels: Sequence, groups: Sequence
) -> Optional[float]:
    """Mean average precision of finding recordings of the same label.

    Each recording ranks those of all other groups as in ``knn_accuracy``.
    Equally similar ones count together, as in scikit-learn: of an encoder
    that gives everything one embedding, the order of the table says nothing.

    Shapes: embs ``[n, emb_dim]``, labels ``[n]``, groups ``[n]``.

    Example
    -------
    >>> embs = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> retrieval_map(embs, ["a", "a", "b", "b"], [1, 2, 3, 4])
    1.0
    """
    labels, groups = indices(labels), indices(groups)
    found = []
    for rows, order, similarity in _by_similarity(embs, groups):
        relevant = labels[order] == labels[rows, None]
        relevant &= np.isfinite(similarity)
        hits = relevant.cumsum(axis=1)
        last = _last_of_equals(similarity)
        precision = np.take_along_axis(hits, last, axis=1) / (last + 1)
        total = (precision * relevant).sum(axis=1)
        has_any = hits[:, -1] > 0
        found.append(total[has_any] / hits[has_any, -1])
    found = np.concatenate(found)
    return float(found.mean()) if len(found) else None


def linear_auc(
    embs: np.ndarray,
    labels: Sequence,
    groups: Sequence,
    seed: int = 0,
    n_folds: int = N_FOLDS,
) -> Optional[float]:
    """AUC of a logistic regression, cross-validated with groups kept apart.

    The model and the pooling of folds are the baseline's of the audit (see
    ``cry_modules.evaluation.baseline.out_of_fold_ranks``), so both can be compared.

    Shapes: embs ``[n, emb_dim]``, labels ``[n]``, groups ``[n]``.

    Example
    -------
    >>> labels = np.arange(20) % 2
    >>> linear_auc(labels[:, None] * np.ones(3), labels, np.arange(20))
    1.0
    """
    labels, groups = indices(labels), indices(groups)
    if patients_per_class(labels, groups).min() < n_folds:
        return None
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    splits = list(folds.split(embs, labels, groups))
    scores = out_of_fold_ranks(scaled(embs), labels, splits, "logistic")
    return auc(labels, scores)


def indices(names: Sequence) -> np.ndarray:
    """Labels or groups as 0, 1, 2 without gaps.

    Shapes: names ``[n]``, returns ``[n]``.

    Example
    -------
    >>> indices(["pain", "hunger", "pain"])
    array([1, 0, 1])
    """
    return np.unique(np.asarray(names), return_inverse=True)[1]


def scaled(embs: np.ndarray) -> np.ndarray:
    """Mean 0 and spread 1 in each dimension; 0 where it is constant.

    Units that a ReLU never wakes are constant, but for rounding: divided by
    its spread, that would count as much as what is heard.

    Shapes: embs ``[n, emb_dim]``, returns ``[n, emb_dim]``.

    Example
    -------
    >>> scaled(np.array([[1.0, 5.0], [3.0, 5.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    embs = np.asarray(embs, dtype=np.float64)
    centred, spread = embs - embs.mean(axis=0), embs.std(axis=0)
    return np.divide(
        centred, spread, out=np.zeros_like(centred), where=varies(embs)
    )


def _by_similarity(
    embs: np.ndarray, groups: np.ndarray
) -> Iterator[Tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Some recordings at once, all recordings from the most similar on, and
    their cosine; minus infinity, and last, for those of the same group."""
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
    """Where in its row the run of values that are equal to this one ends.

    Example
    -------
    >>> _last_of_equals(np.array([[3, 2, 2, 1]]))
    array([[0, 2, 2, 3]])
    """
    n = ordered.shape[1]
    goes_on = ordered[:, :-1] == ordered[:, 1:]
    ends = np.tile(np.arange(n), (len(ordered), 1))
    ends[:, :-1][goes_on] = n
    return np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
