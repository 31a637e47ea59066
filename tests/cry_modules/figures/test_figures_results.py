"""Numbers drawn in the pictures of results equal the metrics and
scikit-learn's."""

from functools import partial

import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from cry_modules.evaluation.outcome import Outcome
from cry_modules.figures.style import PAGE
from cry_modules.metrics.abstention import risk_coverage
from cry_modules.metrics.choices import choose
from cry_modules.metrics.curves import (
    PRECISION_RECALL,
    mean_and_band,
    reliability,
)
from cry_modules.metrics.net_benefit import decision_curve
from cry_modules.metrics.predictions import Predictions
from tests.cry_modules.figures.drawn import (
    FOLDS,
    N_DRAWS,
    PICTURES,
    SEED,
    SHARE,
    USUAL,
    axes_of,
    drawn_figures,
    legend_of,
    made_run,
    run_of,
    with_marker,
    words,
)


@pytest.fixture(scope="module")
def usual():
    """Two classes, the positive one rare."""
    return run_of(USUAL)[1]


@pytest.fixture
def figures(tmp_path):
    return partial(drawn_figures, tmp_path)


def test_curves_are_scikit_learns_and_their_band(usual, figures):
    drawn, test = figures(usual), usual.test
    block, positive = usual.blocks["recording"], usual.test.labels == 1
    (axes,) = axes_of(drawn["roc"])
    x, y, _ = roc_curve(positive, test.scores[:, 1], drop_intermediate=False)
    np.testing.assert_allclose(axes.lines[0].get_data(), [x, y], atol=1e-12)
    low, high = block["auc_ci95"]
    label = f"AUC {block['auc']:.3f} (95 % {low:.3f} to {high:.3f})"
    assert label in legend_of(drawn["roc"])
    (axes,) = axes_of(drawn["precision_recall"])
    y, x, _ = precision_recall_curve(positive, test.scores[:, 1])
    points = axes.lines[0].get_data()
    np.testing.assert_allclose(points, [x[::-1], y[::-1]], atol=1e-12)
    assert axes.lines[0].get_drawstyle() == "steps-pre"
    (area,) = axes.collections
    _, band = mean_and_band(PRECISION_RECALL, [test], N_DRAWS, SEED)
    assert set(area.get_paths()[0].vertices[:, 1]) == {*band.ravel()}
    labels = legend_of(drawn["precision_recall"])
    share = f"chance: share of positives {positive.mean():.3f}"
    assert list(axes.lines[-1].get_ydata()) == [positive.mean()] * 2
    assert share in labels
    assert f"precision {block['average_precision']:.3f} (" in str([*labels])


def test_operating_points_are_those_of_the_metrics(usual, figures):
    drawn, block = figures(usual), usual.blocks["recording"]
    (point,) = with_marker(axes_of(drawn["roc"])[0], "D")
    sensitivity = block["sensitivity_at_spec80"]
    specificity = block["specificity_at_threshold"]
    assert point.get_xdata()[0] == pytest.approx(1 - specificity)
    assert point.get_ydata()[0] == pytest.approx(sensitivity)
    text = f"sensitivity {sensitivity:.3f}, specificity {specificity:.3f}"
    assert text in words(drawn["roc"])
    (point,) = with_marker(axes_of(drawn["precision_recall"])[0], "D")
    predicted = usual.test.scores[:, 1] >= block["threshold"]
    assert point.get_xdata()[0] == pytest.approx(sensitivity)
    precision = usual.test.labels[predicted].mean()
    assert point.get_ydata()[0] == pytest.approx(precision)
    assert f"precision {precision:.3f}" in words(drawn["precision_recall"])


