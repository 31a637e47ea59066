"""The settings of a run build known objects only."""

from contextlib import suppress

import pytest

from cry_modules.checkpoints.allow_list import check_objects
from cry_modules.training import experiment, options
from data_prep.files.errors import InputError
from tests.planted import CODE, PIECES, code_of, one_line


@pytest.mark.parametrize("name", CODE)
def test_the_settings_of_a_run_build_known_objects_only(
    name, tmp_path, marker, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code = code_of(name, marker)
    path = tmp_path / "theirs/hyperparams.yaml"
    path.parent.mkdir()
    path.write_text(f"{code}\n{PIECES}")
    arguments = [str(path), "--output_folder=mine", "--device=cpu"]
    if name == "tuple":  # a text, which stays one
        assert experiment.load(str(path), {})["x"] == code[3:]
        return
    assert str(path) in one_line(experiment.load, str(path), {})
    assert str(path) in one_line(options.parse_arguments, arguments)
    # Under another name, the first line tells.
    copy = tmp_path / "copy.yaml"
    if name != "directive":
        copy.write_text(f"# Generated 2026\n{code}\n{PIECES}")
        assert str(copy) in one_line(experiment.load, str(copy), {})
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    assert str(link) in one_line(experiment.load, str(link), {})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("checkpoints_dir", "/home/anna"),
        ("save_file", "runs/out/../../.bashrc"),
        ("save_file", "runs/out"),
        ("checkpoints_dir", "[1]"),
    ],
)
def test_a_run_writes_to_its_own_folder(place, value, tmp_path):
    """A checkpointer also deletes what is in its folder."""
    path = tmp_path / "hyperparams.yaml"
    text = f"output_folder: runs/out\nbase: {{x: {{{place}: {value}}}}}\n"
    path.write_text(text)
    assert "not in its output_folder" in one_line(experiment.load, path, {})
    own = text.replace(f"{place}: {value}", f"{place}: runs/out/save")
    check_objects(path, own)


def test_the_settings_of_our_runs_are_known(trained, pretrained):
    for folder in (trained(), pretrained):
        path = folder / "hyperparams.yaml"
        check_objects(path, path.read_text())


@pytest.mark.parametrize(
    "text", ["{", "[" * 5000, "a: &x [*x]", "a: b: c", "", "- a", "a\n---\nb"]
)
def test_settings_that_are_none_are_one_line(text, tmp_path):
    path = tmp_path / "hyperparams.yaml"
    path.write_text(text)
    one_line(experiment.load, str(path), {})
    with suppress(InputError):
        options.parse_arguments([str(path), "--device=cpu"])


def test_a_value_from_a_table_is_a_text(tmp_path, marker):
    """A fold's name is written into the yaml file of its run."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"fold: null\n{PIECES}")
    for value in (
        code_of("tuple", marker)[3:],
        code_of("apply", marker)[3:],
        "(3, 4)",
        "!!python/name:os.system",
    ):
        experiment.write_variant(
            str(recipe), {}, tmp_path / "fold", {"fold": value}
        )
        variant = str(tmp_path / "fold/hyperparams.yaml")
        assert experiment.load(variant, {})["fold"] == value


def test_variants_build_what_their_recipe_does(tmp_path):
    """A recipe of the user's, with a class of the user's, has folds too."""
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"x: !new:decimal.Context\n{PIECES}")
    experiment.load(str(recipe), {})
    experiment.write_variant(str(recipe), {}, tmp_path / "fold", {})
    experiment.load(str(tmp_path / "fold/hyperparams.yaml"), {})
