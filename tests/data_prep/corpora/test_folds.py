"""Splits by the values of any column: no patient is in two of them."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from data_prep.corpora.folds import (
    FOLD,
    Folds,
    as_number,
    as_spelt,
    check_rounds,
    choose_folds,
    leave_out_other_folds,
    natural_order,
    rounds,
    split_by_fold,
    values_of,
)
from data_prep.files.errors import InputError
from data_prep.manifest import Recording

TABLE = Path("recordings.csv")

#: Patient, label, site; any patient may be in several sites, or in none.
databases = st.lists(
    st.tuples(
        st.integers(0, 15), st.sampled_from("ab"), st.sampled_from("nsw ")
    ),
    min_size=1,
    max_size=60,
)


def as_rows(rows, column="site"):
    return [
        (
            Recording(
                f"r{i}", 1, f"{i}.wav", 0, 1, label, f"p{patient}", "", f"#{i}"
            ),
            {column: value.strip()},
        )
        for i, (patient, label, value) in enumerate(rows)
    ]


def patients(recordings):
    return {rec.patient_id for rec in recordings}


@settings(deadline=None)
@given(databases, st.integers(0, 3), st.booleans())
def test_no_patient_is_in_two_splits_whatever_the_folds(rows, seed, drawn):
    rows = as_rows(rows)
    values = values_of(rows, TABLE, "site")
    for i, value in enumerate(values):
        valid = None if drawn or i == 0 else values[i - 1]
        folds = Folds("site", value, valid)
        kept, left_out = leave_out_other_folds(rows, TABLE, folds)
        splits = split_by_fold(kept, folds, seed)
        everyone = [patients(recs) for recs in splits.values()]
        assert sum(map(len, everyone)) == len(set.union(*everyone))
        # The test set is exactly the fold.
        assert [rec.ID for rec in splits["test"]] == [
            rec.ID for rec, cells in rows if cells["site"] == value
        ]
        # Only other recordings of held-out patients are left out.
        out = {path for path, _, _ in left_out}
        present = {rec.wav for recs in splits.values() for rec in recs}
        assert len(out) == len(left_out) and not out & present
        assert out | present == {rec.wav for rec, _ in rows}
        tested, validated = (
            patients(rec for rec, cells in rows if cells["site"] == fold)
            for fold in (value, valid)
        )
        assert out == {
            rec.wav
            for rec, cells in rows
            if (rec.patient_id in tested and cells["site"] != value)
            or (rec.patient_id in validated - tested and cells["site"] != valid)
        }


@settings(deadline=None)
@given(databases, st.integers(0, 3))
def test_validation_is_15_percent_of_the_patients_who_are_left(rows, seed):
    rows = as_rows([(p, label, "ns"[p % 2]) for p, label, _ in rows])
    values = values_of(rows, TABLE, "site")
    folds = Folds("site", values[0])
    splits = split_by_fold(rows, folds, seed)
    assert splits == split_by_fold(rows, folds, seed)
    for label in "ab":
        # One label a patient, or it would count for the rarer one.
        pure = [
            patients(r for r in splits[s] if r.label == label)
            - patients(r for r in splits[s] if r.label != label)
            for s in ("train", "valid")
        ]
        n = sum(map(len, pure))
        if n == len(patients(splits["train"] + splits["valid"])):
            expected = max(0.15 * n, min(n - 1, 1))
            assert abs(len(pure[1]) - expected) < 1


@pytest.mark.parametrize(
    "other",
    ["NORD 1", "nord\u20091", "nord 01", "\uff4eord 1", "n\u043erd 1"],
)
def test_a_fold_in_two_spellings_is_refused(other):
    rows = as_rows([(0, "a", "nord 1"), (1, "a", other)])
    with pytest.raises(InputError, match="use one spelling and alphabet, or"):
        values_of(rows, TABLE, "site")
    assert as_spelt(Folds("site", other), rows[:1]).test == "nord 1"
    with pytest.raises(InputError, match="are both the value 'nord 1' of site"):
        as_spelt(Folds("site", "nord 1", other), rows[:1])


def test_each_value_is_tested_on_and_validated_on_once():
    for column in (FOLD, "site"):
        choices = rounds(column, ["0", "1", "2", "3"])
        assert Counter(f.test for f in choices) == Counter("0123")
    assert Counter(f.valid for f in rounds(FOLD, "0123")) == Counter("0123")
    assert all(f.test != f.valid for f in rounds(FOLD, "012"))


def test_options_are_compared_as_text():
    assert choose_folds("fold", None, None) is None
    assert choose_folds("fold", 0, 1) == Folds("fold", "0", "1")


def test_a_long_list_of_folds_is_cut_short():
    rows = as_rows([(i, "a", f"s{i}") for i in range(40)])
    with pytest.raises(InputError) as error:
        leave_out_other_folds(rows, TABLE, Folds("site", "x"))
    assert "s8, s9 and 30 more in its column 'site'" in str(error.value)


def test_a_site_with_all_patients_of_a_class_cannot_be_tested_on():
    """Also if they have other recordings, which would be left out."""
    rows = [(0, "a", "n"), (0, "a", "s"), (1, "b", "n"), (2, "b", "s")]
    with pytest.raises(InputError, match="'a' has no patient .* site 'n' of"):
        check_rounds(as_rows(rows), TABLE, "site", ["n", "s"], ["a", "b"])
    rows += [(3, "a", "n"), (4, "a", "s")]
    check_rounds(as_rows(rows), TABLE, "site", ["n", "s"], ["a", "b"])


@given(st.lists(st.integers(-50, 500).map(str)))
def test_numbers_sort_as_numbers(cells):
    assert sorted(cells, key=natural_order) == sorted(cells, key=int)


@settings(max_examples=30)
@given(st.sets(st.text(max_size=5), max_size=5))
def test_the_order_does_not_depend_on_the_table(cells):
    order = sorted(sorted(cells), key=natural_order)
    other = sorted(sorted(cells, reverse=True), key=natural_order)
    assert [natural_order(c) for c in order] == [
        natural_order(c) for c in other
    ]


@pytest.mark.parametrize(
    "cell, number",
    [
        ("3", 3.0),
        ("-1.5e2", -150.0),
        (".5", 0.5),
        ("", None),
        ("inf", None),
        ("1e999", None),
        ("1_000", None),
        ("3,5", None),
        ("\u0663", None),
        ("9" * 5000, None),
    ],
)
def test_what_is_a_number(cell, number):
    assert as_number(cell) == number
    natural_order(cell)
