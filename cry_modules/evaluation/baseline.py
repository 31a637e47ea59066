"""A classical baseline, and how surely it tells recordings apart.

Every recording is a row of numbers: the mean and spread of its log-mel
frames. Two facts about patients shape what is done with them: recordings of
one patient are alike (so folds may keep patients apart or not, which is the
comparison this is for), and patients, not recordings, are what was sampled
(so intervals draw patients, and labels are shuffled between patients:
Chaibub Neto et al., arXiv 1712.03120).
"""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.svm import SVC
from tqdm import tqdm

from cry_modules.audio import RecordingReader
from cry_modules.front_ends import LogMel
from cry_modules.metrics.bootstrap import (
    LEAST_PATIENTS,
    patient_weights,
    patients_per_class,
)
from cry_modules.metrics.ranking import auc, ranked_classes, weighted_auc
from data_prep.audio.measure import Audit
from data_prep.manifest import Recording

#: What a model is called in a report.
MODELS = {
    "logistic": "logistic regression",
    "svm": "support vector machine (radial kernel)",
}

#: The background: this share of a recording's frames, the quietest.
QUIET_SHARE = 0.1
LEAST_QUIET_FRAMES = 5

#: Bands of the log-mel frames.
N_MELS = 80

#: AUCs that differ by less are equal: sums in another order.
_ROUNDING = 1e-12
#: A feature that spreads less, of its largest value, is a constant: dividing
#: by its spread would turn rounding errors into a feature.
_FLOAT32_ROUNDING = 1e-6

_SAMPLE_RATE = 16000
_PIECE_S = 60  # analysed at once: memory does not grow with the recording
_ALIKE = 20  # patients that exchange labels: of nearly as many recordings


def sound_features(
    recordings: Sequence[Recording], root: Path
) -> Tuple[np.ndarray, np.ndarray]:
    """Log-mel mean and spread of all frames, and of the quietest alone.

    Shapes: audio ``[n, features]``, background ``[n, features]``.
    """
    reader = RecordingReader(_SAMPLE_RATE)
    log_mel = LogMel(_SAMPLE_RATE, N_MELS)
    audio, background = [], []
    for rec in tqdm(
        recordings, desc="features", unit="file", leave=False, disable=None
    ):
        sig = reader(str(root / rec.wav), rec.start, rec.stop)
        frames = _log_mel(sig, log_mel)
        audio.append(mean_and_spread(frames))
        background.append(mean_and_spread(quietest(frames)))
    return np.array(audio), np.array(background)


def file_facts(audits: Sequence[Audit]) -> np.ndarray:
    """What a file is, whatever is heard in it: sample rate, format, channels,
    duration and level.

    Duration and level as ranks: what gives a source away may be a millisecond
    more than all others have, which is nothing beside the spread of the rest.

    Shapes: returns ``[n, features]``.

    Example
    -------
    >>> phone = Audit("a.wav", rate=8000, duration=5.0, level_dbfs=-20.0)
    >>> clinic = Audit("b.wav", rate=44100, duration=5.001, level_dbfs=-30.0)
    >>> file_facts([phone, clinic])
    array([[0.5, 1. , 0. , 1. ],
           [1. , 0.5, 1. , 0. ]])
    """
    kinds = [f"{a.rate} Hz, {a.format}, {a.channels}" for a in audits]
    numbers = np.array([[a.duration, a.level_dbfs] for a in audits])
    ranks = rankdata(numbers, axis=0) / len(numbers)
    return np.hstack([ranks, one_hot(kinds)])


def _log_mel(sig: torch.Tensor, log_mel: LogMel) -> np.ndarray:
    """Frames in dB, ``[frames, mels]``."""
    pieces = sig.split(_PIECE_S * _SAMPLE_RATE)
    with torch.no_grad():
        return np.concatenate([log_mel(p[None])[0][0].numpy() for p in pieces])


