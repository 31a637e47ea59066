"""The frozen probe at its optimum: logistic regression on cached embeddings.

A linear head on embeddings that do not change has one best solution for each
L2 penalty. L-BFGS finds it in float64 within milliseconds, without learning
rate, epochs or random order; the penalty is chosen on validation.
"""

import logging
from typing import NamedTuple, Optional, Sequence

import numpy as np
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from cry_modules.heads import ClassificationHead
from cry_modules.metrics.ranking import auc
from cry_modules.training.batches import EmbeddingSet

logger = logging.getLogger(__name__)

#: Inverse penalties, the strongest penalty first: ``C`` of scikit-learn, which
#: minimises ``C * (sum of losses) + squared weights / 2``.
STRENGTHS = tuple(10.0**k for k in np.arange(-4, 2.5, 0.5))


class Solution(NamedTuple):
    """Head weights for one penalty, and their worth on validation."""

    c: float
    weight: np.ndarray  # [n_classes, dimensions]
    bias: np.ndarray  # [n_classes]
    loss: float  # on validation
    auc: Optional[float]  # None if validation has one class

    @property
    def score(self) -> float:
        """AUC on validation, or minus the loss if it is not defined."""
        return -self.loss if self.auc is None else self.auc


def fit_logistic(
    head: ClassificationHead,
    train: EmbeddingSet,
    valid: EmbeddingSet,
    class_weights: Optional[np.ndarray] = None,
    log_prior: Sequence[float] = 0.0,
    strengths: Sequence[float] = STRENGTHS,
) -> Solution:
    """Set a head to the logistic regression whose penalty is best on
    validation; the head's BatchNorm keeps mean and variance of the training
    embeddings.

    Arguments
    ---------
    head : ClassificationHead
        Changed in place.
    train, valid : EmbeddingSet
        Embedded recordings.
    class_weights : numpy.ndarray or None
        Weight of a recording's loss by class, ``[n_classes]``.
    log_prior : sequence of float
        Added to the logits on validation, ``[n_classes]``.
    strengths : sequence of float
        Inverse penalties to try; of equal ones the first is taken.

    Returns
    -------
    Solution
        The one that the head now holds.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> embs = torch.tensor([[0.0, 1], [1, 0], [2, 1], [3, 0]])
    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> data = SimpleNamespace(embs=embs, labels=labels)
    >>> head = ClassificationHead(2, 2)
    >>> fit_logistic(head, data, data).auc
    1.0
    >>> head.eval()(embs).argmax(dim=1).tolist()
    [0, 0, 1, 1]
    """
    standardise(head.norm, train.embs)
    x, y = _inputs(head, train), train.labels.numpy()
    weights = None if class_weights is None else class_weights[y]
    solutions = []
    for c in strengths:
        weight, bias = _optimum(x, y, weights, c, head.linear.out_features)
        logits = _inputs(head, valid) @ weight.T + bias + log_prior
        scores = log_softmax(logits, axis=1)
        labels = valid.labels.numpy()
        loss = -scores[np.arange(len(labels)), labels].mean()
        worth = auc(labels, np.exp(scores))
        solutions.append(Solution(c, weight, bias, float(loss), worth))
    best = max(solutions, key=lambda solution: solution.score)
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(best.weight))
        head.linear.bias.copy_(torch.from_numpy(best.bias))
    return best


@torch.no_grad()
def standardise(norm: torch.nn.BatchNorm1d, embs: torch.Tensor) -> None:
    """Set a BatchNorm's statistics to those of all embeddings."""
    norm.reset_parameters()  # weight 1, bias 0
    norm.running_mean.copy_(embs.double().mean(dim=0))
    norm.running_var.copy_(embs.double().var(dim=0, correction=0))


def _inputs(head, data) -> np.ndarray:
    """Standardised embeddings, ``[n, dimensions]``, as the head sees them."""
    norm = head.norm
    centred = data.embs.double() - norm.running_mean
    return (centred / (norm.running_var.double() + norm.eps).sqrt()).numpy()


def _optimum(x, y, weights, c, n_classes):
    """Weights ``[n_classes, dimensions]`` and bias of the optimum."""
    known = np.unique(y)
    weight, bias = np.zeros((n_classes, x.shape[1])), np.zeros(n_classes)
    if len(known) < 2:  # nothing to learn: all tie
        return weight, bias
    model = LogisticRegression(C=c, tol=1e-6, max_iter=5000)
    model.fit(x, y, weights)
    coef, intercept = model.coef_, model.intercept_
    if len(known) == 2:  # scikit-learn has one row for two classes
        coef = np.concatenate([-coef, coef]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    weight[known], bias[known] = coef, intercept
    return weight, bias
