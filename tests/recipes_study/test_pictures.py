"""Pictures of a study: what is drawn is what was measured, by formulas, by
scikit-learn and by slow loops; what is not defined is said."""

import base64
import io
import re
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from PIL import Image
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from cry_modules.figures.results import PRECISION_RECALL, ROC
from cry_modules.figures.views import _settings, make_pairs, runs
from cry_modules.metrics.bootstrap import patient_weights
from cry_modules.metrics.compare import RunSet
from cry_modules.metrics.predictions import Predictions
from data_prep.manifest import Recording
from recipes.study.report import (
    picture_curves,
    picture_rows,
    picture_sounds,
    pictures,
    svg,
)
from recipes.study.report.picture_curves import GRID, mean_and_band, reliability
from recipes.study.report.pictures import ForestRow, FractionCurve

HOSTILE = "<script>alert(1)</script> & $x$"
MODES = ("linear", "linear_bn")
N_DRAWS = 40


@pytest.fixture
def drawn(monkeypatch):
    """Figures of the pictures that were made, the latest last."""
    figures, drawing = [], svg.drawing

    @contextmanager
    def kept(*arguments):
        with drawing(*arguments) as (figure, picture):
            figures.append(figure)
            yield figure, picture

    for module in (pictures, picture_rows, picture_curves, picture_sounds):
        monkeypatch.setattr(module, "drawing", kept)
    return figures


def lines(axes):
    """Points of each line, without the ends of lines across."""
    return [np.column_stack(line.get_data()).tolist() for line in axes.lines]


def texts(picture):
    root = ElementTree.fromstring(picture.svg)
    return ["".join(element.itertext()) for element in root.iter("text")]


def figure_of(mean, width=0.05):
    seeds = [mean - 0.01, mean, mean + 0.01]
    return {
        "mean": mean,
        "ci95": [mean - width, mean + width],
        "by_seed": seeds,
    }


ROWS = {
    "random": {
        "linear": {"mean": None, "ci95": None, "by_seed": [None]},
        "linear_bn": {"mean": 0.55, "ci95": None, "by_seed": [0.55]},
    },
    "SimCLR": {mode: figure_of(0.8 + 0.02 * i) for i, mode in enumerate(MODES)},
    HOSTILE: {"linear": figure_of(0.7)},
}


def test_auc_by_encoder_draws_means_intervals_and_seeds(drawn):
    picture = pictures.auc_by_encoder("auc", "AUC", ROWS, MODES, {"random"})
    axes = drawn[-1].axes[0]
    x_of = [[x for x, _ in line] for line in lines(axes)]
    for encoder in ("SimCLR", HOSTILE):
        for figure in ROWS[encoder].values():
            for values in (figure["ci95"], [figure["mean"]], figure["by_seed"]):
                assert x_of.count(values) == 1
    assert x_of.count([0.55]) == 1  # one seed: no dot of its own
    assert len(x_of) == 1 + 3 * 3 + 1 and x_of[0] == [0.5, 0.5]
    grey = [line for line in axes.lines if line.get_color() == svg.GREY]
    assert [list(line.get_xdata()) for line in grey[1:]] == [[0.55]]
    assert "Highest: SimCLR, linear_bn, 0.820 (95 % 0.770 to 0.870)" in (
        picture.alt
    )
    assert "Lowest: random, linear_bn, 0.550 (no interval)" in picture.alt
    assert "Not defined: random, linear." in picture.alt
    assert texts(picture).count("not defined") == 1
    assert {*MODES, "one seed", "control", "chance"} < set(texts(picture))


