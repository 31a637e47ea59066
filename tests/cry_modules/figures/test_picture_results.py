"""Pictures of results: what is drawn is what the figures and scikit-learn
say, for every kind of result, and nobody's name is in it."""

import json
import tempfile
import time
from pathlib import Path
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.text import Text
from scipy.special import logit, softmax
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from cry_modules.figures.results import (
    PRECISION_RECALL,
    ROC,
    band,
    draw_results,
    groups,
    main,
    precision_recall_points,
    results_of,
    roc_points,
    wilson,
)
from cry_modules.metrics.bootstrap import patient_weights
from cry_modules.metrics.choices import choose, pooled
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.predictions import UNITS, Predictions

PICTURES = [
    "roc", "precision_recall", "calibration", "confusion", "patients",
]  # fmt: skip
HISTORY = [
    {
        "epoch": epoch, "lr": 0.1, "train_loss": 1 / epoch,
        "valid_loss": 0.1 + 1 / epoch, "valid_auc": 1 - 0.5 / epoch,
    }
    for epoch in range(1, 6)
]  # fmt: skip
N_DRAWS = 40
SEED = 3


def summarise(
    valid, test, prevalence=None, patient_score="mean_log_odds", seed=0,
    n_draws=2000,
):  # fmt: skip
    """The blocks of one run, by recording and by patient."""
    asked = EvaluationOptions(patient_score, seed, n_draws)
    found = evaluate_outcomes([Outcome(valid, test, prevalence)], {}, asked)
    return {split: found[split] for split in ("valid", "test")}


def made(n_of, seed=0, pre="", strength=1.5, classes=None):
    """Three recordings of every two patients; so many patients a class."""
    rng = np.random.default_rng([seed, 7])
    classes = classes or ["healthy", "injury", "c", *map(str, range(99))]
    classes = classes[: len(n_of)]
    labels = np.repeat(np.arange(len(n_of)), n_of)
    owner = np.concatenate(
        [np.arange(len(labels)), np.arange(0, len(labels), 2)]
    )
    rng.shuffle(owner)
    labels = labels[owner]
    raw = rng.normal(size=(len(labels), len(n_of)))
    raw[np.arange(len(labels)), labels] += strength
    return Predictions(
        [f"{pre}cry{i:04d}" for i in range(len(labels))],
        [f"{pre}infant{i:04d}" for i in owner],
        labels,
        softmax(raw, axis=1).round(2 if strength < 9 else 9),  # with ties
        classes,
    )


def metrics_of(valid, test, prevalence=None, n_draws=N_DRAWS):
    """``metrics.json`` as train_cls.py leaves it, less what is not read."""
    return {
        "corpus": "made up", "label_column": "neuro", "encoder_source": None,
        "finetune_mode": "linear", "classes": test.classes, "seed": SEED,
        "prevalence": None if prevalence is None else list(prevalence),
        "patient_score": "mean_log_odds",
        **summarise(valid, test, prevalence, seed=SEED, n_draws=n_draws),
    }  # fmt: skip


def run_of(valid, test, prevalence=None, n_draws=N_DRAWS):
    metrics = metrics_of(valid, test, prevalence, n_draws)
    return results_of(metrics, [Outcome(valid, test, prevalence)], HISTORY)


@pytest.fixture(scope="module")
def usual():
    """Two classes, the positive one rare."""
    share = np.array([0.8, 0.2])
    return run_of(made((24, 8), 1, "v"), made((64, 16), 2), share)


def folds():
    """Parts of three folds, and what is said of them together."""
    share = np.array([0.8, 0.2])
    parts = [
        (made((16, 8), 10 + k, f"v{k}"), made((16, 8), k, f"t{k}"), share)
        for k in range(3)
    ]
    metrics = metrics_of(*parts[0][:2], share)
    del metrics["prevalence"]
    metrics["folds"] = ["fold_0", "fold_1", "fold_2"]
    metrics["test"] = {
        unit: evaluate(
            *pooled(
                [
                    (t.by_unit(unit), choose(v.by_unit(unit), share))
                    for v, t, share in parts
                ]
            ),
            SEED,
            N_DRAWS,
        )
        for unit in UNITS
    }
    return metrics, parts


