"""The project's side of each comparison with ``reference``: the objects,
settings and Brain of the recipes."""

import itertools
import random
import tempfile
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.core import RunOptions

from cry_modules.audio import RecordingReader
from cry_modules.training.experiment import load
from cry_modules.training.history import History
from cry_modules.training.memory import keep_freed_memory
from cry_modules.training.schedule import step_schedule
from cry_modules.training.simclr import SimCLRBrain
from cry_modules.training.views_data import read_views
from cry_modules.views.chunks_and_masks import RandomChunks
from data_prep.vggsound_prepare import prepare_vggsound
from recipes.simclr.train_simclr import make_loaders

SAMPLE_RATE = 16000
SECONDS = 10.0  # duration of a recording
ROOT = Path(__file__).resolve().parents[1]


def simclr_brain(folder: str, run_options=None, num_workers=0, **overrides):
    """Make brain and training loader of ``train_simclr.py``; the output is in a
    new folder next to ``folder``, which the caller removes."""
    out = tempfile.mkdtemp(dir=Path(folder).parent)
    manifests = f"{out}/manifest"
    overrides.update(data_folder=folder, output_folder=out)
    overrides.update(num_workers=num_workers)
    hparams = load(str(ROOT / "hparams/vggsound.yaml"), overrides)
    prepare_vggsound(folder, manifests, hparams["valid_share"])
    brain = SimCLRBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=RunOptions.from_dictionary(run_options or {"device": "cpu"}),
        checkpointer=hparams["checkpointer"],
    )
    brain.history = History(out)
    brain.two_passes, brain.probes = hparams["two_passes"], []
    views = read_views(hparams, manifests, folder)
    return brain, make_loaders(brain, hparams, *views)[0]


def endless(brain, loader):
    """Yield batches, epoch after epoch."""
    for epoch in itertools.count(1):
        brain.hparams.chunks.epoch = epoch
        brain.train_sampler.set_epoch(epoch)
        yield from loader


def simclr_step(folder: str, precision: str = "bf16", **overrides):
    """Prepare a training step as in ``fit``, loading included."""
    brain, loader = simclr_brain(
        folder, {"device": "cpu", "precision": precision}, **overrides
    )
    brain.schedule = step_schedule(vars(brain.hparams), len(loader), 1)
    brain.init_optimizers()
    brain.modules.train()
    brain.on_stage_start(sb.Stage.TRAIN, 1)
    batches = endless(brain, loader)

    def step():
        brain.step += 1
        loss = brain.fit_batch(next(batches))
        return float(loss)

    return step


def crops(folder: str, chunk_s: float = 4.0):
    """Prepare a step that reads two random crops of a packed recording as
    ``read_views`` does: integers, converted on the device. Without a dataset,
    as in the reference."""
    keep_freed_memory()  # as a Brain does
    reader = RecordingReader(SAMPLE_RATE)
    chunks = RandomChunks(chunk_s, SAMPLE_RATE, seed=0)
    names = sorted(reader.pack_of(folder)[0].paths)
    epochs = itertools.count(1)

    def step():
        chunks.epoch = next(epochs)
        name = random.choice(names)
        sound = reader.open(f"{folder}/{name}", 0.0, SECONDS)
        return torch.stack(chunks(sound, name, 2))

    return step
