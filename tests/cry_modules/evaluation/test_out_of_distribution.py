"""How far recordings lie outside those of a model's training."""

import numpy as np
import pytest

from cry_modules.evaluation.out_of_distribution import (
    Reference,
    Training,
    band_powers,
    bandwidth,
    distance,
    left_out_distances,
    training_of,
    unlike,
)

RATE = 16000


def test_distances_of_training_leave_out_the_patient():
    """As if the other patients were the training recordings; a dimension that
    only one of them has stays finite."""
    rng = np.random.default_rng(0)
    embs = rng.gamma(1.0, size=(30, 8))
    patients = np.repeat(list("abcdefghij"), 3)
    embs[:, 0] = 0
    embs[patients == "c", 0] = 5.0
    how = embs.mean(axis=0), embs.var(axis=0), len(embs)
    distances = left_out_distances(embs, patients, *how)
    for patient in set(patients):
        rest, rows = embs[patients != patient], patients == patient
        mean, variance = rest.mean(axis=0), rest.var(axis=0)
        shrunk = (variance + variance.mean()) / 2
        expected = np.sqrt(((embs[rows] - mean) ** 2 / shrunk).mean(axis=1))
        assert distances[rows] == pytest.approx(expected)
    assert np.isfinite(distances).all()
    assert not len(left_out_distances(embs, ["a"] * 30, *how))


def test_few_recordings_are_beyond_the_percentile_of_their_own_kind():
    """New recordings of new patients: about 1 %; of another kind: most."""
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(10, 64))

    def draw(n_patients, shift=0.0):
        patients = np.repeat(np.arange(n_patients), 10)
        of_patient = rng.normal(size=(n_patients, 10))[patients]
        own = rng.normal(size=(len(patients), 10))
        return np.maximum(0, (of_patient + own) @ factors + shift), patients

    embs, patients = draw(40)
    how = embs.mean(axis=0), embs.var(axis=0)
    distances = left_out_distances(embs, patients, *how, len(embs))
    known = training_of([1.0], [], [], distances)
    reference = Reference(Training(**known), *how)
    new, other = draw(100)[0], draw(100, shift=25.0)[0]
    assert np.mean([reference.ratio(emb) > 1 for emb in new]) < 0.04
    assert np.mean([reference.ratio(emb) > 1 for emb in other]) > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_percentiles_are_rounded_outwards(seed):
    rng = np.random.default_rng(seed)
    values = rng.lognormal(1, 2, 300), rng.uniform(0, 8000, 300)
    levels = rng.normal(-30, 5, 300)
    known = Training(**training_of(*values, levels, []))
    for ends, x in zip(known, (*values, levels)):
        low, high = np.quantile(x, [0.01, 0.99])
        assert ends[0] <= low and high <= ends[1]
    assert known.distance is None and known.length_s[0] > 0
    assert training_of([1.0], [], [], np.zeros(5))["distance"] is None


@pytest.mark.parametrize(
    "seconds, width, level, ratio, names",
    [
        (3.0, 7750, -20, 0.9, []),
        (9.0, 7750, -20, None, []),  # within the tolerance
        (1.0, 7750, -20, 1.0, ["length"]),
        (3600.0, 4250, -20, 1.0, ["length", "bandwidth"]),
        (3.0, 7750, -50, 1.01, ["level", "sound"]),
    ],
)
def test_names_of_what_lies_outside(seconds, width, level, ratio, names):
    known = Training([2.0, 7.4], [7250, 8000], [-40, -12], [1.0, 1.5])
    assert unlike(known, seconds, width, level, ratio) == names
    # What the model does not know is not compared.
    only = [name for name in names if name in ("length", "sound")]
    known = Training([2.0, 7.4])
    assert unlike(known, seconds, width, level, ratio) == only


@pytest.mark.parametrize("cut", [2000, 4000, 8000])
@pytest.mark.parametrize("gain", [1.0, 1e-3])
def test_bandwidth_of_noise_that_ends_at_a_frequency(cut, gain):
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.normal(size=4 * RATE))
    spectrum[4 * cut :] = 0
    sig = (gain * np.fft.irfft(spectrum)).astype(np.float32)
    powers = band_powers(sig, RATE)
    assert cut <= bandwidth(powers) <= min(cut + 250, RATE / 2)
    # The parts of a recording add up, whatever their lengths.
    parts = sum(band_powers(part, RATE) for part in np.split(sig, [32000]))
    assert parts == pytest.approx(powers)
    assert bandwidth(band_powers(sig[:100], RATE)) >= 250


def test_distance_of_constant_embeddings_is_finite():
    assert np.isfinite(
        distance(np.ones((2, 3)), np.zeros(3), np.zeros(3))
    ).all()
