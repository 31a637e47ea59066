"""Which runs a study makes: every cell of the tables, none twice, and after a
change exactly those that depend on it."""

import collections
import re
import subprocess
import sys

import pytest
import studies
import yaml

from data_prep.files.errors import InputError
from recipes.study.encoders import ADAPTED, ENCODERS, TABLE_1, TABLE_2
from recipes.study.plan import Plan
from recipes.study.run import PROFILES, ROOT
from recipes.study.settings import MODES, check_settings, read_study


def folders(found):
    return {r.name: r.folder for r in studies.plan_of(found).runs.values()}


def changed_by(tmp_path, path, value):
    """Names of the runs that go elsewhere after a change."""
    before = studies.whole(tmp_path)
    after = studies.whole(tmp_path)
    *places, last = path.split(".")
    place = after
    for name in places:
        place = place[name]
    place[last] = value
    old, new = folders(before), folders(after)
    return {name for name in old if new.get(name) != old[name]}


def test_every_cell_has_a_run_and_none_is_there_twice(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path))
    for seed in (1, 2):
        for mode in MODES:
            for encoder in {*TABLE_1, *TABLE_2}:
                plan.classifier("neuro", encoder, mode, 1.0, seed)
            for encoder in TABLE_2:
                plan.classifier("trigger", encoder, mode, 1.0, seed)
        for mode in ("linear_bn", "end_to_end"):
            for encoder in ("supervised", "adapt_replay"):
                plan.classifier("neuro", encoder, mode, 0.1, seed)
    # (8 encoders + 6 of triggers) x 3 modes + 2 x 2 of few labels, 2 seeds
    assert len(plan.of_rule("train_cls")) == 2 * (14 * 3 + 4)
    assert len(plan.of_rule("train_adapt")) == 4
    commands = [run.command for run in plan.runs.values()]
    assert len(set(commands)) == len(commands)
    places = [run.folder for run in plan.runs.values()]
    assert len(set(places)) == len(places)


def test_parents_come_before_and_commands_name_their_folders(tmp_path):
    plan, seen = studies.plan_of(studies.whole(tmp_path)), set()
    for run in plan.runs.values():
        assert set(run.parents) <= seen
        seen.add(run.name)
        if run.rule in ("train_simclr", "train_adapt", "train_supervised"):
            assert f"--output_folder={run.folder}" in run.command
    for encoder in ADAPTED:
        (source,) = [
            part for part in plan.encoder(encoder, 1).command
            if part.startswith("--encoder_source=")
        ]  # fmt: skip
        assert source.endswith(str(plan.encoder("simclr", 1).folder))


def test_modes_and_encoders_are_what_a_classifier_is_told(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path))
    for run in plan.of_rule("train_cls"):
        facts, text = run.facts, run.shell
        hparams = plan.settings.tasks_by_name[facts["task"]].hparams
        assert f" hparams/{hparams}_{facts['mode']}.yaml " in text
        assert f"--label_fraction={facts['fraction']}" in text
        assert f"--seed={facts['seed']} " in text
        source = re.search(r"--encoder_source=(\S+)", text).group(1)
        expected = {"random": "null", "random_calibrated": "random_calibrated"}
        name = facts["encoder"]
        own = expected.get(name) or str(plan.encoder(name, 1).folder)
        assert source == own


def test_encoders_that_are_left_out_have_no_runs_and_move_no_folder(tmp_path):
    whole = studies.plan_of(studies.whole(tmp_path)).runs
    names = ["simclr", "adapt_replay", "random_calibrated"]
    plan = studies.plan_of(studies.whole(tmp_path, encoders=names))
    assert plan.runs.items() <= whole.items()
    left_out = {n: r for n, r in whole.items() if n not in plan.runs}
    assert {r.facts["encoder"] for r in left_out.values()} == (
        {*ENCODERS} - {*names}
    )
    assert {r.facts.get("encoder") for r in plan.runs.values()} == (
        {*names, None}
    )


