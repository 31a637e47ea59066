"""The identity probe, and the speaker encoder that it is compared with."""

import numpy as np
import pytest
import torch
from torch import nn

from cry_modules.evaluation import speaker
from cry_modules.evaluation.identity import identity_probe, same_patient_auc
from cry_modules.evaluation.speaker import SpeakerEncoder, window_starts
from cry_modules.pretrained.frozen import Memory
from data_prep.files.errors import InputError


def test_each_recording_is_compared_with_each_other():
    """The formula in slow loops, with ties, and patients of one recording."""
    rng = np.random.default_rng(0)
    patients = np.array([0, 0, 1, 1, 1, 2, 3, 3])
    embs = rng.normal(size=(8, 3))
    embs[7] = embs[0]
    scaled = (embs - embs.mean(0)) / embs.std(0)
    unit = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    for i, value in enumerate(same_patient_auc(embs, patients)):
        wins = [
            np.sign(round(unit[i] @ unit[j] - unit[i] @ unit[k], 10)) / 2 + 0.5
            for j in range(8)
            for k in range(8)
            if j != i and patients[j] == patients[i] != patients[k]
        ]
        expected = np.mean(wins) if wins else np.nan
        np.testing.assert_allclose(value, expected)


def test_chance_and_a_voice():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 5)
    noise = rng.normal(size=(200, 16))
    nothing = identity_probe(noise, patients, n_draws=200)
    low, high = nothing["auc_ci95"]
    assert low < 0.5 < high and high - low < 0.1
    voice = identity_probe(
        noise + rng.normal(size=(40, 16))[patients], patients, n_draws=200
    )
    assert voice["auc"] > 0.8 and voice["auc_ci95"][0] > 0.7
    assert (voice["n"], voice["n_patients"]) == (200, 40)


def test_without_second_recordings_it_is_not_asked():
    probe = identity_probe(np.ones((30, 2)), np.arange(30))
    assert probe == {
        "not_asked": "0 patients have two recordings or more; 5 are needed"
    }


@pytest.fixture
def weights(tmp_path):
    """A file like Resemblyzer's, with random weights."""
    torch.manual_seed(0)
    parts = nn.ModuleDict(
        {"lstm": nn.LSTM(40, 256, 3), "linear": nn.Linear(256, 256)}
    )
    state = {**parts.state_dict(), "similarity_weight": torch.ones(1)}
    torch.save({"step": 1, "model_state": state}, tmp_path / "pretrained.pt")
    return tmp_path / "pretrained.pt"


def test_a_speaker_is_the_mean_over_windows(weights, monkeypatch):
    monkeypatch.setattr(speaker, "MEMORY", Memory())
    encoder = SpeakerEncoder(weights)
    torch.manual_seed(1)
    wavs = 0.1 * torch.randn(2, 40000)
    wavs[1, 20000:] = 0
    embs = encoder(wavs, torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(embs.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(embs[1], encoder.embed(wavs[1, :20000]))

    mel = encoder.mel(wavs[:1])[0][0]
    parts = []
    for start in window_starts(40000):
        _, (hidden, _) = encoder.lstm(mel[None, start : start + 160])
        part = encoder.linear(hidden[-1]).relu()[0]
        parts.append(part / part.norm())
    expected = torch.stack(parts).mean(dim=0)
    torch.testing.assert_close(embs[0], (expected / expected.norm()).detach())


def test_a_recording_is_embedded_once(weights, monkeypatch):
    monkeypatch.setattr(speaker, "MEMORY", Memory())
    first = SpeakerEncoder(weights)(torch.ones(1, 20000))
    again = SpeakerEncoder(weights)  # of the next fold
    monkeypatch.setattr(again, "embed", lambda wav: 1 / 0)
    torch.testing.assert_close(again(torch.ones(1, 20000)), first)


def test_another_file_is_refused_with_a_cure(tmp_path):
    torch.save({"model": {}}, tmp_path / "pretrained.pt")
    with pytest.raises(InputError, match="pip install --no-deps resemblyzer"):
        SpeakerEncoder(tmp_path / "pretrained.pt")


def test_the_package_may_be_missing(monkeypatch):
    monkeypatch.setattr(speaker, "_PACKAGE", "resemblyzer-of-nobody")
    assert speaker.weights_file() is None
