"""The yaml file of a study of one's own recordings: what is read, chosen, left
out and refused, and that the study can then be planned."""

import logging
import re
import subprocess

import pytest
import torch
import yaml

from data_prep.corpora.stratify import fold_patients, strata
from data_prep.manifest import Recording
from recipes.study import cost, new, proposal, survey
from recipes.study.plan import Plan
from recipes.study.run import ROOT
from recipes.study.settings import check_settings, read_study

#: Babies of the tests: a recording of each condition.
CONDITIONS = ("Bath", "Vaccination")


class Evening:
    """A newcomer's folders, and the command on them."""

    def __init__(self, tmp_path, noise, capsys):
        self.tmp, self.noise, self.capsys = tmp_path, noise, capsys
        self.rows = []
        for sound in range(10):
            folder = ("", "street/", "house/kitchen/")[sound % 3]
            noise(f"sounds/{folder}s{sound}.wav", seconds=0.5)
        for cry in range(10):
            noise(f"unlabelled/rec_{cry}.wav", seconds=0.3, rate=8000)

    def babies(self, n, conditions=CONDITIONS, **row):
        """Record some more babies, one recording for each condition."""
        for baby in range(len(self.rows), len(self.rows) + n):
            for condition in conditions:
                name = f"b{baby}_{condition}.wav"
                self.noise(f"labelled/{name}", seconds=0.4)
                cells = {"Baby": f"B{baby}", "File": name}
                self.rows.append({**cells, "Condition": condition, **row})

    def table(self, separator=";", title=""):
        """Write the table."""
        lines = [separator.join(self.rows[0])]
        lines += [separator.join(row.values()) for row in self.rows]
        path = self.tmp / "labelled/babies.csv"
        text = "\ufeff" + title + "\r\n".join(lines) + "\r\n"
        path.write_text(text, encoding="utf-8", newline="")
        return path

    def __call__(self, *more, sounds="sounds", unlabelled=None, status=None):
        """Type the command; return the lines that it prints."""
        argv = [f"--cries={self.tmp}/labelled/babies.csv"]
        if not any(part.startswith("--label_column") for part in more):
            argv.append("--label_column=Condition")
        folders = {"sounds": sounds, "unlabelled": unlabelled}
        argv += [f"--{k}={self.tmp}/{v}" for k, v in folders.items() if v]
        argv += [f"--out={self.tmp}/my_study.yaml"]
        if not any(part.startswith("--output_folder") for part in more):
            argv.append(f"--output_folder={self.tmp}/study")
        argv += more
        try:
            new.main(argv)
        except SystemExit as stop:
            assert stop.code == 2 and status == 2
            printed = self.capsys.readouterr()
            (line,) = [
                line
                for line in printed.err.splitlines()
                if line.startswith("error: ")
            ]
            assert printed.out == ""
            return line
        assert status is None
        return self.capsys.readouterr().out.splitlines()

    @property
    def study(self):
        return self.tmp / "my_study.yaml"

    @property
    def settings(self):
        return check_settings(read_study(self.study), "study")


