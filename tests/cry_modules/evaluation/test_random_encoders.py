"""Several random encoders as a control: their mean, and their spread."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cry_modules.architectures import make_encoder
from cry_modules.evaluation.controls import in_words, unbeaten
from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from cry_modules.metrics.predictions import Predictions
from recipes.classification.pretrained import draw_again

EVEN = np.array([0.5, 0.5])


def outcome(separation, seed, n=200):
    """Scores of two classes, a patient a recording, apart by so many standard
    deviations."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    logits = rng.normal(size=n) + separation * (labels - 0.5)
    positive = 1 / (1 + np.exp(-logits))
    p = Predictions(
        [f"r{i}" for i in range(n)],
        [f"p{i}" for i in range(n)],
        labels,
        np.stack([1 - positive, positive], axis=1),
        ["healthy", "injury"],
    )
    return Outcome(p, p, EVEN)


def controls_of(model, *separations):
    names = ["random_encoder", "random_encoder-2", "random_encoder-3"]
    encoders = {
        name: [outcome(separation, 10 + i)]
        for i, (name, separation) in enumerate(zip(names, separations))
    }
    options = EvaluationOptions(n_draws=400)
    return evaluate_outcomes([model], encoders, options)["controls"], encoders


def test_the_mean_of_the_encoders_is_the_control():
    model = outcome(2.5, 1)
    controls, encoders = controls_of(model, 1.0, 1.3, 1.6)
    assert list(controls) == ["random_encoder"]
    entry = controls["random_encoder"]["recording"]
    aucs = [
        roc_auc_score(o.test.labels, o.test.scores[:, 1])
        for (o,) in encoders.values()
    ]
    own = roc_auc_score(model.test.labels, model.test.scores[:, 1])
    assert entry["auc"] == pytest.approx(np.mean(aucs))
    assert entry["auc_range"] == pytest.approx([min(aucs), max(aucs)])
    assert entry["n_encoders"] == 3
    assert entry["difference"]["difference"] == pytest.approx(
        own - np.mean(aucs)
    )
    low, high = entry["auc_ci95"]
    assert low < entry["auc"] < high
    words = f"(mean of 3, AUC {min(aucs):.3f} to {max(aucs):.3f})"
    assert in_words("random_encoder", entry).endswith(words)


def test_encoders_that_differ_are_not_shown_to_be_beaten():
    """The model is above their mean by as much as above three equal ones."""
    model = outcome(3.0, 1)
    alike, _ = controls_of(model, 1.6, 1.6, 1.6)
    apart, _ = controls_of(model, 0.2, 1.5, 3.0)
    assert unbeaten(alike) == []
    assert unbeaten(apart) == ["random_encoder"]
    one, _ = controls_of(model, 0.2)
    entry = one["random_encoder"]["recording"]
    assert entry["difference"]["ci95"][0] > 0
    assert in_words("random_encoder", entry).endswith("(one; others differ)")


@pytest.mark.parametrize("pooling", ["mean", "frequency"])
def test_an_encoder_is_drawn_again(pooling):
    encoder = make_encoder("cnn14", 80, 2, pooling)
    weights = {}
    for seed in (1, 2, 1):
        draw_again(encoder, 80, seed)
        drawn = encoder.conv_block1.conv1.weight.detach().clone()
        assert (weights.setdefault(seed, drawn) == drawn).all()
    assert (weights[1] != weights[2]).any()