def test_no_adaptation_hears_who_is_held_out(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path))
    for run in plan.of_rule("train_adapt"):
        assert "--excluded=drop" in run.command
        assert any(
            part.startswith("--exclude=") and part.endswith("held_out.csv")
            for part in run.command
        )


@pytest.mark.parametrize(
    "path, value, who",
    [
        ("stages.linear_bn.lr", 0.5, r"\w+/linear_bn/"),
        ("stages.adapt.lr", 0.5, r"\w+/\w+/adapt_(labelled|all)/"
         r"|encoders/adapt_(labelled|all)/|embeddings/adapt_(labelled|all)"),
        ("stages.supervised.lr", 0.5, r"\w+/\w+/supervised/"
         r"|encoders/supervised/|embeddings/supervised"),
        ("tasks.trigger.classes", ["pain", "hunger"], "trigger/"),
    ],
)  # fmt: skip
def test_a_change_moves_what_depends_on_it_and_nothing_else(
    tmp_path, path, value, who
):
    moved = changed_by(tmp_path, path, value)
    every = set(folders(studies.whole(tmp_path)))
    assert moved == {name for name in every if re.match(who, name)}
    assert moved and moved != every


def test_pretraining_moves_all_that_begins_with_it(tmp_path):
    moved = changed_by(tmp_path, "stages.simclr.lr", 0.5)
    untouched = set(folders(studies.whole(tmp_path))) - moved
    for name in untouched:
        assert re.search(
            r"corpus|audit|tables|/random|supervised|confounds", name
        ), name
    assert not [n for n in moved if "/random/" in n and "embed" not in n]


def test_more_seeds_and_titles_move_nothing(tmp_path):
    assert not changed_by(tmp_path, "seeds", [1, 2, 3])
    assert not changed_by(tmp_path, "title", "another")
    assert not changed_by(tmp_path, "fractions", [0.1, 0.5, 1.0])


def test_a_study_may_be_moved(tmp_path):
    old = folders(studies.whole(tmp_path / "a"))
    new = folders(studies.whole(tmp_path / "b"))
    for name, folder in old.items():
        assert folder.relative_to(tmp_path / "a") == new[name].relative_to(
            tmp_path / "b"
        )


def test_other_data_is_another_study(tmp_path, database):
    folder = database()
    (tmp_path / "sounds").mkdir()
    found = studies.settings(
        tmp_path / "out", synthetic=None,
        cries=str(folder), generic=str(tmp_path / "sounds"),
    )  # fmt: skip
    before = folders(found)
    table = folder / "recordings.csv"
    table.write_text(table.read_text().replace("s3", "s4"))
    after = folders(found)
    assert {n for n in before if after[n] == before[n]} == {
        "encoders/simclr/1", "encoders/supervised/1",
    }  # fmt: skip
    found["cries"] = "no/such/folder"
    with pytest.raises(InputError, match="recordings.csv cannot be read"):
        studies.plan_of(found)


def real(tmp_path, folder, **changes):
    (tmp_path / "sounds").mkdir(exist_ok=True)
    return studies.settings(
        tmp_path / "out", synthetic=None, cries=str(folder),
        generic=str(tmp_path / "sounds"), **changes,
    )  # fmt: skip