def runset(name, n_classes=2, n=60, n_patients=20, seeds=3, quality=1.5):
    """Seeds that tell the same recordings about as well; some scores tie."""
    rng = np.random.default_rng(len(name))
    patients = [f"p{i % n_patients}" for i in range(n)]
    labels = np.array([i % n_patients % n_classes for i in range(n)])
    predictions = []
    for _ in range(seeds):
        noise = rng.normal(size=(n, n_classes))
        scores = softmax(quality * np.eye(n_classes)[labels] + noise, axis=1)
        scores = scores.round(1) + 0.01
        scores /= scores.sum(axis=1, keepdims=True)
        predictions.append(
            Predictions(
                [f"r{i}" for i in range(n)], patients, labels,
                scores.round(6), [f"class {k}" for k in range(n_classes)],
            )
        )  # fmt: skip
    files = [Path(f"{seed}/predictions_test.csv") for seed in range(seeds)]
    return RunSet(name, files, predictions)


def slow_height(kind, positive, scores):
    """Of one curve, by scikit-learn."""
    if kind is ROC:
        false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
        return np.interp(GRID, false, true)
    precision, recall, _ = precision_recall_curve(positive, scores)
    # From the highest score on; the first that reaches each recall.
    precision, recall = precision[::-1], recall[::-1]
    return np.array(
        [next(p for p, r in zip(precision, recall) if r >= x) for x in GRID]
    )


def slow_mean(kind, one, rows):
    """Over seeds and classes, of some of the rows; None without a class."""
    n_classes = one.predictions[0].scores.shape[1]
    heights = []
    for p in one.predictions:
        for k in [1] if n_classes == 2 else range(n_classes):
            positive = p.labels[rows] == k
            if positive.all() or not positive.any():
                return None
            heights.append(slow_height(kind, positive, p.scores[rows, k]))
    return np.mean(heights, axis=0)


@pytest.mark.parametrize("kind", [ROC, PRECISION_RECALL])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_ranking_is_that_of_slow_loops(kind, n_classes, drawn):
    one = runset("SimCLR", n_classes)
    slow = slow_mean(kind, one, np.arange(60))
    of_draws = []
    for weights in patient_weights(one.predictions[0].patients, 3, N_DRAWS):
        for times in weights.astype(int):
            rows = np.repeat(np.arange(60), times)
            of_draws.append(slow_mean(kind, one, rows))
    of_draws = [height for height in of_draws if height is not None]
    band = np.quantile(of_draws, [0.025, 0.975], axis=0)
    mean, found = mean_and_band(kind, one, N_DRAWS, seed=3)
    np.testing.assert_allclose(mean, slow, atol=1e-12)
    np.testing.assert_allclose(found, band, atol=1e-12)

    pictures.ranking("a", "A", kind, {"linear": [one]}, N_DRAWS, seed=3)
    axes = drawn[-1].axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), slow, atol=1e-12)
    (area,) = [c for c in axes.collections if isinstance(c, PolyCollection)]
    corners = area.get_paths()[0].vertices
    for ends in band:
        expected = np.column_stack([GRID, ends])[::2]
        gaps = np.abs(expected[:, None] - corners).max(axis=2).min(axis=1)
        assert gaps.max() < 1e-12


def test_draws_without_a_class_do_not_mix_with_others():
    """Few patients of a class: some draws lack it, for each seed alike."""
    one = runset("SimCLR", 2, n=30, n_patients=30)
    for p in one.predictions:
        p.labels = np.array([int(i >= 25) for i in range(30)])
    lacking, of_draws = 0, []
    for weights in patient_weights(one.predictions[0].patients, 0, 400):
        for times in weights.astype(int):
            height = slow_mean(ROC, one, np.repeat(np.arange(30), times))
            lacking += height is None
            of_draws += [] if height is None else [height]
    assert lacking > 0
    np.testing.assert_allclose(
        mean_and_band(ROC, one, 400)[1],
        np.quantile(of_draws, [0.025, 0.975], axis=0),
        atol=1e-12,
    )


