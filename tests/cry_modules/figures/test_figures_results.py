"""Pictures of results: numbers drawn equal the metrics and scikit-learn, for
every kind of result, and no patient is named."""

import json
from pathlib import Path
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.text import Text
from scipy.special import softmax
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from cry_modules.figures.__main__ import main
from cry_modules.figures.results import draw_results, read_results, results_of
from cry_modules.figures.style import PAGE
from cry_modules.metrics.choices import choose
from cry_modules.metrics.curves import (
    PRECISION_RECALL,
    mean_and_band,
    reliability,
)
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
SHARE = np.array([0.8, 0.2])


def made(n_of, seed=0, pre="", strength=1.5, classes=None):
    """Predictions of so many patients a class, three recordings of every two
    patients; scores tie unless they are strong."""
    rng = np.random.default_rng([seed, 7])
    classes = classes or ["healthy", "injury", "c", *map(str, range(99))]
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
        softmax(raw, axis=1).round(2 if strength < 9 else 9),
        classes[: len(n_of)],
    )


def run_of(*outcomes, n_draws=N_DRAWS):
    """Metrics as train_cls.py leaves them, and contents of the pictures."""
    test, prevalence = outcomes[0].test, outcomes[0].prevalence
    options = EvaluationOptions("mean_log_odds", SEED, n_draws)
    metrics = {
        "corpus": "made up", "label_column": "neuro", "encoder_source": None,
        "finetune_mode": "linear", "classes": test.classes, "seed": SEED,
        "patient_score": "mean_log_odds",
        "prevalence": None if prevalence is None else list(prevalence),
        "test": evaluate_outcomes(list(outcomes), {}, options)["test"],
    }  # fmt: skip
    history = HISTORY if len(outcomes) == 1 else []
    return metrics, results_of(metrics, list(outcomes), history)


def made_run(n_valid, n_test, strength=1.5, n_draws=N_DRAWS, classes=None):
    valid = made(n_valid, 1, "v", strength, classes)
    test = made(n_test, 2, "", strength, classes)
    return run_of(Outcome(valid, test, None), n_draws=n_draws)[1]


USUAL = Outcome(made((24, 8), 1, "v"), made((64, 16), 2), SHARE)
FOLDS = [
    Outcome(made((16, 8), 10 + k, f"v{k}"), made((16, 8), k, f"t{k}"), SHARE)
    for k in range(3)
]


@pytest.fixture(scope="module")
def usual():
    """Two classes, the positive one rare."""
    return run_of(USUAL)[1]


@pytest.fixture
def figures(tmp_path):
    """Figures of a run by name, without the time that their files take."""

    def figures(run):
        drawn = {}

        def keep(figure, path, **kwargs):
            Path(path).write_bytes(b"")
            drawn[Path(path).name.split(".")[0]] = figure

        with patch("matplotlib.figure.Figure.savefig", keep):
            draw_results(run, tmp_path)
        return drawn

    return figures


def axes_of(figure):
    return figure.subfigs[0].axes


def legend_of(figure):
    """Line of each label of the legend."""
    (legend,) = figure.subfigs[0].legends
    labels = [text.get_text() for text in legend.get_texts()]
    return dict(zip(labels, legend.legend_handles))


def words(figure):
    return " ".join(
        " ".join(t.get_text() for t in figure.findobj(Text)).split()
    )