def test_folds_have_a_point_and_no_threshold_line(figures):
    metrics, run = run_of(*FOLDS)
    drawn = figures(run)
    assert sorted(drawn) == sorted(PICTURES)  # no single history
    hits = total = 0
    for fold in FOLDS:
        positive = fold.test.scores[fold.test.labels == 1, 1]
        threshold = choose(fold.valid, SHARE).at_specificity
        hits += (positive >= threshold).sum()
        total += len(positive)
    (point,) = with_marker(axes_of(drawn["roc"])[0], "D")
    assert point.get_ydata()[0] == pytest.approx(hits / total)
    assert "threshold of each fold" in words(drawn["roc"])
    (axes,) = axes_of(drawn["patients"])
    assert not [line for line in axes.lines if line.get_linestyle() == "--"]
    assert "pooled over 3 folds" in words(drawn["patients"])


def test_each_class_has_a_curve(figures):
    classes = ["_discomfort", "hunger", "pain"]
    run = made_run((9, 9, 9), (20, 14, 8), classes=classes)
    drawn = figures(run)
    shares = np.bincount(run.test.labels) / len(run.test.labels)
    lines = axes_of(drawn["precision_recall"])[0].lines
    across = [line for line in lines if len(line.get_xdata()) == 2]
    assert [line.get_ydata()[0] for line in across] == shares.tolist()
    (axes,) = axes_of(drawn["roc"])
    *labels, chance = legend_of(drawn["roc"])
    assert chance == "chance" and len(axes.lines) == 4
    for k, (label, line) in enumerate(zip(labels, axes.lines)):
        positive, scores = run.test.labels == k, run.test.scores[:, k]
        x, y, _ = roc_curve(positive, scores, drop_intermediate=False)
        np.testing.assert_allclose(line.get_data(), [x, y], atol=1e-12)
        block = run.blocks["recording"]["per_class"][classes[k]]
        assert label.startswith(f"{classes[k]}: {block['auc']:.3f}")
    for look in ("color", "linestyle", "marker"):
        assert len({getattr(x, f"get_{look}")() for x in axes.lines[:3]}) == 3
    assert f"macro AUC {run.blocks['recording']['auc']:.3f}" in axes.get_title()
    upper, _ = axes_of(drawn["calibration"])
    assert upper.get_ylabel() == "share that is right"


def test_of_many_classes_the_mean_is_drawn(figures):
    run = made_run([3] * 9, [6] * 9, n_draws=0)
    drawn = figures(run)["roc"]
    (axes,) = axes_of(drawn)
    curves = [
        roc_curve(run.test.labels == k, run.test.scores[:, k]) for k in range(9)
    ]
    grid = axes.lines[0].get_xdata()
    mean = np.mean([np.interp(grid, x, y) for x, y, _ in curves], axis=0)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), mean, atol=1e-9)
    assert list(legend_of(drawn)) == ["mean of 9 classes", "chance"]


