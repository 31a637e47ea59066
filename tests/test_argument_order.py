"""Commands take their arguments and options in any order."""

import sys

import pytest

from cry_modules.figures import (
    __main__ as figures,
    views,
)
from cry_modules.metrics import __main__ as metrics
from cry_modules.views.__main__ import main as draw_views
from data_prep import pack
from recipes.study import run as study


@pytest.mark.parametrize(
    "argv, profile, options",
    [
        (["demo", "--study", "a.yaml", "--", "--touch"], "demo", ["--touch"]),
        (["--study", "a.yaml", "demo", "--", "--touch"], "demo", ["--touch"]),
        (["demo", "--", "-n", "--", "x"], "demo", ["-n", "--", "x"]),
        (["demo", "--cores", "2"], "demo", []),
        (["demo", "--"], "demo", []),
    ],
)
def test_options_of_snakemake_follow_two_dashes(argv, profile, options):
    args = study.parse(argv)
    assert (args.profile, args.snakemake) == (profile, options)


@pytest.mark.parametrize(
    "argv", [["demo", "--touch"], ["demo", "touch"], ["--", "demo"], []]
)
def test_other_words_are_refused(argv, capsys):
    with pytest.raises(SystemExit, match="2"):
        study.parse(argv)
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["A", "B", "--seed", "1"],
        ["A", "--seed", "1", "B"],
        ["--seed=1", "A", "B"],
    ],
)
def test_sets_of_predictions(argv, monkeypatch):
    sets = []
    monkeypatch.setattr(
        metrics, "read_sets", lambda *a: sets.append(a[0]) or []
    )
    result = {"patient_score": None}
    monkeypatch.setattr(metrics, "compare", lambda *_: result)
    monkeypatch.setattr(metrics, "add_folds", lambda _: None)
    monkeypatch.setattr(metrics, "report", lambda _: "")
    monkeypatch.setattr(metrics, "_summary", lambda *_: "")
    metrics.main(argv)
    assert sets == [["A", "B"]]


@pytest.mark.parametrize(
    "argv", [["A", "--out", "a.png", "B"], ["--out", "a.png", "A", "B"]]
)
def test_runs_of_a_picture(argv, capsys):
    """Both runs are named in the refusal, so both were read."""
    with pytest.raises(SystemExit, match="2"):
        figures.main([*argv[:-1], "A"])
    with pytest.raises(SystemExit, match="2"):
        figures.main(argv)
    assert "unrecognized" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["A", "B", "--rate", "8000"],
        ["A", "--rate", "8000", "B"],
        ["--rate=8000", "A", "B"],
    ],
)
def test_folders_of_a_pack(argv, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pack", *argv])
    monkeypatch.setattr(pack, "pack", lambda **args: args)
    pack.main()
    out = capsys.readouterr().out
    assert "'source': 'A', 'out': 'B'" in out and "'rate': 8000" in out


@pytest.mark.parametrize(
    "argv",
    [
        ["a.csv", "--temperature", "0.5", "--n", "2"],
        ["--temperature", "0.5", "a.csv", "--n=2"],
        ["--n", "2", "--temperature=0.5", "a.csv"],
    ],
)
def test_settings_of_views(argv, monkeypatch):
    """The value of a setting is not taken for the manifest."""
    drawn = []
    monkeypatch.setattr(views, "draw_manifest", lambda *a: drawn.append(a))
    draw_views(argv)
    ((args, settings),) = drawn
    assert (args.manifest, args.n) == ("a.csv", 2)
    assert "=".join(settings[1:]) == "--temperature=0.5"
