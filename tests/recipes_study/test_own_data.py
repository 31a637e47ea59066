"""A study of one's own files as they are: names of columns, folds that are made,
folders without a table, and what is refused before any run starts."""

import csv
import fcntl
import json
import re
import shutil

import pytest
import studies
import yaml

from cry_modules.evaluation.final import STUDY_FILE
from data_prep.files.errors import InputError
from data_prep.files.tables import write_text
from recipes.study import cost, final, run
from recipes.study.cry_tables import write_tables
from recipes.study.report.doubtful import best_method
from recipes.study.report.results import Results
from recipes.study.settings import check_settings
from tests.planted import one_line

COLUMNS = {"patient_column": "Baby", "path_column": "File"}


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def option(run, name):
    (value,) = [p for p in run.command if p.startswith(f"--{name}=")]
    return value.partition("=")[2]


@pytest.fixture
def own(database):
    """The database as a German spreadsheet saves it, with its own columns."""
    table = database() / "recordings.csv"
    rows = read(table)
    lines = ["Baby;File;neuro_injury;site"]
    for row in rows:
        cells = (row["patient_id"], row["path"], row["neuro_injury"])
        lines.append(";".join((*cells, row["site"])))
    text = "\ufeff" + "\r\n".join(lines) + "\r\n"
    table.write_text(text, encoding="utf-8", newline="")
    return table.parent


def test_a_table_is_read_by_its_own_columns(tmp_path, own):
    settings = studies.real(tmp_path, own, **COLUMNS)
    plan = studies.plan_of(settings)
    (tables,) = plan.of_rule("tables")
    assert option(tables, "patient_column") == "Baby"
    assert option(tables, "path_column") == "File"
    # All other runs read the tables that are made of it.
    for other in plan.runs.values():
        if other is not tables:
            assert "Baby" not in " ".join(other.command)
    estimate = cost.size_of(plan.settings, 0)
    assert estimate.labelled == 28  # of 40, 70 %
    write_tables(
        own, own / "recordings.csv", tmp_path / "out", ["neuro_injury"],
        named=plan.settings.named,
    )  # fmt: skip
    first = read(tmp_path / "out/recordings.csv")[0]
    assert first["patient_id"] == "P0" and first["path"] == "audio/r0.wav"
    assert first["recording_id"] == "audio/r0.wav"


def test_missing_columns_are_named_at_once(tmp_path, own):
    with pytest.raises(InputError) as error:
        studies.plan_of(studies.real(tmp_path, own))
    for name in ("'patient_id'", "'path'"):
        assert f"no column {name}" in str(error.value)


def test_folds_are_made_of_whole_patients(tmp_path, own):
    settings = studies.real(tmp_path, own, folds=3, **COLUMNS)
    plan = studies.plan_of(settings)
    assert plan.folds == ["0", "1", "2"]
    (tables,) = plan.of_rule("tables")
    assert option(tables, "make_folds") == "3"
    out = tmp_path / "tables"
    write_tables(
        own, own / "recordings.csv", out, ["neuro_injury"], make_folds=3,
        named=plan.settings.named,
    )  # fmt: skip
    folds = {}
    for row in read(out / "recordings.csv"):
        folds.setdefault(row["patient_id"], set()).add(row["fold"])
        injured = int(row["patient_id"][1:]) < 6
        assert row["neuro_injury"] == ("injury" if injured else "healthy")
    assert all(len(values) == 1 for values in folds.values())
    injured = [fold for p, (fold,) in folds.items() if int(p[1:]) < 6]
    assert sorted(injured) == ["0", "0", "1", "1", "2", "2"]
    classifier = plan.classifier("neuro", "adapt_all", "linear", 1.0, 1)
    assert "--folds=all" in classifier.command
    # As many of each as the plan expects.
    assert (out / tables.result.name).is_file()


def test_other_infants_need_no_table(tmp_path, own, noise):
    noise("others/2021/a.wav")
    for cry in range(15):
        noise(f"others/b{cry}.flac")
    settings = studies.real(
        tmp_path, own, unlabelled=str(tmp_path / "others"), **COLUMNS
    )
    plan = studies.plan_of(settings)
    adapt = plan.encoder("adapt_replay", 1)
    assert option(adapt, "cry_folder") == str(tmp_path / "others")
    named = [p for p in adapt.command if p.startswith("--recordings_csv")]
    assert named == []
    assert cost.size_of(plan.settings, 0).everything == 16
    # What they hold is part of what the adaptation depends on.
    noise("others/c.wav")
    changed = studies.plan_of(settings)
    assert changed.encoder("adapt_replay", 1).folder != adapt.folder
    simclr = plan.encoder("simclr", 1).folder
    assert changed.encoder("simclr", 1).folder == simclr