def test_groups_and_counts_drawn_are_those_of_the_scores(usual, figures):
    upper, lower = axes_of(figures(usual)["calibration"])
    groups = reliability([usual.test])
    (points,) = with_marker(upper, "o")
    assert [*zip(*points.get_data())] == [group[:2] for group in groups]
    (bars,) = [c for c in upper.collections if isinstance(c, LineCollection)]
    ends = [tuple(segment[:, 1]) for segment in bars.get_segments()]
    assert ends == [group[2:] for group in groups]
    # Scores are whole hundredths.
    hundredths = np.round(100 * usual.test.scores[:, 1]).astype(int)
    n_of = np.bincount(np.minimum(hundredths // 10, 9), minlength=10)
    assert [bar.get_height() for bar in lower.patches] == n_of.tolist()
    assert [t.get_text() for t in lower.texts] == [str(n) for n in n_of]


def test_both_confusion_matrices_are_scikit_learns(usual, figures):
    left, right = axes_of(figures(usual)["confusion"])
    test, choices = usual.test, usual.choices["recording"]
    for axes, predicted in (
        (left, choices.balanced_predictions(test.scores)),
        (right, test.scores[:, 1] >= choices.at_specificity),
    ):
        counts = confusion_matrix(test.labels, predicted)
        shares = confusion_matrix(test.labels, predicted, normalize="true")
        assert [t.get_text() for t in axes.texts] == [
            f"{n}\n{100 * share:.0f} %"
            for n, share in zip(counts.ravel(), shares.ravel())
        ]
        (mesh,) = [c for c in axes.collections if isinstance(c, QuadMesh)]
        np.testing.assert_allclose(mesh.get_array(), shares)
    block = usual.blocks["recording"]["confusion_matrix"]
    assert [t.get_text().split("\n")[0] for t in left.texts] == [
        str(n) for row in block for n in row
    ]


def test_many_classes_have_colours_only(figures):
    run = made_run([3] * 13, [4] * 13, n_draws=0)
    axes, bar = axes_of(figures(run)["confusion"])
    assert not axes.texts
    assert bar.get_ylabel() == "share of the row"


def points_of(axes, marker, hollow=(True, False)):
    """Points of the lines with this marker, by x and y."""
    return [
        point
        for line in with_marker(axes, marker)
        if (line.get_markerfacecolor() == PAGE) in hollow
        for point in zip(*line.get_data())
    ]


def test_patients_are_at_their_scores(usual, figures):
    (axes,) = axes_of(figures(usual)["patients"])
    assert axes.get_xscale() == "logit"
    units, choices = usual.patients, usual.choices["patient"]
    assert len(points_of(axes, "|")) == len(usual.test.ids)
    for k, marker in enumerate("os"):
        scores = np.sort(units.scores[units.labels == k, 1])
        scores = scores.clip(1e-4, 1 - 1e-4)
        points = sorted(points_of(axes, marker), key=lambda xy: xy[1])
        np.testing.assert_allclose([x for x, _ in points], scores)
        assert all(k < y < k + 1 for _, y in points)
        wrong = scores[(scores >= choices.at_specificity) != k]
        hollow = sorted(x for x, _ in points_of(axes, marker, [True]))
        np.testing.assert_allclose(hollow, wrong)
    (line,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert line.get_xdata()[0] == pytest.approx(choices.at_specificity)


def test_recordings_are_in_the_row_of_their_patient(figures):
    scores = np.array([0.2, 0.4, 0.9, 0.6, 0.7])
    p = Predictions(
        list("abcde"), list("pprqq"), np.array([0, 0, 0, 1, 1]),
        np.stack([1 - scores, scores], axis=1), ["healthy", "injury"],
    )  # fmt: skip
    (axes,) = axes_of(figures(run_of(Outcome(p, p, None))[1])["patients"])
    y_of = {round(x, 6): y for x, y in points_of(axes, "|")}
    assert y_of[0.2] == y_of[0.4] < y_of[0.9] < y_of[0.6] == y_of[0.7]
    patients = points_of(axes, "o") + points_of(axes, "s")
    assert {y for _, y in patients} == {y_of[0.2], y_of[0.9], y_of[0.6]}


def test_the_decision_curve_and_the_most_certain_are_those_of_the_metrics(
    usual, figures
):
    drawn, test = figures(usual), usual.test
    (axes,) = axes_of(drawn["decision_curve"])
    model, everyone, none = axes.lines
    curve = decision_curve(test, SEED, N_DRAWS, [0.2])
    for line, name in ((model, "model"), (everyone, "treat_all")):
        at = np.searchsorted(line.get_xdata(), 0.2 - 1e-9)
        assert line.get_ydata()[at] == pytest.approx(curve[name][0])
    assert not none.get_ydata().any()
    assert len(axes.collections) == 1  # the band
    assert "Decision curve of injury" in words(drawn["decision_curve"])
    (axes,) = axes_of(drawn["abstention"])
    for line, name in zip(axes.lines, ("accuracy", "auc")):
        rows = risk_coverage(test, SEED, 0, line.get_xdata().tolist())
        assert line.get_ydata() == pytest.approx([row[name] for row in rows])
