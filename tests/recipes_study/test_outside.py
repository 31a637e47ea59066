"""Encoders of others as rows of a study: their runs, their names and the table of
what they are."""

import numpy as np
import pytest
import yaml as pyyaml

from cry_modules.checkpoints.public import FACTS, PANNS, facts_of
from data_prep.files.errors import InputError
from recipes.study.encoders import ENCODERS, folder_name
from recipes.study.report.page import make_report
from recipes.study.report.results import Results
from recipes.study.settings import check_settings
from tests.recipes_study import studies


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "private" / "w.pt"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    return path


def settings_of(tmp_path, *encoders, **changes):
    names = ["simclr", *encoders]
    return studies.whole(tmp_path / "out", encoders=names, **changes)


def plan_of(*arguments, **changes):
    return studies.plan_of(settings_of(*arguments, **changes))


def test_they_are_read_by_the_linear_probe_alone(tmp_path, weights):
    module = f"hear:stranger.module:{weights}"
    plan = plan_of(tmp_path, "speech_embedding", module, compared_at=[0.1])
    assert plan.settings.encoders == ("simclr", "speech_embedding", module)
    for source in ("speech_embedding", module):
        runs = [
            run
            for run in plan.of_rule("train_cls")
            if run.facts["encoder"] == source
        ]
        cells = {(r.facts["task"], r.facts["fraction"]) for r in runs}
        assert {run.facts["mode"] for run in runs} == {"linear"}
        assert cells == {("neuro", 1.0), ("neuro", 0.1), ("trigger", 1.0)}
        for run in runs:
            assert f"--encoder_source={source}" in run.command
            assert not any(part.startswith("--width") for part in run.command)
            assert "encoders/simclr/1" not in run.parents
            place = str(run.folder.relative_to(plan.settings.output_folder))
            assert ":" not in place and "private" not in place.split("/")
        embed = plan.embeddings(source)[0].command
        named = f"--encoder_source={source}" in embed
        assert named == source.startswith("hear:")


def test_other_weights_are_another_run(tmp_path, weights):
    module, settings = (
        f"hear:stranger:{weights}",
        {"tasks": {"n": studies.NEURO}},
    )
    before = plan_of(tmp_path, module, **settings)
    facts = "n", module, "linear", 1.0, 1
    weights.write_bytes(b"others")
    after = plan_of(tmp_path, module, **settings)
    assert before.classifier(*facts).folder != after.classifier(*facts).folder
    same = "n", "simclr", "linear", 1.0, 1
    assert before.classifier(*same).folder == after.classifier(*same).folder


def test_a_misspelt_encoder_is_not_a_source(tmp_path):
    values = studies.settings(tmp_path, encoders=["simclr", "speech_embeding"])
    with pytest.raises(InputError, match="speech_embeding"):
        check_settings(values, "study.yaml")


def test_labels_hold_no_folder(weights):
    label = ENCODERS[f"hear:stranger:{weights}"].label
    assert label == "hear:stranger:w.pt"
    assert (
        ENCODERS["speechbrain/cnn14-esc50"].label == "speechbrain/cnn14-esc50"
    )
    assert folder_name("a:b") != folder_name("a_b") == "a_b"


def test_the_page_says_what_they_are(tmp_path):
    settings = settings_of(tmp_path, "speech_embedding", "hear:stranger")
    plan = studies.plan_of(settings)
    studies.pretend(plan)
    run = plan.embeddings("hear:stranger")[0]
    run.folder.mkdir(parents=True)
    embs, names = np.eye(4), np.array(list("abab"))
    np.savez(
        run.result,
        **{f"sound_{n}": names for n in ("labels", "patients", "sites")},
        sound_embs=embs,
        n_parameters=1234567,
        seconds=2.5,
    )
    (tmp_path / "out/study.yaml").write_text(pyyaml.safe_dump(settings))
    with studies.fewer_draws():
        text = make_report(tmp_path / "out").read_text("utf-8")
    table = text[text.index('<table id="encoders-of-others">') :]
    table = table[: table.index("</table>")]
    for words in ("328,128", "thousands (speech)", "Apache-2.0", "1.2"):
        assert words in table
    for words in ("1,234,567", "unknown: ask its author", "2.5"):
        assert words in table
    assert text.count("speech_embedding, linear") > 0


def test_a_published_encoder_has_no_pretraining_seed(tmp_path):
    """It is one encoder: SimCLR as a method is compared with it, over
    SimCLR's seeds."""
    changes = {"seeds": [1, 2], "pretraining_seeds": [1, 2]}
    plan = plan_of(tmp_path, "speech_embedding", **changes)
    studies.pretend(plan)
    task = plan.settings.tasks[0].name
    with studies.fewer_draws():
        entry = Results(plan).difference(
            task, "linear", "speech_embedding", "simclr"
        )
    assert entry["n_encoders"] == [2] and 0 <= entry["p"] <= 1


def test_facts_are_documented():
    with open("docs/encoders.md", encoding="utf-8") as file:
        rows = [line for line in file if line.startswith("| `")]
    for name, facts in FACTS.items():
        (row,) = (
            row
            for row in rows
            if f"`{name}`" in row and f" {facts.parameters:,} " in row
        )
        assert facts.hours in row and facts.licence in row
    assert facts_of(f"/somewhere/{PANNS.name}") == FACTS[PANNS.name]
    assert facts_of("hear:stranger").parameters is None