def figures(run):
    """The figures of a run, without the time that their files take."""
    found = {}

    def keep(figure, path, **kwargs):
        Path(path).write_bytes(b"")
        found[Path(path).name.split(".")[0]] = figure

    with tempfile.TemporaryDirectory() as folder:
        with patch("matplotlib.figure.Figure.savefig", keep):
            draw_results(run, folder)
    return found


@pytest.fixture(scope="module")
def drawn(usual):
    return figures(usual)


def axes_of(figure):
    return figure.subfigs[0].axes


def labelled(axes):
    """Lines by the beginning of their label."""
    return {line.get_label().split(" ")[0]: line for line in axes.lines}


def words(figure):
    return " ".join(
        " ".join(t.get_text() for t in figure.findobj(Text)).split()
    )


# Points of the curves.


@pytest.mark.parametrize("weighted", [False, True])
def test_points_are_those_of_scikit_learn(weighted):
    p = made((40, 10), 5)
    rng = np.random.default_rng(0)
    weights = np.ones((2, len(p.labels)))
    if weighted:
        weights = rng.integers(1, 4, weights.shape).astype(float)
    positive, scores = p.labels == 1, p.scores[:, 1]
    assert len(set(scores)) < len(scores)
    false, true = roc_points(positive, scores, weights)
    recall, precision = precision_recall_points(positive, scores, weights)
    for i, row in enumerate(weights):
        expected = roc_curve(
            positive, scores, sample_weight=row, drop_intermediate=False
        )
        np.testing.assert_allclose(false[i], expected[0], atol=1e-12)
        np.testing.assert_allclose(true[i], expected[1], atol=1e-12)
        expected = precision_recall_curve(positive, scores, sample_weight=row)
        np.testing.assert_allclose(precision[i][::-1], expected[0], atol=1e-12)
        np.testing.assert_allclose(recall[i][::-1], expected[1], atol=1e-12)


def test_draws_without_one_of_both_have_no_points():
    positive, scores = np.array([True, False, False]), np.array([3, 2, 1])
    weights = np.array([[0, 2, 1], [3, 0, 0], [1, 1, 1.0]])
    for points in (roc_points, precision_recall_points):
        x, y = points(positive, scores, weights)
        assert x.shape == y.shape == (1, 4)


def slow_band(kind, p, n_draws):
    """Each draw as a data set of its own, read point by point."""
    heights = []
    for weights in patient_weights(p.patients, SEED, n_draws):
        for row in weights.astype(int):
            labels = np.repeat(p.labels, row)
            scores = np.repeat(p.scores[:, 1], row)
            if len(set(labels)) < 2:
                continue
            heights.append([])
            if kind is ROC:
                x, y, _ = roc_curve(labels, scores, drop_intermediate=False)
                heights[-1] = np.interp(np.linspace(0, 1, 201), x, y)
                continue
            y, x, _ = precision_recall_curve(labels, scores)
            for recall in np.linspace(0, 1, 201):
                reached = np.flatnonzero(x >= recall)  # x falls
                heights[-1].append(y[reached[-1]])
    return np.quantile(heights, [0.025, 0.975], axis=0)


@pytest.mark.parametrize("kind", [ROC, PRECISION_RECALL])
def test_the_band_is_that_of_a_slow_loop(kind):
    p = made((24, 6), 4)
    x, low, high = band(kind, p, SEED, 120)
    slow_low, slow_high = slow_band(kind, p, 120)
    assert x[0] == 0 and x[-1] == 1
    np.testing.assert_allclose(low, slow_low, atol=1e-9)
    np.testing.assert_allclose(high, slow_high, atol=1e-9)
    assert (high - low).max() > 0.1


# What is drawn.


