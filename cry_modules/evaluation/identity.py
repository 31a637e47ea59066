"""Identity probe: how well embeddings tell whether two recordings are of the
same infant.

Recordings of one infant often share a room and a microphone, so that this is an
upper limit of what an embedding holds of the voice. A speaker encoder's figure
is the comparison.
"""

from typing import Dict, Sequence

import numpy as np

from cry_modules.evaluation.linear_model import indices, scaled
from cry_modules.metrics.bootstrap import (
    LEAST_PATIENTS,
    N_DRAWS,
    logit_interval,
    patient_weights,
)

#: Recordings that are compared with each other; of more, some patients' are.
MOST_RECORDINGS = 2000


def identity_probe(
    embs: np.ndarray,
    patients: Sequence[str],
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Dict:
    """AUC of telling another recording of the same patient from those of other
    patients, by cosine; ``not_asked`` holds the reason if there is none.

    The mean over all recordings that have another one of their patient.
    """
    patients = indices(patients)
    rows = _some_patients(patients, seed)
    values = same_patient_auc(embs[rows], patients[rows])
    asked = np.isfinite(values)
    owners = patients[rows][asked]
    n_patients = len(set(owners.tolist()))
    if n_patients < LEAST_PATIENTS:
        return {
            "not_asked": f"{n_patients} patients have two recordings or more; "
            f"{LEAST_PATIENTS} are needed"
        }
    values = values[asked]
    draws = [
        weights @ values / weights.sum(axis=1)
        for weights in patient_weights(owners, seed, n_draws)
    ]
    value = float(values.mean())
    return {
        "auc": value,
        "auc_ci95": logit_interval(
            value,
            np.concatenate(draws),
            n_patients,
            n_patients * (n_patients - 1),
        ),
        "values": ["the same patient against another"],
        "n": len(values),
        "n_patients": n_patients,
    }


def same_patient_auc(embs: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Probability, for each recording, that another one of its patient is more
    similar than one of another patient; NaN if there is none of either."""
    unit = scaled(embs)
    norms = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = unit / np.where(norms > 0, norms, 1)
    values = np.full(len(unit), np.nan)
    for i, row in enumerate(unit):
        # Rounded: equal recordings must tie on every processor.
        cosine = np.round(unit @ row, 12)
        same = patients == patients[i]
        others = np.sort(cosine[~same])
        same[i] = False
        if same.any() and len(others):
            below = np.searchsorted(others, cosine[same], "left")
            up_to = np.searchsorted(others, cosine[same], "right")
            values[i] = (below + up_to).mean() / (2 * len(others))
    return values


def _some_patients(patients, seed):
    """Rows of random patients with ``MOST_RECORDINGS`` together, in order."""
    order = np.random.default_rng(seed).permutation(patients.max() + 1)
    place = np.argsort(order)[patients]
    first = np.argsort(place, kind="stable")[:MOST_RECORDINGS]
    return np.sort(first)
