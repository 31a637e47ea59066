"""Metrics of awkward data: one class, constant or certain scores, absent
classes."""

import json

import numpy as np
import pytest
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.predictions import AGGREGATIONS
from tests.cry_modules.metrics.evaluated import (
    AT_THRESHOLDS,
    CALIBRATION,
    LIMITING_CLASS,
    evaluate_run,
    with_points,
)
from tests.cry_modules.metrics.made import own_patients, random_predictions


def of_classes(*classes, n_classes=2):
    p = random_predictions(n_classes=n_classes)
    return p.take(np.flatnonzero(np.isin(p.labels, classes)))


def scored(score):
    p = own_patients(random_predictions())
    return p.with_scores(np.tile([1 - score, score], (len(p.ids), 1)))


def certain(every=61):
    """Certain scores, every so many of them wrong."""
    p = random_predictions()
    wrong = np.arange(1, 61) % every == 0
    return p.with_scores(np.eye(2)[np.where(wrong, 1 - p.labels, p.labels)])


def one_positive_patient():
    p = random_predictions()
    p.labels = (np.array(p.patients) == p.patients[0]).astype(int)
    return p


AWKWARD = {
    "healthy alone": of_classes(0),
    "injured alone": of_classes(1),
    "one of three classes": of_classes(1, n_classes=3),
    "one positive patient": one_positive_patient(),
    "constant": scored(0.3),
    "all even": scored(0.5),
    "all certainly healthy": scored(0.0),
    "all certainly injured": scored(1.0),
    "certain and correct": certain(),
    "certain and sometimes wrong": certain(7),
    "no first class": of_classes(1, 2, n_classes=3),
    "no last class": of_classes(0, 1, n_classes=3),
    "a recording a patient": own_patients(random_predictions()),
    "one recording": random_predictions(n=1),
    "one recording of three": random_predictions(n=1, n_classes=3),
}


def awkward_block(name):
    p = AWKWARD[name]
    return evaluate(p, with_points(p), n_draws=60)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("how", AGGREGATIONS)
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_data_have_metrics_without_nan(name, how):
    awkward = AWKWARD[name]
    good = random_predictions(n_classes=len(awkward.classes), seed=5)
    uneven = np.arange(1.0, len(awkward.classes) + 1)
    for valid, test in ((good, awkward), (awkward, good)):
        blocks = evaluate_run(
            valid, test, uneven / uneven.sum(), 20, patient_score=how
        )
        json.dumps(blocks, allow_nan=False)
        for split in blocks.values():
            for block in split.values():
                check_defined(block)


def check_defined(block):
    for name in METRICS:
        interval = block[f"{name}_ci95"]
        if block[name] is None or block["no_interval"] is not None:
            assert interval is None
        if interval is not None:
            assert interval[0] < interval[1]
        if name in (*LIMITING_CLASS, "accuracy"):
            assert block[name] is None or 0 <= block[name] <= 1
        if name in ("accuracy", "brier", "ece"):
            assert block[name] is not None


@pytest.mark.parametrize("k, lacking", [(0, "sensitivity"), (1, "specificity")])
def test_one_class_can_be_called_but_not_ranked(k, lacking):
    block = awkward_block(["healthy alone", "injured alone"][k])
    assert {name for name in METRICS if block[name] is None} == {
        *("auc", "average_precision", *CALIBRATION),
        *(name for name in METRICS if name.startswith(lacking)),
    }
    assert block["no_interval"] == f"all are {['healthy', 'injury'][k]}"
    assert block["bootstrap_degenerate"] == 60
    assert block["majority_accuracy"] == 1
    assert block["accuracy"] == block["balanced_accuracy"]


def test_validation_of_one_class_chooses_no_threshold():
    good = random_predictions(seed=5)
    block = evaluate_run(of_classes(0), good)["test"]["recording"]
    assert block["threshold"] is None and block["threshold_sens80"] is None
    undefined = {name for name in METRICS if block[name] is None}
    assert undefined == set(AT_THRESHOLDS)


@pytest.mark.parametrize("name", ["constant", "all even"])
def test_constant_scores_do_not_rank(name):
    block = awkward_block(name)
    assert block["auc"] == 0.5 and block["auc_ci95"] is None
    assert block["average_precision"] == pytest.approx(0.5)
    assert block["calibration_slope"] is None
    probability = AWKWARD[name].scores[0, 1]
    assert block["calibration_intercept"] == pytest.approx(
        logit(0.5) - logit(probability), abs=1e-9
    )
    assert block["ece"] == pytest.approx(0.5 - probability)


def test_an_absent_class_of_three_is_left_out():
    p = AWKWARD["no last class"]
    block = awkward_block("no last class")
    absent = block["per_class"]["other"]
    assert absent.pop("n") == absent.pop("n_patients") == 0
    assert set(absent.values()) == {None}
    aucs = [roc_auc_score(p.labels == k, p.scores[:, k]) for k in (0, 1)]
    assert block["auc"] == pytest.approx(np.mean(aucs))
    recalls = [block["per_class"][name]["recall"] for name in p.classes[:2]]
    assert block["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert block["confusion_matrix"][2] == [0, 0, 0]
