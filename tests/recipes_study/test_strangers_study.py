"""A study that a stranger sent: no file of it can run code."""

import pickle
import shutil

import numpy as np
import pytest
import studies
import yaml

from data_prep.files.errors import InputError
from recipes.study import run
from recipes.study.report.page import make_report
from tests.encoder_files import Evil
from tests.planted import CODE, code_of, one_line


@pytest.fixture
def study(tmp_path, corpus, pretrained):
    """A study whose report shows views of its generic sounds."""
    out = tmp_path / "study"
    settings = studies.settings(out)
    plan = studies.plan_of(settings)
    studies.pretend(plan)
    (out / "study.yaml").write_text(yaml.safe_dump(settings))
    encoder = plan.encoder("simclr", 1).folder
    encoder.parent.mkdir(parents=True)
    shutil.copytree(pretrained, encoder, ignore=shutil.ignore_patterns("save"))
    plan.settings.generic.parent.mkdir(parents=True)
    plan.settings.generic.symlink_to(corpus / "vggsound")
    return out, plan


def test_a_studys_report_runs_no_code(study, marker):
    out, plan = study
    with studies.fewer_draws():
        page = make_report(out).read_text()
        assert "two views of it" in page
    path = plan.encoder("simclr", 1).folder / "hyperparams.yaml"
    text = path.read_text()
    for code in CODE.values():
        path.write_text(
            f"{code.replace('{}', str(marker))}\n{text}".replace("---\n", "")
        )
        with studies.fewer_draws():
            try:
                make_report(out)
            except InputError as error:
                assert "\n" not in str(error)
        assert not marker.exists(), code
    path.write_text(text)
    embeddings = plan.embeddings("simclr")[0].result
    embeddings.parent.mkdir(parents=True)
    arrays = {"sound_embs": np.array([Evil(marker)], dtype=object)}
    for bomb in (
        lambda: np.savez(embeddings, **arrays),
        lambda: embeddings.write_bytes(pickle.dumps(Evil(marker))),
        lambda: embeddings.write_bytes(b"PK\3\4"),
        lambda: np.savez(embeddings, other=np.zeros(1)),
    ):
        bomb()
        with studies.fewer_draws():
            assert str(embeddings) in one_line(make_report, out)


@pytest.mark.parametrize(
    "name",
    ["../../x/recipe", "{}/recipe", "models/cnn14", "small_simclr.yaml",
     "./small_simclr", ["small_simclr"], None, "hparams/../small_simclr"],
)  # fmt: skip
def test_recipes_of_a_study_are_names_of_hparams(
    name, tmp_path, marker, monkeypatch
):
    (tmp_path / "recipe.yaml").write_text(code_of("apply", marker))
    name = name.format(tmp_path) if isinstance(name, str) else name
    settings = studies.settings(tmp_path / "out")
    settings["stages"]["simclr"]["yaml"] = name
    assert "stages: simclr: yaml is" in one_line(studies.plan_of, settings)
    out = tmp_path / "out"
    out.mkdir()
    (out / "study.yaml").write_text(yaml.safe_dump(settings))
    assert "stages: simclr: yaml is" in one_line(make_report, out)


def test_classes_are_no_options(tmp_path):
    """The search for confounders gets them as separate arguments."""
    settings = studies.settings(tmp_path / "out")
    settings["tasks"]["neuro"]["classes"] = ["healthy", "--out=elsewhere"]
    message = one_line(studies.plan_of, settings)
    assert "classes is ['--out=elsewhere']; rename it" in message


@pytest.mark.parametrize(
    "line",
    ["snakefile: {}/Snakefile", "cluster-generic-submit-cmd: touch {}",
     "default-resources: [\"mem_mb=__import__('os').system('touch {}')\"]",
     "set-resources: {train_cls: {mem_mb: \"open('{}', 'w')\"}}",
     "jobscript: x.sh", "conda-frontend: x", "envvars: [A]"],
)  # fmt: skip
def test_a_profile_holds_no_code(line, tmp_path, marker, monkeypatch, capsys):
    pytest.importorskip("snakemake")
    folder = tmp_path / "profile"
    folder.mkdir()
    config = (run.PROFILES / "demo/config.yaml").read_text()
    (folder / "config.yaml").write_text(
        config + line.replace("{}", str(marker)) + "\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run.main(["./profile", "--dry_run"])
    assert stop.value.code == 2
    (message,) = capsys.readouterr().err.strip().splitlines()
    assert f"{folder}/config.yaml: " in message and "after --" in message


def test_our_profiles_are_allowed():
    for path in run.PROFILES.glob("*/config.yaml"):
        assert run.read_profile(path.parent)["configfile"]