@pytest.fixture
def evening(tmp_path, noise, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(new, "_speed", lambda values: 0.5)
    return Evening(tmp_path, noise, capsys)


def user_files(folder):
    return {
        path: path.read_bytes()
        for name in ("labelled", "unlabelled", "sounds")
        for path in (folder / name).rglob("*")
        if path.is_file()
    }


def test_an_evening(evening):
    evening.babies(6)
    evening.table()
    before = user_files(evening.tmp)
    lines = evening(unlabelled="unlabelled")
    assert len(lines) <= 10
    assert lines[-1] == f"make study STUDY={evening.study}"
    assert "column Baby; files: File" in lines[0]
    assert "Bath 6 of 6 patients, Vaccination 6 of 6 patients" in lines[0]
    text = evening.study.read_text(encoding="utf-8")
    assert 18 <= len(text.splitlines()) <= 30
    # Every line has its reason, but for those that no choice was made of.
    assert text.count(" # ") >= 18
    settings = evening.settings
    assert settings.encoders == ("random_calibrated", "simclr", "adapt_replay")
    assert settings.modes == ("linear", "linear_blocks")
    assert settings.folds == 3 and settings.fractions == (1.0,)
    assert settings.tasks[0].classes == CONDITIONS
    assert settings.seeds == settings.pretraining_seeds == (1, 2, 3)
    plan = Plan(settings)
    assert len(plan.of_rule("train_adapt")) == 3  # one for all folds
    # The hours that were printed are those of the plan.
    seconds = cost.Estimate(plan).of(plan.runs.values(), []) / 2
    assert cost.in_words(seconds) in "".join(lines) and settings.speed == 0.5
    assert user_files(evening.tmp) == before
    # Both libraries of yaml read the same.
    assert yaml.safe_load(text)["folds"] == 3
    # Again is the same; a change is never lost.
    stamp = evening.study.stat().st_mtime_ns
    assert "unchanged" in evening(unlabelled="unlabelled")[-2]
    assert evening.study.stat().st_mtime_ns == stamp
    line = evening("--width=4", unlabelled="unlabelled", status=2)
    assert "exists, and is of other data, options or changes" in line
    assert evening.study.read_text(encoding="utf-8") == text


def test_what_the_data_cannot_carry_is_left_out_and_said(evening):
    evening.babies(14)
    evening.table()
    said = "\n".join(evening())
    assert "supervised (the sounds have no labels)" in said
    assert "no --unlabelled: to the training folds only" in said
    plan = Plan(evening.settings)
    assert plan.settings.folds == 4
    assert len(plan.of_rule("train_adapt")) == 4 * 3  # each fold, each seed


def test_too_few_cries_are_not_adapted_to(evening):
    evening.babies(6)
    evening.table()
    assert "adaptation (too few cries to train with)" in "\n".join(evening())
    assert evening.settings.encoders == ("random_calibrated", "simclr")
    assert Plan(evening.settings).of_rule("train_adapt") == []


def test_sounds_with_labels_have_a_supervised_encoder(evening):
    evening.babies(6)
    evening.table()
    for split, n in (("train", 9), ("test", 2)):
        for kind in ("dog", "rain"):
            for sound in range(n):
                evening.noise(f"classes/{split}/{kind}/{sound}.wav", 0.4)
    said = "\n".join(evening(sounds="classes"))
    assert "supervised" in evening.settings.encoders
    assert "supervised (" not in said
    Plan(evening.settings)


@pytest.mark.parametrize(
    "n, folds",
    [(6, 3), (8, 3), (9, 3), (11, 3), (12, 4), (15, 5), (22, 5), (200, 5)],
)
def test_few_patients_have_fewer_folds(n, folds):
    choice = proposal.choose_folds(cries_of(300, n))
    assert choice.folds == folds
    # Two or more in each, and the reason is given.
    assert f"{n} patients of b, the rarest class; {n // folds} or" in choice.why


def cries_of(n_a, n_b, n_both=0):
    """Labelled cries of so many patients of class a, b and both."""
    patients = {"a": {f"a{i}" for i in range(n_a)}}
    patients["b"] = {f"b{i}" for i in range(n_b)}
    for name in ("a", "b"):
        patients[name] |= {f"both{i}" for i in range(n_both)}
    listed = [
        Recording(f"{p}{name}", 1.0, "", 0.0, 1.0, name, p, "")
        for name, ids in patients.items()
        for p in sorted(ids)
    ]
    return survey.Cries(
        "t.csv", ".", {"patient_id": "Baby"}, "L", ["a", "b"], set(), listed,
        [], {}, patients,
    )  # fmt: skip


@pytest.mark.parametrize("sizes", [(0, 0, 22), (3, 2, 17), (40, 2, 7)])
def test_patients_of_both_classes_count_for_both(sizes):
    cries = cries_of(*sizes)
    choice = proposal.choose_folds(cries)
    fold_of = fold_patients(strata(cries.listed), choice.folds, seed=0)
    counts = [
        sum(fold_of[p] == fold for p in ids)
        for ids in cries.patients.values()
        for fold in {*fold_of.values()}
    ]
    assert min(counts) >= 2
    assert f"{min(counts)} or more of each class in a fold" in choice.why


def test_a_column_of_folds_is_used(evening):
    for fold in range(3):
        evening.babies(2, Fold=f"f{fold}")
    for row in evening.rows:
        row["fold"] = row.pop("Fold")
    evening.table()
    assert "the table's own column 'fold'" in "".join(evening())
    assert evening.settings.folds is True
    assert Plan(evening.settings).folds == ["f0", "f1", "f2"]


def test_a_split_is_used(evening):
    for split in ("train", "valid", "test"):
        evening.babies(2, split=split)
    evening.table()
    assert "folds: none: the table's own column 'split'" in evening()
    assert evening.settings.folds is False


@pytest.mark.parametrize("label", ["no", "1", "a, b", "x: y", "Grün #2", "-"])
def test_any_label_is_read_back(label):
    text = f"value: {proposal._flow([label, 'other'])}\n"
    assert yaml.safe_load(text)["value"] == [label, "other"]


def test_classes_may_be_words_of_yaml(evening):
    evening.babies(6, conditions=("no", "yes"))
    evening.table()
    evening("--positive=no")
    assert evening.settings.tasks[0].classes == ("yes", "no")
    Plan(evening.settings)


def test_three_classes(evening):
    evening.babies(6, conditions=("Bath", "Hunger", "Pain"))
    evening.table()
    evening()
    assert evening.settings.tasks[0].hparams == "trigger"
    Plan(evening.settings)


def test_columns_with_other_names_are_named(evening):
    evening.babies(6)
    for row in evening.rows:
        row["Case"] = row.pop("Baby")
    evening.table(separator=",")
    line = evening(status=2)
    assert "no column 'patient_id'" in line and "--patient_column NAME" in line
    assert "(column Case; files: File)" in evening("--patient_column=Case")[0]


def test_names_alone_are_found_in_sub_folders(evening):
    evening.babies(6)
    for row in evening.rows:
        file = evening.tmp / "labelled" / row["File"]
        (file.parent / row["Baby"]).mkdir(exist_ok=True)
        row["File"] = file.rename(file.parent / row["Baby"] / file.name).stem
    evening.table()
    assert "files: File" in evening()[0]


def test_a_mistyped_column_is_named_with_the_nearest(evening):
    evening.babies(6)
    evening.table()
    line = evening("--label_column=Conditions", status=2)
    assert "no column 'Conditions' (Condition?)" in line
    assert "patient_id" not in line  # which is told by its name


def _three_babies(evening):
    evening.babies(3)
    return (
        "3 patients of Baby with Condition 'Bath', and folds need 6 or more of "
        "each class, two to train, two to validate and two to test"
    )


def _one_class(evening):
    evening.babies(8, conditions=("Bath",))
    return "all labels in Condition are 'Bath'"


def _a_class_of_one_baby(evening):
    evening.babies(8, conditions=("Bath",))
    evening.babies(1, conditions=("Vaccination",))
    return "1 patient of Baby with Condition 'Vaccination', and folds need 6"


def _a_row_without_file(evening):
    evening.babies(6)
    (evening.tmp / "labelled/b0_Bath.wav").unlink()
    return "babies.csv row 2: b0_Bath.wav is not in"


def _a_file_elsewhere(evening):
    evening.babies(6)
    (evening.tmp / "labelled/old").mkdir()
    file = evening.tmp / "labelled/b0_Bath.wav"
    file.rename(evening.tmp / "labelled/old/b0_Bath.wav")
    return "which may be old/b0_Bath.wav"


def _one_file_twice(evening):
    evening.babies(6)
    evening.rows.append({**evening.rows[0]})
    return "b0_Bath.wav is listed in babies.csv row 2 already"


@pytest.mark.parametrize(
    "case",
    [
        _three_babies, _one_class, _a_class_of_one_baby, _a_row_without_file,
        _a_file_elsewhere, _one_file_twice,
    ],
)  # fmt: skip
def test_what_no_study_can_be_made_of_is_one_line(evening, case):
    words = case(evening)
    evening.table()
    assert words in evening(status=2)
    assert not evening.study.exists()
    assert not (evening.tmp / "study").exists()


def test_a_title_a_german_column_and_a_total(evening):
    """A stranger's list, which took three tries."""
    evening.babies(6, Bemerkung="")
    for row in evening.rows:
        row["Kind"] = row.pop("Baby")
    evening.table(title="Unsere Babys;;;\r\n\r\n")
    with open(evening.tmp / "labelled/babies.csv", "a") as file:
        file.write(";;Summe: 12;\n")
    lines = evening()
    assert "12 recordings of 6 patients (column Kind; files: File)" in lines[0]


@pytest.mark.parametrize(
    "options, words",
    [
        (
            {"sounds": None},
            "--sounds is missing, and every encoder begins with them; pass a "
            "folder of a few hundred recordings of anything but these babies",
        ),
        ({"sounds": "no"}, "no does not exist"),
        ({"sounds": "labelled"}, "12 files of {tmp}/labelled are labelled"),
        (
            {"unlabelled": "labelled"},
            "all files of {tmp}/labelled are labelled cries",
        ),
        (
            {"more": "--output_folder={tmp}/sounds/x"},
            "is inside {tmp}/sounds, whose files are read",
        ),
        ({"more": "--positive=Pain"}, "--positive is 'Pain', which is not one"),
        ({"more": "--seeds=0"}, "--seeds is 0; it must be 1 or more"),
        ({"more": "--lable=x"}, "--lable is not an option"),
    ],
)
def test_a_mistake_is_one_line(evening, options, words):
    evening.babies(6)
    evening.table()
    more = [part.format(tmp=evening.tmp) for part in [options.get("more", "")]]
    folders = {k: v for k, v in options.items() if k != "more"}
    line = evening(*filter(None, more), **folders, status=2)
    assert words.format(tmp=evening.tmp) in line
    assert not evening.study.exists()
    assert not (evening.tmp / "study").exists()


def test_copies_of_labelled_cries_are_counted(evening):
    evening.babies(6)
    evening.table()
    copy = evening.tmp / "labelled/b0_Bath.wav"
    (evening.tmp / "unlabelled/copy.wav").write_bytes(copy.read_bytes())
    said = "\n".join(evening(unlabelled="unlabelled"))
    assert "(1 labelled ones are left out)" in said


def test_copies_among_the_sounds_are_said(evening, caplog):
    evening.babies(6)
    evening.table()
    path = sorted((evening.tmp / "sounds").rglob("*.wav"))[0]
    path.with_name("again.wav").write_bytes(path.read_bytes())
    caplog.set_level("WARNING")
    evening()
    (line,) = [m for m in caplog.messages if m.startswith("--sounds: ")]
    assert re.fullmatch(
        r"--sounds: 1 exact and 0 near copies: see \S+/duplicates.csv", line
    )


def test_few_sounds_are_refused(evening):
    evening.babies(6)
    evening.table()
    for path in [*(evening.tmp / "sounds").rglob("*.wav")][:2]:
        path.unlink()
    assert "has 8 sounds, which leaves 7 to train with, and" in evening(
        status=2
    )


def test_the_speed_is_that_of_training_steps():
    """Threads, random states and the log level are as before."""
    torch.manual_seed(1)
    before = torch.get_num_threads(), torch.random.get_rng_state()
    stages = {"simclr": {"chunk_s": 0.32, "batch_size": 8}}
    # A step of the smallest encoder takes between a millisecond and a minute.
    assert 0.01 <= new._speed({"width": 1, "stages": stages}) < 1000
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert logging.root.manager.disable == logging.NOTSET


def test_a_study_of_ones_own_needs_no_profile():
    for variables, words in (
        (["STUDY=mine.yaml"], "run real --study 'mine.yaml'"),
        (["STUDY=mine.yaml", "PROFILE=slurm"], "run slurm --study 'mine.yaml'"),
        ([], "recipes.study.run demo"),
    ):
        made = subprocess.run(
            ["make", "--dry-run", "study", *variables],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
        assert words in made.stdout
