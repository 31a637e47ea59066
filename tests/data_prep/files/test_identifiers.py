"""Spellings of one identifier are one; texts that look different are two."""

import itertools
import logging
import unicodedata

import pytest
from hypothesis import (
    given,
    strategies as st,
)

from data_prep.files.errors import InputError
from data_prep.files.identifiers import Spellings, cleaned, identity

#: Zoë B in ways that look the same, or that people and programs exchange.
ZOE = (
    "Zoe\u0308 B",  # two code points, as macOS writes them
    "Zo\u00eb\u00a0B",  # no-break space
    "Zo\u00eb  B",
    "\ufeffZo\u00eb B",
    "Zo\u00eb\u200b B",  # of zero width
    "Zo\u00eb\u3000B",  # ideographic space
    "Zo\u00eb\u2009B\t",
    "Zo\u00eb\nB",  # Alt and Enter in a spreadsheet
    "\u202aZo\u00eb B\u202c",  # marks of direction, from a contacts app
    "Zo\u00eb\u2028B",
    "ZO\u00cb B",
    "\uff3a\uff4f\u00eb \uff22",  # full width
)


@pytest.mark.parametrize("text", ZOE)
def test_spellings_of_one_identifier(text):
    assert identity(text) == identity("Zo\u00eb B") == "zo\u00eb b"


@pytest.mark.parametrize(
    "texts",
    [
        ("7", "007", "7.0", "7.", "7,0", "+7", "07.00", '="007"', "\uff17"),
        ("7", "'007", '="\'7"'),
        ("1000", "1 000", "1\u202f000", "1000.0"),
        ("\u0130zmir", "izmir", "\u0131zmir", "IZMIR", "i\u0307zmir"),
        ("7", "'007", "\u20197", '"007"', "'7,0"),  # kept as text
        ("\u0667", "\u0660\u0667", "7"),  # Arabic digits
        ("0", "00", "0.0"),
        ("1.5", "1.50", "01,5"),
        ("P-07", "P\u201307", "p\u221207", "P\u201107"),
        ("O'Neil", "O\u2019Neil", "o\u02bcneil"),
        ("Stra\u00dfe", "STRASSE"),
    ],
)
def test_numbers_dashes_and_cases(texts):
    assert len(set(map(identity, texts))) == 1


@pytest.mark.parametrize(
    "text, other",
    [
        ("Pa7", "\u0420a7"),  # Cyrillic
        ("Pa7", "P\u04307"),
        ("Pa7", "\u03a1\u03b17"),  # Greek
        ("Pa7", "\u0420\u03b1\uff17"),
        ("No 1", "N\u043e 1"),
        ("No 1", "\u039d\u03bf 1"),
        ("OX", "\u0555\u0425"),  # Armenian and Cyrillic
        ("CABE", "\u0421\u0410\u0412\u0415"),
        ("Zo\u00eb", "Zo\u0451"),
        ("\u00e1", "\u03ac"),
        ("g", "\u0261"),
        ("i", "\u0131"),
        ("\u0413\u041f", "\u0393\u03a0"),  # Cyrillic and Greek
    ],
)
def test_letters_of_another_alphabet_are_joined_and_said(text, other, caplog):
    assert identity(text) == identity(other)
    patients = Spellings("patient_id", refuse_zeros=True)
    assert [patients("row 0", text), patients("row 1", other)] == [text] * 2
    patients.report()
    assert "1 rows spell patient_id differently" in caplog.text
    assert "such as row 1 and row 0 (" in caplog.text
    assert "alphabets); they count as one" in caplog.text
    assert other not in caplog.text


@pytest.mark.parametrize("alphabet", ["LATIN", "CYRILLIC", "GREEK", "ARMENIAN"])
def test_ids_of_one_alphabet_stay_apart(alphabet):
    """Each of its letters is its own, with and without an accent."""
    letters = {
        sign
        for sign in map(chr, range(0x61, 0x590))
        if unicodedata.name(sign, "").startswith(f"{alphabet} SMALL LETTER")
        and sign == unicodedata.normalize("NFKC", sign.casefold())
    } - set("\u0131\u0251\u0261")  # Latin letters that look like others
    assert len(letters) > 30
    keys = {identity(letter) for letter in letters}
    assert len(keys) == len(letters)
    words = ["".join(p) for p in itertools.permutations(sorted(letters)[:5])]
    assert len(set(map(identity, words))) == len(words) == 120


def test_ids_in_another_alphabet_are_no_mistake(caplog):
    texts = ("\u0430\u043d\u043d\u0430", "Anna", "\u0430", "\u0413 7", "G 7")
    patients = Spellings("patient_id", refuse_zeros=True)
    for n, text in enumerate(texts):
        assert patients(f"row {n}", text) == text
    patients.report()
    assert not caplog.text


def test_different_identifiers_stay_different():
    texts = ("7", "70", "17", "1.7", "-7", "7a", "P7", "P07", "P 7", "p_7")
    texts += ("zoe", "zo\u00eb", "a.b", "ab", "7.0.1", "1e5", "", "0")
    assert len(set(map(identity, texts))) == len(texts)


def test_cases_that_count():
    """Names of videos and files differ by case."""
    assert identity("aB\u20133", is_name=True) == "aB\u20133"
    assert identity("007\u200b", is_name=True) == "7"


@given(st.text())
def test_one_form_is_its_own_form(text):
    assert cleaned(cleaned(text)) == cleaned(text)
    assert identity(identity(text)) == identity(text)
    assert identity(f" {text}\u200b") == identity(cleaned(text))


def test_long_cells_take_no_time():
    identity("1." + "0" * 100_000 + "1")
    identity("0" * 100_000)


def test_other_spellings_are_said_by_row(caplog):
    first = Spellings("patient_id", refuse_zeros=True)
    for n, text in enumerate(("Zoe", "zoe", "Max", "ZOE"), start=2):
        assert first(f"a.csv row {n}", text) == ("Max" if n == 4 else "Zoe")
    first.report()
    assert caplog.messages == [
        "2 rows spell patient_id differently from an earlier row, such as "
        "a.csv row 3 and a.csv row 2 (case, dashes, zeros, forms of a letter, "
        "alphabets); they count as one"
    ]
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InputError, match="b.csv row 2.*that of a.csv row 7"):
        first("a.csv row 7", "007") and first("b.csv row 2", "7.0")
    assert Spellings("age")("row 2", "7") == "7"
    ages = Spellings("age")
    assert ages("row 2", "7") == ages("row 3", "7.0")
