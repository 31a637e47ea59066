"""The checklist answers the items whose facts are known."""

import re
from string import Formatter

import pytest

from recipes.study.report import checklist

NAMES = {
    name
    for *_, template in checklist._ITEMS
    for _, name, _, _ in Formatter().parse(template)
    if name is not None
}
FACTS = {name: f"<{name}>" for name in sorted(NAMES)}


def test_items_are_numbered_once_in_each_row():
    rows = checklist.rows(FACTS)
    assert 30 <= len(rows) <= 40
    assert len({row.topic for row in rows}) == len(rows)
    for row in rows:
        assert row.items and set(row.items) <= set(checklist.LINKS)
        for numbers in row.items.values():
            assert re.fullmatch(r"\d+[a-z]?(, \d+[a-z]?)*", numbers)


def test_known_facts_answer_all_items():
    for row in checklist.rows(FACTS):
        assert row.answer != checklist.UNKNOWN and "{" not in row.answer


@pytest.mark.parametrize("name", sorted(NAMES))
def test_an_unknown_fact_leaves_its_items_unanswered(name):
    rows = checklist.rows({**FACTS, name: None})
    for row, (*_, template) in zip(rows, checklist._ITEMS):
        unknown = "{%s}" % name in template
        assert (row.answer == checklist.UNKNOWN) == unknown


@pytest.mark.parametrize("value", ["{title.__class__}", "}{", "%s", "<b>", 0])
def test_values_are_not_interpreted(value):
    assert checklist.rows({"title": value})[0].answer == str(value)