def with_marker(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


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


def constant():
    run = Outcome(made((9, 6)), made((12, 8), 2), None)
    for p in (run.valid, run.test):
        p.scores = np.full_like(p.scores, 0.5)
    return run_of(run)[1]


def one_patient():
    test = made((2, 0), 2).take([0])
    return run_of(Outcome(made((9, 6), 1, "v"), test, None))[1]


EDGES = {
    "one class": (
        lambda: made_run((9, 6), (12, 0)),
        {"roc": "all test recordings are healthy", "patients": "not defined"},
    ),
    "no threshold": (
        lambda: made_run((9, 0), (12, 8)),
        {"roc": "Validation gives no threshold", "confusion": "no threshold"},
    ),
    "constant": (
        constant,
        {
            "roc": "AUC 0.500",
            "precision_recall": "No recording is predicted positive",
            "calibration": "Slope not defined",
        },
    ),
    "perfect": (
        lambda: made_run((9, 6), (12, 8), strength=60),
        {
            "roc": "No interval: the draws",
            "calibration": "Slope not defined",
            "patients": "above 0.9999 are drawn there",
        },
    ),
    "one patient": (
        one_patient,
        {"precision_recall": "all test recordings are", "patients": "n = 1"},
    ),
    "few patients": (
        lambda: made_run((9, 6), (12, 3)),
        {"roc": "No interval: injury has 3 patients"},
    ),
    "a class absent": (
        lambda: made_run((9, 6, 6), (12, 9, 0)),
        {"roc": "Classes without test recordings: 1", "confusion": "class"},
    ),
    "one class of three": (
        lambda: made_run((9, 6, 6), (12, 0, 0)),
        {"roc": "all test recordings are healthy"},
    ),
    "51 classes": (
        lambda: made_run([2] * 51, [3] * 51, n_draws=0),
        {"roc": "mean of 51 classes"},
    ),
}


@pytest.mark.parametrize("case", EDGES)
def test_edges_are_drawn_and_explained(case, figures):
    make, expected = EDGES[case]
    run = make()
    drawn = figures(run)
    assert sorted(drawn) == sorted([*PICTURES, "training"])
    block = run.blocks["recording"]
    is_banded = len(block["per_class"]) == 2 and block["auc_ci95"] is not None
    assert len(axes_of(drawn["roc"])[0].collections) == is_banded
    for name, text in expected.items():
        assert text in words(drawn[name])
    for name, figure in drawn.items():
        assert "nan" not in words(figure).lower(), name


@pytest.mark.slow
@pytest.mark.parametrize("case", EDGES)
def test_edges_become_files(case, tmp_path):
    for path in draw_results(EDGES[case][0](), tmp_path):
        assert path.stat().st_size > 5000
        ElementTree.parse(path.with_suffix(".svg"))


def texts_of(figure):
    """Texts that are visible in a sheet."""
    for part in [*figure.subfigs, *axes_of(figure)]:
        yield from part.texts
    for axes in axes_of(figure):
        yield from (axes.title, axes.xaxis.label, axes.yaxis.label)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    yield tick.label1
    for legend in figure.subfigs[0].legends:
        yield from legend.get_texts()


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
def test_words_are_large_enough_and_do_not_overlap(classes, figures):
    n_of = (30, 12, 9)[: len(classes)]
    for name, figure in figures(made_run(n_of, n_of, classes=classes)).items():
        if name == "training":
            continue
        figure.set_layout_engine("constrained")  # as for the first file
        canvas, boxes = FigureCanvasAgg(figure), []
        canvas.draw()
        for text in texts_of(figure):
            if not text.get_text() or not text.get_visible():
                continue
            box = text.get_window_extent(canvas.get_renderer())
            assert text.get_fontsize() >= 7, text
            assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, (name, text)
            assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, (name, text)
            for other, other_text in boxes:
                wide = min(box.x1, other.x1) - max(box.x0, other.x0)
                high = min(box.y1, other.y1) - max(box.y0, other.y0)
                assert wide <= 1 or high <= 1, (name, text, other_text)
            boxes.append((box, text))
        assert len(boxes) > 8


def write_run(folder, metrics, outcome, **changes):
    folder.mkdir(parents=True)
    text = json.dumps({**metrics, **changes})
    (folder / "metrics.json").write_text(text)
    outcome.valid.write(folder / "predictions_valid.csv")
    outcome.test.write(folder / "predictions_test.csv")
    (folder / "history.json").write_text(json.dumps(HISTORY))


def test_the_command_draws_the_same_files_without_any_patient(
    usual, tmp_path, capsys
):
    write_run(tmp_path / "run", run_of(USUAL)[0], USUAL)
    main([str(tmp_path / "run")])
    assert "6 pictures in" in capsys.readouterr().out
    drawn = draw_results(usual, tmp_path)
    assert [path.stem for path in drawn] == [*PICTURES, "training"]
    files = sorted((tmp_path / "figures").iterdir())
    again = sorted((tmp_path / "run/figures").iterdir())
    assert [f.name for f in files] == sorted(
        f"{path.stem}{suffix}" for path in drawn for suffix in (".png", ".svg")
    )
    for path, other in zip(files, again):
        assert path.read_bytes() == other.read_bytes(), path.name
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
            continue
        texts = " ".join(ElementTree.parse(path).getroot().itertext())
        assert "made up, neuro." in " ".join(texts.split())  # text is text
        text = path.read_text()
        assert "<dc:date>" not in text
        assert not [ID for ID in usual.test.patients if ID in text]
        assert not [ID for ID in usual.test.ids if ID in text]


def test_folds_are_read_and_pooled(tmp_path):
    metrics, expected = run_of(*FOLDS)
    names = ["fold_0", "fold_1", "fold_2"]
    for name, fold in zip(names, FOLDS):
        write_run(tmp_path / name, metrics, fold, prevalence=list(SHARE))
    del metrics["prevalence"]
    text = json.dumps({**metrics, "folds": names})
    (tmp_path / "metrics.json").write_text(text)
    run = read_results(tmp_path)
    assert run.caption == expected.caption and run.history == []
    for unit in UNITS:
        ours, theirs = run.choices[unit], expected.choices[unit]
        np.testing.assert_array_equal(ours.prevalence, theirs.prevalence)
        np.testing.assert_array_equal(
            ours.at_specificity, theirs.at_specificity
        )
    assert run.test.ids == sum((fold.test.ids for fold in FOLDS), [])


@pytest.mark.parametrize(
    "changes, damaged, message",
    [
        ({}, ("metrics.json", "{"), "has no 'classes'"),
        ({"classes": ["a", "b"]}, None, "and metrics.json of a, b"),
        ({"folds": ["no"]}, None, "no holds no metrics.json"),
        ({}, ("figures", ""), "figures is a file"),
    ],
)
def test_wrong_input_is_refused_in_one_line(
    changes, damaged, message, tmp_path, capsys
):
    write_run(tmp_path / "run", run_of(USUAL)[0], USUAL, **changes)
    if damaged:
        (tmp_path / "run" / damaged[0]).write_text(damaged[1])
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "run")])
    (line,) = capsys.readouterr().err.strip().split("\n")
    assert stopped.value.code == 2
    assert line.startswith("error: ") and message in line
