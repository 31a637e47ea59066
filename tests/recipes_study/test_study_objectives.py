"""A study with several self-supervised objectives."""

import json

import pytest
import studies
import yaml

from cry_modules import objectives
from data_prep.files.errors import InputError
from recipes.study.cost import Estimate, file_of
from recipes.study.encoders import ENCODERS, OBJECTIVES
from recipes.study.keys import stage_of
from recipes.study.report.page import make_report
from recipes.study.settings import check_settings

NAMES = ["random_calibrated", "simclr", "adapt_replay"]


def made(folder, **changes):
    return studies.settings(folder, **{"encoders": NAMES, **changes})


def test_all_objectives_have_a_title():
    assert tuple(OBJECTIVES) == objectives.OBJECTIVES


def test_each_self_supervised_encoder_is_made_with_each_objective(tmp_path):
    plain = studies.plan_of(made(tmp_path))
    plan = studies.plan_of(made(tmp_path, objectives=["byol", "nt_xent"]))
    # The other runs, their folders included, stay as they are.
    assert plain.runs.items() <= plan.runs.items()
    assert plan.settings.encoders == (
        *("random_calibrated", "simclr", "simclr_byol"),
        *("adapt_replay", "adapt_replay_byol"),
    )
    for name, parent in (("simclr_byol", None), ("adapt_replay_byol", 1)):
        run = plan.encoder(name, 1)
        assert "--objective=byol" in run.command
        base = plan.encoder(name.removesuffix("_byol"), 1)
        assert run.folder != base.folder and run.rule == base.rule
        classifier = plan.classifier("neuro", name, "linear", 1.0, 1)
        assert f"--encoder_source={run.folder}" in classifier.command
        assert Estimate(plan).seconds[run.name] > 0
        source = f"--encoder_source={plan.encoder('simclr_byol', 1).folder}"
        assert (source in run.command) == bool(parent)
    assert not any("--objective" in " ".join(run.command)
                   for run in plain.runs.values())  # fmt: skip


def test_an_encoder_may_name_its_objective(tmp_path):
    names = ["simclr", "adapt_replay_vicreg", "adapt_all_nt_xent"]
    plan = studies.plan_of(
        made(tmp_path, encoders=names, objectives=["nt_xent", "vicreg"])
    )
    assert plan.settings.encoders == (
        *("simclr", "simclr_vicreg", "adapt_all", "adapt_replay_vicreg"),
    )


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"objectives": ["vicreg"]}, "objectives is ['vicreg']; it must be a"),
        ({"objectives": "byol"}, "it must be a list with nt_xent in it"),
        (
            {"objectives": ["nt_xent", "moco"]},
            "objectives is 'moco'; use nt_xent, vicreg",
        ),
        (
            {"encoders": ["simclr", "adapt_all_byol"]},
            "encoders is 'adapt_all_byol'; add simclr_byol, which it starts",
        ),
        (
            {"encoders": ["simclr", "random_byol"]},
            "encoders is 'random_byol'; no objective trains it; use random",
        ),
        (
            {"encoders": ["simclr", "simclr_moco"]},
            "encoders is 'simclr_moco'; use random,",
        ),
        ({"encoders": ["simclr", 3]}, "encoders is '3'; use random,"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, changes, words):
    with pytest.raises(InputError) as error:
        check_settings(made(tmp_path, **changes), "study.yaml")
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_stage_sets_an_objective_only_without_the_list(tmp_path):
    settings = made(tmp_path)
    settings["stages"]["simclr"]["objective"] = "byol"
    check_settings(settings, "study.yaml")
    settings["objectives"] = ["nt_xent", "vicreg"]
    with pytest.raises(InputError, match="'objective'; objectives sets it"):
        check_settings(settings, "study.yaml")


def test_an_objective_may_change_options_of_a_stage(tmp_path):
    settings = made(tmp_path, objectives=["nt_xent", "byol", "vicreg"])
    plain = studies.plan_of(settings).runs
    settings["stages"]["simclr_byol"] = {"lr": 0.0003, "dropout": 0.0}
    plan = studies.plan_of(settings)
    run = plan.encoder("simclr_byol", 1)
    assert {"--lr=0.0003", "--dropout=0.0", "--batch_size=8"} <= {*run.command}
    assert stage_of(run) == "simclr_byol"
    # What does not start from that encoder stays as it is.
    moved = {name for name in plain if plain[name] != plan.runs[name]}
    assert moved and all("byol" in name for name in moved - {"report"})
    adapted = plan.encoder("adapt_replay_byol", 1)
    assert not any(o.startswith("--lr=") for o in adapted.command)
    assert stage_of(adapted) == "adapt_replay"
    # A study without the objective keeps the options for another time.
    settings["objectives"] = ["nt_xent"]
    assert not any("byol" in name for name in studies.plan_of(settings).runs)


@pytest.mark.parametrize(
    "key, options, words",
    [
        ("simclr_byol", {"yaml": "vggsound"}, "'yaml'; simclr sets it"),
        ("simclr_byol", {"objective": "byol"}, "'objective'; objectives sets"),
        ("simclr_byol", {"lrate": 1}, "simclr_byol is 'lrate'; small_simclr"),
        ("simclr_byol", {"lr": "fast"}, "stages: simclr_byol: lr is fast"),
        ("simclr_byol", 3, "stages: simclr_byol is 3; it must hold options"),
        ("simclr_nt_xent", {"lr": 0.1}, "stages is 'simclr_nt_xent'; use"),
        ("supervised_byol", {"lr": 0.1}, "stages is 'supervised_byol'; use"),
    ],
)
def test_wrong_options_of_an_objective_are_one_line(
    tmp_path, key, options, words
):
    settings = made(tmp_path)
    settings["stages"][key] = options
    with pytest.raises(InputError) as error:
        check_settings(settings, "study.yaml")
    assert words in str(error.value) and "\n" not in str(error.value)


def test_the_page_groups_objectives_with_their_costs(tmp_path):
    settings = made(tmp_path, objectives=["nt_xent", "masked_spectrogram"])
    plan = studies.plan_of(settings)
    studies.pretend(plan)
    for name, seconds in (("simclr_masked_spectrogram", 120),
                          ("adapt_replay_masked_spectrogram", 60)):  # fmt: skip
        path = file_of(plan.encoder(name, 1).folder, plan.settings)
        path.parent.mkdir(parents=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n9\t1\t{seconds}\n")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(settings))
    with studies.fewer_draws():
        text = make_report(tmp_path).read_text("utf-8")
    assert 'id="by-objective"' in text
    groups = json.loads((tmp_path / "results.json").read_text())["objectives"]
    assert [group["objective"] for group in groups] == [
        *("SimCLR", "masked spectrogram"),
    ]
    rows = groups[1]["rows"]
    assert [row["encoder"] for row in rows] == [
        "Masked spectrogram on generic sounds",
        "Masked spectrogram + all cries + replay",
    ]
    # That of an adaptation contains its pre-training.
    assert [row["minutes"] for row in rows] == [2, 3]
    assert [row["minutes"] for row in groups[0]["rows"]] == [None, None]
    for row in rows:
        assert row["encoder"] in text and len(row["cells"]) == 1


def test_one_objective_needs_no_group(tmp_path):
    settings = made(tmp_path, encoders=["simclr"])
    studies.pretend(studies.plan_of(settings))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(settings))
    with studies.fewer_draws():
        text = make_report(tmp_path).read_text("utf-8")
    assert "by-objective" not in text and "#objectives" not in text
    assert ENCODERS["simclr"].label in text