def test_ranking_says_the_figures_and_the_share(drawn):
    one = runset("SimCLR")
    panels = {"linear": [one], "linear_bn": [one, runset(HOSTILE)]}
    roc = pictures.ranking("roc", "ROC", ROC, panels, N_DRAWS)
    auc = np.mean(
        [roc_auc_score(p.labels, p.scores[:, 1]) for p in one.predictions]
    )
    assert f"linear: SimCLR {auc:.3f}." in roc.alt and "40 draws" in roc.alt
    assert len(drawn[-1].axes[1].lines) == 3  # two sets and chance
    colours = [axes.lines[0].get_color() for axes in drawn[-1].axes]
    assert len(set(colours)) == 1  # a set has one look
    found = pictures.ranking("pr", "PR", PRECISION_RECALL, panels, N_DRAWS)
    precision = np.mean(
        [
            average_precision_score(p.labels, p.scores[:, 1])
            for p in one.predictions
        ]
    )
    assert f"linear: SimCLR {precision:.3f}." in found.alt
    assert "chance: share of positives 0.500" in texts(found)
    assert {"SimCLR", "linear", "linear_bn"} < set(texts(found))


def test_ranking_without_a_band_or_a_curve_says_why(drawn):
    few = runset("few", n=12, n_patients=4)
    assert mean_and_band(ROC, few)[1] is None
    one_class = runset("one")
    for p in one_class.predictions:
        p.labels = np.zeros(60, int)
    panels = {"linear": [few], "linear_bn": [one_class], "none": []}
    picture = pictures.ranking("a", "A", ROC, panels, N_DRAWS)
    assert not drawn[-1].axes[0].collections
    assert "No band: class 0 has 2 patients, and an interval needs 5." in (
        picture.alt
    )
    assert "linear_bn: one not defined." in picture.alt
    assert "none: no runs." in picture.alt
    assert "no curve: all are class 0" in texts(picture)
    assert "no runs" in texts(picture)


