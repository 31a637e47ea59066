"""Settings of a study: every mistake is refused in one line."""

import pytest
import studies
import yaml

from cry_modules.finetune import FINETUNE_MODES
from data_prep.files.errors import InputError
from recipes.study.encoders import ENCODERS
from recipes.study.run import PROFILES, ROOT, apply_changes, parse, read_changes
from recipes.study.settings import check_settings, read_study, seeds_of
from recipes.study.stages import MODES

STUDIES = sorted((ROOT / "recipes/study/studies").glob("*.yaml"))


def changed(path, value):
    *keys, last = path.split(".")
    settings = parent = studies.settings("out")
    for key in keys:
        parent = parent[key]
    parent[last] = value
    return settings


@pytest.mark.parametrize(
    "path, value, words",
    [
        ("width_", 8, "'width_' is not a setting"),
        ("width", 0, "width is 0; it must be a whole number, 1 or more"),
        ("width", True, "width is True"),
        ("width", None, "width is None"),
        ("seeds", [], "seeds is []"),
        ("seeds", [1, 1], "1 is repeated"),
        ("seeds", 3, "seeds is 3; it must be a list"),
        ("seeds", ["a"], "seeds is 'a'"),
        ("fractions", [1.0, 0.1], "it must ascend and end with 1.0"),
        ("fractions", [0.0, 1.0], "each must be above 0"),
        ("fractions", [float("nan"), 1.0], "fractions is nan"),
        ("compared_at", [0.1], "compared_at is 0.1; use fractions below 1"),
        ("compared_at", 0.1, "compared_at is 0.1; it must be a list"),
        ("modes", ["end_to_end"], "a list with linear in it"),
        ("encoders", [], "a list with simclr in it"),
        ("encoders", ["random"], "a list with simclr in it"),
        ("encoders", ["simclr", "adapt"], "encoders is 'adapt'; use random,"),
        ("modes", ["linear", "bn"], "modes is 'bn'; use linear"),
        ("tasks", {}, "tasks is {}"),
        ("tasks.neuro", {"label_column": "a"}, "tasks: neuro: classes is None"),
        ("tasks.neuro.hparams", "x", "hparams is 'x'; use neuro, trigger"),
        ("tasks.a/b", {}, "use letters, digits and _"),
        ("synthetic.scale", "huge", "'huge'; use"),
        ("synthetic.seed", -1, "synthetic seed is -1"),
        ("synthetic", None, "cries is None"),
        ("cries", "data/cry", "the synthetic corpus has its own place"),
        ("folds", "yes", "folds is 'yes'; it must be true or false"),
        ("folds", " ", "or the name of a column"),
        ("stages.simclr", None, "stages: simclr: yaml is None; use one of"),
        ("stages.simclr.yaml", "typo", "yaml is 'typo'; use one of"),
        ("stages.linear.yaml", "neuro_linear_bn", "task and mode decide it"),
        ("stages.linear.finetune_mode", "end_to_end", "the study sets it"),
        ("stages.simclr.number_of_epoch", 3, "has no such option"),
        ("stages.simclr.number_of_epochs", "many", "is 'many'; it must be"),
        ("tasks.neuro.classes", [False, True], "is False; it is not plain"),
        ("tasks.neuro.classes", ["", "c"], "is ''; it is not plain text"),
        ("tasks.neuro.label_column", "a,b", "no comma"),
        ("pretraining_seeds", [1, 2], "at most as many as seeds"),
        ("output_folder", "a{b}", "Snakemake interprets braces"),
        ("stages.linear.seed", 3, "'seed'; the study sets it"),
        ("stages.lineal", {}, "'lineal'; use simclr"),
        ("stages", [], "stages is []"),
        ("title", "", "title is ''"),
        ("width", 10**6, "width is 1000000; it must be 1024 or less"),
        ("seeds", [2**32], "it must be 4294967295 or less"),
        ("output_folder", "r/<seed>", "type a value in place of <seed>"),
        ("output_folder", "~no_one/x", "is not a user of this machine"),
        ("output_folder", "", "output_folder is ''"),
        ("stages.simclr.lr", -1, "simclr: lr is -1; it must be above 0"),
        ("stages.simclr.lr", float("nan"), "simclr: lr is nan; it must be"),
        ("stages.simclr.batch_size", True, "batch_size is True; it must be"),
        ("stages.simclr.dropout", None, "dropout is null; it must be 0 to"),
        ("stages.simclr.precision", "bf17", "is bf17; expected one of fp32"),
        ("stages.simclr.tensorboard", 3, "is 3; it must be True or False"),
    ],
)
def test_a_mistake_is_one_line(path, value, words):
    with pytest.raises(InputError) as error:
        check_settings(changed(path, value), "study.yaml")
    assert str(error.value).startswith("study.yaml: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_required_settings_are_named():
    settings = studies.settings("out")
    del settings["seeds"]
    with pytest.raises(InputError, match="seeds is missing; add it"):
        check_settings(settings, "study.yaml")


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "\x00"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="study.yaml") as error:
        read_study(path)
    assert "\n" not in str(error.value)


def test_seeds_of_encoders_are_reused_in_turn():
    settings = studies.settings(
        "out", seeds=[5, 6, 7], pretraining_seeds=[1, 2]
    )
    assert seeds_of(check_settings(settings, "x")) == [(5, 1), (6, 2), (7, 1)]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_is_valid(path):
    settings = check_settings(read_study(path), "x")
    every_mode = path.stem in ("words", "real", "poster", "donateacry")
    assert (settings.modes == MODES) == every_mode
    whole = path.stem in ("demo", "real", "poster", "donateacry")
    assert (settings.encoders == tuple(ENCODERS)) == whole


