"""The plan: a run for every cell of the tables, and new folders for exactly the
runs that depend on a change."""

import collections
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import studies
import yaml

from data_prep.files.errors import InputError
from recipes.study.encoders import ENCODERS, adapted, table_rows
from recipes.study.plan import SHARED
from recipes.study.report.corpora import adaptations
from recipes.study.run import PROFILES, ROOT, apply_changes
from recipes.study.settings import read_study
from recipes.study.stages import MODES, PROBES


def folders(settings):
    return {r.name: r.folder for r in studies.plan_of(settings).runs.values()}


def moved_by(tmp_path, path, value):
    """Names of the runs with another folder after a change."""
    before = studies.whole(tmp_path)
    after = apply_changes(before, {path: value}, "study.yaml")
    old, new = folders(before), folders(after)
    return {name for name in old if new.get(name) != old[name]}


def option(run, name):
    (value,) = [p for p in run.command if p.startswith(f"--{name}=")]
    return value.partition("=")[2]


def test_every_cell_has_one_run(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path))
    for seed in (1, 2):
        for mode in MODES:
            for encoder in {*table_rows(1), *table_rows(2)}:
                plan.classifier("neuro", encoder, mode, 1.0, seed)
            for encoder in table_rows(2):
                plan.classifier("trigger", encoder, mode, 1.0, seed)
        for mode in ("linear_blocks", "linear_bn", "end_to_end"):
            for encoder in ("supervised", "adapt_replay"):
                plan.classifier("neuro", encoder, mode, 0.1, seed)
    # (8 encoders + 6 of triggers) x 4 modes + 2 x 3 of few labels, 2 seeds
    assert len(plan.of_rule("train_cls")) == 2 * (14 * 4 + 6)
    assert len(plan.of_rule("train_adapt")) == 4
    for field in ("command", "folder"):
        values = [getattr(run, field) for run in plan.runs.values()]
        assert len(set(values)) == len(values)


def test_probes_of_all_encoders_are_compared_with_fewer_labels(tmp_path):
    settings = studies.whole(
        tmp_path, fractions=[0.1, 0.2, 1.0], compared_at=[0.2]
    )
    plan = studies.plan_of(settings)
    few = [r for r in plan.of_rule("train_cls") if r.facts["fraction"] < 1]
    cells = {
        (r.facts["encoder"], r.facts["mode"], r.facts["fraction"]) for r in few
    }
    labelled_few = {
        (encoder, mode, fraction)
        for encoder in ("supervised", "adapt_replay")
        for mode in ("linear_blocks", "linear_bn", "end_to_end")
        for fraction in (0.1, 0.2)
    }
    probed = {(name, mode, 0.2) for name in ENCODERS for mode in PROBES}
    assert cells == labelled_few | probed
    assert len(few) == 2 * len(cells)  # two seeds, none twice


def test_the_probe_on_blocks_is_a_linear_probe_read_elsewhere(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path))
    run = plan.classifier("neuro", "simclr", "linear_blocks", 1.0, 1)
    assert "hparams/neuro_linear.yaml" in run.command
    assert option(run, "readout") == "block2+block3"
    assert option(run, "solver") == "lbfgs"
    run = plan.classifier("neuro", "simclr", "linear", 1.0, 1)
    assert not any("readout" in part for part in run.command)


def test_one_adaptation_to_other_infants_serves_all_folds(tmp_path, database):
    cries = database(",fold", cells=lambda i: f",{i // 2 % 3}")
    others = tmp_path / "others/recordings.csv"
    shutil.copytree(cries, others.parent)
    settings = studies.real(
        tmp_path, cries, folds=True, unlabelled=str(others.parent)
    )
    plan = studies.plan_of(settings)
    # That on labelled cries hears those of the training folds.
    assert len(plan.of_rule("train_adapt")) == 3 + len(adapted()) - 1
    adapt = plan.encoder("adapt_replay", 1)
    assert option(adapt, "cry_folder") == str(others.parent)
    assert option(adapt, "recordings_csv") == str(others)
    # No infant with a label is heard.
    (tables,) = plan.of_rule("tables")
    assert option(adapt, "exclude") == f"{tables.folder}/recordings.csv"
    assert option(adapt, "exclude_folder") == str(cries)
    run = plan.classifier("neuro", "adapt_replay", "linear", 1.0, 1)
    assert option(run, "encoder_source") == str(adapt.folder)
    (others.parent / "z.wav").touch()
    others.write_text(others.read_text() + "x,y,z.wav,,0,0\n")
    changed = studies.plan_of(settings).encoder("adapt_replay", 1)
    assert changed.folder != adapt.folder