def test_the_curve_drawn_is_scikit_learns(usual, drawn):
    test = usual.test
    block = usual.blocks["recording"]
    (axes,) = axes_of(drawn["roc"])
    x, y, _ = roc_curve(test.labels, test.scores[:, 1], drop_intermediate=False)
    line = labelled(axes)["AUC"]
    np.testing.assert_allclose(line.get_xdata(), x, atol=1e-12)
    np.testing.assert_allclose(line.get_ydata(), y, atol=1e-12)
    low, high = block["auc_ci95"]
    assert line.get_label() == (
        f"AUC {block['auc']:.3f} (95 % {low:.3f} to {high:.3f})"
    )
    (axes,) = axes_of(drawn["precision_recall"])
    y, x, _ = precision_recall_curve(test.labels, test.scores[:, 1])
    line = labelled(axes)["average"]
    np.testing.assert_allclose(line.get_xdata(), x[::-1], atol=1e-12)
    np.testing.assert_allclose(line.get_ydata(), y[::-1], atol=1e-12)
    assert line.get_drawstyle() == "steps-pre"
    assert f"precision {block['average_precision']:.3f} (" in line.get_label()
    (area,) = axes.collections
    _, low, high = band(PRECISION_RECALL, test, SEED, N_DRAWS)
    heights = set(area.get_paths()[0].vertices[:, 1])
    assert heights == {*low, *high}
    share = np.mean(test.labels == 1)
    (chance,) = [line for line in axes.lines if len(line.get_xdata()) == 2]
    assert set(chance.get_ydata()) == {share}
    assert f"positives {share:.3f}" in labelled(axes)["chance:"].get_label()


def test_the_operating_point_drawn_is_the_blocks(usual, drawn):
    block = usual.blocks["recording"]
    (point,) = [
        line for line in axes_of(drawn["roc"])[0].lines
        if line.get_marker() == "D"
    ]  # fmt: skip
    sensitivity = block["sensitivity_at_spec80"]
    specificity = block["specificity_at_threshold"]
    assert point.get_xdata()[0] == pytest.approx(1 - specificity)
    assert point.get_ydata()[0] == pytest.approx(sensitivity)
    assert f"sensitivity {sensitivity:.3f}" in point.get_label()
    assert f"specificity {specificity:.3f}" in point.get_label()
    (point,) = [
        line for line in axes_of(drawn["precision_recall"])[0].lines
        if line.get_marker() == "D"
    ]  # fmt: skip
    called = usual.test.scores[:, 1] >= block["threshold"]
    assert point.get_xdata()[0] == pytest.approx(sensitivity)
    precision = usual.test.labels[called].mean()
    assert point.get_ydata()[0] == pytest.approx(precision)
    assert f"precision {precision:.3f}" in point.get_label()


def test_folds_have_a_point_and_no_threshold_line():
    metrics, parts = folds()
    run = results_of(metrics, [Outcome(*part) for part in parts])
    drawn = figures(run)
    assert sorted(drawn) == sorted(PICTURES)  # no single history
    block = metrics["test"]["recording"]
    (point,) = [
        line for line in axes_of(drawn["roc"])[0].lines
        if line.get_marker() == "D"
    ]  # fmt: skip
    assert point.get_ydata()[0] == pytest.approx(block["sensitivity_at_spec80"])
    hits = total = 0
    for valid, test, share in parts:
        positive = test.scores[test.labels == 1, 1]
        hits += (positive >= choose(valid, share).at_specificity).sum()
        total += len(positive)
    assert point.get_ydata()[0] == pytest.approx(hits / total)
    assert "threshold of each fold" in point.get_label()
    (axes,) = axes_of(drawn["patients"])
    assert not [line for line in axes.lines if line.get_linestyle() == "--"]
    assert "pooled over 3 folds" in words(drawn["patients"])


def test_each_class_has_a_curve():
    classes = ["discomfort", "hunger", "pain"]
    valid = made((9, 9, 9), 1, "v", classes=classes)
    run = run_of(valid, made((20, 14, 8), 2, classes=classes))
    pictures = figures(run)
    lines = axes_of(pictures["precision_recall"])[0].lines
    shares = np.bincount(run.test.labels) / len(run.test.labels)
    assert [
        line.get_ydata()[0] for line in lines if len(line.get_xdata()) == 2
    ] == shares.tolist()
    (axes,) = axes_of(pictures["roc"])
    *curves, chance = axes.lines
    assert chance.get_label() == "chance"
    looks = set()
    for k, line in enumerate(curves):
        positive = run.test.labels == k
        x, y, _ = roc_curve(
            positive, run.test.scores[:, k], drop_intermediate=False
        )
        np.testing.assert_allclose(line.get_xdata(), x, atol=1e-12)
        np.testing.assert_allclose(line.get_ydata(), y, atol=1e-12)
        block = run.blocks["recording"]["per_class"][classes[k]]
        assert line.get_label().startswith(f"{classes[k]}: {block['auc']:.3f}")
        looks |= {line.get_color(), line.get_linestyle(), line.get_marker()}
    assert len(looks) == 9
    assert f"macro AUC {run.blocks['recording']['auc']:.3f}" in axes.get_title()