def test_a_table_of_other_infants_may_have_the_same_columns(tmp_path, own):
    shutil.copytree(own, tmp_path / "others")
    settings = studies.real(
        tmp_path, own, unlabelled=str(tmp_path / "others"), **COLUMNS
    )
    adapt = studies.plan_of(settings).encoder("adapt_replay", 1)
    assert option(adapt, "patient_column") == "Baby"


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"unlabelled": "none"},
            "none does not exist; correct `unlabelled`",
        ),
        (
            {"unlabelled": "{tmp}/texts"},
            "texts holds no audio file (.wav, .flac, .ogg and the like)",
        ),
        (
            {"unlabelled": "{tmp}/plain"},
            "unlabelled {tmp}/plain has 1 audio files, 0 to train with, and a "
            "batch of stages: adapt",
        ),
        (
            {"generic": "{tmp}/plain", "encoders": ["simclr"]},
            "generic {tmp}/plain has 1 audio files, 0 to train with, and a "
            "batch of stages: simclr holds 8 of them; add some, or lower its "
            "batch_size of 8",
        ),
        (
            {"generic": "{tmp}/plain"},
            "encoders has 'supervised', and the sounds of {tmp}/plain have no "
            "labels to train and test with (vggsound.csv, or train/<class>/ "
            "and test/<class>/); leave supervised out of encoders",
        ),
        (
            {"output_folder": "{tmp}/sounds/study"},
            "is inside {tmp}/sounds, whose files are read; choose an output "
            "folder outside it",
        ),
        (
            {"output_folder": "{tmp}/sounds"},
            "is inside {tmp}/sounds, whose files are read",
        ),
        (
            {"unlabelled": "{tmp}/plain", "output_folder": "{tmp}/plain/a/b"},
            "is inside {tmp}/plain, whose files are read",
        ),
        ({"patient_column": "Babby"}, "no column 'Babby' (Baby?)"),
        ({"folds": 2}, "folds is 2; it must be true or false, a number"),
        ({"folds": 3.5}, "folds is 3.5; it must be true or false, a number"),
        ({"folds": 30}, "20 patients cannot be put into 30 folds"),
        (
            {"stages": {"simclr": {"path_column": "File"}}},
            "stages: simclr is 'path_column'; the study sets it",
        ),
    ],
)
def test_what_stops_a_run_is_refused_before(
    tmp_path, own, noise, changes, words
):
    noise("plain/a.wav")
    (tmp_path / "texts").mkdir()
    changes = {
        name: value.format(tmp=tmp_path) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    settings = {**studies.real(tmp_path, own, **COLUMNS), **changes}
    with pytest.raises(InputError) as error:
        studies.plan_of(settings)
    assert words.format(tmp=tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "split, words",
    [
        (lambda i: "Test", "row 2: split is 'Test'; expected one of train"),
        (lambda i: "train", "valid is empty"),
        (
            lambda i: "train" if i > 20 else ("valid", "test")[i // 2 % 2],
            "class 'injury' has no recording in train; correct the column",
        ),
    ],
)
def test_a_split_that_no_run_could_use_is_refused(
    tmp_path, database, split, words
):
    folder = database(",split", cells=lambda i: f",{split(i)}")
    with pytest.raises(InputError, match=words):
        studies.plan_of(studies.real(tmp_path, folder))


def test_a_row_without_its_audio_is_refused(tmp_path, own):
    moved = own / "audio/r7.wav"
    (own / "later").mkdir()
    moved.rename(own / "later/r7.wav")
    with pytest.raises(InputError) as error:
        studies.plan_of(studies.real(tmp_path, own, **COLUMNS))
    assert str(error.value).startswith("recordings.csv row 9: audio/r7.wav is")
    assert "which may be later/r7.wav" in str(error.value)


def test_a_row_that_no_run_reads_may_lack_its_audio(tmp_path, own, noise):
    """One without a label, where adaptation hears other infants."""
    table = own / "recordings.csv"
    for cry in range(15):
        noise(f"others/{cry}.wav")
    text = table.read_text(encoding="utf-8")
    text = text.replace("r7.wav;injury", "gone.wav;")
    table.write_text(text, encoding="utf-8")
    settings = studies.real(tmp_path, own, **COLUMNS)
    with pytest.raises(InputError, match=re.escape("gone.wav")):
        studies.plan_of(settings)
    studies.plan_of({**settings, "unlabelled": str(tmp_path / "others")})


def test_a_column_of_folds_is_not_replaced(tmp_path, database):
    folder = database(",fold", cells=lambda i: f",{i // 2 % 3}")
    with pytest.raises(InputError, match="has a column 'fold' already; use it"):
        studies.plan_of(studies.real(tmp_path, folder, folds=4))


def test_a_short_run_does_not_correct_the_hours_of_trainings(tmp_path):
    plan = studies.plan_of(studies.settings(tmp_path))
    estimate, runs = cost.Estimate(plan), [*plan.runs.values()]
    tables = plan["tables"]
    path = cost.file_of(tables.folder, plan.settings)
    path.parent.mkdir(parents=True)
    path.write_text("s\tmax_rss\tcpu_time\n99\t1\t1\n")
    left = [one for one in runs if one is not tables]
    assert estimate.of(left, [tables]) == estimate.of(left, [])


def test_the_final_model_is_the_best_of_an_encoder_that_no_fold_has_heard(
    tmp_path, own, noise, monkeypatch, capsys
):
    """The rule is that of the page's best method (a stranger's first finding:
    the shared model was not the best one, and nothing said so)."""
    for cry in range(15):
        noise(f"others/{cry}.wav")
    encoders = ["random_calibrated", "simclr", "adapt_replay"]
    changes = {"encoders": encoders, "modes": ["linear", "linear_blocks"]}
    settings = studies.real(tmp_path, own, folds=3, **COLUMNS, **changes)
    others = {"unlabelled": str(tmp_path / "others")}
    started = []
    monkeypatch.setattr("os.execv", lambda _, command: started.append(command))
    for changes, encoder in (({}, "simclr"), (others, "adapt_replay")):
        plan = studies.plan_of({**settings, **changes})
        folder = plan.settings.output_folder
        folder.mkdir(exist_ok=True)
        text = yaml.safe_dump({**settings, **changes})
        write_text(folder / "study.yaml", text)
        nothing = one_line(final.choose, Results(plan))
        assert "no classifier that could be the final model" in nothing
        shutil.rmtree(folder / "classifiers", ignore_errors=True)
        studies.pretend(plan)
        with studies.fewer_draws():
            choice = final.choose(Results(plan))
        assert f"encoder {encoder} is not trained" in one_line(
            final.final_command, plan, choice, folder
        )
        done = plan.encoder(encoder, 1).result
        done.parent.mkdir(parents=True)
        done.touch()
        assert f"-m recipes.study.final {folder}" in run.farewell(plan)
        if (folder / "final").exists():
            with studies.fewer_draws(), pytest.raises(SystemExit):
                final.main([str(folder)])
            refusal = capsys.readouterr().err
            assert f"{folder}/final holds the final model of SimCLR" in refusal
            shutil.rmtree(folder / "final")
        with studies.fewer_draws():
            final.main([str(folder)])
        command = started.pop()
        assert f"--encoder_source={plan.encoder(encoder, 1).folder}" in command
        assert {"--folds=all", "--final=True"} < set(command)
        assert f"--output_folder={folder}/final" in command
        line, typed = capsys.readouterr().out.strip().split("\n")
        assert "python train_cls.py" in typed
        check_choice(plan, line, command)
        study = json.loads((folder / "final" / STUDY_FILE).read_text())
        assert study["is_best"] == (encoder == "adapt_replay")
        assert str(tmp_path) not in json.dumps(study)
    unknown = one_line(final.choose, Results(plan), "supervised")
    assert "--encoder supervised is not in this study" in unknown
    with studies.fewer_draws():
        check_double_start(folder, capsys)
    (command,) = started
    assert f"--output_folder={folder}/final_simclr_linear" in command
    assert "on the page, where" in capsys.readouterr().out
    plan = studies.plan_of({**settings, "folds": False})
    assert "needs a study with folds" in one_line(final.choose, Results(plan))
    assert "recipes.study.final" not in run.farewell(plan)


def check_double_start(folder, capsys):
    """While the training of a final model holds its lock, nothing changes."""
    arguments = [str(folder), "--encoder", "simclr", "--mode", "linear"]
    final.main(arguments)
    printed = capsys.readouterr().out
    made = folder / "final_simclr_linear"
    before = (made / STUDY_FILE).stat().st_mtime_ns
    with open(made / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SystemExit):
            final.main(arguments)
    assert f"{made} is in use by" in capsys.readouterr().err
    assert (made / STUDY_FILE).stat().st_mtime_ns == before
    print(printed, end="")


def check_choice(plan, line, command):
    """The line names the page's best method, or why it cannot be final; the
    command has no embeddings of runs, which the study has deleted."""
    assert not any("embedding_cache" in part for part in command)
    with studies.fewer_draws():
        results = Results(plan)
        encoder, mode = best_method(results, "neuro")
        mean = results.cell("neuro", encoder, mode).mean
    label = final.method_in_words(encoder, mode)
    assert f"{mean:.3f}" in line and line.endswith("--encoder, --mode)")
    if plan.adapted_folds(encoder):
        assert f"where {label} has the highest" in line
        assert "another encoder in each fold" in line
    else:
        assert line.startswith(f"final model: {label} (AUC {mean:.3f} on the ")
        assert "the highest of 6: a choice that flatters it" in line
        assert ("--readout=block2+block3" in command) == (
            mode == "linear_blocks"
        )


def test_settings_of_own_data_are_read(tmp_path):
    settings = studies.real(tmp_path, tmp_path, folds=4, **COLUMNS)
    read_settings = check_settings(settings, "study.yaml")
    assert read_settings.folds == 4
    assert read_settings.named == {"patient_id": "Baby", "path": "File"}
