"""Pictures of a study: they draw the numbers given, and name undefined ones."""

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
from sklearn.metrics import average_precision_score, roc_auc_score

from cry_modules.figures import page
from cry_modules.figures.style import GREY
from cry_modules.figures.views import make_pairs, runs, settings_of
from cry_modules.metrics.compare import RunSet
from cry_modules.metrics.curves import (
    GRID,
    PRECISION_RECALL,
    ROC,
    mean_and_band,
    reliability,
)
from cry_modules.metrics.predictions import Predictions
from data_prep.manifest import Recording
from recipes.study.report import hypotheses, pictures, rows
from recipes.study.report.results import Cell

HOSTILE = "<script>alert(1)</script> & $x$"
MODES = ("linear", "linear_bn")
N_DRAWS = 40


@pytest.fixture
def drawn(monkeypatch):
    """Figures of the pictures that were made, the latest last."""
    figures, drawing = [], page.drawing

    @contextmanager
    def kept(*arguments):
        with drawing(*arguments) as (figure, picture):
            figures.append(figure)
            yield figure, picture

    for module in (pictures, rows):
        monkeypatch.setattr(module, "drawing", kept)
    return figures


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """A band of few draws of patients."""
    monkeypatch.setattr(pictures, "N_DRAWS", N_DRAWS)


def lines(axes):
    """Points of each line, without the ends of lines across."""
    return [np.column_stack(line.get_data()).tolist() for line in axes.lines]


def texts(picture):
    root = ElementTree.fromstring(picture.svg)
    return ["".join(element.itertext()) for element in root.iter("text")]


def cell(mean, ci95=None, by_seed=()):
    return Cell(mean, list(by_seed), None, ci95)


def usual(mean):
    seeds = [mean - 0.01, mean, mean + 0.01]
    return cell(mean, [mean - 0.05, mean + 0.05], seeds)


ROWS = {
    "random": {
        "linear": cell(None, None, [None]),
        "linear_bn": cell(0.55, None, [0.55]),
    },
    "SimCLR": {mode: usual(0.8 + 0.02 * i) for i, mode in enumerate(MODES)},
    HOSTILE: {"linear": usual(0.7)},
}


def test_auc_by_encoder_draws_means_intervals_and_seeds(drawn):
    picture = rows.auc_by_encoder("auc", "AUC", ROWS, MODES, {"random"})
    axes = drawn[-1].axes[0]
    x_of = [[x for x, _ in line] for line in lines(axes)]
    for encoder in ("SimCLR", HOSTILE):
        for of_mode in ROWS[encoder].values():
            for values in (of_mode.ci95, [of_mode.mean], of_mode.by_seed):
                assert x_of.count(values) == 1
    assert x_of.count([0.55]) == 1  # one seed: no dot of its own
    assert len(x_of) == 1 + 3 * 3 + 1 and x_of[0] == [0.5, 0.5]
    grey = [line for line in axes.lines if line.get_color() == GREY]
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


@pytest.mark.parametrize("kind", [ROC, PRECISION_RECALL])
def test_ranking_draws_means_and_bands(kind, drawn):
    sets = [runset("SimCLR", 3), runset("random", 3)]
    pictures.ranking("a", "A", kind, {"linear": sets})
    axes = drawn[-1].axes[0]
    areas = [c for c in axes.collections if isinstance(c, PolyCollection)]
    for curve, area, of in zip(axes.lines, areas, sets, strict=False):
        mean, band = mean_and_band(kind, of.predictions, N_DRAWS)
        np.testing.assert_array_equal(curve.get_data(), [GRID, mean])
        corners = set(area.get_paths()[0].vertices[:, 1])
        assert corners == {*band.ravel()}
    assert len(areas) == 2 and len(axes.lines) == 3  # and chance


def test_ranking_describes_values_and_the_share(drawn):
    simclr = runset("SimCLR")
    panels = {"linear": [simclr], "linear_bn": [simclr, runset(HOSTILE)]}
    roc = pictures.ranking("roc", "ROC", ROC, panels)
    auc = np.mean(
        [roc_auc_score(p.labels, p.scores[:, 1]) for p in simclr.predictions]
    )
    assert f"linear: SimCLR {auc:.3f}." in roc.alt and "40 draws" in roc.alt
    assert len(drawn[-1].axes[1].lines) == 3  # two sets and chance
    colours = [axes.lines[0].get_color() for axes in drawn[-1].axes]
    assert len(set(colours)) == 1  # a set has one look
    result = pictures.ranking("pr", "PR", PRECISION_RECALL, panels)
    precision = np.mean(
        [
            average_precision_score(p.labels, p.scores[:, 1])
            for p in simclr.predictions
        ]
    )
    assert f"linear: SimCLR {precision:.3f}." in result.alt
    assert "chance: share of positives 0.500" in texts(result)
    assert {"SimCLR", "linear", "linear_bn"} < set(texts(result))


