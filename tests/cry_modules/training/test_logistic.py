"""The frozen probe at its optimum: no gradient is left, and the penalty is the
best on validation."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from cry_modules.heads import ClassificationHead
from cry_modules.training.logistic import STRENGTHS, fit_logistic


def embedded(n, n_classes=2, dims=12, seed=0, signal=0.8):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    labels[: n // 4] = 0  # a frequent class
    embs = rng.normal(3, 2, size=(n, dims)) * np.arange(1, dims + 1)
    embs[np.arange(n), labels] += signal * (labels + 1) * 4
    embs[:, -1] = 7.0  # a unit that no ReLU activates
    embs = torch.tensor(embs, dtype=torch.float32)
    return SimpleNamespace(embs=embs, labels=torch.tensor(labels))


def fitted(train, valid, n_classes=2, **options):
    head = ClassificationHead(train.embs.shape[1], n_classes)
    return head.eval(), fit_logistic(head, train, valid, **options)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_no_gradient_is_left(n_classes, weighted):
    """Of C * (sum of weighted losses) + squared weights / 2, by autograd."""
    train = embedded(80, n_classes)
    weights = np.array([0.6, 1.7, 1.2])[:n_classes] if weighted else None
    c = 0.1
    head, _ = fitted(
        train, train, n_classes, class_weights=weights, strengths=[c]
    )
    head.double().requires_grad_(True)
    losses = F.cross_entropy(
        head(train.embs.double()), train.labels, reduction="none"
    )
    if weighted:
        losses = losses * torch.tensor(weights)[train.labels]
    # Two classes: scikit-learn penalises one row, twice as long as ours.
    penalty = head.linear.weight.square().sum() * (2 if n_classes == 2 else 1)
    total = c * losses.sum() + penalty / 2
    total.backward()
    size = torch.cat([p.grad.flatten() for p in head.linear.parameters()])
    assert size.abs().max() < 1e-3 * c * len(losses)


def test_inputs_are_standardised_by_the_training_set():
    train, valid = embedded(60), embedded(40, seed=1)
    head, _ = fitted(train, valid)
    x = head.norm(train.embs).detach().numpy()
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(x[:, :-1].std(axis=0), 1, atol=1e-4)
    assert abs(x[:, -1]).max() < 1e-3
    assert head.linear.weight[:, -1].abs().max() < 1e-6


def test_the_penalty_is_the_best_on_validation():
    """Every penalty alone gives the AUC that the choice saw; the strongest of
    the best is taken."""
    train, valid = embedded(40, signal=0.2), embedded(60, seed=1, signal=0.2)
    aucs = []
    for c in STRENGTHS:
        head, solution = fitted(train, valid, strengths=[c])
        scores = torch.softmax(head(valid.embs).double(), dim=1)[:, 1]
        aucs.append(roc_auc_score(valid.labels, scores.detach()))
        assert solution.auc == pytest.approx(aucs[-1], abs=0.01)
    head, best = fitted(train, valid)
    assert best.auc == pytest.approx(max(aucs), abs=0.01)
    assert len(set(np.round(aucs, 3))) > 2  # there was a choice
    again, same = fitted(train, valid)
    assert same.c == best.c
    assert torch.equal(head.linear.weight, again.linear.weight)


def test_the_prior_counts_in_the_loss_on_validation_alone():
    train, valid = embedded(40), embedded(60, seed=1)
    valid.labels[:] = 0
    prior = np.log([0.9, 0.1])
    head, solution = fitted(train, valid, log_prior=prior)
    logits = head(valid.embs).detach().double() + torch.tensor(prior)
    expected = -torch.log_softmax(logits, dim=1)[:, 0].mean().item()
    assert solution.auc is None
    assert solution.score == pytest.approx(-expected, abs=1e-4)


def test_a_class_that_training_lacks_has_no_score():
    train, valid = embedded(40), embedded(30, n_classes=3, seed=1)
    head, _ = fitted(train, valid, n_classes=3)
    assert (head.linear.weight[2] == 0).all() and head.linear.bias[2] == 0
