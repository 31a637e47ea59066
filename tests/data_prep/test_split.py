"""No split ever divides a patient, and the parts nest."""

import math
from collections import Counter

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from data_prep.errors import InputError
from data_prep.manifest import Recording
from data_prep.split import fraction_of_patients, split_patients, strata

SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}

databases = st.lists(
    st.tuples(
        st.integers(0, 30), st.sampled_from("ab"), st.sampled_from(["n", "s"])
    ),
    min_size=1,
    max_size=80,
)


def recordings(rows):
    return [
        Recording(f"r{i}", 1.0, "", 0.0, 1.0, label, f"p{patient}", site)
        for i, (patient, label, site) in enumerate(rows)
    ]


@settings(deadline=None)
@given(databases, st.integers(0, 3))
def test_every_patient_has_one_split_and_labels_their_shares(rows, seed):
    stratum_of = strata(recordings(rows))
    split_of = split_patients(stratum_of, SHARES, seed)
    assert set(split_of) == {f"p{patient}" for patient, _, _ in rows}
    assert split_of == split_patients(stratum_of, SHARES, seed)
    for label in "ab":
        patients = [p for p in split_of if stratum_of[p][0] == label]
        counts = Counter(split_of[p] for p in patients)
        for split, share in SHARES.items():
            assert counts[split] >= 1 or len(patients) < len(SHARES)
            if share * len(patients) >= 1:
                assert abs(counts[split] - share * len(patients)) <= (
                    # Few patients: train gives one to each other split.
                    1 if len(patients) > 6 else 2
                )


def test_seeds_and_sites():
    stratum_of = {f"p{i}": ("a", "ns"[i % 2]) for i in range(200)}
    split_of = split_patients(stratum_of, SHARES, 0)
    assert split_of != split_patients(stratum_of, SHARES, 1)
    in_test = Counter(
        stratum_of[p][1] for p in split_of if split_of[p] == "test"
    )
    assert abs(in_test["n"] - in_test["s"]) <= 2


def test_a_patient_counts_for_its_rarest_label():
    rows = [(0, "a", "n"), (0, "b", "n"), (1, "a", "n"), (2, "a", "n")]
    assert strata(recordings(rows))["p0"] == ("b", "n")


@settings(deadline=None)
@given(databases, st.integers(0, 3))
def test_fractions_nest_and_keep_every_label(rows, seed):
    stratum_of = strata(recordings(rows))
    smaller = set()
    for fraction in (0.03, 0.05, 0.2, 1.0):
        kept = fraction_of_patients(stratum_of, fraction, seed)
        assert smaller <= kept
        smaller = kept
        for label, n in Counter(s[0] for s in stratum_of.values()).items():
            of_label = [p for p in kept if stratum_of[p][0] == label]
            assert len(of_label) == math.ceil(round(n * fraction, 9))
    assert kept == set(stratum_of)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1])
def test_refuses_a_fraction(fraction):
    with pytest.raises(InputError, match="above 0 and up to 1"):
        fraction_of_patients({"p": ("a", "")}, fraction, 0)