def test_ranking_without_a_band_or_a_curve_explains_it(drawn):
    few = runset("few", n=12, n_patients=4)
    one_class = runset("one")
    for p in one_class.predictions:
        p.labels = np.zeros(60, int)
    panels = {"linear": [few], "linear_bn": [one_class]}
    picture = pictures.ranking("a", "A", ROC, panels)
    assert not drawn[-1].axes[0].collections
    assert "No band: class 0 has 2 patients, and an interval needs 5." in (
        picture.alt
    )
    assert "linear_bn: one not defined." in picture.alt
    assert "no curve: all are class 0" in " ".join(texts(picture))


def test_calibration_draws_groups_of_all_seeds(drawn):
    simclr = runset("SimCLR")
    picture = pictures.calibration("a", "A", {"linear": [simclr]})
    axes = drawn[-1].axes[0]
    groups = reliability(simclr.predictions)
    assert lines(axes)[1] == [[g.predicted, g.observed] for g in groups]
    (bars,) = [c for c in axes.collections if isinstance(c, LineCollection)]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [[g.low, g.high] for g in groups]
    assert "all seeds pooled" in picture.alt
    errors = []
    for p in simclr.predictions:
        score, bins = p.scores[:, 1], np.minimum(p.scores[:, 1] * 10 // 1, 9)
        errors.append(
            sum(
                abs((score - p.labels)[bins == k].sum()) / 60 for k in range(10)
            )
        )
    assert f"linear: SimCLR {np.mean(errors):.3f}." in picture.alt


CURVES = {
    "SimCLR": {
        0.01: cell(0.6, (0.5, 0.7), [0.59, 0.61]),
        0.1: cell(None, None, [None]),
        1: cell(0.8, (0.75, 0.85), [0.8]),
    },
    HOSTILE: {0.05: cell(0.7, None, [0.7]), 1: cell(0.75, None, [0.75])},
}


def test_label_fractions(drawn):
    picture = pictures.label_fractions("a", "A", {"linear": CURVES})
    axes = drawn[-1].axes[0]
    assert axes.get_xscale() == "log"
    assert lines(axes) == [
        [[0.01, 0.6], [1, 0.8]],
        [[0.01, 0.59], [0.01, 0.61]],
        [[0.05, 0.7], [1, 0.75]],
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
    assert "SimCLR, linear: 0.600 at 1 %, 0.800 at 100 %." in picture.alt
    assert picture.alt.endswith("Not defined: SimCLR, linear at 10 %.")


HISTORY = [
    {"epoch": e, "train_loss": 3.0 - e, "valid_loss": 3.5 - e, "valid_auc": 0.6}
    for e in range(3)
]


def test_training(drawn):
    histories = {"first": HISTORY, HOSTILE: HISTORY[1:]}
    picture = pictures.training("a", "A", histories)
    loss, auc = drawn[-1].axes
    result = lines(loss)
    assert result.count([[1, 2.0], [2, 1.0]]) == 2  # training, both runs
    assert result.count([[0, 3.0], [1, 2.0]]) == 1  # before training
    assert result.count([[1, 2.5], [2, 1.5]]) == 2
    assert [[1, 0.6], [2, 0.6]] in lines(auc)
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
    hparams = settings_of(["hparams/small_simclr.yaml"])
    return make_pairs(hparams, [recording], str(path.parent), 1)[0], hparams


@pytest.mark.parametrize("pair", [30.0, 0.4], indirect=True)
def test_views(pair, drawn):
    pair, hparams = pair
    picture = pictures.views("views", "Two views", pair, hparams)
    assert len(picture.svg) < 120_000
    assert "SECRET" not in picture.svg + picture.alt
    assert any(
        text.startswith(f"{pair.seconds:.1f} s") for text in texts(picture)
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
    result = texts(picture)
    assert {"healthy", "injury", "_a", HOSTILE, "not given"} < set(result)
    assert "patient: 30 values" in result and "patient 3" not in result
    assert "Embeddings of 120 recordings" in picture.alt


def compared(difference, ci95, verdict):
    result = {"difference": difference, "ci95": ci95}
    return hypotheses.Tested(None, result, verdict)


FOREST = {
    "H1": {
        "a against b": compared(0.08, (0.02, 0.14), "supported"),
        HOSTILE: compared(0.01, (-0.05, 0.07), "not separable"),
    },
    "H2": {
        "c against d": compared(-0.05, None, "contradicted"),
        "e against f": compared(None, None, "not separable"),
    },
}


def test_forest(drawn):
    picture = rows.forest("a", "A", FOREST)
    axes = drawn[-1].axes[0]
    result = lines(axes)
    for points in (
        [[2, 1], [14, 1]], [[8, 1]], [[-5, 2], [7, 2]], [[1, 2]], [[-5, 4]],
    ):  # fmt: skip
        assert (
            sum(np.allclose(points, x) for x in result if len(x) == len(points))
            == 1
        )
    assert len(result) == 5 + 1  # and 0
    sides = [c.get_paths()[0].vertices[:, 0] for c in axes.collections]
    assert [np.sign(x.sum()) for x in sides] == [1, 1, 1, 1]
    assert {
        "H1", "H2", "a against b", "+8.0 (+2.0 to +14.0), supported",
        "+1.0 (-5.0 to +7.0), not separable", "-5.0, contradicted",
        "not defined, not separable", HOSTILE,
    } < set(texts(picture))  # fmt: skip
    looks = {
        (x.get_color(), x.get_marker())
        for x in axes.lines
        if len(x.get_xdata()) == 1
    }
    assert len(looks) == 3
    assert "H2: c against d -5.0, contradicted; e against f not defined" in (
        picture.alt
    )


FORGETTING = {"SimCLR": (0.61, [0.5, 0.52]), HOSTILE: (0.3, [0.4])}


def test_forgetting(drawn):
    picture = rows.forgetting("a", "A", FORGETTING, "accuracy")
    assert [[x for x, _ in line] for line in lines(drawn[-1].axes[0])] == [
        [0.61, 0.51], [0.61], [0.51], [0.5, 0.52], [0.3, 0.4], [0.3], [0.4],
    ]  # fmt: skip
    assert "SimCLR 0.610 to 0.510 (mean of 2 seeds)" in picture.alt


def every_picture(prefix, pair):
    maps, colourings = embeddings(60)
    panels = {HOSTILE: [runset(HOSTILE), runset("b")], "c": [runset("b")]}
    return [
        rows.auc_by_encoder(f"{prefix}auc", HOSTILE, ROWS, MODES, ()),
        pictures.ranking(f"{prefix}roc", HOSTILE, ROC, panels),
        pictures.ranking(f"{prefix}pr", "PR", PRECISION_RECALL, panels),
        pictures.calibration(f"{prefix}calibration", HOSTILE, panels),
        pictures.label_fractions(
            f"{prefix}fractions", HOSTILE, {HOSTILE: CURVES}
        ),
        pictures.training(f"{prefix}training", HOSTILE, {HOSTILE: HISTORY}),
        pictures.views(f"{prefix}views", HOSTILE, *pair),
        pictures.embedding_maps(f"{prefix}maps", HOSTILE, maps, colourings),
        rows.forest(f"{prefix}forest", HOSTILE, FOREST),
        rows.forgetting(f"{prefix}forgetting", HOSTILE, FORGETTING, "accuracy"),
    ]


@pytest.mark.parametrize("pair", [3.0], indirect=True)
def test_all_fit_on_one_page_and_are_drawn_again_alike(pair):
    page = every_picture("a-", pair) + every_picture("b-", pair)
    ids = []
    for picture in page:
        root = ElementTree.fromstring(picture.svg)
        ids += [e.get("id") for e in root.iter() if e.get("id")]
        assert "var(--ink)" in picture.svg
        assert "<script" not in picture.svg
        assert "nan" not in re.sub('>[^<]*<|base64[^"]*', "", picture.svg)
        width = float(root.get("viewBox").split()[2])
        assert 360 <= width <= 1000
        for size in re.findall(r"([\d.]+)px[ ;]", picture.svg):
            assert float(size) >= 9
    assert len(set(ids)) == len(ids)
    for first, second in zip(page[:10], page[10:]):
        assert first.alt == second.alt
        again = second.svg.replace(second.name, first.name)
        assert again == first.svg
