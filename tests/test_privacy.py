"""Shared files of a run and of a study name no patient, date or place."""

import csv
import json
import re
import shutil
import zipfile

import pytest
import soundfile
import yaml

from cry_modules.evaluation.columns import is_date, refuse_personal
from cry_modules.export.facts import subgroup_facts
from cry_modules.export.folder import export
from cry_modules.figures.training import names_of
from data_prep.files.errors import InputError
from recipes.study.report.page import make_report
from tests.recipes_study import studies

#: Files of a run for its user's own analysis, which hold ids and paths.
OWN = ("**/predictions_*.csv", "manifest/*", "manifest/*/*", "hyperparams.yaml")
EXAMINERS = ("Dr. Hartmann", "Nurse Okafor")


@pytest.fixture(scope="module")
def hospital(clinic, tmp_path_factory):
    """The clinic's recordings in a folder with a place and a date in its name,
    with columns of examiners and days."""
    folder = tmp_path_factory.mktemp("StMary_2019-03-14")
    with open(clinic / "recordings.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for i, row in enumerate(rows):
        (folder / row["path"]).symlink_to(clinic / row["path"])
        patient = int(row["patient_id"].split("-")[1])
        row["examiner"] = EXAMINERS[patient // 3 % 2]
        row["day"] = f"2021-0{1 + patient // 9}-17"
        row["recorded_at"] = f"2021-02-03T04:05:{i:02}"
    with open(folder / "recordings.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "corpus.json").write_text('{"name": "cries", "synthetic": false}')
    return folder


def planted(hospital):
    """Everything about a person or a place that the table and paths hold."""
    with open(hospital / "recordings.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ("patient_id", "recording_id", "path", "recorded_at", "day")
    words = {row[column] for row in rows for column in columns}
    return words | {"StMary", "2019-03-14", "anna.smith"}


@pytest.fixture(scope="module")
def run(hospital, pretrained, script, tmp_path_factory):
    """A classifier of these recordings, on an encoder in a person's folder."""
    out = tmp_path_factory.mktemp("anna.smith")
    encoder = out / "results/pretraining/2022"
    shutil.copytree(pretrained, encoder)
    folder = out / "classifier"
    script(
        "train_cls.py", "hparams/neuro_linear.yaml", "--width=1",
        "--batch_size=4", "--number_of_epochs=2", "--bootstrap_draws=100",
        "--device=cpu", "--noprogressbar", f"--data_folder={hospital}",
        f"--encoder_source={encoder}", f"--output_folder={folder}",
        "--subgroups=site,examiner", "--nuisance=site", curves=True,
    )  # fmt: skip
    return folder


def texts(folder, skip=()):
    """Every file of a folder as text, also what archives and pictures say."""
    skipped = {path for pattern in skip for path in folder.glob(pattern)}
    for path in sorted(set(folder.rglob("*")) - skipped):
        if not path.is_file():
            continue
        yield path.relative_to(folder), path.read_bytes().decode("latin-1")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield name, archive.read(name).decode("latin-1")


def test_what_a_run_shares_names_nobody(run, hospital):
    secrets = planted(hospital)
    read = 0
    for name, text in texts(run, OWN):
        read += 1
        # SpeechBrain's log names the folder of the run.
        of_paths = {"anna.smith", "StMary", "2019-03-14"}
        in_log = str(name).endswith("log.txt")
        for secret in secrets - (of_paths if in_log else set()):
            assert not re.search(rf"\b{re.escape(secret)}\b", text), name
    assert read > 15
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["encoder_source"] == "pretraining/2022"
    report = (run / "report.md").read_text()
    assert "linear on pretraining/2022" in report
    picture = (run / "figures/roc.svg").read_text()
    assert "Encoder pretraining (2022)" in picture
    # Requested by name, and for the user.
    assert EXAMINERS[0] in report and EXAMINERS[0] in str(metrics["subgroups"])


def test_what_is_exported_names_nobody(run, hospital, tmp_path):
    onnx = bool(pytest.importorskip("onnx"))
    export(str(run), str(tmp_path / "model"), onnx=onnx)
    secrets = planted(hospital) | {*EXAMINERS, "examiner"}
    names = set()
    for name, text in texts(tmp_path / "model"):
        names.add(str(name))
        for secret in secrets:
            assert not re.search(rf"\b{re.escape(secret)}\b", text), name
    assert {"model.json", "README.md", "model.onnx", "hyperparams.yaml",
            "model.safetensors"} <= names  # fmt: skip
    described = json.loads((tmp_path / "model/model.json").read_text())
    assert set(described["subgroups"]) == {"site"}


def test_further_subgroups_are_exported_by_name(run, tmp_path):
    export(str(run), str(tmp_path / "model"), subgroups="examiner")
    assert EXAMINERS[0] in (tmp_path / "model/README.md").read_text()
    with pytest.raises(InputError, match="--subgroups names 'room', by which"):
        export(str(run), str(tmp_path / "other"), subgroups="room")
    block = {"n": 8, "n_patients": 8}
    groups = {"[2021-01-17, 2021-02-17)": block, "(not given)": block}
    assert subgroup_facts({"subgroups": {"age": {"groups": groups}}}) == {}


@pytest.mark.parametrize("option", ["subgroups", "nuisance"])
def test_dates_are_no_groups(option, hospital, script, tmp_path):
    output = script(
        "train_cls.py", "hparams/neuro_linear.yaml", "--width=1",
        f"--data_folder={hospital}", f"--output_folder={tmp_path}/run",
        "--device=cpu", f"--{option}=site,day", status=2,
    ).output  # fmt: skip
    assert f"{option} is day, which holds" in output.strip().split("\n")[-1]
    for column in ("day", "recorded_at"):
        with pytest.raises(InputError, match=f"folds is {column}, which"):
            refuse_personal(column, "folds", ["2021-01-17"])


def test_dates_are_recognised():
    for text in ("2021-01-17", "17.01.2021", "1/17/21", "20210117", "Jan 2021",
                 "17 January 2021", "2021-01", "2021/1/7 10:30", "7-Feb-21",
                 "20210117T1030", "17-01-2021 10:00"):  # fmt: skip
        assert is_date(text), text
    for text in ("2021", "3", "0.5", "12-24 weeks", "20219999", "s1", "A-17",
                 "maybe 20", "marta 2", "1.5-2.5", ""):  # fmt: skip
        assert not is_date(text), text


def test_a_studys_page_names_nobody(tmp_path):
    out = tmp_path / "anna.smith/StMary"
    settings = studies.settings(out)
    out.mkdir(parents=True)
    (out / "study.yaml").write_text(yaml.safe_dump(settings))
    studies.pretend(studies.plan_of(settings))
    with studies.fewer_draws():
        make_report(out)
    kept = {out / "doubtful.csv", out / "study.yaml"}  # to find recordings by
    shared = [p for p in out.glob("*") if p.is_file() and p not in kept]
    shared += (out / "figures").glob("*")
    assert len(shared) > 5
    for path in shared:
        text = path.read_text("utf-8")
        for secret in ("SECRET", "anna.smith", "StMary", str(tmp_path)):
            assert secret not in text, path


def test_curves_are_titled_by_the_run(tmp_path):
    folder = str(tmp_path / "anna/results/vggsound/2022")
    assert names_of([folder]) == ["vggsound/2022"]
    assert names_of([folder, f"{folder}/b"]) == ["2022", "2022/b"]


def test_views_name_no_recording(hospital, run, tmp_path, command_of):
    out = tmp_path / "views.svg"
    done = command_of("cry_modules.views")(
        run / "manifest/train.csv", "--data_folder", hospital, "--out", out,
        "--n", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    for secret in planted(hospital):
        assert secret not in text
    assert "classifier/manifest/train.csv" in text


def test_log_lines_name_no_patient(hospital, tmp_path, command_of):
    """The table has faults that are reported and not refused."""
    source = tmp_path / "src"
    shutil.copytree(hospital, source)
    table = source / "recordings.csv"
    text = table.read_text().replace("patient-3,", " Patient-3 ,", 1)
    table.write_text(text)
    soundfile.write(source / "cry_p4_0x.wav", [0.0] * 4000, 8000)
    done = command_of("data_prep.split")(
        table, "--data_folder", source, "--label_column", "neuro_injury",
        "--out", tmp_path / "out",
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert not re.search(r"patient-\d|cry_p\d", output, re.I), output
