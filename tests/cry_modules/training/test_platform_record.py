"""A run that resumes on another platform says so in one line, and resumes."""

import warnings

import pytest
import speechbrain as sb
import torch
from speechbrain.utils.epoch_loop import EpochCounter
from torch.nn.functional import mse_loss

from cry_modules.checkpoints.checkpointer import CompleteCheckpointer
from cry_modules.training import state
from cry_modules.training.brain import ResumableBrain
from cry_modules.training.history import History
from cry_modules.training.state import differences


class Line(ResumableBrain):
    """A straight line through random points, a checkpoint an epoch."""

    def compute_forward(self, batch, stage):
        return self.modules.line(batch)

    def compute_objectives(self, predictions, batch, stage):
        return mse_loss(predictions, batch)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == sb.Stage.TRAIN:
            self.history.add({"epoch": epoch})
            self.save_epoch({"epoch": epoch})


@pytest.fixture
def warnings_of_a_run(tmp_path, caplog):
    """Train up to an epoch, a new Brain each time; its warnings."""
    n_threads = torch.get_num_threads()

    def run(n_epochs, threads=1):
        caplog.clear()
        torch.set_num_threads(threads)
        line, counter = torch.nn.Linear(2, 2), EpochCounter(n_epochs)
        brain = Line(
            {"line": line},
            torch.optim.SGD,
            {"seed": 0, "epoch_counter": counter},
            {"device": "cpu", "noprogressbar": True},
            CompleteCheckpointer(tmp_path, {"line": line, "counter": counter}),
        )
        brain.history = History(str(tmp_path))
        brain.schedule = dict(n_warmup=1, n_steps=9, lr=0.1, final_lr=0.0)
        brain.fit(counter, [torch.ones(3, 2)])
        assert len(brain.history.rows)
        assert counter.current == n_epochs
        return [
            record.getMessage()
            for record in caplog.records
            if record.levelname == "WARNING"
        ]

    yield run
    torch.set_num_threads(n_threads)


def test_another_number_of_threads_is_one_line(warnings_of_a_run):
    assert warnings_of_a_run(1) == []
    assert warnings_of_a_run(2) == []
    (line,) = warnings_of_a_run(3, threads=2)
    assert "(threads: 1, now 2)" in line and "\n" not in line
    # From then on its checkpoints are of two threads.
    assert warnings_of_a_run(4, threads=2) == []


def test_another_library_and_instruction_set_are_one_line(
    warnings_of_a_run, monkeypatch
):
    warnings_of_a_run(1)
    versions = {"torch": "9.0"}
    monkeypatch.setattr(
        state, "version", lambda name: versions.get(name, "1.0")
    )
    monkeypatch.setattr(
        torch.backends.cpu, "get_cpu_capability", lambda: "OTHER"
    )
    (line,) = warnings_of_a_run(2)
    assert f"torch: {torch.__version__.split('+')[0]}" in line
    assert "now 9.0" in line and "now OTHER" in line


def test_checkpoints_without_a_record_resume_in_silence(
    warnings_of_a_run, tmp_path
):
    warnings_of_a_run(1)
    (folder,) = tmp_path.glob("CKPT*")
    (folder / "platform.ckpt").unlink()
    meta = folder / "CKPT.yaml"
    lines = meta.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if "platform.ckpt" not in line]
    assert len(kept) == len(lines) - 1
    meta.write_text("\n".join(kept), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warnings_of_a_run(2, threads=2) == []


def test_what_was_not_recorded_does_not_differ():
    assert differences({"a": "1"}, {"a": "1", "b": "2"}) == []
    assert differences({"a": "1", "b": "0"}, {"a": "1"}) == []