def test_parents_come_before_and_commands_name_their_folders(tmp_path):
    plan, seen = studies.plan_of(studies.whole(tmp_path)), set()
    for run in plan.runs.values():
        assert set(run.parents) <= seen
        seen.add(run.name)
        if run.rule in ("train_simclr", "train_adapt", "train_supervised"):
            assert f"--output_folder={run.folder}" in run.command
    for encoder in adapted():
        source = option(plan.encoder(encoder, 1), "encoder_source")
        assert source == str(plan.encoder("simclr", 1).folder)


def test_commands_have_mode_encoder_fraction_and_seed(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path))
    for run in plan.of_rule("train_cls"):
        facts, text = run.facts, " ".join(run.command)
        hparams = facts["task"]
        mode = facts["mode"].replace("linear_blocks", "linear")
        assert f" hparams/{hparams}_{mode}.yaml " in text
        assert f"--label_fraction={facts['fraction']}" in text
        assert f"--seed={facts['seed']} " in text
        expected = {"random": "null", "random_calibrated": "random_calibrated"}
        name = facts["encoder"]
        folder = expected.get(name) or str(plan.encoder(name, 1).folder)
        assert option(run, "encoder_source") == folder


def test_leaving_out_encoders_changes_no_other_run(tmp_path):
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


def test_adaptation_excludes_held_out_patients(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path))
    for run in plan.of_rule("train_adapt"):
        assert "--excluded=drop" in run.command
        assert option(run, "exclude").endswith("held_out.csv")


@pytest.mark.parametrize(
    "path, value, pattern",
    [
        ("stages.linear_bn.lr", 0.5, r"\w+/linear_bn/"),
        ("stages.adapt.lr", 0.5, r"\w+/\w+/adapt_(labelled|all)/"
         r"|encoders/adapt_(labelled|all)/|embeddings/adapt_(labelled|all)"),
        ("stages.supervised.lr", 0.5, r"\w+/\w+/supervised/"
         r"|encoders/supervised/|embeddings/supervised"),
        ("stages.simclr.lr", 0.5, r"embeddings/|(?!corpus|audit|tables"
         r"|confounds|.*/(random|supervised))"),
        ("tasks.trigger.classes", ["pain", "hunger"], "trigger/"),
    ],
)  # fmt: skip
def test_a_change_moves_exactly_what_depends_on_it(
    tmp_path, path, value, pattern
):
    moved = moved_by(tmp_path, path, value)
    names = set(folders(studies.whole(tmp_path)))
    assert moved == {name for name in names if re.match(pattern, name)}
    assert moved and moved != names


def test_more_seeds_and_titles_move_nothing(tmp_path):
    assert not moved_by(tmp_path, "seeds", [1, 2, 3])
    assert not moved_by(tmp_path, "title", "another")
    assert not moved_by(tmp_path, "fractions", [0.1, 0.5, 1.0])


def test_a_study_may_be_moved(tmp_path):
    old = folders(studies.whole(tmp_path / "a"))
    new = folders(studies.whole(tmp_path / "b"))
    for name, folder in old.items():
        assert folder.relative_to(tmp_path / "a") == new[name].relative_to(
            tmp_path / "b"
        )


def test_the_data_of_a_study_may_be_moved(tmp_path, database):
    settings = studies.real(tmp_path, database())
    before = folders(settings)
    (tmp_path / "db").rename(tmp_path / "scratch")
    (tmp_path / "sounds").rename(tmp_path / "generic")
    settings["cries"] = f"{tmp_path}/generic/../scratch/"
    settings["generic"] = f"{tmp_path}/generic"
    assert folders(settings) == before


