"""A training step never waits for the device; its sums are those of the rows."""

import csv
from collections import Counter

import pytest
import speechbrain as sb
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cry_modules.training.experiment import load
from cry_modules.training.history import History
from cry_modules.training.schedule import step_schedule
from cry_modules.training.simclr import SimCLRBrain
from cry_modules.training.views_data import read_views
from data_prep.files.errors import InputError
from data_prep.vggsound_prepare import prepare_vggsound
from recipes.simclr.train_simclr import make_loaders

#: Operators that make the CPU wait for a result of the device.
WAITS = (
    "aten._local_scalar_dense.default",
    "aten.nonzero.default",
    "aten.masked_select.default",
    "aten.is_nonzero.default",
    "aten.unique.default",
    "aten._unique2.default",
)


class Operators(TorchDispatchMode):
    """Count the operators called."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(params=[2, 3])
def brain_and_batches(noise, tmp_path, request):
    """A tiny SimCLR with two or three views, and its batches."""
    rows = [[f"noise{i}", "0", "hum", "train"] for i in range(12)]
    for row in rows:
        noise(f"sounds/audio/{row[0]}_000000.wav", seconds=1.5)
    sounds = str(tmp_path / "sounds")
    with open(f"{sounds}/vggsound.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    hparams = load(
        "hparams/small_simclr.yaml",
        {
            "data_folder": sounds,
            "output_folder": str(tmp_path / "out"),
            "width": 1,
            "batch_size": 4,
            "n_views": request.param,
            "valid_share": 0.2,
            "background_snr": [0, 20],
            "noise_snr": [0, 20],
            "frequency_response": 6.0,
        },
    )
    manifests = tmp_path / "out/manifest"
    prepare_vggsound(sounds, str(manifests), 0.2)
    brain = SimCLRBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts={"device": "cpu"},
        checkpointer=hparams["checkpointer"],
    )
    brain.history = History(str(tmp_path / "out"))
    brain.two_passes, brain.probes = False, []
    train, valid = read_views(hparams, manifests, sounds)
    loader, _ = make_loaders(brain, hparams, train, valid)
    brain.schedule = step_schedule(hparams, len(loader), 1)
    brain.init_optimizers()
    brain.modules.train()
    brain.on_stage_start(sb.Stage.TRAIN, 1)
    return brain, list(loader)


def test_nothing_in_a_step_waits(brain_and_batches):
    brain, batches = brain_and_batches
    brain.step = 1
    brain.fit_batch(batches[0])  # an epoch's first shows its own loss
    brain.step = 2
    with Operators() as operators:
        brain.fit_batch(batches[1])
    assert operators.calls["aten.convolution.default"] > 0
    # The loss of the step before, which is on the CPU by then.
    waited = {name: operators.calls[name] for name in WAITS}
    assert {k: n for k, n in waited.items() if n} == {WAITS[0]: 1}


def test_a_loss_that_is_not_finite_is_refused_before_anything_is_saved(
    brain_and_batches,
):
    brain, batches = brain_and_batches
    brain.step = 1
    brain.fit_batch(batches[0])
    with torch.no_grad():
        next(brain.modules.projector.parameters()).fill_(float("nan"))
    brain.step = 2
    brain.fit_batch(batches[1])
    with pytest.raises(InputError, match="the loss is nan at step 2; lower"):
        brain._save_intra_epoch_ckpt()
    assert not list(brain.checkpointer.list_checkpoints())
    brain.late_loss.exchange(torch.tensor(float("nan")))
    with pytest.raises(InputError, match="the loss is nan"):
        brain.on_stage_start(sb.Stage.VALID, 1)


def test_sums_of_an_epoch_are_those_of_its_batches(brain_and_batches):
    brain, batches = brain_and_batches
    expected = Counter()
    for brain.step, batch in enumerate(batches, start=1):
        with torch.random.fork_rng():
            z = brain.compute_forward(batch, sb.Stage.TRAIN).z
        n_views = brain.hparams.n_views
        assert len(z) == 4 * n_views
        logits, targets = brain.hparams.loss.logits(*z.chunk(n_views))
        expected["loss"] += torch.nn.functional.cross_entropy(
            logits, targets, reduction="sum"
        ).item()
        expected["accuracy"] += (logits.argmax(1) == targets).sum().item()
        expected["rows"] += len(logits)
        expected["clips"] += 4
        brain.fit_batch(batch)
    totals = brain.totals.joined()
    assert totals[""]["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert totals[""]["accuracy"] == expected["accuracy"]
    assert totals[""]["rows"] == expected["rows"]
    assert totals[""]["clips"] == expected["clips"]
    assert totals["/gradient"]["steps"] == len(batches)
