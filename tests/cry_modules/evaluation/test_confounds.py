"""The report on leakage and confounding: truth is known, verdicts must be so.

Features are drawn, so no audio is needed but for the command itself.
"""

import json
import sys

import numpy as np
import pytest

from cry_modules.evaluation.cross_validation import Settings
from cry_modules.evaluation.questions import ConfoundData, answer_questions
from cry_modules.evaluation.verdict import verdict
from data_prep.confounds import main

QUICK = Settings(folds=2, repeats=4, permutations=19)


def clues(signature=0.0, effect=0.0, sites_by_label=False, seed=0):
    """Forty patients of three recordings each, one label and site each.

    `signature` is what recordings of a patient share, `effect` what those of
    a label share; with `sites_by_label` nine in ten patients of a label come
    from one site.
    """
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(40), 3)
    label_of = rng.permutation(np.arange(40) % 2)
    agrees = rng.random(40) < (0.9 if sites_by_label else 0.5)
    audio = rng.normal(size=(120, 20))
    audio += signature * rng.normal(size=(40, 20))[patients]
    audio[:, 0] += effect * label_of[patients]
    rest = rng.normal(size=(2, 120, 5))
    return ConfoundData(
        patients=patients,
        labels=np.array(["healthy", "injury"], dtype=object)[
            label_of[patients]
        ],
        sites=np.array(["north", "south"], dtype=object)[
            np.where(agrees, label_of, 1 - label_of)[patients]
        ],
        features={"audio": audio, "background": rest[0], "file": rest[1]},
    )


def verdict_of(examined):
    """The verdict by its subject."""
    probes, gap, _ = answer_questions(examined, QUICK)
    verdicts = verdict(probes, gap, "injury")
    return probes, gap, dict(line.split(": ", 1) for line in verdicts)


def test_noise_is_nothing():
    probes, gap, verdicts = verdict_of(clues())
    for name in ("label_audio_grouped", "label_audio_random"):
        assert 0.35 < probes[name].evidence.auc < 0.65
    assert abs(gap.value) < 0.1
    assert verdicts["Leakage"].startswith("no evidence. A random")
    assert verdicts["Label"].startswith(
        "no evidence that injury can be predicted"
    )
    for subject in ("Site", "File facts", "Background", "Device"):
        assert verdicts[subject].startswith("no evidence that")


def test_recognising_the_patient_is_a_leak():
    probes, gap, verdicts = verdict_of(clues(signature=3.0))
    random = probes["label_audio_random"].evidence
    assert random.auc > 0.65 and np.mean(random.null) > 0.65
    assert probes["label_audio_grouped"].evidence.auc < 0.65
    assert gap.ci95[0] > 0.1
    assert verdicts["Leakage"].startswith("present.")
    assert f"+{gap.value:.2f} AUC" in verdicts["Leakage"]
    assert verdicts["Label"].startswith("no evidence")
    # A random split is not better than recognising patients.
    assert random.p > 0.05


def test_a_true_difference_raises_no_alarm():
    probes, gap, verdicts = verdict_of(clues(effect=2.0))
    evidence = probes["label_audio_grouped"].evidence
    assert evidence.auc > 0.8 and evidence.p <= 0.05
    assert verdicts["Label"].startswith("injury can be predicted in babies")
    assert "slight" not in verdicts["Label"]
    assert verdicts["Leakage"].startswith("no evidence. A random")
    for subject in ("Site", "File facts", "Background", "Device"):
        assert verdicts[subject].startswith("no evidence that")


def test_a_label_that_follows_the_site_is_flagged():
    probes, _, verdicts = verdict_of(clues(effect=2.0, sites_by_label=True))
    assert probes["label_site"].evidence.auc > 0.7
    assert verdicts["Site"].startswith("injury follows the site")
    # The site has the same sound as the label.
    assert verdicts["Device"].startswith(
        "the recording site can be predicted (north"
    )


def test_few_patients_are_no_ground_for_a_claim():
    few = clues(effect=2.0)
    few.labels[few.patients >= 2] = "healthy"
    few.labels[few.patients < 2] = "injury"
    three = Settings(folds=3, repeats=1, permutations=19)
    probes, gap, notes = answer_questions(few, three)
    assert probes["label_audio_grouped"].evidence.ci95 is gap.ci95 is None
    assert notes == ["label: 2 folds, because injury has 2 patients."]
    verdicts = " ".join(verdict(probes, gap, "injury"))
    assert "Label: too few patients in class injury (2) to decide" in verdicts
    few.labels[few.patients > 0] = "healthy"
    probes, gap, _ = answer_questions(few, QUICK)
    assert gap is None and probes["site_audio"].evidence is not None
    assert probes["label_audio_grouped"].why_not.endswith("a single patient")