def test_modes_are_those_of_fine_tuning():
    papers = [mode for mode in MODES if mode != "linear_blocks"]
    assert papers == list(FINETUNE_MODES)


def test_every_profile_names_a_study():
    for profile in PROFILES.glob("*/config.yaml"):
        config = yaml.safe_load(profile.read_text())
        assert (ROOT / config["configfile"]) in STUDIES
        assert config["keep-going"] and config["rerun-incomplete"]


def test_encoders_are_in_the_order_of_the_tables():
    settings = studies.settings("out", encoders=["adapt_all", "simclr"])
    assert check_settings(settings, "x").encoders == ("simclr", "adapt_all")


def test_unused_stages_need_no_options():
    settings = studies.settings("out")
    del settings["stages"]["supervised"]
    with pytest.raises(InputError, match="supervised: yaml is None"):
        check_settings(settings, "x")
    settings["encoders"] = ["simclr", "adapt_control"]
    check_settings(settings, "x")
    del settings["stages"]["adapt_replay"]
    with pytest.raises(InputError, match="adapt_replay: yaml is None"):
        check_settings(settings, "x")


def test_changes_on_the_command_line():
    changes = read_changes(["seeds=[1, 2]", "stages.linear.lr=0.1"])
    settings = studies.settings("out")
    after = apply_changes(settings, changes, "x")
    assert after["seeds"] == [1, 2] and after["stages"]["linear"]["lr"] == 0.1
    assert "lr" not in settings["stages"]["linear"]
    for wrong in ("seeds", "=1", "a=["):
        with pytest.raises(InputError, match="--set"):
            read_changes([wrong])
    with pytest.raises(InputError, match="no such setting"):
        apply_changes(settings, {"nothing.here.x": 1}, "x")


STRANGE = """
title: 2022
output_folder: 1e3
generic: ~/sounds
cries: 2023
nuisance: no
tasks:
  01: {label_column: 2022-01-01, classes: [0, 1]}
  pain:
    label_column: on
    classes: [pain: no, "pain: yes", 'null']
width: 8
seeds: [010]
pretraining_seeds: [1]
fractions: [1e-1, 1.0]
stages:
  simclr: {yaml: small_simclr, lr: 1e-3}
  supervised: {yaml: small_supervised}
  adapt: {yaml: small_adapt}
  adapt_replay: {yaml: small_adapt_replay}
"""


def test_texts_stay_what_was_typed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    path = tmp_path / "study.yaml"
    path.write_text(STRANGE)
    for _ in range(2):  # as typed, and as the study writes it
        read = read_study(path)
        settings = check_settings(read, "x")
        assert settings.title == "2022" and str(settings.output_folder) == "1e3"
        assert str(settings.generic) == "/home/me/sounds"
        assert settings.nuisance == "no" and settings.seeds == (10,)
        first, second = settings.tasks
        assert (first.name, first.label_column) == ("01", "2022-01-01")
        assert first.classes == ("0", "1") and second.label_column == "on"
        assert second.classes == ("pain: no", "pain: yes", "null")
        assert settings.fractions == (0.1, 1.0)
        assert settings.stages["simclr"]["lr"] == 0.001
        path.write_text(yaml.safe_dump(read, sort_keys=False))


@pytest.mark.parametrize(
    "text, words",
    [
        ("seeds: [1]\nseeds: [2]", "holds 'seeds' twice"),
        ("tasks: {a: {x: 1, x: 2}}", "holds 'x' twice"),
        ("title: !!python/name:os.system x", "title is a tag"),
        ("stages: !new:os.system {}", "stages is a !new:os.system, not a"),
        ("width: &a [*a]", "holds itself"),
    ],
)
def test_files_that_are_not_plain_settings(text, words, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as error:
        check_settings(read_study(path), "study.yaml")
    assert "\n" not in str(error.value)


def test_texts_of_changes_stay_what_was_typed():
    changes = read_changes(
        ["title=2022", "tasks.a.classes=[no, 01]", "output_folder=a #1"]
        + ["tasks.b={label_column: on, classes: [0, 1]}", "nuisance=null"]
    )
    assert list(changes.values()) == [
        *("2022", ["no", "01"], "a #1"),
        {"label_column": "on", "classes": ["0", "1"]},
        None,
    ]
    with pytest.raises(InputError, match="--set title is given twice"):
        read_changes(["title=a", "title=b"])


@pytest.mark.parametrize(
    "arguments",
    [
        "real --study=s.yaml --dry_run -- --touch -n",
        "--study s.yaml --dry_run real -- --touch -n",
        "--dry_run real --study s.yaml -- --touch -n",
    ],
)
def test_snakemakes_options_follow_two_hyphens(arguments):
    """In any place after the profile, as recipes/study/README.md says."""
    args = parse(arguments.split())
    assert (args.profile, args.study, args.dry_run) == ("real", "s.yaml", True)
    assert args.snakemake == ["--touch", "-n"]


def test_no_option_of_snakemake_is_needed():
    assert parse(["real"]).snakemake == parse(["real", "--"]).snakemake == []
    assert parse(["real", "--", "--", "x"]).snakemake == ["--", "x"]
