"""Commands on the page can be typed again and contain no path."""

import os
import shlex
import shutil

import pytest
import studies

from recipes.study.report import reproduce


def real(tmp_path, cries, **changes):
    settings = studies.real(tmp_path, cries, **changes)
    sounds = tmp_path / "sounds of O'Brien"
    (tmp_path / "sounds").rename(sounds)
    return {**settings, "generic": str(sounds)}


def test_paths_have_placeholders(tmp_path, database):
    settings = real(tmp_path, database())
    settings["stages"]["adapt"]["probe"] = f"{tmp_path}/anna/labels.csv:site"
    plan = studies.plan_of(settings)
    commands = dict(reproduce.commands(plan))
    assert set(commands) == set(plan.runs)
    for text in commands.values():
        assert str(tmp_path) not in text and "Brien" not in text
    assert "--data_folder=GENERIC" in shlex.split(commands["encoders/simclr/1"])
    parts = shlex.split(commands["encoders/adapt_all/1"])
    assert "--cry_folder=CRIES" in parts and "--probe=PLACE" in parts
    (source,) = [p for p in parts if p.startswith("--encoder_source=")]
    assert source.startswith("--encoder_source=STUDY/encoders/simclr/1-")
    assert commands["tables"].startswith(
        "python -m recipes.study.cry_tables CRIES RECORDINGS_CSV "
    )


def test_a_folder_of_other_infants_is_not_named(tmp_path, database):
    others = os.path.relpath(tmp_path / "dr_anna")
    shutil.copytree(database(), others)
    settings = real(tmp_path, tmp_path / "db", unlabelled=others)
    commands = dict(reproduce.commands(studies.plan_of(settings)))
    assert not [name for name in commands if "anna" in commands[name]]
    parts = shlex.split(commands["encoders/adapt_all/1"])
    assert "--cry_folder=UNLABELLED" in parts
    assert "--recordings_csv=UNLABELLED_CSV" in parts


@pytest.mark.parametrize(
    "part, expected",
    [
        ("-m", "-m"),
        ("--data_folder=x", "--data_folder=x"),
        ("data_prep.confounds", "data_prep.confounds"),
        ("data", "HERE"),
        ("--a=data", "--a=HERE"),
        ("--a=data/b", "--a=HERE/b"),
        ("--a=datab", "--a=datab"),
        ("--x=/a/b/c", "--x=INNER/c"),
        ("--x=/a/c", "--x=OUTER/c"),
        ("--x=/other", "--x=PLACE"),
    ],
)
def test_only_whole_paths_are_replaced_the_longest_first(part, expected):
    places = {"data": "HERE", "/a": "OUTER", "/a/b": "INNER"}
    assert reproduce.with_placeholder(part, places) == expected


def test_folds_are_not_named(tmp_path, database):
    """Fold names may be months or hospitals."""
    names = ["may_2021", "june_2021", "mercy"]
    folder = database(",fold", cells=lambda i: f",{names[i // 2 % 3]}")
    plan = studies.plan_of(real(tmp_path, folder, folds=True))
    assert sorted(plan.folds) == sorted(names)
    for name, text in reproduce.commands(plan):
        for fold in names:
            assert fold not in name and fold not in text, text