def test_of_many_classes_the_mean_is_drawn():
    run = run_of(made([3] * 9, 1, "v"), made([6] * 9, 2), n_draws=0)
    (axes,) = axes_of(figures(run)["roc"])
    line, chance = axes.lines
    grid = np.linspace(0, 1, 201)
    curves = [
        roc_curve(run.test.labels == k, run.test.scores[:, k]) for k in range(9)
    ]
    mean = np.mean([np.interp(grid, x, y) for x, y, _ in curves], axis=0)
    np.testing.assert_allclose(line.get_ydata(), mean, atol=1e-9)
    assert line.get_label() == "mean of 9 classes"


# Calibration.


def test_wilson_is_scipys():
    for hits, n in ((0, 4), (3, 10), (10, 10), (7, 200)):
        expected = binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson(hits / n, n) == pytest.approx(tuple(expected))


def test_groups_are_of_as_many_and_count_patients():
    p = made((64, 16), 2)
    rng = np.random.default_rng(1)
    claimed, happened = rng.random(len(p.labels)), p.labels == 1
    order = np.argsort(claimed)
    n_groups = min(10, len(order) // 10)
    assert n_groups == 10 and len(order) % 10 == 0
    found = groups(claimed, happened, p.patients)
    for group, rows in zip(found, np.split(order, n_groups)):
        n_patients = len({p.patients[i] for i in rows})
        share = happened[rows].mean()
        assert group.claimed == pytest.approx(claimed[rows].mean())
        assert group.share == pytest.approx(share)
        assert (group.low, group.high) == wilson(share, n_patients)
    assert len(found) == n_groups


def test_equal_claims_are_one_group():
    happened = np.arange(40) < 10
    (group,) = groups(np.full(40, 0.3), happened, [*range(40)])
    assert (group.claimed, group.share) == (pytest.approx(0.3), 0.25)
    few = groups(np.linspace(0, 1, 7), np.ones(7), [*"abcdefg"])
    assert len(few) == 1


def test_the_groups_and_counts_drawn_are_right(usual, drawn):
    upper, lower = axes_of(drawn["calibration"])
    claimed = usual.test.scores[:, 1]
    found = groups(claimed, usual.test.labels == 1, usual.test.patients)
    points = [line for line in upper.lines if line.get_marker() == "o"]
    assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [
        group[:2] for group in found
    ]
    bars = [c for c in upper.collections if isinstance(c, LineCollection)]
    assert [tuple(b.get_segments()[0][:, 1]) for b in bars] == [
        group[2:] for group in found
    ]
    hundredths = np.round(100 * claimed).astype(int)  # all claims are
    n_of = np.bincount(np.minimum(hundredths // 10, 9), minlength=10)
    assert [bar.get_height() for bar in lower.patches] == n_of.tolist()
    assert [t.get_text() for t in lower.texts] == [str(n) for n in n_of]


def test_of_several_classes_the_one_called_is_calibrated():
    run = run_of(made((9, 9, 9), 1, "v"), made((20, 14, 8), 2))
    upper, _ = axes_of(figures(run)["calibration"])
    right = run.test.scores.argmax(axis=1) == run.test.labels
    found = groups(run.test.scores.max(axis=1), right, run.test.patients)
    points = [line for line in upper.lines if line.get_marker() == "o"]
    assert [p.get_ydata()[0] for p in points] == [g.share for g in found]
    assert upper.get_ylabel() == "share that is right"


# Confusion.


def test_both_matrices_are_scikit_learns(usual, drawn):
    left, right = axes_of(drawn["confusion"])
    test, choices = usual.test, usual.choices["recording"]
    at_threshold = test.scores[:, 1] >= choices.at_specificity
    for axes, called in (
        (left, choices.balanced_calls(test.scores)),
        (right, at_threshold),
    ):
        counts = confusion_matrix(test.labels, called)
        shares = confusion_matrix(test.labels, called, normalize="true")
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


def test_many_classes_have_colours_only():
    run = run_of(made([3] * 13, 1, "v"), made([4] * 13, 2), n_draws=0)
    axes, bar = axes_of(figures(run)["confusion"])
    assert not axes.texts
    assert bar.get_ylabel() == "share of the row"


# Patients.


def marks(axes, marker, hollow=None):
    """Points of the lines with this marker, by x and y."""
    found = []
    for line in axes.lines:
        is_hollow = line.get_markerfacecolor() == "white"
        if line.get_marker() == marker and hollow in (None, is_hollow):
            found += zip(*line.get_data())
    return found


def test_patients_are_where_their_scores_are(usual, drawn):
    (axes,) = axes_of(drawn["patients"])
    units, choices = usual.patients, usual.choices["patient"]
    recordings = marks(axes, "|")
    assert len(recordings) == len(usual.test.ids)
    for k, marker in enumerate("os"):
        scores = np.sort(units.scores[units.labels == k, 1])
        scores = scores.clip(1e-4, 1 - 1e-4)
        points = sorted(marks(axes, marker), key=lambda xy: xy[1])
        np.testing.assert_allclose([x for x, _ in points], logit(scores))
        assert all(k < y < k + 1 for _, y in points)
        called = scores >= choices.at_specificity
        hollow = [x for x, _ in marks(axes, marker, hollow=True)]
        np.testing.assert_allclose(
            sorted(hollow), logit(scores[called != k]), atol=1e-9
        )
    (line,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert line.get_xdata()[0] == pytest.approx(logit(choices.at_specificity))


def test_recordings_are_in_the_row_of_their_patient():
    scores = np.array([0.2, 0.4, 0.9, 0.6, 0.7])
    p = Predictions(
        list("abcde"), list("pprqq"), np.array([0, 0, 0, 1, 1]),
        np.stack([1 - scores, scores], axis=1), ["healthy", "injury"],
    )  # fmt: skip
    (axes,) = axes_of(figures(run_of(p, p))["patients"])
    y_of = {round(1 / (1 + np.exp(-x)), 6): y for x, y in marks(axes, "|")}
    assert y_of[0.2] == y_of[0.4] < y_of[0.9] < y_of[0.6] == y_of[0.7]
    patients = marks(axes, "o") + marks(axes, "s")
    assert {y for _, y in patients} == {y_of[0.2], y_of[0.9], y_of[0.6]}


def test_scores_of_0_and_1_are_drawn_at_the_edge():
    run = run_of(made((9, 6), 1, "v", 60), made((12, 8), 2, "", 60))
    picture = figures(run)["patients"]
    (axes,) = axes_of(picture)
    xs = [x for x, _ in marks(axes, "|")]
    assert max(xs) == pytest.approx(logit(0.9999))
    assert "above 0.9999 are drawn there" in words(picture)


# Every kind of result.


def constant(p):
    scores = np.full_like(p.scores, 0.5)
    return Predictions(p.ids, p.patients, p.labels, scores, p.classes)


def one_patient():
    return made((2, 0), 2).take([0])


EDGES = {
    "one class": (
        lambda: run_of(made((9, 6), 1, "v"), made((12, 0), 2)),
        {"roc": "all test recordings are healthy", "patients": "not defined"},
    ),
    "no threshold": (
        lambda: run_of(made((9, 0), 1, "v"), made((12, 8), 2)),
        {"roc": "Validation gives no threshold", "confusion": "no threshold"},
    ),
    "constant": (
        lambda: run_of(constant(made((9, 6))), constant(made((12, 8), 2))),
        {
            "roc": "AUC 0.500",
            "precision_recall": "Nothing is called positive",
            "calibration": "Slope not defined",
        },
    ),
    "perfect": (
        lambda: run_of(made((9, 6), 1, "v", 60), made((12, 8), 2, "", 60)),
        {"roc": "No interval: the draws", "calibration": "Slope not defined"},
    ),
    "one patient": (
        lambda: run_of(made((9, 6), 1, "v"), one_patient()),
        {"precision_recall": "all test recordings are", "patients": "n = 1"},
    ),
    "few patients": (
        lambda: run_of(made((9, 6), 1, "v"), made((12, 3), 2)),
        {"roc": "No interval: injury has 3 patients"},
    ),
    "a class absent": (
        lambda: run_of(made((9, 6, 6), 1, "v"), made((12, 9, 0), 2)),
        {"roc": "Classes without test recordings: 1", "confusion": "class"},
    ),
    "no draws": (
        lambda: run_of(made((9, 6), 1, "v"), made((12, 8), 2), n_draws=0),
        {"roc": "No interval"},
    ),
    "one class of three": (
        lambda: run_of(made((9, 6, 6), 1, "v"), made((12, 0, 0), 2)),
        {"roc": "all test recordings are healthy"},
    ),
    "51 classes": (
        lambda: run_of(made([2] * 51, 1, "v"), made([3] * 51, 2), n_draws=0),
        {"roc": "mean of 51 classes"},
    ),
}


@pytest.mark.parametrize("case", EDGES)
def test_edges_are_drawn_and_told(case):
    make, told = EDGES[case]
    run = make()
    drawn = figures(run)
    assert sorted(drawn) == sorted([*PICTURES, "training"])
    block = run.blocks["recording"]
    is_banded = len(block["per_class"]) == 2 and block["auc_ci95"] is not None
    assert len(axes_of(drawn["roc"])[0].collections) == is_banded
    for name, text in told.items():
        assert text in words(drawn[name])
    for name, figure in drawn.items():
        assert "nan" not in words(figure).lower(), name


@pytest.mark.slow
@pytest.mark.parametrize("case", EDGES)
def test_edges_become_files(case, tmp_path):
    for path in draw_results(EDGES[case][0](), tmp_path):
        assert path.stat().st_size > 5000
        ElementTree.parse(path.with_suffix(".svg"))


# Files, and the command.


def write_part(folder, metrics, valid, test, share):
    folder.mkdir(parents=True)
    metrics = {**metrics, "prevalence": None if share is None else list(share)}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    valid.write(folder / "predictions_valid.csv")
    test.write(folder / "predictions_test.csv")
    (folder / "history.json").write_text(json.dumps(HISTORY))


def faults(figure):
    """Words that are small, outside the picture, or over other words."""
    figure.set_layout_engine("constrained")  # as for the first file
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    size, renderer = figure.bbox, canvas.get_renderer()
    found, boxes = [], []
    ticks = []
    for axes in axes_of(figure):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks += [
                tick.label1
                for tick in axis.get_major_ticks()
                if low <= tick.get_loc() <= high and tick.label1.get_visible()
            ]
    plain = [
        text
        for part in [*figure.subfigs, *axes_of(figure)]
        for text in part.texts
    ]
    titles = [
        text
        for axes in axes_of(figure)
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label)
    ]
    legends = [
        text
        for legend in figure.subfigs[0].legends
        for text in legend.get_texts()
    ]
    for text in ticks + plain + titles + legends:
        if not text.get_text():
            continue
        box = text.get_window_extent(renderer)
        if text.get_fontsize() < 7:
            found.append(f"small: {text.get_text()}")
        if box.x0 < 0 or box.y0 < 0 or box.x1 > size.x1 or box.y1 > size.y1:
            found.append(f"outside: {text.get_text()}")
        for other, other_text in boxes:
            wide = min(box.x1, other.x1) - max(box.x0, other.x0)
            high = min(box.y1, other.y1) - max(box.y0, other.y0)
            if wide > 1 and high > 1:
                found.append(f"{text.get_text()} over {other_text}")
        boxes.append((box, text.get_text()))
    assert len(boxes) > 8
    return found


@pytest.mark.parametrize(
    "classes",
    [
        [r"$\frac_a$ & <b>", "neurologically_injured_newborns"],
        pytest.param(["healthy", "injury"], marks=pytest.mark.slow),
        pytest.param(
            ["discomfort", "hunger and thirst together", "pain"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_words_are_large_enough_and_apart(classes):
    n_of = (30, 12, 9)[: len(classes)]
    valid, test = (
        made(n_of, 1, "v", classes=classes),
        made(n_of, 2, classes=classes),
    )
    for name, figure in figures(run_of(valid, test)).items():
        if name != "training":
            assert faults(figure) == [], name


def test_the_command_draws_the_same_files_without_any_patient(
    usual, tmp_path, capsys
):
    valid, share = made((24, 8), 1, "v"), np.array([0.8, 0.2])
    metrics = metrics_of(valid, usual.test, share)
    write_part(tmp_path / "run", metrics, valid, usual.test, share)
    main([str(tmp_path / "run")])
    assert "6 pictures in" in capsys.readouterr().out
    begun = time.perf_counter()
    drawn = draw_results(usual, tmp_path)
    assert time.perf_counter() - begun < 30  # 4 s, on a busy machine
    assert [path.stem for path in drawn] == [*PICTURES, "training"]
    files = sorted((tmp_path / "figures").iterdir())
    again = sorted((tmp_path / "run/figures").iterdir())
    assert [f.name for f in files] == sorted(
        f"{path.stem}{suffix}" for path in drawn for suffix in (".png", ".svg")
    )
    for one, other in zip(files, again):
        assert one.read_bytes() == other.read_bytes(), one.name
        if one.suffix == ".png":
            assert one.read_bytes().startswith(b"\x89PNG")
            continue
        root = ElementTree.parse(one).getroot()
        said = " ".join(root.itertext())
        assert "made up, neuro." in " ".join(said.split())  # text is text
        text = one.read_text()
        assert "<dc:date>" not in text
        assert not [ID for ID in usual.test.patients if ID in text]
        assert not [ID for ID in usual.test.ids if ID in text]


def test_the_command_pools_folds(tmp_path, monkeypatch):
    metrics, parts = folds()
    for name, (valid, test, share) in zip(metrics["folds"], parts):
        write_part(
            tmp_path / "all" / name, metrics_of(valid, test, share), valid,
            test, share,
        )  # fmt: skip
    (tmp_path / "all/metrics.json").write_text(json.dumps(metrics))
    seen = []
    monkeypatch.setattr(
        "cry_modules.figures.results.draw_results",
        lambda run, folder: seen.append(run) or [],
    )
    main([str(tmp_path / "all")])
    (run,) = seen
    expected = results_of(metrics, [Outcome(*part) for part in parts])
    assert run.caption == expected.caption and run.history == []
    for unit in UNITS:
        ours, theirs = run.choices[unit], expected.choices[unit]
        np.testing.assert_array_equal(ours.prevalence, theirs.prevalence)
        np.testing.assert_array_equal(
            ours.at_specificity, theirs.at_specificity
        )
    assert run.test.ids == sum((test.ids for _, test, _ in parts), [])


def test_wrong_usage_is_told_in_one_line(tmp_path, capsys):
    valid, test = made((9, 6), 1, "v"), made((12, 8), 2)
    metrics = metrics_of(valid, test)
    for name, change in {
        "old": lambda m: m.pop("patient_score"),
        "other": lambda m: m.update(classes=["a", "b"]),
    }.items():
        changed = dict(metrics)
        change(changed)
        write_part(tmp_path / name, changed, valid, test, None)
    write_part(tmp_path / "torn", metrics, valid, test, None)
    (tmp_path / "torn/metrics.json").write_text("{")
    write_part(tmp_path / "bare", metrics, valid, test, None)
    (tmp_path / "bare/predictions_test.csv").unlink()
    write_part(tmp_path / "file", metrics, valid, test, None)
    (tmp_path / "file/figures").write_text("")
    for name, told in {
        "nowhere": "holds no metrics.json",
        "old": "has no 'patient_score'",
        "other": "scores of healthy, injury and metrics.json of a, b",
        "torn": "has no 'classes'",
        "bare": "predictions_test.csv does not exist",
        "file": "figures is a file",
    }.items():
        with pytest.raises(SystemExit) as stopped:
            main([str(tmp_path / name)])
        (line,) = capsys.readouterr().err.strip().split("\n")
        assert stopped.value.code == 2
        assert line.startswith("error: ") and told in line, line
