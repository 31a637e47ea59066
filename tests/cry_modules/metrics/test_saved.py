"""``metrics.json`` of another shape is refused by key."""

import json

import pytest

from cry_modules.metrics.choices import choose
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.saved import read_metrics
from data_prep.files.errors import InputError
from tests.cry_modules.metrics.made import random_predictions


@pytest.fixture(scope="module")
def whole_file():
    p = random_predictions()
    block = evaluate(p, choose(p), n_draws=0)
    return {
        "classes": p.classes,
        "prevalence": [0.5, 0.5],
        "seed": 1,
        "test": {"recording": block, "patient": block},
        "controls": {},
        "more": "kept",
    }


def changed(content, path, value):
    """A copy of nested maps and lists with another value at a path."""
    if not path:
        return value
    copy = content.copy()
    copy[path[0]] = changed(copy[path[0]], path[1:], value)
    return copy


def write(folder, content):
    (folder / "metrics.json").write_text(json.dumps(content))


def test_a_right_file_is_read(whole_file, tmp_path):
    write(tmp_path, whole_file)
    assert read_metrics(tmp_path) == whole_file


BLOCK = ("test", "patient")


@pytest.mark.parametrize(
    "path, value, message",
    [
        ((), [], "the content is [], not a map"),
        (("classes",), ["a"], "not a list of two or more class names"),
        (("classes",), ["a", "a"], "not a list of two or more class names"),
        (("classes",), "ab", "not a list of two or more class names"),
        (("classes",), ["a", "b"], "and metrics.json of a, b"),
        (("prevalence",), [0.5, "x"], "prevalence[1] is 'x'"),
        (("prevalence",), [1.0, 0.0], "prevalence[1] is 0.0"),
        (("prevalence",), [1.0], "prevalence has other than 2 values"),
        (("seed",), -1, "seed is -1"),
        (("test",), {}, "test.recording is missing"),
        (("controls",), {"svm": {}}, "controls.svm.recording is missing"),
        ((*BLOCK, "n"), True, "test.patient.n is True"),
        ((*BLOCK, "auc"), "x", "test.patient.auc is 'x'"),
        ((*BLOCK, "auc_ci95"), [0.5], "test.patient.auc_ci95 has 1 of 2"),
        ((*BLOCK, "auc_ci95"), [0.5, None], "auc_ci95[1] is None"),
        ((*BLOCK, "per_class"), {}, "and metrics.json of"),
        ((*BLOCK, "per_class"), [], "test.patient.per_class is []"),
        ((*BLOCK, "confusion_matrix"), [[1]], "and metrics.json of"),
        ((*BLOCK, "threshold"), [], "test.patient.threshold is []"),
    ],
)
def test_another_shape_is_refused(path, value, message, whole_file, tmp_path):
    write(tmp_path, changed(whole_file, path, value))
    with pytest.raises(InputError) as refusal:
        read_metrics(tmp_path)
    text = str(refusal.value)
    assert text.startswith(f"{tmp_path}/metrics.json: ") and message in text
    assert "let that run finish, or train again" in text


@pytest.mark.parametrize("folds", [[], ["../x"], ["/x"], "x", [7]])
def test_folds_are_folders_of_the_run(folds, whole_file, tmp_path):
    write(tmp_path, {**whole_file, "folds": folds})
    with pytest.raises(InputError, match="folds"):
        read_metrics(tmp_path)