def test_rare_classes_join_and_rare_or_single_sites_leave():
    some = clues()
    some.labels[some.patients < 3] = "pain"
    some.labels[some.patients == 39] = ""
    some.sites[:] = "north"
    some.sites[some.patients < 4] = "south"
    probes, gap, notes = answer_questions(some, QUICK)
    assert len(probes["label_audio_grouped"].classes) == 2
    assert probes["label_audio_grouped"].evidence.n_patients == 39
    assert any(n.startswith("pain: 3 patients, too few") for n in notes)
    assert any(n.startswith("site south: 4 patients") for n in notes)
    assert probes["site_audio"].evidence is None
    assert (
        "Not evaluated (no two sites of 5 patients or more): injury from site"
        in (verdict(probes, gap, "injury")[-1])
    )


def test_one_recording_a_patient_cannot_leak():
    single = clues()
    for name in ("patients", "labels", "sites"):
        setattr(single, name, getattr(single, name)[::3])
    single.features = {k: v[::3] for k, v in single.features.items()}
    assert verdict_of(single)[2]["Leakage"].startswith("not possible")


@pytest.fixture
def command(database, monkeypatch, capsys):
    """Run the command line on the database; exit status, stdout, stderr."""
    folder = database()

    def run(*arguments, source=folder):
        if "--label_column" not in arguments:
            arguments = ["--label_column", "neuro_injury", *arguments]
        arguments = [source, *arguments]
        monkeypatch.setattr(sys, "argv", ["confounds", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as stopped:
            status = stopped.code
        return (status, *capsys.readouterr())

    return run


BRIEFLY = ["--permutations", 19, "--repeats", 1, "--folds", 2]


def test_the_command(command, database, tmp_path):
    (database() / "audio/r0.wav").write_bytes(b"RIFF")
    out = tmp_path / "report"
    status, printed, _ = command("--out", out, *BRIEFLY)
    assert status == 0
    assert "neuro_injury from audio, recordings split at random" in printed
    assert "1 recording cannot be used: see rejected.csv." in printed
    assert "- Leakage: " in printed and "- Label: " in printed
    report = (out / "confounds.md").read_text()
    assert all(line in report for line in printed.split("\n") if "- La" in line)
    numbers = json.loads((out / "confounds.json").read_text())
    evidence = numbers["probes"]["label_audio_grouped"]["evidence"]
    assert (evidence["n"], evidence["n_patients"]) == (39, 20)
    assert len(evidence["null"]) == 19
    assert (out / "confounds.png").stat().st_size > 10_000
    for text in (printed, report, json.dumps(numbers)):
        assert not any(f"{p}{i}" in text for p in "pP" for i in range(10, 20))
    again = tmp_path / "again"
    csv = tmp_path / "db/recordings.csv"
    assert command("--out", again, *BRIEFLY, source=csv)[0] == 0
    assert (again / "confounds.json").read_text() == (
        out / "confounds.json"
    ).read_text()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--folds", 1], "--folds is 1"),
        (["--folds", 21], "20 patients with a label, fewer than --folds 21"),
        (["--repeats", 0], "--repeats is 0"),
        (["--permutations", 5], "--permutations is 5"),
        (["--seed", -1], "--seed is -1"),
        (["--classes", "healthy"], "1 different labels"),
        (["--classes", "healthy", "ill"], "no row has 'ill' in neuro_injury"),
        (["--data_folder", "no"], "no does not exist"),
        (["--out", __file__], "is a file; pass a folder to write to"),
        (["--label_column", "cry"], "no column 'cry'"),
        (["--label_column", "recording_id"], "40 different values"),
    ],
)
def test_wrong_input_is_one_line(command, tmp_path, arguments, message):
    out = [] if "--out" in arguments else ["--out", tmp_path / "out"]
    status, _, errors = command(*out, *arguments)
    assert status == 2 and errors.count("\n") == 1
    assert errors.startswith("error: ") and message in errors


def test_a_missing_table(command, tmp_path):
    gone = command("--out", tmp_path, source=tmp_path / "gone.csv")
    assert gone[0] == 2 and "gone.csv does not exist" in gone[2]
