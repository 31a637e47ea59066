"""docs/first_evening.md shows commands that exist and what they print."""

import sys

import pytest

from cry_modules.export.__main__ import make_parser as export_parser
from recipes.study import new
from tools import first_evening
from tools.first_evening import PAGE, commands, renewed, typed, walk

TEXT = """
```console
$ make setup && python -m x
$ python -m recipes.study.new --cries recordings/a.csv \\
    --out my_study.yaml
cries: 264 of 22 patients
...
time: about 55 minutes
```
"""


def test_commands_of_a_page(tmp_path):
    first, second = commands(TEXT)
    assert first.lines == []
    assert second.lines[1:] == ["...", "time: about 55 minutes"]
    assert TEXT.split("\n")[second.first].startswith("cries: 264")
    python, *rest = typed(second.text, tmp_path)
    assert python == sys.executable
    assert f"{tmp_path}/recordings/a.csv" in rest
    assert rest[rest.index("--out") + 1] == f"{tmp_path}/my_study.yaml"


def test_only_numbers_of_a_line_may_change():
    shown = ["cries: 264 of 22", "...", "AUC 0.81 (0.7 to 0.9)"]
    printed = ["cries: 30 of 5", "more", "AUC 0.5 (0.41 to 0.62)", "end"]
    assert renewed(shown, printed) == [printed[0], "...", printed[2]]
    for other in (printed[::-1], ["cries: 30 of 5"], []):
        with pytest.raises(ValueError, match="not printed, or not here"):
            renewed(shown, other)


def test_the_page_has_six_commands_which_parse(tmp_path):
    page = [c.text for c in commands(PAGE.read_text(encoding="utf-8"))]
    assert len(page) == 6 and page[0].startswith("make setup")
    plan, study, final, export, score = (typed(t, tmp_path) for t in page[1:])
    assert new.parse(plan[3:]).out == f"{tmp_path}/my_study.yaml"
    assert study[2:4] == ["recipes.study.run", "real"]
    assert final[2:] == [
        "recipes.study.final", f"{tmp_path}/results/study/my_study",
    ]  # fmt: skip
    assert export_parser().parse_args(export[3:]).out == score[3]


@pytest.mark.slow
def test_the_page_shows_what_is_printed(tmp_path):
    """All commands, on synthetic recordings and with hardly any training."""
    first_evening.write_recordings(tmp_path / "recordings")
    _, problems = walk(tmp_path, small=True)
    assert problems == []
