"""Obuchowski's variance of clustered AUCs: a check of the patient bootstrap."""

import numpy as np


def obuchowski(positive, patients, *models):
    """AUC of a model, or the difference of two (the second less the first),
    and its standard error where recordings of one patient are alike
    (Obuchowski 1997, Biometrics 53:567-578, equations 3 to 5)."""
    patients = np.asarray(patients)
    names = np.unique(patients)
    owns = patients[:, None] == names
    pos, neg = owns[positive], owns[~positive]  # [recordings, patients]
    m, n = len(pos), len(neg)
    values, of_pos, of_neg = [], [], []
    for scores in models:
        x, y = scores[positive][:, None], scores[~positive]
        won = (x > y) + 0.5 * (x == y)
        values.append(won.mean())
        # Sums over each patient of how well its recordings are placed.
        of_pos.append(won.mean(axis=1) @ pos - values[-1] * pos.sum(axis=0))
        of_neg.append(won.mean(axis=0) @ neg - values[-1] * neg.sum(axis=0))
    value, x, y = values[0], of_pos[0], of_neg[0]
    if len(models) > 1:
        value, x, y = (b - a for a, b in (values, of_pos, of_neg))
    n_pos, n_neg = pos.any(axis=0).sum(), neg.any(axis=0).sum()
    both = len(names)
    variance = n_pos / ((n_pos - 1) * m) * (x @ x) / m
    variance += n_neg / ((n_neg - 1) * n) * (y @ y) / n
    variance += 2 * both / ((both - 1) * m * n) * (x @ y)
    return value, np.sqrt(variance)
