"""The checklist asks every item, answers what it knows and nothing else."""

import re
from string import Formatter

import pytest
import yaml

from data_prep.files.errors import InputError
from recipes.study.report import checklist

#: Rows of each item of TRIPOD+AI (BMJ 2024;385:e078378): 27 items, 52 rows.
TRIPOD = (
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11"
    " 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17 18a 18b 18c 18d 18e 18f 19"
    " 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
).split()
ITEM = {
    "guideline": "TRIPOD+AI",
    "item": "1",
    "section": "Title",
    "topic": "Title",
    "fill": "{title}, {hours} hours.",
    "hint": "Name it.",
}


def without(*names):
    return {name: ITEM[name] for name in ITEM if name not in names}


@pytest.fixture
def write(tmp_path):
    def write(*items):
        path = tmp_path / "checklist.yaml"
        path.write_text(yaml.safe_dump(list(items)), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def items():
    return checklist.load()


def of(items, guideline):
    return [i.item for i in items if i.guideline == guideline]


def every_fact():
    facts = {name: f"<{name}>" for name in checklist.FACTS}
    return {**facts, "synthetic": True, "n_patients": 7}


def test_every_item_of_tripod_ai_is_there_in_order(items):
    assert of(items, "TRIPOD+AI") == TRIPOD
    assert len(TRIPOD) == 52


def test_every_item_of_stard_ai_is_there_in_order(items):
    numbers = of(items, "STARD-AI")
    parts = [re.fullmatch(r"(\d+)([a-z]?)", n).groups() for n in numbers]
    keys = [(int(number), letter) for number, letter in parts]
    assert keys == sorted(set(keys))
    assert {number for number, _ in keys} == set(range(1, 41))
    assert len(numbers) == 48


def test_guidelines_are_not_mixed(items):
    guidelines = [i.guideline for i in items]
    assert guidelines == ["TRIPOD+AI"] * 52 + ["STARD-AI"] * 48


def test_all_facts_known_fill_every_template(items):
    for item, row in zip(items, checklist.rows(every_fact())):
        assert row[:4] == item[:4]
        if item.fill is None:
            assert row[4:] == (item.hint, checklist.BY_AUTHORS)
        else:
            assert row.by == checklist.BY_PIPELINE
            assert "{" not in row.answer


def test_every_fact_serves_an_item(items):
    used = {
        name
        for item in items
        for _, name, _, _ in Formatter().parse(item.fill or "")
        if name is not None
    }
    assert used == set(checklist.FACTS)


def test_no_template_puts_two_full_stops():
    facts = dict.fromkeys(checklist.FACTS, "x")
    for row in checklist.rows(facts):
        assert row.answer.endswith(".")
        assert ".." not in row.answer


@pytest.mark.parametrize("name", sorted(checklist.FACTS))
def test_an_unknown_fact_leaves_its_items_to_the_authors(name, items):
    facts = {**every_fact(), name: None}
    for item, row in zip(items, checklist.rows(facts)):
        if item.fill is None or "{%s}" % name in item.fill:
            assert row[4:] == (item.hint, checklist.BY_AUTHORS)
        else:
            assert row.by == checklist.BY_PIPELINE


@pytest.mark.parametrize("facts", [{}, {"hours": None}, {"hours": " \n"}])
def test_absent_none_and_blank_are_unknown(write, facts):
    (row,) = checklist.rows({"title": "Cries", **facts}, write(ITEM))
    assert row[4:] == (ITEM["hint"], checklist.BY_AUTHORS)


def test_zero_is_known(write):
    (row,) = checklist.rows({"title": "Cries", "hours": 0}, write(ITEM))
    assert row[4:] == ("Cries, 0 hours.", checklist.BY_PIPELINE)


@pytest.mark.parametrize("value, words", [(True, "yes"), (False, "no")])
def test_a_bool_is_said_in_words(write, value, words):
    path = write({**ITEM, "fill": "Synthetic: {synthetic}."})
    (row,) = checklist.rows({"synthetic": value}, path)
    assert row.answer == f"Synthetic: {words}."


@pytest.mark.parametrize(
    "value",
    [
        "{0.__class__}",
        "{title.__class__.__mro__}",
        "{hours}",
        "<script>alert(1)</script>",
        "}{",
        "{{}}",
        "%s %(hours)s $hours",
        "a | b\nc",
        "\u202e\u00e9",
    ],
)
def test_values_are_text_and_never_interpreted(write, value):
    path = write(ITEM)
    (row,) = checklist.rows({"title": value, "hours": value}, path)
    assert row.answer == value + ", " + value + " hours."
    assert row.by == checklist.BY_PIPELINE


@pytest.mark.parametrize(
    "fill",
    [
        "{patients}",
        "{0}",
        "{}",
        "{title.__class__}",
        "{title[0]}",
        "{title!r}",
        "{hours:>9}",
        "{hours:{title}}",
        "{ti\ntle}",
        "{title",
        "title}",
    ],
)
def test_a_template_that_names_no_fact_is_refused(write, fill):
    path = write(ITEM, {**ITEM, "item": "5a", "fill": fill})
    with pytest.raises(InputError) as error:
        checklist.load(path)
    message = str(error.value)
    assert message.startswith(f"{path} item 2 (TRIPOD+AI 5a): ")
    assert len(message.splitlines()) == 1


def test_an_unknown_fact_given_is_refused():
    with pytest.raises(InputError, match="no fact 'n_patient'"):
        checklist.rows({"n_patient": 3})


@pytest.mark.parametrize(
    "item, said",
    [
        (without("hint"), "hint is None"),
        ({**ITEM, "topic": " "}, "topic is ' '"),
        ({**ITEM, "item": 1}, "item is 1;"),
        (without("fill"), "either authors: True or fill"),
        ({**without("fill"), "authors": "yes"}, "either authors: True or"),
        ({**ITEM, "authors": True}, "either authors: True or fill"),
        ({**ITEM, "hnit": "x"}, "unknown field 'hnit'"),
        ("1", "'1' has no fields"),
    ],
)
def test_a_faulty_item_is_named(write, item, said):
    with pytest.raises(InputError) as error:
        checklist.load(write(item))
    assert said in str(error.value)
    assert " item 1" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_an_item_that_is_there_twice_is_refused(write):
    other = {**ITEM, "guideline": "STARD-AI"}
    assert len(checklist.load(write(ITEM, other))) == 2
    with pytest.raises(InputError, match="STARD-AI 1 is there twice"):
        checklist.load(write(ITEM, other, other))


@pytest.mark.parametrize(
    "text, said",
    [
        ("a: [", "cannot be read as yaml"),
        ("a: 1", "not a list"),
        ("", "not a list"),
        ("- !!python/object/apply:os.getcwd []", "cannot be read as yaml"),
    ],
)
def test_a_file_that_is_no_checklist_is_refused(tmp_path, text, said):
    path = tmp_path / "checklist.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        checklist.load(path)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(InputError, match="none.yaml"):
        checklist.load(tmp_path / "none.yaml")
