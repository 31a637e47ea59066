"""Predictions of models of known quality, for the tests of comparison."""

from pathlib import Path

import numpy as np
from scipy.stats import norm

from cry_modules.metrics.compare import RunSet
from cry_modules.metrics.predictions import Predictions

CLASSES = ["healthy", "injury"]


def predictions(labels, scores, patients=None):
    """Predictions from one score a recording, whatever its range."""
    claimed = norm.cdf(scores)
    ids = [f"r{i}" for i in range(len(labels))]
    return Predictions(
        ids,
        ids if patients is None else [f"p{i}" for i in patients],
        np.asarray(labels),
        np.stack([1 - claimed, claimed], axis=1),
        CLASSES,
    )


def models(rng, n_pos, n_neg, aucs, most=6, shared=0.5):
    """Two models of known AUC, with alike scores for the 1 to 6 recordings of
    a patient, and errors that the models partly share."""
    of_patient = np.repeat([1, 0], [n_pos, n_neg])
    owner = np.repeat(
        np.arange(len(of_patient)), rng.integers(1, most + 1, len(of_patient))
    )
    labels = of_patient[owner]
    patient, recording = (rng.normal(size=len(x)) for x in (of_patient, owner))

    def noise(common):
        alone = rng.normal(size=common.shape)
        return np.sqrt(shared) * common + np.sqrt(1 - shared) * alone

    return [
        predictions(
            labels,
            np.sqrt(2) * norm.ppf(auc) * labels
            + np.sqrt(0.5) * (noise(patient)[owner] + noise(recording)),
            owner,
        )
        for auc in aucs
    ]


def exact(seed_noise, n=20, base=9):
    """AUC (base + seed_noise) / n: each positive is above that many of the n
    negatives, or up to two more or fewer."""
    above = base + seed_noise + np.tile(np.arange(-2, 3), n // 5)
    negatives = np.arange(n) + 0.5
    labels = np.repeat([1, 0], n)
    return predictions(labels, np.concatenate([above, negatives]) / n)


def shuffled(p, seed=1):
    return p.take(np.random.default_rng(seed).permutation(len(p.ids)))


def run_set(name, predicted, folder="runs"):
    files = [f"/{folder}/{name}/{seed}/f.csv" for seed in range(len(predicted))]
    return RunSet(name, [Path(file) for file in files], predicted)


def write(folder, predicted, name="predictions_test.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    predicted.write(folder / name)
    return str(folder)