@pytest.mark.parametrize(
    "fold, words",
    [
        (lambda i: ["1/2", "b", "c"][i // 2 % 3], "fold is '1/2'; name folds"),
        (lambda i: ["..", "b", "c"][i // 2 % 3], "fold is '..'; name folds"),
        (lambda i: "0", "fold"),
    ],
)
def test_folds_that_are_none(tmp_path, database, fold, words):
    folder = database(",fold", cells=lambda i: f",{fold(i)}")
    with pytest.raises(InputError, match=re.escape(words)):
        studies.plan_of(real(tmp_path, folder, folds=True))


def test_both_tasks_have_the_same_folds(tmp_path, database):
    """Else the encoder of a fold has heard what it is chosen by."""

    def cells(i):
        patient = i // 2
        other = "" if patient % 4 == 3 else "ab"[patient // 4 % 2]
        return f",{patient % 4},{other}"

    folder = database(",fold,other", cells=cells)
    tasks = studies.settings("x")["tasks"]
    tasks["other"] = {"label_column": "other", "classes": ["a", "b"]}
    with pytest.raises(InputError, match="make other folds"):
        studies.plan_of(real(tmp_path, folder, folds=True, tasks=tasks))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"nuisance": "phone"}, "no column 'phone'; correct nuisance"),
        ({"generic": "no/such"}, "no/such is not there; correct `generic`"),
        (
            {"tasks": {"n": {"label_column": "neuro_injury",
                             "classes": ["healthy", "ill"]}}},
            "no row has neuro_injury 'ill', only healthy, injury",
        ),
    ],
)  # fmt: skip
def test_what_would_fail_hours_later_is_refused(
    tmp_path, database, changes, words
):
    found = {**real(tmp_path, database()), **changes}
    with pytest.raises(InputError, match=re.escape(words)):
        studies.plan_of(found)


def test_sounds_without_a_table_count_by_their_files(tmp_path, database):
    folder = database()
    found = real(tmp_path, folder)
    before = folders(found)
    (tmp_path / "sounds/train").mkdir()
    (tmp_path / "sounds/train/a.wav").write_bytes(b"RIFF")
    after = folders(found)
    assert after["encoders/simclr/1"] != before["encoders/simclr/1"]
    assert after["tables"] == before["tables"]


def test_folds_adapt_an_encoder_each(tmp_path, database):
    folder = database(",fold", cells=lambda i: f",{i // 2 % 3}")
    (tmp_path / "sounds").mkdir()
    found = studies.settings(
        tmp_path / "out", synthetic=None, folds=True,
        cries=str(folder), generic=str(tmp_path / "sounds"),
    )  # fmt: skip
    plan = studies.plan_of(found)
    assert plan.folds == ["0", "1", "2"]
    assert len(plan.of_rule("train_adapt")) == 3 * len(ADAPTED)
    run = plan.classifier("neuro", "adapt_all", "linear", 1.0, 1)
    assert "--folds=all" in run.command
    (source,) = [p for p in run.command if p.startswith("--encoder_source=")]
    for fold in plan.folds:
        adapted = plan.encoder("adapt_all", 1, fold)
        assert source.replace("{fold}", fold).endswith(str(adapted.folder))
        assert adapted.name in run.parents
        assert f"all_{fold}.csv" in adapted.shell
        assert f"held_out_{fold}.csv" in adapted.shell


def dry_run(profile, config, *more):
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile"]
        + ["recipes/study/Snakefile", "--profile", str(PROFILES / profile)]
        + ["--configfile", str(config), "--dry-run", "--nolock", *more],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize(
    "profile",
    [
        "demo",
        pytest.param("poster", marks=pytest.mark.slow),
        pytest.param("slurm", marks=pytest.mark.slow),
    ],
)
def test_snakemake_would_run_the_plan(profile, tmp_path):
    pytest.importorskip("snakemake")
    config = yaml.safe_load((PROFILES / profile / "config.yaml").read_text())
    found = read_study(config["configfile"])
    found["output_folder"] = str(tmp_path / "out")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(found))
    plan = Plan(check_settings(found, "x"))
    done = dry_run(profile, tmp_path / "study.yaml")
    assert done.returncode == 0, done.stderr
    counts = dict(
        re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)
    )
    expected = collections.Counter(run.rule for run in plan.runs.values())
    expected.update(report=1, all=1)
    expected["total"] = sum(expected.values())
    assert {name: int(n) for name, n in counts.items()} == expected
    assert not (tmp_path / "out").exists()


def test_encoders_have_different_names():
    labels = [encoder.label for encoder in ENCODERS.values()]
    assert len(set(labels)) == len(labels)
