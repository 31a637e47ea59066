"""Speed of this machine: a few training steps of a study's encoder."""

import tempfile
import time
from statistics import median

import torch
from speechbrain import Stage
from speechbrain.dataio.batch import PaddedBatch

from cry_modules.training.experiment import load
from cry_modules.training.forecast import tone
from cry_modules.training.options import parse_arguments
from cry_modules.training.simclr import SimCLRBrain
from recipes.study.stages import HPARAMS

#: Steps that are timed, after a first one, which loads libraries.
_STEPS = 5


def audio_per_second(width: int, chunk_s: float, batch_size: int) -> float:
    """Seconds of audio that SimCLR trains on in a second, on one thread as in
    a study's runs."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            seconds = _step_s(width, chunk_s, batch_size)
    finally:
        torch.set_num_threads(n_threads)
    return 2 * batch_size * chunk_s / seconds  # two views


def _step_s(width: int, chunk_s: float, batch_size: int) -> float:
    """Seconds of a training step."""
    options = {"width": width, "chunk_s": chunk_s, "batch_size": batch_size}
    with tempfile.TemporaryDirectory() as folder:
        options["output_folder"] = folder
        argv = [f"--{name}={value}" for name, value in options.items()]
        file, run_opts, overrides = parse_arguments(
            [str(HPARAMS / "small_simclr.yaml"), *argv]
        )
        hparams = load(file, overrides)
        brain = SimCLRBrain(
            hparams["modules"],
            hparams["opt_class"],
            hparams,
            run_opts,
            hparams["checkpointer"],
        )
        brain.two_passes = hparams["two_passes"]
        brain.init_optimizers()
        brain.modules.train()
        item = {
            "id": "",
            "chunks": tone(hparams["chunks"].n_samples).expand(2, -1),
            "gain": torch.ones(1),
            "corpus": "",
        }
        batch = PaddedBatch([item] * batch_size)
        seconds = []
        for _ in range(_STEPS + 1):
            began = time.perf_counter()
            views = brain.compute_forward(batch, Stage.TRAIN)
            loss = brain.compute_objectives(views, batch, Stage.TRAIN)
            brain.optimizer.zero_grad()
            loss.backward()
            brain.optimizer.step()
            loss.item()  # waits for a GPU
            seconds.append(time.perf_counter() - began)
    return median(seconds[1:])
