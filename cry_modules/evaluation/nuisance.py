"""How much of what should not matter an embedding holds: the hospital, the
phone, or any other column.
"""

from typing import Dict, Sequence, Tuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from cry_modules.evaluation.baseline import out_of_fold_ranks
from cry_modules.evaluation.questions import drop_rare
from cry_modules.evaluation.separability import indices, scaled
from cry_modules.metrics.bootstrap import (
    N_DRAWS,
    fewest_patients,
    logit_interval,
    patient_weights,
    patients_per_class,
)
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import auc, macro, weighted_auc

N_FOLDS = 5
#: More values than this are ids or dates.
MOST_VALUES = 20


def nuisance_probe(
    embs: np.ndarray,
    values: Sequence[str],
    patients: Sequence[str],
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Dict:
    """AUC of a logistic regression of a column on embeddings, cross-validated
    with patients kept apart.

    Shapes: embs ``[n, dimensions]``, patients ``[n]``.

    Example
    -------
    >>> values = ["north", "south"] * 20
    >>> embs = np.array([[v == "north"] for v in values], dtype=float)
    >>> nuisance_probe(embs, values, range(40))["auc"]
    1.0
    >>> nuisance_probe(embs, ["north"] * 40, range(40))["not_asked"]
    'fewer than two values of 5 patients or more'
    """
    values, patients = np.asarray(values, dtype=object), indices(patients)
    if len(set(values)) > MOST_VALUES:
        return {"not_asked": f"{len(set(values))} values: an id or a date"}
    values, _ = drop_rare(values, patients)
    known = values != ""
    names, labels = np.unique(values[known].astype(str), return_inverse=True)
    if len(names) < 2:
        return {
            "not_asked": f"fewer than two values of {N_FOLDS} patients or more"
        }
    owners = indices(patients[known])
    if patients_per_class(labels, owners).min() < N_FOLDS:
        return {"not_asked": "too few patients"}
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    splits = list(folds.split(labels, labels, owners))
    ranks = out_of_fold_ranks(scaled(embs[known]), labels, splits, "logistic")
    draws = [
        macro(weighted_auc, labels, ranks, weights)
        for weights in patient_weights(owners, seed, n_draws)
    ]
    value = auc(labels, ranks)
    return {
        "auc": value,
        "auc_ci95": logit_interval(
            value,
            np.concatenate(draws),
            fewest_patients(labels, owners),
            len(set(owners)),
        ),
        "values": names.tolist(),
        "n": int(known.sum()),
        "n_patients": len(set(owners)),
    }


def nuisance_figures(
    sources: Dict[str, Tuple[np.ndarray, Predictions]],
    columns: Dict[str, Dict[str, str]],
    seed: int,
    n_draws: int,
) -> Dict[str, Dict[str, Dict]]:
    """How well each column is told from each source.

    Shapes: sources ``[n, dimensions]``.
    """
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


def mean_over_folds(figures: Sequence[Dict]) -> Dict:
    """Figures of several encoders as one; of those that could be asked.

    Example
    -------
    >>> one, other = ({"site": {"embedding": {"auc": a}}} for a in (0.5, 0.7))
    >>> mean_over_folds([one, other])["site"]["embedding"]["folds"]
    2
    """
    found = {}
    for column, entry in figures[0].items():
        found[column] = dict(entry)
        for source in entry:
            each = [one[column][source] for one in figures]
            asked = [one for one in each if "auc" in one]
            if asked:
                found[column][source] = {
                    **asked[0],
                    "auc": float(np.mean([one["auc"] for one in asked])),
                    "auc_ci95": None,
                    "folds": len(asked),
                }
    return found
