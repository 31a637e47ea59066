"""The benchmark of growth: its lines, its corpora, what a start reports."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import linregress

from data_prep import manifest
from data_prep.audio.packs import pack_at

# As a script finds its neighbours.
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import growth  # noqa: E402


def test_the_line_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    for n in (3, 4, 20):
        x, y = rng.normal(size=n), rng.normal(size=n)
        found, expected = growth.fit(x, y), linregress(x, y)
        assert found["slope"] == pytest.approx(expected.slope)
        assert found["intercept"] == pytest.approx(expected.intercept)
        assert found["r2"] == pytest.approx(expected.rvalue**2)
        residuals = y - expected.intercept - expected.slope * x
        worst = abs(residuals).argmax()
        assert found["residual"] == pytest.approx(residuals[worst])
        assert found["at"] == x[worst]


def test_no_r2_where_it_says_nothing():
    assert growth.fit([1, 2], [5, 3])["r2"] is None
    assert growth.fit([1, 2, 3], [4, 4, 4])["r2"] is None


def test_every_value_has_its_turn_in_every_round():
    turns = list(growth._in_turns("abcd", 5, "test"))
    for number in range(5):
        cases = [case for n, case in turns if n == number]
        assert sorted(cases) == list("abcd")
    orders = {tuple(c for n, c in turns if n == number) for number in range(5)}
    assert len(orders) > 1


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("growth")
    return {n: growth.make_corpus(folder / str(n), n) for n in (24, 48)}


def test_a_corpus_has_as_many_recordings_as_it_says(corpora):
    for n, folder in corpora.items():
        train, valid = (
            manifest.read(folder / f"run/manifest/{split}.csv")
            for split in ("train", "valid")
        )
        assert len(train) == n and len(valid) == growth.N_VALID
        pack = pack_at(folder / "pack")
        for rec in train + valid:
            assert rec.wav in pack and rec.seconds == 10.0
            assert len(pack.stored(rec.wav, 0.0, 10.0).samples) == 160000


@pytest.mark.slow
def test_a_start_reports_times_and_memory(corpora):
    rows = growth.startup(corpora, rounds=1)
    assert [row["recordings"] for row in rows] == [24, 48]
    for row in rows:
        assert 0 < row["floor_s"] < row["imports_s"] < row["seconds"]
        assert 50 < row["worker_mb"] and 50 < row["main_mb"]
    held = growth.memory(corpora, n_batches=3)
    for row in held:
        assert row["batches"] == 3
        # A main process and two workers.
        assert max(row["main_mb"], row["worker_mb"]) < row["all_mb"]
        assert row["all_mb"] <= row["main_mb"] + 2 * row["worker_mb"]
    page = growth.markdown({"startup": rows, "memory": held})
    for line in ("| 24 |", "| 48 |", "After 3 batches, 2 workers:"):
        assert line in page
