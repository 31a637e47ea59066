"""Verdicts follow their definitions, and chance seldom gives them."""

import itertools

import numpy as np
import pytest
import studies
from scipy.stats import norm

from cry_modules.finetune import FINETUNE_MODES
from cry_modules.metrics.compare import ONE_SEED, compare
from cry_modules.metrics.paired import paired_difference
from recipes.study.encoders import table_rows
from recipes.study.report.hypotheses import claims, holm, judge, verdict_on
from recipes.study.report.results import Results
from recipes.study.stages import PROBES


def part(difference, p):
    return {"difference": difference, "p": p}


def test_holm_is_its_definition():
    rng = np.random.default_rng(0)
    for _ in range(50):
        ps = rng.uniform(0, 0.3, size=rng.integers(1, 6)).tolist()
        corrected = holm(ps)
        for i, p in enumerate(ps):
            # The largest of (number of p at least as large) * p over all
            # that are no larger.
            slow = max(
                min(1.0, sum(other >= q for other in ps) * q)
                for q in ps
                if q <= p
            )
            assert corrected[i] == pytest.approx(slow)


def test_a_part_without_p_counts_in_the_correction():
    assert holm([0.02, None]) == [0.04, None]


def test_all_parts_must_be_significant():
    good, weak = part(0.1, 0.001), part(0.1, 0.2)
    assert verdict_on([good, good]) == "supported"
    assert verdict_on([good, weak]) == "not separable"
    assert verdict_on([good, part(0.1, None)]) == "not separable"
    assert verdict_on([good, None]) == "not run"
    assert verdict_on([good, part(-0.1, 0.024)]) == "contradicted"
    assert verdict_on([good, part(-0.1, 0.026)]) == "contradicted"
    assert verdict_on([weak, part(-0.1, 0.026)]) == "not separable"
    one_seed = {**part(-0.1, None), "no_interval": ONE_SEED}
    assert verdict_on([good, one_seed]) == "undecided"
    assert verdict_on([None, one_seed]) == "not run"


def chance_of(verdict, means, n=20000):
    """Share of this verdict for parts with these true differences, in
    standard errors."""
    z = np.random.default_rng(0).normal(means, 1, size=(n, len(means)))
    p = 2 * norm.sf(abs(z))
    given = [verdict_on([part(*x) for x in zip(*row)]) for row in zip(z, p)]
    return np.mean([v == verdict for v in given])


@pytest.mark.parametrize("n_parts", [1, 2, 6])
def test_chance_seldom_supports_or_contradicts(n_parts):
    # No part is true: every difference is 0.
    assert chance_of("contradicted", [0] * n_parts, 5000) <= 0.03
    assert chance_of("supported", [0] * n_parts, 5000) <= 0.03
    # All parts but one are clearly true.
    almost = [0] + [8] * (n_parts - 1)
    assert chance_of("supported", almost, 5000) <= 0.03


def test_the_claims_are_the_papers():
    parts = {
        claim.number: {
            f"{p.task} {p.mode}: {p.lower} < {p.higher}" for p in claim.parts
        }
        for claim in claims(2)
    }
    assert parts["1"] == {
        "0 end_to_end: supervised < simclr",
        "0 end_to_end: random < supervised",
    }
    assert parts["2"] == {
        f"0 linear: simclr < adapt_{name}"
        for name in ("labelled", "all", "replay")
    }
    assert parts["3"] == {
        f"0 end_to_end: adapt_{name} < simclr" for name in ("labelled", "all")
    }
    modes = tuple(FINETUNE_MODES)  # the paper's
    best = [*itertools.product("0", modes), *itertools.product("1", modes[1:])]
    assert parts["4"] == {
        f"{task} {mode}: {other} < adapt_replay"
        for task, mode in best
        for other in ("simclr", "adapt_labelled", "adapt_all")
    } | {"1 linear: adapt_replay < adapt_all"}
    assert len(claims(1)[3].parts) == 9
    # Not the paper's: the same of encoders read at blocks.
    assert parts["5"] == {"0 linear_blocks: random_calibrated < simclr"}
    assert parts["6"] == {"0 linear_blocks: simclr < adapt_replay"}


