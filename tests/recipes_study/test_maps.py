"""Neighbours and maps of embeddings, compared with plain loops."""

import numpy as np
import pytest

from recipes.study.report import maps


@pytest.fixture
def cries():
    rng = np.random.default_rng(0)
    patients = [f"p{i // 3}" for i in range(60)]
    return maps.Embeddings(
        rng.normal(size=(60, 5)) + 2 * rng.normal(size=(20, 5)).repeat(3, 0),
        ["ab"[i // 3 % 2] for i in range(60)],
        patients,
        [f"s{i // 6 % 3}" for i in range(60)],
    )


def test_neighbours_are_those_of_plain_loops(cries):
    embs = (cries.embs - cries.embs.mean(0)) / cries.embs.std(0)
    embs = embs / np.linalg.norm(embs, axis=1, keepdims=True)
    same, chance = [], []
    for i, patient in enumerate(cries.patients):
        others = [j for j in range(60) if j != i]
        nearest = max(others, key=lambda j: embs[i] @ embs[j])
        same.append(cries.patients[nearest] == patient)
        chance.append(np.mean([cries.patients[j] == patient for j in others]))
    result = maps.neighbours(cries)
    assert result["same_patient"] == pytest.approx(np.mean(same))
    assert result["by_chance"] == pytest.approx(np.mean(chance))
    assert result["same_patient"] > 3 * result["by_chance"]


def test_chance_is_a_random_recording_of_another_patient(cries):
    shares = []
    for i in range(60):
        others = [
            j for j in range(60) if cries.patients[j] != cries.patients[i]
        ]
        shares.append(
            np.mean([cries.labels[j] == cries.labels[i] for j in others])
        )
    result = maps.by_chance(cries.labels, cries.patients)
    assert result == pytest.approx(np.mean(shares))
    assert maps.by_chance(["a", "a"], ["p", "p"]) is None


def test_maps_of_few_recordings(cries):
    assert list(maps.maps(cries.embs[:5])) == ["PCA"]
    both = maps.maps(cries.embs)
    assert {name: points.shape for name, points in both.items()} == {
        "PCA": (60, 2), "t-SNE": (60, 2),
    }  # fmt: skip


def test_pseudonyms_hide_patients(cries):
    names = maps.pseudonyms(cries.patients)
    assert not set(names) & set(cries.patients)
    # The same infant has one name; a dozen have their own.
    assert len(set(names)) == 13
    assert names[0] == names[1] == names[2] != names[3]


def test_single_recordings_have_no_neighbours_of_their_patient():
    single = maps.Embeddings(
        np.eye(4), list("abab"), list("pqrs"), ["x"] * 4
    )  # fmt: skip
    result = maps.neighbours(single)
    assert result["same_patient"] is None and result["by_chance"] is None
    assert result["site"] is None and result["label"] is not None
