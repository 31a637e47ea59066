"""Nuisance probes of an encoder's read-outs, and which of them are run."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from cry_modules.evaluation.columns import nuisance_columns
from cry_modules.evaluation.linear_model import folds, varies
from cry_modules.evaluation.nuisance import N_FOLDS, nuisance_probes
from cry_modules.metrics.predictions import Predictions
from data_prep.files.errors import InputError
from tests.classifiers import changing, random_model
from tests.cry_modules.metrics.made import slow_auc

N_PATIENTS = 30


def slow_probe(embs, positive, patients, seed):
    """AUC within folds of patients of an L2 logistic regression (C = 0.1,
    balanced classes), minimised to its optimum; AUC in a double loop."""
    scores, fold = np.zeros(len(embs)), np.zeros(len(embs))
    splits = folds(positive.astype(int), patients, N_FOLDS, seed)
    for number, (train, test) in enumerate(splits):
        assert not set(patients[train]) & set(patients[test])
        x = (embs - embs[train].mean(axis=0)) / embs[train].std(axis=0)
        sign = np.where(positive[train], 1, -1)
        n_of = {k: (sign == k).sum() for k in (1, -1)}
        weight = np.array([len(sign) / (2 * n_of[k]) for k in sign])

        def loss(w, x=x[train], sign=sign, weight=weight):
            margin = sign * (x @ w[1:] + w[0])
            slope = -0.1 * weight * sign / (1 + np.exp(margin))
            value = 0.1 * (weight * np.logaddexp(0, -margin)).sum()
            gradient = np.append(slope.sum(), x.T @ slope + w[1:])
            return value + w[1:] @ w[1:] / 2, gradient

        start = np.zeros(embs.shape[1] + 1)
        w = minimize(loss, start, jac=True, options={"gtol": 1e-6}).x
        scores[test], fold[test] = x[test] @ w[1:] + w[0], number
    return slow_auc(positive, scores, fold)


@pytest.fixture(scope="module")
def sounds():
    """Sounds, sites and patients, each of one site; those of one site have a
    weak hum."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(N_PATIENTS), 3)
    site = np.array(["north", "south"])[patients % 2]
    time = np.arange(8000) / 16000
    sounds = [
        changing(0.5, seed=2 * i)
        + (site[i] == "north") * rng.uniform(0, 0.1) * np.sin(2513 * time)
        for i in range(len(patients))
    ]
    return torch.tensor(np.array(sounds), dtype=torch.float32), site, patients


@torch.no_grad()
def test_a_block_is_probed_beside_the_embedding(sounds):
    """Read-outs of one encoder, each against a slow plain implementation."""
    wavs, site, patients = sounds
    ids = [f"r{i}" for i in range(len(wavs))]
    recordings = Predictions(
        *(ids, [f"p{p:02d}" for p in patients], np.zeros(len(ids), int)),
        *(np.ones((len(ids), 2)) / 2, ["no", "yes"]),
    )
    sources, encoder = {}, random_model().embedder.encoder
    for readout in ("embedding", "block2+block3"):
        embedder = random_model(readout=readout).embedder
        embedder.encoder = encoder
        sources[readout] = embedder(wavs).double().numpy(), recordings
    columns = {"site": dict(zip(ids, site))}
    probes = nuisance_probes(sources, columns, 0, 100)["site"]
    aucs = []
    for readout, (embs, _) in sources.items():
        kept = embs[:, varies(embs)]
        assert (kept.std(axis=0) > 0).all()
        # The probe numbers values and patients in the order of their names.
        expected = slow_probe(kept, site == "south", patients, 0)
        aucs.append(probes[readout]["auc"])
        # It ends at a gradient of 0.001, where some pairs are not yet in order.
        assert probes[readout]["auc"] == pytest.approx(expected, abs=0.005)
    # The hum is in few bands, which the embedding averages over.
    assert aucs[1] > 0.8 > aucs[0]


def test_infant_asks_who_cries_and_no_column():
    """Also without a table; null asks nothing."""
    assert nuisance_columns({"nuisance": None}) is None
    assert nuisance_columns({"nuisance": []}) is None
    assert nuisance_columns({"nuisance": "infant"}) == {}
    assert nuisance_columns({"nuisance": ["infant"]}) == {}
    with pytest.raises(InputError, match="nuisance is age and this corpus has"):
        nuisance_columns({"nuisance": "age,infant"})
