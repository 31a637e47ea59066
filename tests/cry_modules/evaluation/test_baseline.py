"""The classical baseline: what it can and cannot be fooled by."""

import numpy as np
import pytest

from cry_modules.evaluation.baseline import quietest_frames, sound_features
from cry_modules.evaluation.cross_validation import (
    Settings,
    cross_validate,
    shuffle_between_patients,
)
from cry_modules.evaluation.linear_model import out_of_fold_scores
from data_prep.manifest import Recording

QUICK = Settings(repeats=2, permutations=19)


def test_shuffling_keeps_what_is_alike_within_a_patient():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(90), rng.integers(1, 9, 90))
    labels = rng.integers(0, 3, 90)[patients]
    for _ in range(20):
        shuffled = shuffle_between_patients(labels, patients, rng)
        of_patient = [set(shuffled[patients == p]) for p in range(90)]
        assert all(len(labels) == 1 for labels in of_patient)
        assert set(shuffled) == {0, 1, 2}
    assert (shuffled != labels).mean() > 0.5


def test_shuffling_keeps_patients_of_several_labels():
    patients = np.repeat(np.arange(30), 4)
    labels = np.where(patients < 10, np.arange(120) % 4 // 3, 0)
    shuffled = shuffle_between_patients(
        labels, patients, np.random.default_rng(1)
    )
    assert shuffled.sum() == labels.sum() == 10
    assert shuffled[:40].sum() < 10


@pytest.mark.parametrize("model", ["logistic", "svm"])
def test_three_classes_and_the_two_models(model):
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = np.eye(3)[labels] + rng.normal(0, 0.5, (90, 3))
    settings = Settings(model, repeats=1, permutations=19)
    evidence = cross_validate(features, labels, np.arange(90), True, settings)
    assert evidence.auc > 0.85 and evidence.p == 0.05
    assert evidence.ci95[0] < evidence.auc < evidence.ci95[1]


def test_a_rare_class_makes_fewer_folds_and_no_interval():
    rng = np.random.default_rng(0)
    labels = np.array([1] * 3 + [0] * 27)
    evidence = cross_validate(
        rng.normal(size=(30, 4)), labels, np.arange(30), True, QUICK
    )
    assert evidence.folds == 3 and evidence.ci95 is None


def test_the_quietest_frames_of_a_recording(noise, tmp_path):
    path = noise("a.wav", seconds=1.0)
    rec = Recording("a", 1.0, path.name, 0.0, 1.0, "", "p", "")
    audio, background = sound_features([rec], tmp_path)
    assert audio.shape == background.shape == (1, 160)
    assert background[0, :80].mean() < audio[0, :80].mean()
    assert len(quietest_frames(np.zeros((12, 80)))) == 5


def test_a_constant_feature_of_training_says_nothing():
    """Its spread is the rounding error of a mean, not 0."""
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 2
    informative = labels[:, None] + rng.normal(size=(30, 1))
    constant = np.full((30, 1), 0.1)
    assert constant[:20].std() > 0
    constant[25] = 0.2
    splits = [(np.arange(20), np.arange(20, 30))]
    with_it, without = (
        out_of_fold_scores(features, labels, splits, "svm")[0][20:]
        for features in (np.hstack([informative, constant]), informative)
    )
    assert np.array_equal(
        *(x.argsort(axis=0) for x in (with_it, without))
    )  # ranks
