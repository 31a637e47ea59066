"""The commands on a page can be typed again and name no place of anybody."""

import shlex

import pytest
import studies

from recipes.study.report import reproduce


def real(tmp_path, folder, **changes):
    (tmp_path / "sounds of O'Brien").mkdir(exist_ok=True)
    return studies.settings(
        tmp_path / "study", synthetic=None, cries=str(folder),
        generic=str(tmp_path / "sounds of O'Brien"), **changes,
    )  # fmt: skip


def test_places_have_general_names(tmp_path, database):
    found = real(tmp_path, database())
    found["stages"]["adapt"]["probe"] = f"{tmp_path}/anna/labels.csv:site"
    plan = studies.plan_of(found)
    commands = dict(reproduce.commands(plan))
    assert set(commands) == set(plan.runs)
    for text in commands.values():
        assert str(tmp_path) not in text and "Brien" not in text
    assert "--data_folder=GENERIC" in shlex.split(commands["encoders/simclr/1"])
    adapted = shlex.split(commands["encoders/adapt_all/1"])
    assert "--cry_folder=CRIES" in adapted and "--probe=PLACE" in adapted
    (source,) = [p for p in adapted if p.startswith("--encoder_source=")]
    assert source.startswith("--encoder_source=STUDY/encoders/simclr/1-")
    assert commands["tables"].startswith(
        "python -m recipes.study.cry_tables CRIES RECORDINGS_CSV "
    )


@pytest.mark.parametrize("place", ["data", "study", "None"])
def test_a_place_is_replaced_as_a_place_only(place):
    """A relative folder's name may be part of an option or a module."""
    for part in ("-m", f"--{place}_folder=x", f"{place}_prep.confounds"):
        assert reproduce._in_general(part, {place: "HERE"}) == part
    for part, general in (
        (place, "HERE"),
        (f"--a={place}", "--a=HERE"),
        (f"--a={place}/b", "--a=HERE/b"),
        (f"--a={place}b", f"--a={place}b"),
    ):
        assert reproduce._in_general(part, {place: "HERE"}) == general


def test_the_longest_place_counts():
    places = {"/a": "OUTER", "/a/b": "INNER"}
    assert reproduce._in_general("--x=/a/b/c", places) == "--x=INNER/c"
    assert reproduce._in_general("--x=/a/c", places) == "--x=OUTER/c"
    assert reproduce._in_general("--x=/other", places) == "--x=PLACE"


def test_folds_are_not_named(tmp_path, database):
    """They may be months or hospitals."""
    names = ["may_2021", "june_2021", "mercy"]
    folder = database(",fold", cells=lambda i: f",{names[i // 2 % 3]}")
    plan = studies.plan_of(real(tmp_path, folder, folds=True))
    assert sorted(plan.folds) == sorted(names)
    for name, text in reproduce.commands(plan):
        for fold in names:
            assert fold not in name and fold not in text, text
