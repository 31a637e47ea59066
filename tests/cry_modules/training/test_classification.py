"""Loss weights and scores with rare classes."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from speechbrain import Stage

from cry_modules.training.classification import ClassificationBrain

PREVALENCE = np.array([0.9, 0.1])


def brain_with(balance):
    return SimpleNamespace(
        hparams=SimpleNamespace(balance=balance),
        prevalence=PREVALENCE,
        device="cpu",
    )


def test_the_balanced_loss_weighs_each_class_alike():
    weights = ClassificationBrain._loss_weights(brain_with("loss"))
    # As scikit-learn's "balanced": n / (classes * n of the class).
    assert weights.tolist() == pytest.approx([100 / 180, 100 / 20])
    for balance in ("sampling", "none"):
        assert ClassificationBrain._loss_weights(brain_with(balance)) is None


def test_scores_are_those_of_the_training_prevalence():
    """Even odds minimise the loss without features, though many batches have no
    positive; the scores are then the prevalence of the classes."""
    brain = brain_with("loss")
    labels = torch.tensor([0] * 90 + [1] * 10)[torch.randperm(100)]
    logits = torch.zeros(2, requires_grad=True)
    gradient = torch.zeros(2)
    for batch in labels.split(4):
        brain.totals = SimpleNamespace(add=lambda *_, **__: None)
        brain._loss_weights = partial(ClassificationBrain._loss_weights, brain)
        loss = ClassificationBrain.compute_objectives(
            brain,
            logits.expand(len(batch), 2),
            SimpleNamespace(class_index=batch),
            Stage.TRAIN,
        )
        gradient += torch.autograd.grad(loss, logits)[0]
    assert gradient.abs().max() < 1e-5
    prior = ClassificationBrain._log_prior(brain)
    scores = torch.softmax(logits.double() + prior, dim=0)
    assert scores.tolist() == pytest.approx(PREVALENCE.tolist())
    assert ClassificationBrain._log_prior(brain_with("none")) == 0.0
