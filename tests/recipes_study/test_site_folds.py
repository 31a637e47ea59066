"""Folds of a study by a column: one site is left out at a time."""

import re

import pytest
import studies

from data_prep.files.errors import InputError
from recipes.study.settings import check_settings


def test_each_site_is_left_out_once(tmp_path, database):
    """``folds: site``, as of ``train_cls.py --folds site``."""
    folder = database(",clinic", cells=lambda i: f",{'abc'[i // 4 % 3]}")
    plan = studies.plan_of(studies.real(tmp_path, folder, folds="clinic"))
    assert plan.folds == ["a", "b", "c"]
    tables = plan["tables"].command
    assert "--fold_column=clinic" in tables
    place = tables.index("--folds")
    assert tables[place + 1 : place + 4] == ("a", "b", "c")
    run = plan.classifier("neuro", "adapt_all", "linear", 1.0, 1)
    assert "--folds=clinic" in run.command
    for site in plan.folds:
        encoder = plan.encoder("adapt_all", 1, site)
        assert f"held_out_{site}.csv" in " ".join(encoder.command)
        assert encoder.name in run.parents
    fold = studies.real(tmp_path, folder, folds="fold")
    assert check_settings(fold, "study.yaml").folds is True


@pytest.mark.parametrize(
    "column, cell, words",
    [
        ("sitte", "ab", "no column 'sitte', and folds is 'sitte'"),
        ("patient_id", "ab", "identifies patients"),
        ("clinic", "a", "has 1 values of 'clinic'"),
        ("clinic", ["A B", "c"], "clinic is 'A B'; name folds by letters"),
    ],
)
def test_a_column_that_cannot_be_folds_is_refused(
    tmp_path, database, column, cell, words
):
    folder = database(",clinic", cells=lambda i: f",{cell[i // 4 % len(cell)]}")
    with pytest.raises(InputError, match=re.escape(words)):
        studies.plan_of(studies.real(tmp_path, folder, folds=column))


@pytest.mark.parametrize("folds", [True, 3, "site"])
def test_folds_of_a_synthetic_corpus_that_is_not_written(tmp_path, folds):
    with pytest.raises(InputError, match="is not written yet; write it with"):
        studies.plan_of(studies.settings(tmp_path, folds=folds))
