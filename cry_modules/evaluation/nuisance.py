"""Nuisance probes: how well an embedding predicts columns that should not
matter, such as the hospital or the phone.
"""

from typing import Dict, Sequence, Tuple

import numpy as np

from cry_modules.evaluation.linear_model import grouped_scores, indices
from cry_modules.evaluation.questions import blank_rare
from cry_modules.metrics.bootstrap import (
    N_DRAWS,
    logit_interval,
    patient_weights,
    rarest_and_pairs,
)
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.within_folds import auc_of_folds, macro_auc

N_FOLDS = 5
#: A column of more values holds ids or dates.
MOST_VALUES = 20


def nuisance_probe(
    embs: np.ndarray,
    values: Sequence[str],
    patients: Sequence[str],
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Dict:
    """Cross-validated AUC of predicting a column from embeddings, with patients
    kept apart; ``not_asked`` holds the reason if it cannot be computed."""
    values, patients = np.asarray(values, dtype=object), indices(patients)
    if len(set(values)) > MOST_VALUES:
        return {"not_asked": f"{len(set(values))} values: an id or a date"}
    values, _ = blank_rare(values, patients)
    known = values != ""
    names, labels = np.unique(values[known].astype(str), return_inverse=True)
    if len(names) < 2:
        return {
            "not_asked": f"fewer than two values of {N_FOLDS} patients or more"
        }
    owners = indices(patients[known])
    scores, fold = grouped_scores(embs[known], labels, owners, seed, N_FOLDS)
    value = auc_of_folds(labels, scores, fold)
    if value is None:
        return {"not_asked": "no fold has two values"}
    draws = [
        macro_auc(labels, scores, weights, fold)
        for weights in patient_weights(owners, seed, n_draws)
    ]
    return {
        "auc": value,
        "auc_ci95": logit_interval(
            value,
            np.concatenate(draws),
            *rarest_and_pairs(labels, owners, fold),
        ),
        "values": names.tolist(),
        "n": int(known.sum()),
        "n_patients": len(set(owners)),
    }


def nuisance_probes(
    sources: Dict[str, Tuple[np.ndarray, Predictions]],
    columns: Dict[str, Dict[str, str]],
    seed: int,
    n_draws: int,
) -> Dict[str, Dict[str, Dict]]:
    """Nuisance probe of each column from each source of features
    ``[n, dimensions]``, by column and source."""
    return {
        column: {
            source: nuisance_probe(
                features,
                [cell_of.get(ID, "") for ID in recordings.ids],
                recordings.patients,
                seed,
                n_draws,
            )
            for source, (features, recordings) in sources.items()
        }
        for column, cell_of in columns.items()
    }


def mean_over_folds(folds: Sequence[Dict]) -> Dict:
    """Mean AUC of the nuisance probes of all folds' encoders.

    Example
    -------
    >>> a, b = ({"site": {"embedding": {"auc": a}}} for a in (0.5, 0.7))
    >>> mean_over_folds([a, b])["site"]["embedding"]["folds"]
    2
    """
    means = {}
    for column, entry in folds[0].items():
        means[column] = dict(entry)
        for source in entry:
            probes = [fold[column][source] for fold in folds]
            probes = [probe for probe in probes if "auc" in probe]
            if probes:
                means[column][source] = {
                    **probes[0],
                    "auc": float(np.mean([probe["auc"] for probe in probes])),
                    "auc_ci95": None,
                    "folds": len(probes),
                }
    return means
