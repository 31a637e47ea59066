"""Parts of a checkpoint of another shape are refused in one line."""

import json

import pytest
import torch
import yaml

from cry_modules.training.early_stopping import EarlyStopping
from cry_modules.training.state import EpochTotals, PlatformRecord, RandomStates
from data_prep.files.errors import InputError

RIGHT = RandomStates().get_state()


@pytest.mark.parametrize(
    "part, state",
    [
        (EpochTotals(), [json.dumps([1, []])]),
        (EpochTotals(), [json.dumps([-1, {}])]),
        (EpochTotals(), [json.dumps([1, {"a": {"loss": "x"}}])]),
        (EpochTotals(), [json.dumps({"epoch": 1})]),
        (EpochTotals(), [[1, {}]]),
        (EpochTotals(), "x"),
        (RandomStates(), {}),
        (RandomStates(), [{}]),
        (RandomStates(), [{**RIGHT, "torch": torch.zeros(3)}]),
        (RandomStates(), [{**RIGHT, "numpy": ["MT19937", [-1], 0, 0, 0.0]}]),
        (PlatformRecord("cpu"), [{"threads": 1}]),
        (PlatformRecord("cpu"), [["threads"]]),
        (PlatformRecord("cpu"), [{}, {}]),
    ],
)
def test_state_of_another_shape(part, state, tmp_path):
    torch.save(state, tmp_path / "a.ckpt")
    with pytest.raises(InputError) as refusal:
        part.load(tmp_path / "a.ckpt", True)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "state",
    [
        [],
        None,
        {"current": 1},
        {"current": "1", "best": 0.5, "best_epoch": 1},
        {"current": 1, "best": None, "best_epoch": 1},
        {"current": 1, "best": 0.5, "best_epoch": 1, "limit": 9},
    ],
)
def test_early_stopping_of_another_shape(state, tmp_path):
    counter = EarlyStopping(limit=3, patience=2)
    (tmp_path / "a").write_text(yaml.safe_dump(state))
    with pytest.raises(InputError, match="pass another --output_folder"):
        counter.load(tmp_path / "a", True)
    assert (counter.current, counter.limit) == (0, 3)