def test_other_data_is_another_study(tmp_path, database):
    folder = database()
    settings = studies.real(tmp_path, folder)
    before = folders(settings)
    table = folder / "recordings.csv"
    table.write_text(table.read_text().replace("s3", "s4"))
    after = folders(settings)
    assert {n for n in before if after[n] == before[n]} == {
        "encoders/simclr/1", "encoders/supervised/1",
    }  # fmt: skip
    settings["cries"] = "no/such/folder"
    with pytest.raises(InputError, match="recordings.csv cannot be read"):
        studies.plan_of(settings)


@pytest.mark.parametrize(
    "fold, words",
    [
        (lambda i: ["1/2", "b", "c"][i // 2 % 3], "fold is '1/2'; name folds"),
        (lambda i: ["..", "b", "c"][i // 2 % 3], "fold is '..'; name folds"),
        (lambda i: "0", "fold"),
    ],
)
def test_faulty_folds_are_refused(tmp_path, database, fold, words):
    folder = database(",fold", cells=lambda i: f",{fold(i)}")
    with pytest.raises(InputError, match=re.escape(words)):
        studies.plan_of(studies.real(tmp_path, folder, folds=True))


def test_both_tasks_have_the_same_folds(tmp_path, database):
    """Otherwise an encoder would be adapted to its validation patients."""

    def cells(i):
        patient = i // 2
        other = "" if patient % 4 == 3 else "ab"[patient // 4 % 2]
        return f",{patient % 4},{other}"

    folder = database(",fold,other", cells=cells)
    tasks = studies.settings("x")["tasks"]
    tasks["other"] = {"label_column": "other", "classes": ["a", "b"]}
    with pytest.raises(InputError, match="make other folds"):
        studies.plan_of(studies.real(tmp_path, folder, folds=True, tasks=tasks))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"nuisance": "phone"}, "no column 'phone'; correct nuisance"),
        ({"generic": "no/such"}, "no/such does not exist; correct `generic`"),
        (
            {"tasks": {"n": {"label_column": "neuro_injury",
                             "classes": ["healthy", "ill"]}}},
            "no row has neuro_injury 'ill', only healthy, injury",
        ),
    ],
)  # fmt: skip
def test_data_are_checked_before_any_run(tmp_path, database, changes, words):
    settings = {**studies.real(tmp_path, database()), **changes}
    with pytest.raises(InputError, match=re.escape(words)):
        studies.plan_of(settings)


def test_sounds_without_a_table_are_identified_by_their_files(
    tmp_path, database
):
    settings = studies.real(tmp_path, database())
    before = folders(settings)
    (tmp_path / "sounds/train/dog/b.wav").write_bytes(b"RIFF")
    after = folders(settings)
    assert after["encoders/simclr/1"] != before["encoders/simclr/1"]
    assert after["tables"] == before["tables"]


def test_each_fold_has_an_adapted_encoder(tmp_path, database):
    folder = database(",fold", cells=lambda i: f",{i // 2 % 3}")
    plan = studies.plan_of(studies.real(tmp_path, folder, folds=True))
    assert plan.folds == ["0", "1", "2"]
    assert len(plan.of_rule("train_adapt")) == 3 * len(adapted())
    run = plan.classifier("neuro", "adapt_all", "linear", 1.0, 1)
    assert "--folds=all" in run.command
    source = option(run, "encoder_source")
    for fold in plan.folds:
        encoder = plan.encoder("adapt_all", 1, fold)
        assert source.replace("{fold}", fold) == str(encoder.folder)
        assert encoder.name in run.parents
        assert f"all_{fold}.csv" in " ".join(encoder.command)
        assert f"held_out_{fold}.csv" in " ".join(encoder.command)


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
    settings = read_study(config["configfile"])
    settings["output_folder"] = str(tmp_path / "out")
    plan = studies.plan_of(settings)
    expected = collections.Counter(run.rule for run in plan.runs.values())
    expected.update(report=1, all=1)
    assert jobs(tmp_path, settings, profile) == expected
    assert not (tmp_path / "out").exists()


def jobs(folder, settings, profile="demo"):
    """Numbers of the jobs that Snakemake would run, by rule."""
    (folder / "study.yaml").write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile"]
        + ["recipes/study/Snakefile", "--profile", str(PROFILES / profile)]
        + ["--configfile", str(folder / "study.yaml"), "--dry-run"]
        + ["--nolock"], capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)
    by_rule = {name: int(n) for name, n in counts}
    assert by_rule.pop("total") == sum(by_rule.values())
    return by_rule


