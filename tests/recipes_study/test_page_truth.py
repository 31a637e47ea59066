"""The page and the paper say of a study what it did: no patients where there
are no ids, no class where there are no labels, one p for one difference."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import studies
from sklearn.metrics import roc_auc_score

from cry_modules.evaluation.controls import NAMES
from cry_modules.metrics.predictions import Predictions
from recipes.study.encoders import ENCODERS
from recipes.study.report import (
    corpora,
    facts,
    figures,
    findings,
    limits,
    maps,
    methods,
)
from recipes.study.report.hypotheses import claim_in_words, judge
from recipes.study.report.results import Results


def write_manifests(folder, patient_of):
    folder.mkdir()
    head = "ID,duration,wav,start,stop,label,patient_id,site\n"
    for split, names in (("train", "ab"), ("valid", "c")):
        rows = [
            f"{n},2.0,$data_root/{n}.wav,0.0,2.0,,{patient_of(n)},\n"
            for n in names
        ]
        (folder / f"{split}.csv").write_text(head + "".join(rows))
    (folder / "rejected.csv").write_text(
        "path,verdict,reason\n"
        "a.wav,flagged,DC offset: -0.058 of full scale\n"
        'b.wav,flagged,"near copy of SECRET.wav, of another patient"\n'
        "d.wav,excluded,SECRET: a held-out patient\n"
    )
    return corpora._corpus(
        folder, "adaptation, all cries", ("train", "valid"), folder, "cries"
    )


@pytest.mark.parametrize("known", [True, False])
def test_files_without_ids_are_not_patients(tmp_path, known):
    who = (lambda n: f"p{n}") if known else (lambda n: f"{n}.wav")
    corpus = write_manifests(tmp_path / "m", who)
    whose = "of 3 patients" if known else "of unknown infants"
    assert corpora.whose(corpus) == whose
    apart = corpora.adapted_without({"adapted": ["x"], "cries": [corpus]})
    assert ("compared by id and by samples" in apart) == known
    assert ("is for the authors to state" in apart) != known
    assert corpora.adapted_without({"adapted": [], "cries": []}) is None
    # What is wrong with files, without a name.
    assert corpus.reasons == {"DC offset": 1, "near copy": 1}
    assert corpus.rejected == {"flagged": 2, "excluded": 1}


def test_sounds_without_labels_have_no_classes_to_retrieve():
    sounds = maps.Embeddings(np.eye(4), [""] * 4, list("pqrs"), [""] * 4)
    assert maps.sound_retrieval(sounds) is None
    named = sounds._replace(labels=["dog", "dog", "cat", "cat"])
    assert maps.sound_retrieval(named)["retrieval"] is not None


def test_forgetting_is_the_mean_over_pretraining_seeds():
    names = ["dog", "dog", "cat", "cat"]
    near, far = np.array([0, 1, 9, 10.0]), np.array([0, 9, 1, 10.0])
    rows = [
        maps.Embeddings(np.stack([x, 1 + 0 * x], 1), names, list("pqrs"), names)
        for x in (near, far)
    ]
    each = [maps.sound_retrieval(row) for row in rows]
    cells = maps.retrieval_over_seeds(rows)
    assert {*cells} == {"retrieval", "nearest"}
    for name, cell in cells.items():
        values = [of_seed[name] for of_seed in each]
        assert cell.by_seed == values and values[0] != values[1]
        assert cell.mean == pytest.approx(np.mean(values))
        assert cell.sd == pytest.approx(abs(np.diff(values)[0]) / np.sqrt(2))
    assert maps.retrieval_over_seeds(rows[:1])["nearest"].sd is None
    assert maps.retrieval_over_seeds([]) is None


def test_a_difference_has_one_p(tmp_path):
    names = ["random_calibrated", "simclr", "adapt_replay"]
    modes, seeds = ["linear", "linear_bn", "linear_blocks"], [1, 2]
    plan = studies.plan_of(
        studies.settings(
            tmp_path, encoders=names, modes=modes, seeds=seeds,
            pretraining_seeds=seeds,
        )
    )  # fmt: skip
    studies.pretend(plan, 30)
    results = Results(plan)
    with studies.fewer_draws():
        pairs = findings.pairs(results)
        rows = findings.controls(results, pairs)
        verdicts = judge(results)
    in_pairs = [row for row in rows if row["in_pairs"]]
    assert in_pairs and len(in_pairs) < len(rows)
    for row in in_pairs:
        (same,) = [
            r
            for entry in pairs
            if findings.MODE_NAMES[entry.mode] == row["mode"]
            for r in entry.rows
            if {r["a"], r["b"]} == {row["method"], row["control"]}
        ]
        assert (row["p"], row["p_holm"]) == (same["p"], same["p_holm"])
        assert abs(row["difference"]) == pytest.approx(abs(same["difference"]))
    # Nor does an inequality count in two claims.
    parts = [{t.part for t in v.parts} for v in verdicts]
    for i, these in enumerate(parts):
        assert not these <= set().union(*parts[:i])
    second = next(v for v in verdicts if v.claim.number == "2")
    assert second.left_out == 2 and not second.is_the_papers
    assert claim_in_words(second, results) == (
        "neuro_injury, linear: SimCLR + all cries + replay above SimCLR on "
        "generic sounds."
    )


def write_log_mel(plan):
    """Write a log-mel model for each share and seed, as runs of SimCLR have."""
    for share, shift in ((0.2, 0.0), (1.0, 0.5)):
        for run in plan.classifiers("neuro", "simclr", "linear", share):
            p = Predictions.read(run.folder / "predictions_test.csv")
            rng = np.random.default_rng([run.facts["seed"], int(10 * share)])
            odds = rng.normal(shift * p.labels, 1.0)
            scores = 1 / (1 + np.exp(-np.stack([-odds, odds], axis=1)))
            folder = run.folder / "controls/logmel_logistic"
            folder.mkdir(parents=True)
            p.with_scores(scores).write(folder / "predictions_test.csv")
            file = run.folder / "metrics.json"
            metrics = json.loads(file.read_text())
            block = {"auc": 0.5, "average_precision": 0.5, "auc_ci95": None}
            block["difference"] = dict.fromkeys(("difference", "ci95", "p"))
            metrics["controls"] = {
                "logmel_logistic": {"recording": block, "patient": block}
            }
            file.write_text(json.dumps(metrics))


def test_with_fewer_labels_log_mel_has_the_labels_of_each_seed(tmp_path):
    """Issue 29: points above log-mel statistics at few labels, with an interval
    over patients and seeds, each paired with the model of its own labels."""
    names, seeds = ["random_calibrated", "simclr"], [1, 2, 3]
    names.append("speech_embedding")  # one encoder, whose probe has seeds
    plan = studies.plan_of(
        studies.settings(
            tmp_path, encoders=names, seeds=seeds, pretraining_seeds=seeds,
            fractions=[0.2, 1.0], compared_at=[0.2],
        )
    )  # fmt: skip
    studies.pretend(plan, 40)
    write_log_mel(plan)

    def auc(folder):
        p = Predictions.read(folder / "predictions_test.csv")
        return roc_auc_score(p.labels, p.scores[:, 1])

    results = Results(plan)
    with studies.fewer_draws():
        rows = findings.controls(results, [])
        picture = figures.few_labels(results)  # of all of them
    for name in names:
        assert f"{ENCODERS[name].label}, linear: " in picture.alt
    assert picture.alt.count(" at 20 %, ") == len(names)
    shown = {
        row["method"]: row
        for row in rows
        if row["control"] == NAMES["logmel_logistic"]
    }
    assert [*shown] == [ENCODERS[name].label for name in names]
    for name, row in zip(names, shown.values()):
        assert row["mode"] == "linear, 20 % of labels"
        controls, runs = (
            plan.classifiers("neuro", encoder, "linear", 0.2)
            for encoder in ("simclr", name)
        )
        by_seed = [
            auc(run.folder) - auc(control.folder / "controls/logmel_logistic")
            for control, run in zip(controls, runs, strict=True)
        ]
        assert row["by_seed"] == pytest.approx(by_seed)
        assert row["difference"] == pytest.approx(np.mean(by_seed))
        assert row["paired_by_seed"] and row["n_encoders"] == [3, 3]
        low, high = row["ci95"]
        # At least the spread between seeds, by Student's t of two or more.
        assert high - low > 2 * 1.96 * np.std(by_seed, ddof=1) / np.sqrt(3)
        assert row["p"] <= row["p_holm"] and row["detectable"] > 0


def test_probabilities_that_are_too_extreme_may_not_be_shown():
    task = SimpleNamespace(label_column="Condition")
    tested = SimpleNamespace(task=task, encoder="simclr", mode="linear")
    ends = {"ends": [0.1, 0.4], "ends_of": "between seeds"}
    (line,) = limits._on_probabilities(
        tested, {"calibration_slope": {"mean": 0.255, **ends}}
    )
    assert "too extreme (slope 0.255 (0.100 to 0.400 between seeds; " in line
    assert limits._on_probabilities(tested, {}) == []
    near = {"calibration_slope": {"mean": 0.9, **ends}}
    assert limits._on_probabilities(tested, near) == []


def test_what_is_finished_is_described(tmp_path):
    """Of a study that has run in part, only that part."""
    plan = studies.plan_of(
        studies.settings(
            tmp_path, encoders=["random_calibrated", "simclr"],
            modes=["linear", "linear_blocks"], seeds=[1, 2],
            pretraining_seeds=[1, 2],
        )
    )  # fmt: skip
    studies.pretend(plan, 10)
    for run in plan.of_rule("train_cls"):
        if run.facts["mode"] != "linear" or run.facts["seed"] != 1:
            run.result.unlink()
    results = Results(plan)
    encoders, modes = methods._finished(results)
    assert (encoders, modes) == (["random_calibrated", "simclr"], ["linear"])
    text = methods._seeds(results, encoders, modes)
    assert "Encoders were trained with 1 seed and classifiers with 1" in text
    text = methods._so_far({"missing": [1, 2], "n_runs": 5})
    assert "3 of 5 runs" in text


def test_what_is_chosen_at_the_end_of_its_range_is_said(tmp_path):
    s = studies.plan_of(studies.settings(tmp_path)).settings
    assert facts.option_of(s, "linear", "number_of_epochs") == 2
    chosen = {"linear": {"epoch": [1, 1, 2]}, "linear_blocks": {}}
    assert "epoch of linear (2 at most)" in methods._at_limits(s, chosen)
    assert methods._at_limits(s, {"linear": {"epoch": [1, 1, 1]}}) is None
    del s.stages["linear"]["number_of_epochs"]  # then the recipe's
    assert "epoch of linear (" in methods._at_limits(
        s, {"linear": {"epoch": [1, 1, 9999]}}
    )
    ends = {"linear_blocks": {"c": [0.01, 0.0001, 1.0]}}
    assert "linear on blocks (0.0001 to 100)" in methods._at_limits(s, ends)


def test_the_checklist_follows_the_settings(tmp_path):
    s = studies.plan_of(
        studies.settings(tmp_path, modes=["linear", "linear_blocks"])
    ).settings
    assert "linear on blocks: logistic regression" in facts._trained(s)
    paper = SimpleNamespace(numbers={"chosen": {}})
    tuned = facts._tuned(s, {"paper": paper})
    assert tuned == "the epoch, the penalty C and the thresholds"
    assert "used for adaptation" in facts._unlabelled(s)
    other = SimpleNamespace(encoders=s.encoders, unlabelled=tmp_path)
    assert "other ones" in facts._unlabelled(other)


def test_embeddings_are_not_runs_of_an_encoder(tmp_path):
    plan = studies.plan_of(studies.settings(tmp_path))
    kinds = {findings._kind(run) for run in plan.of_rule("embed")}
    assert kinds == {"embeddings for this page"}
    assert not kinds & {row.label for row in ENCODERS.values()}