def mean_and_spread(frames: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of each band.

    Shapes: frames ``[frames, bands]``, returns ``[2 * bands]``.

    Example
    -------
    >>> mean_and_spread(np.array([[1.0], [3.0]]))
    array([2., 1.])
    """
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])


def quietest(frames: np.ndarray) -> np.ndarray:
    """The quietest tenth of the frames, at least five: mostly background.

    Shapes: frames ``[frames, bands]``, returns ``[fewer frames, bands]``.

    Example
    -------
    >>> float(quietest(np.arange(100.0)[:, None]).max())
    9.0
    """
    n = max(LEAST_QUIET_FRAMES, round(QUIET_SHARE * len(frames)))
    return frames[np.argsort(frames.mean(axis=1), kind="stable")[:n]]


def one_hot(values: Sequence[str]) -> np.ndarray:
    """A column of zeros and ones for each value there is.

    Shapes: returns ``[n, values]``.

    Example
    -------
    >>> one_hot(["ios", "android", "ios"])
    array([[0., 1.],
           [1., 0.],
           [0., 1.]])
    """
    names, index = np.unique(values, return_inverse=True)
    return np.eye(len(names))[index]


@dataclass
class Settings:
    """How the baseline is judged.

    Arguments
    ---------
    model : str
        ``logistic`` or ``svm``.
    folds : int
        Of the cross-validation, at most.
    repeats : int
        Cross-validations with folds drawn anew; their AUC is averaged.
    permutations : int
        Times the labels are shuffled between patients.
    seed : int
        Of all draws.
    """

    model: str = "logistic"
    folds: int = 5
    repeats: int = 10
    permutations: int = 100
    seed: int = 0


@dataclass
class Evidence:
    """What cross-validation showed.

    Arguments
    ---------
    auc : float
        Mean over the repeats; of more than two classes, the macro average of
        one against the rest.
    ci95 : list of float or None
        Interval over patients; None where a class has fewer than five.
    p : float
        How often shuffled labels do as well.
    null : list of float
        AUC of each shuffle.
    n : int
        Recordings.
    n_patients : int
        Patients.
    folds : int
        Folds there were patients for.
    draws : numpy.ndarray
        AUC of each draw of patients, to compare two splits draw by draw.
    """

    auc: float
    ci95: Optional[List[float]]
    p: float
    null: List[float]
    n: int
    n_patients: int
    folds: int
    draws: np.ndarray = field(repr=False)


def judge(
    features: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    grouped: bool,
    settings: Settings,
    what: str = "",
) -> Evidence:
    """Cross-validate the baseline, on the labels and on shuffled ones.

    Shapes: features ``[n, features]``, labels ``[n]``, patients ``[n]``.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(40) % 2
    >>> features = labels[:, None] + rng.normal(0, 0.1, (40, 3))
    >>> few = Settings(folds=2, repeats=1, permutations=19)
    >>> evidence = judge(features, labels, np.arange(40), True, few)
    >>> evidence.auc, evidence.ci95, evidence.p
    (1.0, [1.0, 1.0], 0.05)
    """
    patients = np.unique(patients, return_inverse=True)[1]
    folds = min(settings.folds, patients_per_class(labels, patients).min())

    def ranks(labels, seed):
        splits = _splits(labels, patients, grouped, folds, seed)
        return out_of_fold_ranks(features, labels, splits, settings.model)

    first = settings.seed * 10**6  # seeds of two runs share no split
    repeats = [ranks(labels, first + i) for i in range(settings.repeats)]
    value = float(np.mean([auc(labels, scores) for scores in repeats]))
    rng = np.random.default_rng(settings.seed)
    null = []
    for i in tqdm(
        range(settings.permutations), desc=what, leave=False, disable=None
    ):
        shuffled = shuffle_between_patients(labels, patients, rng)
        scores = ranks(shuffled, first + settings.repeats + i)
        null.append(auc(shuffled, scores))
    draws = _draw_patients(labels, patients, repeats, settings.seed)
    as_large = np.sum(np.array(null) >= value - _ROUNDING)
    return Evidence(
        auc=value,
        ci95=interval(draws, labels, patients),
        p=float((1 + as_large) / (1 + len(null))),
        null=null,
        n=len(labels),
        n_patients=len(np.unique(patients)),
        folds=int(folds),
        draws=draws,
    )


def _splits(labels, patients, grouped, folds, seed):
    """Train and test rows of each fold."""
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    splitter = kind(folds, shuffle=True, random_state=seed % 2**32)
    groups = patients if grouped else None
    with warnings.catch_warnings():
        # Shuffled labels may leave a class fewer patients than folds.
        warnings.filterwarnings("ignore", "The least populated class")
        return list(splitter.split(labels, labels, groups))


def out_of_fold_ranks(
    features: np.ndarray, labels: np.ndarray, splits: List, model: str
) -> np.ndarray:
    """Scores of models that have not met the recording, as ranks in its fold.

    Ranks, since the scores of two folds' models have no common scale: pooled
    as they are, they pull the AUC of a rare class below chance. Averaging the
    AUC of each fold instead would need both classes in every fold.

    Shapes: features ``[n, features]``, labels ``[n]``, returns ``[n,
    n_classes]``.

    Example
    -------
    >>> features = np.array([[0.0], [1.0], [0.1], [0.9]])
    >>> splits = [([0, 1], [2, 3]), ([2, 3], [0, 1])]
    >>> labels = np.array([0, 1, 0, 1])
    >>> out_of_fold_ranks(features, labels, splits, "logistic")[:, 1]
    array([0.25, 0.75, 0.25, 0.75])
    """
    ranks = np.empty((len(labels), labels.max() + 1))
    for train, test in splits:
        scores = np.zeros((len(test), ranks.shape[1]))
        known = np.unique(labels[train])
        if len(known) > 1:  # else there is nothing to learn: all tie
            seen, unseen = _standardised(features, train, test)
            fitted = _model(model).fit(seen, labels[train])
            scores[:, known] = _by_class(fitted.decision_function(unseen))
        ranks[test] = (rankdata(scores, axis=0) - 0.5) / len(test)
    return ranks


def _standardised(features, train, test):
    """Train and test rows by the mean and spread of the train rows."""
    mean, spread = features[train].mean(axis=0), features[train].std(axis=0)
    scaled = (features - mean) / np.where(varies(features[train]), spread, 1)
    return scaled[train], scaled[test]


def varies(features: np.ndarray) -> np.ndarray:
    """Whether each feature spreads by more than the rounding of float32.

    Example
    -------
    >>> varies(np.array([[0.1, 1.0], [0.1, 2.0], [0.1 + 1e-9, 3.0]]))
    array([False,  True])
    """
    least = _FLOAT32_ROUNDING * np.abs(features).max(axis=0)
    return features.std(axis=0) > least


def _model(name: str):
    """Ten times scikit-learn's own penalty for the logistic regression: there
    are often more features than patients."""
    if name == "logistic":
        return LogisticRegression(
            C=0.1, class_weight="balanced", tol=1e-3, max_iter=200
        )
    return SVC(class_weight="balanced")


def _by_class(decision: np.ndarray) -> np.ndarray:
    """A column a class: scikit-learn gives but one for two classes."""
    if decision.ndim == 1:
        return np.stack([-decision, decision], axis=1)
    return decision


def shuffle_between_patients(
    labels: np.ndarray, patients: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Give each patient another one's labels, all of them together.

    What is alike within a patient stays so, and only what is true across
    patients is lost. Labels go between patients of nearly as many recordings,
    about twenty at a time; where the receiver has fewer, some are left out at
    random, where more, they are repeated. So a patient of one label becomes a
    patient of one label, and one of several a patient of several.

    Shapes: labels ``[n]``, patients ``[n]``, returns ``[n]``.

    Example
    -------
    >>> labels, patients = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 2])
    >>> shuffle_between_patients(labels, patients, np.random.default_rng(3))
    array([0, 0, 1, 0, 0])
    """
    rows = [np.flatnonzero(patients == p) for p in range(patients.max() + 1)]
    n_classes = len(np.unique(labels))
    shuffled = np.empty_like(labels)
    while True:
        by_size = np.lexsort((rng.random(len(rows)), [len(r) for r in rows]))
        n_groups = max(1, len(rows) // _ALIKE)
        for group in np.array_split(by_size, n_groups):
            for receiver, giver in zip(group, rng.permutation(group)):
                given = rng.permutation(labels[rows[giver]])
                shuffled[rows[receiver]] = np.resize(given, len(rows[receiver]))
        # A patient of several labels can lose the last of a rare class.
        if len(np.unique(shuffled)) == n_classes:
            return shuffled


def _draw_patients(labels, patients, repeats, seed) -> np.ndarray:
    """AUC, mean of the repeats, of each draw of patients with replacement.

    The draws depend on the patients and the seed alone, so those of two
    splits of the same recordings can be compared one by one.
    """
    n_classes = repeats[0].shape[1]
    draws = []
    for weights in patient_weights(patients, seed):
        values = [
            weighted_auc(labels == k, scores[:, k], weights)
            for scores in repeats
            for k in ranked_classes(labels, n_classes)
        ]
        draws.append(np.mean(values, axis=0))
    return np.concatenate(draws)


def interval(
    draws: np.ndarray, labels: np.ndarray, patients: np.ndarray
) -> Optional[List[float]]:
    """95 % percentile interval of draws of patients.

    Shapes: labels ``[n]``, patients ``[n]``.

    Example
    -------
    >>> labels, patients = np.arange(20) % 2, np.arange(20)
    >>> interval(np.array([0.2, np.nan, 0.2]), labels, patients)
    [0.2, 0.2]
    >>> interval(np.array([0.2, 0.2]), labels[:8], patients[:8])
    """
    if patients_per_class(labels, patients).min() < LEAST_PATIENTS:
        return None
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return [float(low), float(high)]