@pytest.mark.slow
@pytest.mark.parametrize("ahead_s", [-86400, 86400])
def test_a_clock_that_jumps_repeats_and_skips_nothing(ahead_s, tmp_path):
    """Encoders and tables of another day than the classifiers made of them."""
    pytest.importorskip("snakemake")
    settings = studies.settings(tmp_path / "out")
    plan = studies.plan_of(settings)
    *finished, unfinished = plan.of_rule("train_cls")
    for run in plan.runs.values():
        run.folder.mkdir(parents=True, exist_ok=True)
        kept = run.result if run != unfinished else run.folder / "log.txt"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text("{}")
        if run not in finished:
            then = kept.stat().st_mtime + ahead_s
            os.utime(kept, (then, then))
    assert len(finished) > 1
    left = {"train_cls": 1, "embed": 1}  # and the embeddings made of it
    assert jobs(tmp_path, settings) == {**left, "report": 1, "all": 1}


def test_every_pretraining_seed_embeds_generic_sounds(tmp_path):
    """Forgetting has a spread; the folders of the first seed do not change,
    nor those of any other run."""
    names = ["random", "simclr", "adapt_replay", "speech_embedding"]
    several, one = (
        studies.plan_of(
            studies.settings(
                tmp_path, encoders=names, seeds=[3, 4, 5],
                pretraining_seeds=seeds,
            )
        )
        for seeds in ([3, 4], [3])
    )  # fmt: skip
    for name in names:
        first, *others = several.embeddings(name)
        assert [run.folder for run in one.embeddings(name)] == [first.folder]
        seeds = [run.facts["seed"] for run in others]
        assert seeds == ([] if name == "speech_embedding" else [4])
        for run in others:
            assert not any("--cries" in part for part in run.command)
            encoder = several.encoder("simclr", 4).folder
            assert f"--sounds={encoder}/manifest/valid.csv" in run.command
            probe = several.classifier("neuro", name, "linear", 1.0, 4)
            assert run.parents[0] == probe.name
    mapped = several.embeddings("simclr")[0].command
    assert f"--cries={several.settings.cries}" in mapped


def test_encoders_have_different_names():
    labels = [encoder.label for encoder in ENCODERS.values()]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    "encoders, expected",
    [
        (("simclr",), {}),
        (("simclr", "adapt_control"), {}),
        (("simclr", "adapt_replay"), {"adapt_replay": "all"}),
        (("adapt_all", "adapt_replay"), {"adapt_all": "all"}),
        (
            ("adapt_replay_byol", "adapt_labelled"),
            {"adapt_labelled": "labelled", "adapt_replay_byol": "all"},
        ),
    ],
)
def test_the_page_names_the_cries_of_one_adaptation_each(encoders, expected):
    named = adaptations(SimpleNamespace(encoders=encoders))
    assert [*named.items()] == [*expected.items()]


def test_probes_share_embeddings_and_no_folder_depends_on_it(
    tmp_path, monkeypatch
):
    settings = studies.whole(tmp_path)
    plan = studies.plan_of(settings)
    for run in plan.of_rule("train_cls"):
        shared = f"--embedding_cache={plan.settings.output_folder}/{SHARED}"
        assert (shared in run.command) == (run.facts["mode"] in PROBES)
    before = folders(settings)
    monkeypatch.setattr("recipes.study.plan.SHARED", "elsewhere")
    assert folders(settings) == before
