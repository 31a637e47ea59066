"""Refusals in a study name the keys of its yaml file, not options that nobody
typed."""

import pytest
import studies
import yaml

from recipes.study import run, watch
from recipes.study.keys import as_keys

FILE = "my_study.yaml"


@pytest.mark.parametrize(
    "message, words",
    [
        (
            "has no column 'path'; pass --path_column NAME, or rename",
            "set path_column: NAME in my_study.yaml, or rename",
        ),
        (
            "pass --patient_column NAME and --path_column NAME, or rename; "
            "correct the options that name the others",
            "set patient_column: NAME and path_column: NAME in my_study.yaml, "
            "or rename; correct the keys that name the others",
        ),
        ("correct --label_column", "correct label_column of tasks in my_study"),
        (
            "correct --label_column or --classes",
            "label_column of tasks or classes of tasks in my_study.yaml",
        ),
        (
            "pass --folds 20 or less, or add patients",
            "set folds: 20 or less in my_study.yaml, or add patients",
        ),
        (
            "pass --recordings_csv a/b.xlsx",
            "set recordings_csv in my_study.yaml a/b.xlsx",
        ),
        ("make it by `x.py --out DIR`", "make it by `x.py --out DIR`"),
        ("correct `cries` in it", "correct `cries` in it"),
        ("correct it (or --set cries=DIR)", "it (or --set cries=DIR)"),
        ("2 - 1 -- and so on", "2 - 1 -- and so on"),
    ],
)
def test_options_become_keys(message, words):
    assert words in as_keys(message, FILE)
    assert "pass --" not in as_keys(message, FILE)


def refusal(folder, cries, capsys, **changes):
    """The line with which the dry run of a study of own data is refused."""
    path = folder / FILE
    settings = studies.real(folder, cries, **changes)
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    with pytest.raises(SystemExit, match="2"):
        run.main(["real", "--study", str(path), "--dry_run"])
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"patient_column": "Babby"}, "patient_column: NAME in"),
        ({"path_column": "none"}, "path_column: NAME in"),
        ({"folds": True}, "has no column 'fold', and folds is True; set folds"),
        ({"folds": 30}, "set folds: 20 or less in"),
    ],
)
def test_a_dry_run_names_the_keys_of_its_file(
    tmp_path, database, capsys, monkeypatch, changes, words
):
    monkeypatch.chdir(tmp_path)
    cries = database()
    table = cries / "recordings.csv"
    text = table.read_text().replace("patient_id,path", "Baby,File", 1)
    table.write_text(text)
    changes = {"patient_column": "Baby", "path_column": "File", **changes}
    line = refusal(tmp_path, cries, capsys, **changes)
    assert words in line and "--" not in line
    if "set folds to" not in line:
        assert FILE in line


def test_a_failed_run_names_the_key_of_its_stage(tmp_path):
    plan = studies.plan_of(studies.settings(tmp_path))
    for failing, stage in (
        (plan.encoder("simclr", 1), "simclr"),
        (plan.encoder("adapt_replay", 1), "adapt_replay"),
        (plan.classifier("neuro", "random", "linear", 1.0, 1), "linear"),
    ):
        log = tmp_path / "log"
        log.write_text("error: the loss is nan; lower --lr, or use fp32")
        words = f"lower lr of stages: {stage} in the study's yaml file, or use"
        assert words in watch.failure(failing, log)
