"""The card of a study's final model says how it relates to the study's page."""

import json

import pytest

from cry_modules.evaluation.final import (
    STUDY_FILE,
    read_study,
    study_limits,
    study_sentence,
)
from data_prep.files.errors import InputError

BACKGROUND = "background alone (quietest frames)"
STUDY = {
    "encoder": "SimCLR on generic sounds",
    "mode": "linear on blocks",
    "n_seeds": 3,
    "n_methods": 7,
    "is_best": True,
    "auc": 0.8434,
    "auc_ci95": [0.756, 0.903],
    "others": {
        "log-mel": {"auc": 0.823, "auc_ci95": [0.722, 0.892]},
        "acoustic": {"auc": 0.638, "auc_ci95": None},
    },
    "besides_cry": {BACKGROUND: {"auc": 0.681, "auc_ci95": [0.59, 0.771]}},
}


def test_one_sentence_relates_the_figures_to_the_page():
    text = study_sentence(STUDY, 1)
    assert "those of seed 1" in text and text.count(". ") == 0
    assert "mean over 3 seeds" in text and "0.843 (0.756 to 0.903)" in text
    assert "the highest of 7" in text and "flatters it" in text
    other = study_sentence({**STUDY, "is_best": False}, 1)
    assert "flatters" not in other
    assert "mean" not in study_sentence({**STUDY, "n_seeds": 1}, 1)


def test_the_flattered_figure_stands_beside_the_nested_one():
    nested = {"auc": 0.8212, "auc_ci95": [0.731, 0.884]}
    text = study_sentence({**STUDY, "nested": nested}, 1)
    assert text.index("flatters it") < text.index("0.821 (0.731 to 0.884)")
    other = study_sentence({**STUDY, "nested": nested, "is_best": False}, 1)
    assert "0.821" not in other  # that choice was not made


def test_controls_and_background_of_the_study_are_limits():
    near, besides = study_limits(STUDY)
    assert "log-mel, 0.823 (0.722 to 0.892)" in near
    assert "acoustic" not in near  # below the interval
    assert f"{BACKGROUND}, 0.681 (0.590 to 0.771)" in besides
    (unknown,) = study_limits({**STUDY, "others": {}, "besides_cry": {}})
    assert "not examined" in unknown


def test_figures_of_another_model_are_not_read(tmp_path):
    run, path = tmp_path / "final", tmp_path / STUDY_FILE
    assert read_study(run, "linear on blocks") is None
    path.write_text(json.dumps(STUDY))
    assert read_study(run, "linear on blocks") == STUDY
    assert read_study(run, "linear") is None
    path.write_text("{}")
    with pytest.raises(InputError, match="recipes.study.final"):
        read_study(run, "linear")