def test_calibration_pools_seeds_and_counts_patients_once(drawn):
    one = runset("SimCLR")
    claimed = np.concatenate([p.scores[:, 1] for p in one.predictions])
    happened = np.concatenate([p.labels == 1 for p in one.predictions])
    patients = np.array(sum((p.patients for p in one.predictions), []))
    found = reliability(one)
    edges = np.quantile(claimed, np.arange(1, 10) / 10)
    which = np.array([sum(value >= edges) for value in claimed])
    assert len(found) == len(set(which)) > 3
    for k, group in zip(sorted(set(which)), found):
        inside = which == k
        n = len(set(patients[inside]))
        share = happened[inside].mean()
        assert group.claimed == pytest.approx(claimed[inside].mean())
        assert group.share == pytest.approx(share)
        if (share * n) % 1 == 0:
            ends = binomtest(int(share * n), n).proportion_ci(method="wilson")
            assert (group.low, group.high) == pytest.approx(tuple(ends))
    picture = pictures.calibration("a", "A", {"linear": [one]})
    axes = drawn[-1].axes[0]
    expected = [[g.claimed, g.share] for g in found]
    np.testing.assert_allclose(lines(axes)[1], expected)
    (bars,) = [c for c in axes.collections if isinstance(c, LineCollection)]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[g.low, g.high] for g in found])
    assert "all seeds pooled" in picture.alt
    errors = []
    for p in one.predictions:
        score, bins = p.scores[:, 1], np.minimum(p.scores[:, 1] * 10 // 1, 9)
        errors.append(
            sum(
                abs((score - p.labels)[bins == k].sum()) / 60 for k in range(10)
            )
        )
    assert f"linear: SimCLR {np.mean(errors):.3f}." in picture.alt


CURVES = [
    FractionCurve(
        "SimCLR", [0.01, 0.1, 1], [0.6, None, 0.8],
        [(0.5, 0.7), None, (0.75, 0.85)], [[0.59, 0.61], [None], [0.8]],
    ),
    FractionCurve(HOSTILE, [0.05, 1], [0.7, 0.75], None, [[0.7], [0.75]]),
    FractionCurve("not run yet", [], [], [], []),
]  # fmt: skip


def test_label_fractions(drawn):
    picture = pictures.label_fractions("a", "A", CURVES)
    axes = drawn[-1].axes[0]
    assert axes.get_xscale() == "log"
    assert lines(axes) == [
        [[0.01, 0.6], [1, 0.8]],
        [[0.01, 0.59], [0.01, 0.61]],
        [[0.05, 0.7], [1, 0.75]],
        [],
    ]
    bars, *none = [
        c.get_segments()
        for c in axes.collections
        if isinstance(c, LineCollection)
    ]
    ends = [[[0.01, 0.5], [0.01, 0.7]], [[1, 0.75], [1, 0.85]]]
    np.testing.assert_allclose(bars, ends)
    assert not any(len(segment) for segments in none for segment in segments)
    assert {"1 %", "5 %", "10 %", "100 %"} < set(texts(picture))
    assert "SimCLR: 0.600 at 1 %, 0.800 at 100 %." in picture.alt
    assert picture.alt.endswith("Not defined: SimCLR at 10 %.")


HISTORY = [
    {"epoch": e, "train_loss": 3.0 - e, "valid_loss": 3.5 - e, "valid_auc": 0.6}
    for e in range(3)
]


def test_training(drawn):
    histories = {"first": HISTORY, HOSTILE: HISTORY[1:]}
    picture = pictures.training("a", "A", histories)
    loss, auc = drawn[-1].axes
    found = lines(loss)
    assert found.count([[1, 2.0], [2, 1.0]]) == 2  # training, both runs
    assert found.count([[0, 3.0], [1, 2.0]]) == 1  # before training
    assert found.count([[1, 2.5], [2, 1.5]]) == 2
    assert [[1, 0.6], [2, 0.6]] in lines(auc)
    assert "#ffffff" not in picture.svg and "white" not in picture.svg
    assert "first: 2 epochs, at the end train loss 1, valid loss 1.5" in (
        picture.alt
    )
    assert HOSTILE in texts(picture)


@pytest.fixture
def pair(noise, request):
    """A recording of noise, which is the largest picture, and its views."""
    seconds = getattr(request, "param", 30.0)
    path = noise("SECRET.wav", seconds=seconds)
    recording = Recording(
        "SECRET", seconds, path.name, 0, seconds, "", "p", ""
    )  # fmt: skip
    hparams = _settings(["hparams/small_simclr.yaml"])
    return make_pairs(hparams, [recording], str(path.parent), 1)[0], hparams


@pytest.mark.parametrize("pair", [30.0, 0.4], indirect=True)
def test_views(pair, drawn):
    pair, hparams = pair
    picture = pictures.views("views", "Two views", pair, hparams)
    assert len(picture.svg) < 120_000
    assert "SECRET" not in picture.svg + picture.alt
    assert any(
        text.startswith(f"a recording of {pair.seconds:.1f} s")
        for text in texts(picture)
    )
    links = re.findall('href="data:image/png;base64,([^"]+)"', picture.svg)
    images = [Image.open(io.BytesIO(base64.b64decode(link))) for link in links]
    assert len(images) == 3
    for image, level in zip(images, (pair.whole, *pair.views)):
        n_frames, n_mels = level.shape
        assert image.height == n_mels and image.width <= 400
        if n_frames <= 400:
            assert image.width == n_frames
        assert len(image.getcolors()) <= 25
    whole, *views = drawn[-1].findobj(lambda a: hasattr(a, "get_images"))
    bars = [bar.get_x() for bar in whole.patches]
    assert bars == pytest.approx(list(pair.starts))
    for axes, masked in zip(views, pair.masked.numpy()):
        n_runs = [len(runs(masked.all(axis=axis))) for axis in (0, 1)]
        assert len(axes.patches) == sum(n_runs)
        assert axes.images[0].norm.vmin == -axes.images[0].norm.vmax
    share = 100 * pair.masked[0].double().mean()
    assert f"Masked: {share:.0f} % of view 1" in picture.alt


def test_the_whole_is_a_mean_where_it_is_narrowed():
    level = np.arange(2.0 * 1001).reshape(1001, 2)
    found = picture_sounds._narrowed(level)
    expected = [level[i : i + 3].mean(axis=0) for i in range(0, 1001, 3)]
    np.testing.assert_allclose(found, expected)


def embeddings(n):
    rng = np.random.default_rng(0)
    maps = {method: rng.normal(size=(n, 2)) for method in ("PCA", "t-SNE")}
    return maps, {
        "label": [("healthy", "injury")[i % 2] for i in range(n)],
        "site": [("", "_a", HOSTILE)[i % 3] for i in range(n)],
        "patient": [f"patient {i % 30}" for i in range(n)],
    }


def test_embedding_maps(drawn):
    maps, colourings = embeddings(120)
    picture = pictures.embedding_maps("a", "A", maps, colourings)
    cells = np.reshape(drawn[-1].axes, (2, 3))
    for row, points in zip(cells, maps.values()):
        for axes, values in zip(row, colourings.values()):
            of = {
                value: []
                for value in sorted({v or "not given" for v in values})
            }
            for point, value in zip(points.tolist(), values):
                of[value or "not given"].append(point)
            assert lines(axes) == list(of.values())
            looks = {(x.get_color(), x.get_marker()) for x in axes.lines}
            assert len(looks) == len(of)
            assert not len(axes.get_xticks())
    found = texts(picture)
    assert {"healthy", "injury", "_a", HOSTILE, "not given"} < set(found)
    assert "patient: 30 values" in found and "patient 3" not in found
    assert "Embeddings of 120 recordings" in picture.alt


def test_many_embeddings_are_some_of_them(drawn):
    maps, colourings = embeddings(1600)
    picture = pictures.embedding_maps("a", "A", maps, colourings)
    for axes in drawn[-1].axes:
        assert sum(len(line.get_xdata()) for line in axes.lines) == 1500
    every = {tuple(point) for point in maps["PCA"].tolist()}
    points = sum(lines(drawn[-1].axes[0]), [])
    assert len(set(map(tuple, points)) & every) == 1500
    assert "1500 of them, drawn at random, are shown." in picture.alt
    assert len(picture.svg) < 450_000


FOREST = [
    ForestRow("H1", "a against b", 0.08, (0.02, 0.14), 1, "supported"),
    ForestRow("H1", HOSTILE, 0.01, (-0.05, 0.07), 1, "not separable"),
    ForestRow("H2", "c against d", 0.05, None, -1, "contradicted"),
    ForestRow("H2", "e against f", None, None, -1, "not separable"),
]


def test_forest(drawn):
    picture = pictures.forest("a", "A", FOREST)
    axes = drawn[-1].axes[0]
    found = lines(axes)
    for points in (
        [[2, 1], [14, 1]], [[8, 1]], [[-5, 2], [7, 2]], [[1, 2]], [[5, 4]],
    ):  # fmt: skip
        assert (
            sum(np.allclose(points, x) for x in found if len(x) == len(points))
            == 1
        )
    assert len(found) == 5 + 1  # and 0
    sides = [c.get_paths()[0].vertices[:, 0] for c in axes.collections]
    assert [np.sign(x.sum()) for x in sides] == [1, 1, -1, -1]
    assert {
        "H1", "H2", "a against b", "+8.0 (+2.0 to +14.0), supported",
        "+1.0 (-5.0 to +7.0), not separable", "+5.0, contradicted",
        "not defined, not separable", HOSTILE,
    } < set(texts(picture))  # fmt: skip
    looks = {
        (x.get_color(), x.get_marker())
        for x in axes.lines
        if len(x.get_xdata()) == 1
    }
    assert len(looks) == 3
    assert "H2: c against d +5.0, contradicted; e against f not defined" in (
        picture.alt
    )


FORGETTING = [
    ("SimCLR", 0.61, [0.5, 0.52, None]),
    (HOSTILE, None, [0.4]),
    ("other", 0.3, []),
]


def test_forgetting(drawn):
    picture = pictures.forgetting("a", "A", FORGETTING)
    x_of = [[x for x, _ in line] for line in lines(drawn[-1].axes[0])]
    assert x_of == [[0.61, 0.51], [0.61], [0.51], [0.5, 0.52], [0.4], [0.3]]
    assert {"before: not defined", "after: not defined"} < set(texts(picture))
    assert "SimCLR 0.610 to 0.510 (mean of 2 seeds)" in picture.alt
    assert "other 0.300 to not defined." in picture.alt


def every_picture(prefix, pair):
    maps, colourings = embeddings(60)
    panels = {HOSTILE: [runset(HOSTILE), runset("b")], "c": [runset("b")]}
    make = pictures
    return [
        make.auc_by_encoder(f"{prefix}auc", HOSTILE, ROWS, MODES),
        make.ranking(f"{prefix}roc", HOSTILE, ROC, panels, N_DRAWS),
        make.ranking(f"{prefix}pr", "PR", PRECISION_RECALL, panels, N_DRAWS),
        make.calibration(f"{prefix}calibration", HOSTILE, panels),
        make.label_fractions(f"{prefix}fractions", HOSTILE, CURVES),
        make.training(f"{prefix}training", HOSTILE, {HOSTILE: HISTORY}),
        make.views(f"{prefix}views", HOSTILE, *pair),
        make.embedding_maps(f"{prefix}maps", HOSTILE, maps, colourings),
        make.forest(f"{prefix}forest", HOSTILE, FOREST),
        make.forgetting(f"{prefix}forgetting", HOSTILE, FORGETTING),
    ]


@pytest.mark.parametrize("pair", [3.0], indirect=True)
def test_all_stand_on_one_page_and_are_drawn_again_alike(pair):
    page = every_picture("a-", pair) + every_picture("b-", pair)
    ids = []
    for picture in page:
        root = ElementTree.fromstring(picture.svg)
        ids += [e.get("id") for e in root.iter() if e.get("id")]
        assert "currentColor" in picture.svg
        assert svg.INK not in picture.svg
        assert "<script" not in picture.svg
        assert "nan" not in re.sub('>[^<]*<|base64[^"]*', "", picture.svg)
        width = float(root.get("width"))
        assert 360 <= width <= 1000
        for size in re.findall(r"([\d.]+)px[ ;]", picture.svg):
            assert float(size) >= 9
    assert len(set(ids)) == len(ids)
    for first, second in zip(page[:10], page[10:]):
        assert first.alt == second.alt
        again = second.svg.replace(second.name, first.name)
        assert again == first.svg


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("auc_by_encoder", ({}, MODES)),
        ("auc_by_encoder", ({"random": {}}, MODES)),
        ("ranking", (ROC, {})),
        ("ranking", (ROC, {"linear": []})),
        ("calibration", ({"linear": []},)),
        ("label_fractions", ([],)),
        ("label_fractions", ([FractionCurve("a", [1], [None], None, [[]])],)),
        ("training", ({},)),
        ("training", ({"a": []},)),
        ("embedding_maps", ({}, {})),
        ("embedding_maps", ({"PCA": np.zeros((0, 2))}, {"label": []})),
        ("forest", ([],)),
        ("forgetting", ([],)),
        ("forgetting", ([("a", None, [None])],)),
    ],
)
def test_nothing_to_draw_is_said(name, arguments):
    picture = getattr(pictures, name)("a", "A", *arguments)
    assert texts(picture) == [picture.alt]
    assert re.match("No(thing)? .*[.]$", picture.alt)
