"""The learning rate's schedule where a run is shortened."""

import pytest

from cry_modules.training.schedule import step_schedule, warmup_cosine


@pytest.mark.parametrize(
    "n_epochs, warmup, n_warmup",
    [(50, 5, 500), (6, 5, 500), (5, 5, 50), (1, 5, 10), (1, 10, 10), (1, 0, 0)],
)
def test_a_warmup_of_all_epochs_is_shortened(
    caplog, n_epochs, warmup, n_warmup
):
    """Only --number_of_epochs is lowered."""
    hparams = {"number_of_epochs": n_epochs, "warmup_epochs": warmup}
    schedule = step_schedule({**hparams, "lr": 1.0, "final_lr": 0.0}, 100, 1)
    assert schedule["n_warmup"] == n_warmup
    assert schedule["n_steps"] == 100 * n_epochs
    steps = range(schedule["n_steps"])
    rates = [warmup_cosine(step, **schedule) for step in steps]
    assert max(rates) == 1.0 and rates[-1] == pytest.approx(0.0)
    is_short = warmup >= n_epochs
    assert len(caplog.records) == is_short
    if is_short:
        assert f"--warmup_epochs is {warmup} of {n_epochs}" in caplog.text
