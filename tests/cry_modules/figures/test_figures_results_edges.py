"""Pictures of unusual results are drawn and explained, their words are
readable, and no patient is named."""

import json
from functools import partial
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cry_modules.evaluation.outcome import Outcome
from cry_modules.figures.__main__ import main
from cry_modules.figures.results import draw_results, read_results
from cry_modules.metrics.predictions import UNITS
from tests.cry_modules.figures.drawn import (
    FOLDS,
    HISTORY,
    PICTURES,
    SHARE,
    USUAL,
    axes_of,
    drawn_figures,
    made,
    made_run,
    run_of,
    words,
)


@pytest.fixture(scope="module")
def usual():
    """Two classes, the positive one rare."""
    return run_of(USUAL)[1]


@pytest.fixture
def figures(tmp_path):
    return partial(drawn_figures, tmp_path)


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
    expected_names = {*PICTURES, "training"}
    if len(run.classes) > 2:
        expected_names.remove("decision_curve")
    assert {*drawn} == expected_names
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
    assert "8 pictures in" in capsys.readouterr().out
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


def test_patients_are_named_on_request(usual, tmp_path, capsys):
    write_run(tmp_path / "run", run_of(USUAL)[0], USUAL)
    main([str(tmp_path / "run"), "--names"])
    assert "do not share it" in capsys.readouterr().out
    text = (tmp_path / "run/figures/patients.svg").read_text()
    names = set(usual.test.patients)
    assert [name for name in names if f">{name}<" not in text] == []
    with pytest.raises(SystemExit):
        main([str(tmp_path / "run"), "--names", "--out", "a.png"])


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
        ({}, ("metrics.json", "{"), "metrics.json: it is damaged, not JSON"),
        ({}, ("metrics.json", "{}"), "metrics.json: label_column is missing"),
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