def test_claims_on_probes_are_also_tested_with_fewer_labels(tmp_path):
    values = studies.whole(
        tmp_path, fractions=[0.1, 0.2, 1.0], compared_at=[0.2]
    )
    plan = studies.plan_of(values)
    studies.pretend(plan)
    verdicts = {v.claim.number: v for v in judge(Results(plan))}
    fewer = {n: v for n, v in verdicts.items() if "of the labels" in n}
    assert {*fewer} == {f"{n}, 20 % of the labels" for n in "2456"}
    for verdict in fewer.values():
        assert {p.part.fraction for p in verdict.parts} == {0.2}
        assert {p.part.mode for p in verdict.parts} <= {*PROBES}
        assert verdict.verdict != "not run"


def test_every_part_is_a_comparison_of_a_table():
    for claim in claims(2):
        for p in claim.parts:
            rows = {*table_rows(2), *([] if p.task else table_rows(1))}
            assert {p.lower, p.higher} <= rows


def test_differences_are_the_paired_bootstrap_of_the_runs(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path, seeds=[1]))
    studies.pretend(plan)
    results = Results(plan)
    verdicts = judge(results)
    assert [v.verdict for v in verdicts].count("not run") == 0
    for verdict in verdicts:
        for tested in verdict.parts:
            task = plan.settings.tasks[tested.part.task].name
            a, b = (
                results.set_of(task, name, tested.part.mode).predictions[0]
                for name in (tested.part.lower, tested.part.higher)
            )
            slow = paired_difference(a, b)
            for key in ("difference", "ci95"):
                assert tested.result[key] == pytest.approx(slow[key])
            # One seed: these models, not the methods.
            assert tested.result["p"] is None
            assert tested.verdict == verdict.verdict == "undecided"


def test_differences_of_several_seeds_are_those_of_the_methods(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path, seeds=[1, 2]))
    studies.pretend(plan)
    results = Results(plan)
    task = plan.settings.tasks[0].name
    pair = [
        results.set_of(task, name, "linear") for name in ("simclr", "adapt_all")
    ]
    expected = compare(pair)["differences"][0]["methods"]
    result = results.difference(task, "linear", "simclr", "adapt_all")
    assert expected["n_encoders"] == [2, 2]
    for key in ("p", "ci95"):
        assert result[key] == pytest.approx(expected[key])


def test_a_missing_run_leaves_its_claim_untested(tmp_path):
    plan = studies.plan_of(studies.whole(tmp_path))
    studies.pretend(plan)
    for run in plan.classifiers("neuro", "supervised", "end_to_end"):
        run.result.unlink()
    verdicts = {v.claim.number: v.verdict for v in judge(Results(plan))}
    assert verdicts["1"] == "not run" and verdicts["2"] != "not run"


def judged(tmp_path, monkeypatch, p, **changes):
    """Verdicts by number if every inequality holds with this p."""
    plan = studies.plan_of(studies.whole(tmp_path, seeds=[1], **changes))
    results = Results(plan)
    monkeypatch.setattr(results, "difference", lambda *_: part(0.1, p))
    return {v.claim.number: v for v in judge(results)}


def test_claims_are_reduced_to_the_encoders_and_modes_of_the_study(
    tmp_path, monkeypatch
):
    verdicts = judged(tmp_path, monkeypatch, 0.001, modes=["linear"])
    assert {n: v.verdict for n, v in verdicts.items()} == {
        "2": "supported",
        "4": "supported as far as tested",
    }
    # 2 modes with 3 encoders in the first task, and in the second.
    assert verdicts["4"].left_out == 6 + 6
    assert {p.part.mode for p in verdicts["4"].parts} == {"linear"}
    names = ["simclr", "adapt_all", "random_calibrated"]
    verdicts = judged(tmp_path, monkeypatch, 0.001, encoders=names)
    assert list(verdicts) == ["2", "3", "5"]
    assert [v.left_out for v in verdicts.values()] == [2, 1, 0]
    verdicts = judged(tmp_path, monkeypatch, 0.2, encoders=names)
    assert {v.verdict for v in verdicts.values()} == {"not separable"}
    assert not judged(tmp_path, monkeypatch, 0.001, encoders=["simclr"])
