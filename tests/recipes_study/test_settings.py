"""A study's yaml file: what is wrong with it is one line that says so."""

import pytest
import studies
import yaml

from data_prep.files.errors import InputError
from recipes.study.encoders import ENCODERS
from recipes.study.run import PROFILES, apply_changes, read_changes
from recipes.study.settings import MODES, check_settings, read_study, seeds_of


def changed(path, value):
    found = studies.settings("out")
    *places, last = path.split(".")
    place = found
    for name in places:
        place = place[name]
    place[last] = value
    return found


@pytest.mark.parametrize(
    "path, value, words",
    [
        ("width_", 8, "'width_' is no setting"),
        ("width", 0, "width is 0; it must be a whole number, 1 at least"),
        ("width", True, "width is True"),
        ("width", None, "width is None"),
        ("seeds", [], "seeds is []"),
        ("seeds", [1, 1], "1 is there twice"),
        ("seeds", 3, "seeds is 3; it must be a list"),
        ("seeds", ["a"], "seeds is 'a'"),
        ("fractions", [1.0, 0.1], "it must ascend and end with 1.0"),
        ("fractions", [0.0, 1.0], "each must be above 0"),
        ("fractions", [float("nan"), 1.0], "fractions is nan"),
        ("modes", ["end_to_end"], "a list with linear in it"),
        ("modes", ["linear", "bn"], "modes is 'bn'; use linear"),
        ("tasks", {}, "tasks is {}"),
        ("tasks.neuro", {"label_column": "a"}, "tasks: neuro: classes is None"),
        ("tasks.neuro.hparams", "x", "hparams is 'x'; use neuro, trigger"),
        ("tasks.a/b", {}, "use letters, digits and _"),
        ("synthetic.scale", "huge", "'huge'; use"),
        ("synthetic.seed", -1, "synthetic seed is -1"),
        ("cries", "data/cry", "the synthetic corpus has its own place"),
        ("folds", "yes", "folds is 'yes'; it must be true or false"),
        ("stages.simclr", None, "stages: simclr: yaml is None; use one of"),
        ("stages.simclr.yaml", "typo", "yaml is 'typo'; use one of"),
        ("stages.linear.yaml", "neuro_linear_bn", "the task and the mode"),
        ("stages.linear.finetune_mode", "end_to_end", "the study gives it"),
        ("stages.simclr.number_of_epoch", 3, "has no such option"),
        ("stages.simclr.number_of_epochs", "many", "is 'many'; it must be"),
        ("tasks.neuro.classes", [False, True], "is False; it is no plain text"),
        ("tasks.neuro.classes", ["a: b", "c"], "is 'a: b'; it is no plain"),
        ("tasks.neuro.label_column", "a,b", "no comma"),
        ("pretraining_seeds", [1, 2], "no more than seeds"),
        ("output_folder", "a{b}", "Snakemake reads braces"),
        ("stages.linear.seed", 3, "'seed'; the study gives it"),
        ("stages.lineal", {}, "'lineal'; use simclr"),
        ("stages", [], "stages is []"),
        ("title", "", "title is ''"),
    ],
)
def test_what_cannot_be_is_one_line(path, value, words):
    with pytest.raises(InputError) as error:
        check_settings(changed(path, value), "study.yaml")
    assert str(error.value).startswith("study.yaml: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_setting_is_named():
    found = studies.settings("out")
    del found["seeds"]
    with pytest.raises(InputError, match="seeds is missing; add it"):
        check_settings(found, "study.yaml")


def test_real_audio_needs_its_folders():
    found = studies.settings("out", synthetic=None)
    with pytest.raises(InputError, match="cries is None"):
        check_settings(found, "study.yaml")


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "\x00"])
def test_a_file_that_is_no_study(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="study.yaml") as error:
        read_study(path)
    assert "\n" not in str(error.value)


def test_encoders_take_turns():
    found = studies.settings("out", seeds=[5, 6, 7], pretraining_seeds=[1, 2])
    assert seeds_of(check_settings(found, "x")) == [(5, 1), (6, 2), (7, 1)]


def test_every_profile_has_a_study_that_can_be():
    for profile in PROFILES.glob("*/config.yaml"):
        config = yaml.safe_load(profile.read_text())
        settings = check_settings(read_study(config["configfile"]), "x")
        whole = profile.parent.name != "miniature"
        assert (settings.modes == MODES) == whole
        assert len(settings.tasks) == 1 + whole
        assert (settings.encoders == tuple(ENCODERS)) == whole
        assert config["keep-going"] and config["rerun-incomplete"]


def test_encoders_are_known_and_in_the_order_of_the_tables():
    def encoders(names):
        found = {**studies.settings("out"), "encoders": names}
        return check_settings(found, "x").encoders

    assert encoders(["adapt_all", "simclr"]) == ("simclr", "adapt_all")
    for wrong, words in (
        ([], "it must be a list with simclr in it"),
        (["random"], "it must be a list with simclr in it"),
        (["simclr", "adapt"], "encoders is 'adapt'; use random,"),
    ):
        with pytest.raises(InputError, match=words):
            encoders(wrong)


def test_stages_of_encoders_that_are_left_out_need_no_options():
    found = studies.settings("out")
    del found["stages"]["supervised"]
    with pytest.raises(InputError, match="supervised: yaml is None"):
        check_settings(found, "x")
    found["encoders"] = ["simclr", "adapt_control"]
    check_settings(found, "x")
    del found["stages"]["adapt_replay"]
    with pytest.raises(InputError, match="adapt_replay: yaml is None"):
        check_settings(found, "x")


def test_changes_on_the_command_line():
    changes = read_changes(["seeds=[1, 2]", "stages.linear.lr=0.1"])
    found = studies.settings("out")
    changed = apply_changes(found, changes, "x")
    assert changed["seeds"] == [1, 2]
    assert changed["stages"]["linear"]["lr"] == 0.1
    assert "lr" not in found["stages"]["linear"]
    for wrong in ("seeds", "=1", "a=["):
        with pytest.raises(InputError, match="--set"):
            read_changes([wrong])
    with pytest.raises(InputError, match="no such setting"):
        apply_changes(found, {"nothing.here.x": 1}, "x")
