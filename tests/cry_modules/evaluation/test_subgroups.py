"""Figures of groups against scikit-learn, and p against all exchanges."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from cry_modules.evaluation.columns import read_columns, subgroup_columns
from cry_modules.evaluation.subgroups import (
    NOT_GIVEN,
    assign_groups,
    by_subgroup,
    permutation_p,
    subgroup_table,
)
from cry_modules.metrics.choices import Choices, choose
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.figures import shown_in
from cry_modules.metrics.predictions import Predictions
from data_prep.files.errors import InputError


def simulate(n_patients=60, n_classes=2, effect=1.0, seed=0):
    """Two recordings a patient; every third patient is of the last class."""
    rng = np.random.default_rng(seed)
    label = np.arange(n_patients) % 3 * (n_classes - 1) // 2
    owner = np.repeat(np.arange(n_patients), 2)
    logits = rng.normal(size=(n_patients, n_classes))[owner]
    logits += rng.normal(size=logits.shape) / 2
    logits += effect * np.eye(n_classes)[label[owner]]
    return Predictions(
        [f"r{i}" for i in range(len(owner))],
        [f"p{i}" for i in owner],
        label[owner],
        softmax(logits.round(1), axis=1),  # with ties
        ["healthy", "injury", "other"][:n_classes],
    )


def cells(p, of_patient):
    """A column that is the same for all recordings of a patient."""
    return {
        ID: of_patient(int(patient[1:]))
        for ID, patient in zip(p.ids, p.patients)
    }


def members(p, column, value):
    return np.array([column[ID] == value for ID in p.ids])


@pytest.mark.parametrize("folds", [False, True])
def test_metrics_and_intervals_are_those_of_the_groups_recordings(folds):
    """Also if recordings of pooled folds have choices of their fold."""
    p = simulate()
    site = cells(p, lambda i: "south" if i < 24 else "north")
    choices = choose(simulate(seed=1))
    if folds:
        rng = np.random.default_rng(0)
        choices = Choices(
            prevalence=rng.dirichlet([3, 3], len(p.ids)),
            at_specificity=rng.uniform(size=len(p.ids)),
            at_sensitivity=rng.uniform(size=len(p.ids)),
        )
    result = by_subgroup(p, choices, {"site": site}, seed=3, n_draws=50)["site"]
    json.dumps(result, allow_nan=False)
    assert list(result["groups"]) == ["north", "south"]
    for name, block in result["groups"].items():
        rows = np.flatnonzero(members(p, site, name))
        part, part_choices = p.take(rows), choices
        if folds:
            part_choices = Choices(
                choices.prevalence[rows],
                choices.at_specificity[rows],
                choices.at_sensitivity[rows],
            )
        expected = evaluate(part, part_choices, seed=3, n_draws=50)
        for metric in shown_in("subgroups"):
            for key in (metric, f"{metric}_ci95"):
                assert block[key] == expected[key] is not None
        assert block["auc"] == pytest.approx(
            roc_auc_score(part.labels, part.scores[:, 1])
        )
        assert block["n"] == len(rows) == 2 * block["n_patients"]
        injured = block["per_class"]["injury"]["n_patients"]
        assert injured == sum(part.labels) / 2


def test_small_groups_have_counts_and_a_reason():
    p = simulate()
    # Every third patient is injured: p2, p5, p8, p11 in a; none in b.
    site = cells(
        p, lambda i: "a" if i < 12 else "b" if i < 24 and i % 3 < 2 else ""
    )
    result = by_subgroup(p, Choices(), {"site": site}, n_draws=5)["site"]
    a, b, rest = (result["groups"][name] for name in ("a", "b", NOT_GIVEN))
    assert a["too_small"] == "injury has 4 patients, and figures need 5"
    assert b["too_small"] == "all are healthy"
    assert b["per_class"]["injury"] == {"n": 0, "n_patients": 0}
    assert "auc" not in a and "auc" not in b
    assert rest["auc"] is not None
    assert result["p"] is None


def test_of_three_classes_a_group_must_have_all():
    p = simulate(n_classes=3, n_patients=90)
    site = cells(p, lambda i: "a" if i < 45 else "b" if i % 3 else "c")
    result = by_subgroup(p, Choices(), {"site": site}, n_draws=5)["site"]
    a, b = result["groups"]["a"], result["groups"]["b"]
    assert b["too_small"] == "healthy has 0 patients, and figures need 5"
    assert result["groups"]["c"]["too_small"] == "all are healthy"
    rows = members(p, site, "a")
    assert a["auc"] == pytest.approx(
        roc_auc_score(p.labels[rows], p.scores[rows], multi_class="ovr")
    )
    assert a["sensitivity_at_spec80"] is None
    # A group need not have a class that no recording of the test has.
    p.labels[p.labels == 2] = 1
    site = cells(p, lambda i: "ab"[i < 45])
    result = by_subgroup(p, Choices(), {"site": site}, n_draws=5)["site"]
    assert result["groups"]["a"]["auc"] is not None
    assert 0 < result["p"] <= 1


def test_certain_scores_leave_no_nan():
    p = simulate()
    p.scores = np.eye(2)[p.labels]
    site = cells(p, lambda i: "ab"[i % 2])
    result = by_subgroup(p, choose(p), {"site": site}, n_draws=20)
    json.dumps(result, allow_nan=False)
    assert result["site"]["p"] == 1.0
    assert (
        "| site | a | 60 / 30 | 20 / 10 | 1.000 (no interval) |"
        in subgroup_table(result)
    )


def test_groups_are_in_natural_order():
    given = ["10", "9", "", "site10", "site9", "9"]
    names, group = assign_groups(given, list("abcdef"), "ward")
    assert names == ["9", "10", "site9", "site10", NOT_GIVEN]
    assert [names[g] for g in group] == [cell or NOT_GIVEN for cell in given]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(-40, 90), st.integers(0, 25)),
        min_size=20,
        max_size=80,
    )
)
def test_numbers_are_cut_where_the_thirds_of_the_patients_are(rows):
    ages = [str(age) for age, _ in rows] + [""]
    patients = [f"p{patient}" for _, patient in rows] + ["p0"]
    present = sorted({int(age) for age in ages if age})
    names, group = assign_groups(ages, patients, "age")
    assert names[-1] == NOT_GIVEN
    if len(present) <= 12:
        assert names[:-1] == [str(age) for age in present]
        return
    # Each number is in the interval that names its group.
    edges = [name[1:-1].split(", ") for name in names[:-1]]
    for age, g in zip(ages[:-1], group):
        low, high = map(int, edges[g])
        assert low <= int(age) and (
            int(age) < high or (names[g].endswith("]") and int(age) == high)
        )
    assert names[len(edges) - 1].endswith("]")
    # No other cut is nearer to a third, or two thirds, of the patients.
    recordings = Counter(patients[:-1])
    below = {
        cut: sum(
            1 / recordings[p] / len(recordings)
            for age, p in zip(ages[:-1], patients)
            if int(age) < cut
        )
        for cut in present[1:]
    }
    cuts = [int(low) for low, _ in edges[1:]]
    for third in (1 / 3, 2 / 3):
        nearest = min(abs(share - third) for share in below.values())
        assert any(
            abs(below[cut] - third) == pytest.approx(nearest, abs=1e-9)
            for cut in cuts
        )


@pytest.mark.parametrize(
    "cell, message",
    [
        (lambda i: f"2024-01-{i:02}", "20 values such as '2024-01-00' and"),
        (lambda i: str(i) if i else "unknown", "numbers and 'unknown'"),
    ],
)
def test_columns_that_are_not_groups(cell, message):
    p = simulate()
    column = cells(p, lambda i: cell(i % 20))
    with pytest.raises(InputError, match=f"--subgroups names 'x', .*{message}"):
        by_subgroup(p, Choices(), {"x": column})


@pytest.mark.parametrize(
    "value, message",
    [
        (True, "subgroups is True; name columns"),
        ("path", "subgroups is path, which identifies patients"),
        ("site, recorded_at", "subgroups is recorded_at, which identifies"),
        ("site", "has no recordings.csv; pass --subgroups null"),
    ],
)
def test_options_that_do_not_name_groups(value, message):
    with pytest.raises(InputError, match=message):
        subgroup_columns({"subgroups": value})


def test_a_recording_without_a_row():
    p = simulate()
    column = cells(p, lambda i: "a")
    del column["r7"]
    with pytest.raises(
        InputError, match="--subgroups site: test recording 'r7' has"
    ):
        by_subgroup(p, Choices(), {"site": column})


def test_columns_are_read_by_recording(tmp_path):
    path = tmp_path / "recordings.csv"
    path.write_text("recording_id,site,age\nr1, north,3\nr2,,\n")
    assert read_columns(path, ["age", "site"]) == {
        "age": {"r1": "3", "r2": ""},
        "site": {"r1": "north", "r2": ""},
    }
    with pytest.raises(InputError, match="--subgroups names 'sex', .* site, a"):
        read_columns(path, ["age", "sex"])
    with pytest.raises(InputError, match="does not exist"):
        read_columns(tmp_path / "no.csv", ["age"])
    path.write_text("recording_id,site\nr1,north\nr1,south\n")
    with pytest.raises(InputError, match="row 3: .*'r1' is in .*row 2 already"):
        read_columns(path, ["site"])


def spread(p, group):
    aucs = [
        roc_auc_score(p.labels[group == g], p.scores[group == g, 1])
        for g in np.unique(group)
    ]
    return max(aucs) - min(aucs)


def test_p_is_the_share_of_all_exchanges_between_patients():
    p = simulate(n_patients=12, seed=3)
    p = p.take(np.arange(1, 24))  # one patient has one recording
    of_patient = np.arange(12) // 3 % 2  # each half has 2 of 4 injured
    owner = np.array([int(patient[1:]) for patient in p.patients])
    observed = spread(p, of_patient[owner])
    injured = np.flatnonzero(np.arange(12) % 3 == 2)
    healthy = np.flatnonzero(np.arange(12) % 3 < 2)
    as_large = []
    for a in itertools.combinations(healthy, 4):
        for b in itertools.combinations(injured, 2):
            drawn = np.isin(np.arange(12), [*a, *b])
            as_large.append(spread(p, drawn[owner]) >= observed - 1e-9)
    exact = np.mean(as_large)
    assert 0.05 < exact < 0.95
    result = permutation_p(p, of_patient[owner], n_permutations=2000)
    assert result == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 2000))
    assert result == permutation_p(p, of_patient[owner], n_permutations=2000)


def test_p_where_patients_are_in_both_groups():
    """Each exchanges the groups of its own two recordings: 2^8 ways."""
    p = simulate(n_patients=8, seed=3)
    group = np.tile([0, 1], 8)
    observed = spread(p, group)
    as_large = [
        spread(p, (group + np.repeat(swap, 2)) % 2) >= observed - 1e-9
        for swap in itertools.product([0, 1], repeat=8)
    ]
    result = permutation_p(p, group, n_permutations=2000)
    exact = np.mean(as_large)
    assert 0.02 < exact < 0.98
    assert result == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 2000))


def test_p_is_small_if_the_model_works_in_one_group_only():
    p, noise = simulate(effect=4.0), simulate(effect=0.0, seed=5)
    site = cells(p, lambda i: "ab"[i < 30])
    rows = members(p, site, "b")
    p.scores[rows] = noise.scores[rows]
    result = by_subgroup(p, Choices(), {"site": site}, n_draws=5)
    assert result["site"]["p"] <= 0.01
    sentence = subgroup_table(result)[-1]
    assert "groups drawn at random seldom differ as much (p = 0.0" in sentence


def test_the_table_says_what_there_is():
    p = simulate()
    columns = {
        "site": cells(p, lambda i: "a|b" if i < 30 else "c"),
        "age": cells(p, lambda i: str(i % 40)),
    }
    result = by_subgroup(p, choose(p), columns, n_draws=40)
    lines = subgroup_table(result)
    assert lines[0].startswith("| column | group | recordings / patients |")
    block = result["site"]["groups"]["a|b"]
    low, high = block["auc_ci95"]
    assert lines[2] == (
        f"| site | a\\|b | 60 / 30 | 20 / 10 | {block['auc']:.3f} "
        f"({low:.3f} to {high:.3f}) |"
    )
    assert len(lines) == 2 + 2 + 3 + 1 + 2
    assert [line.split(":")[0] for line in lines[-2:]] == ["site", "age"]
    assert list(result["age"]["groups"]) == [
        "[0, 10)", "[10, 20)", "[20, 39]",
    ]  # fmt: skip
