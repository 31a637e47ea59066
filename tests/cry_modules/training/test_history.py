"""History: repeated epochs replace the old ones, here and in TensorBoard."""

import json
import sys

import pytest

from cry_modules.training.history import History
from data_prep.files.errors import InputError


def test_repeated_epochs_replace_the_old_ones(tmp_path):
    before = History(tmp_path)
    for epoch in (1, 2, 3):
        before.add({"epoch": epoch, "valid_loss": 1.0})
    resumed = History(tmp_path)
    resumed.add({"epoch": 2, "valid_loss": 2.0})
    rows = json.loads((tmp_path / "history.json").read_text())
    assert [(r["epoch"], r["valid_loss"]) for r in rows] == [(1, 1.0), (2, 2.0)]


def scalars(folder):
    """Scalars as TensorBoard shows them: [(step, value), ...] by name."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    return {
        name: [(e.step, round(e.value, 4)) for e in accumulator.Scalars(name)]
        for name in accumulator.Tags()["scalars"]
    }


def test_tensorboard_has_each_number_once_and_at_once(tmp_path):
    pytest.importorskip("tensorboard")
    before = History(tmp_path, tensorboard=True)
    assert not list(tmp_path.iterdir())
    before.add({"epoch": 1, "lr": 0.5, "valid_loss": 1.0, "note": "x"})
    assert scalars(tmp_path) == {"lr": [(1, 0.5)], "valid_loss": [(1, 1.0)]}
    for epoch in (2, 3):
        before.add({"epoch": epoch, "lr": 0.5, "valid_loss": 1.0})
    resumed = History(tmp_path, tensorboard=True)
    for epoch in (2, 3, 4):
        resumed.add({"epoch": epoch, "lr": 0.25, "valid_loss": 2.0})
    assert scalars(tmp_path) == {
        "lr": [(1, 0.5), (2, 0.25), (3, 0.25), (4, 0.25)],
        "valid_loss": [(1, 1.0), (2, 2.0), (3, 2.0), (4, 2.0)],
    }


def test_a_missing_package_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match="pip install 'cry-ssl.logging"):
        History(tmp_path, tensorboard=True)
    History(tmp_path).add({"epoch": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["history.json"]
