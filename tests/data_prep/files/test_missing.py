"""Missing values, and cells that a spreadsheet has damaged."""

import pytest

from data_prep.files.errors import InputError
from data_prep.files.missing import is_missing, refuse_damaged, without_marks

MARKS = (
    *("", "NA", "na", "nan", "NaN", "N/A", "n/a", "None", "NULL", "<NA>"),
    *("-", "\u2013", "\u2014", "--", ".", "?", "n.a.", " NA\u00a0", "-nan"),
)


@pytest.mark.parametrize("mark", MARKS)
def test_marks_of_a_missing_value(mark):
    assert is_missing(mark)
    assert without_marks({"label": mark, "path": mark}) == {
        "label": "",
        "path": mark,
    }


@pytest.mark.parametrize(
    "cell", ["0", "no", "nap", "Nana", "+", "unknown", "a-b", "x" * 500, "-1"]
)
def test_values(cell):
    assert not is_missing(cell)


@pytest.mark.parametrize(
    "cell",
    [
        *("#NAME?", "#REF!", "#VALUE!", "#N/A", "#DIV/0!", "#NUM!", "#SPILL!"),
        *(
            "#WERT!",
            "#BEZUG!",
            "#NV",
            "#NOM?",
            "#\u00a1REF!",
            "####",
            "Err:508",
        ),
    ],
)
def test_errors_of_formulas_are_refused(cell):
    with pytest.raises(InputError, match="a.csv row 3: label is .* changed;"):
        refuse_damaged("a.csv row 3", "label", cell)


@pytest.mark.parametrize(
    "cell", ["1E+05", "1,23E+11", "1,000", "3-Jan", "02. Mar"]
)
def test_ids_that_became_numbers_or_dates(cell):
    with pytest.raises(InputError, match="restore the ids and format"):
        refuse_damaged("a.csv row 3", "patient_id", cell, is_id=True)
    refuse_damaged("a.csv row 3", "label", cell)


@pytest.mark.parametrize(
    "cell", ["#1", "#pain", "1e5a", "12e10", "may-3", "Err"]
)
def test_ids_that_only_look_damaged(cell):
    refuse_damaged("a.csv row 3", "patient_id", cell, is_id=True)
