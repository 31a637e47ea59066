"""Estimate of a run's time and memory; a run that does not fit is refused."""

import logging
import os
from itertools import count
from statistics import median
from typing import Dict, List, NamedTuple

import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.distributed import if_main_process

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.distributed import any_rank, n_ranks
from cry_modules.lengths import LONGEST_S
from cry_modules.training.cost import (
    activation_bytes,
    measure,
    passes_per_step,
    state_bytes,
)
from cry_modules.training.loader_workers import check_workers
from cry_modules.training.memory import (
    free_memory,
    resident_memory,
    return_freed_memory,
)
from cry_modules.training.recompute import has_blocks
from data_prep.files.errors import InputError
from data_prep.files.words import duration_in_words

logger = logging.getLogger(__name__)

#: Process memory on a CPU over that of the tensors in use, with freed memory
#: kept (``keep_freed_memory``) or returned: gaps between tensors and buffers of
#: convolutions. From peaks of benchmarks/memory.py at widths 8 and 64.
_KEPT, _RETURNED = 1.6, 1.1
#: Bytes of code and buffers that libraries load in the first training step.
_LIBRARIES = 2e8
#: A run is refused where the estimate exceeds the free memory by more than its
#: error, which was within a tenth (benchmarks/memory.py).
MARGIN = 1.1
#: Number of steps, after the first, that correct the estimate of time.
_STEPS = 3
#: Seconds; a run with less left needs no correction.
_SOON = 60.0
#: Bytes of a sample in a batch.
_SAMPLE_BYTES = 4


class Size(NamedTuple):
    """Numbers of rows of this process, counted in rows of the measured pass:
    in a training batch, in an evaluation batch, and trained on and evaluated in
    an epoch."""

    batch: float
    eval_batch: float
    epoch: float
    evaluated: float


class Need(NamedTuple):
    """Bytes that a run adds to those in use; on a CPU, of all processes of
    this machine."""

    state: float
    activations: float

    def total(self) -> float:
        return self.state + self.activations


class Forecast:
    """Estimate of a run's time and memory, from a measured pass."""

    def __init__(self, brain, hparams, measured, size, n_batches):
        self.device = torch.device(brain.device)
        self.precision = brain.precision
        self.keeps_memory = brain.keeps_memory
        self.hparams, self.measured, self.size = hparams, measured, size
        self.recompute = hparams["checkpoint_activations"]
        self.state = state_bytes(brain.modules, hparams["opt_class"])
        self.trains = passes_per_step(brain.modules, False) > 1
        passes = passes_per_step(brain.modules, self.recompute)
        self.step_s = passes * measured.seconds * size.batch
        n_epochs = hparams["number_of_epochs"]
        epoch_s = measured.seconds * (passes * size.epoch + size.evaluated)
        self.total_s = n_epochs * epoch_s
        self.n_steps = n_epochs * n_batches
        self.steps: List[float] = []

    def need(self, share: float = 1.0, recompute: bool = False) -> Need:
        """Estimate the memory of the run if activations shrink to ``share``."""
        blocks, size = self.measured.blocks, self.size
        training = 0.0
        if self.trains:
            training = activation_bytes(blocks, size.batch, recompute)
        # A layer's input and output, and a copy without padding.
        evaluation = 3 * size.eval_batch * max(b.largest for b in blocks)
        activations = max(training, evaluation)
        state = self.state + self.measured.weights + _LIBRARIES
        if self.device.type != "cpu":
            return Need(state, share * activations)
        kept = self.keeps_memory and not recompute
        share *= _KEPT if kept else _RETURNED
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        return Need(processes * state, processes * share * activations)

    def announce(self) -> None:
        """Log time and memory; refuse the run if memory does not suffice."""
        free = free_memory(self.device)
        need = self.need(recompute=self.recompute)
        if self.keeps_memory and need.total() > free:
            self.keeps_memory = not return_freed_memory()
            need = self.need(recompute=self.recompute)
        if any_rank(need.total() > MARGIN * free, str(self.device)):
            raise InputError(
                f"training needs {gigabytes(need.total())} more memory and "
                f"{gigabytes(free)} are free; {self._cures(free)}"
            )
        if not if_main_process():
            return
        how = "to embed each recording once (from a forward pass here)"
        if self.step_s:
            how = (
                f"{duration_in_words(self.step_s)} a step (from a forward pass on "
                "this machine; corrected after the first steps)"
            )
        logger.info("time: about %s, %s", duration_in_words(self.total_s), how)
        in_use = resident_memory() if self.device.type == "cpu" else 0
        logger.info(
            "memory: about %s at the peak, %s of them activations (from the "
            "tensors that the pass kept); %s free",
            gigabytes(need.total() + in_use),
            gigabytes(need.activations),
            gigabytes(free),
        )
        if need.total() > free:
            logger.warning("memory may not suffice: %s", self._cures(free))

    def _cures(self, free: float) -> str:
        """Options with which the run fits."""
        cures = []
        if (batch_size := self._fitting_batch(free)) >= 2:
            cures.append(f"--batch_size {batch_size}")
        width = self.hparams["width"]
        source = EncoderSource(self.hparams.get("encoder_source"))
        may_narrow = width > 8 and source.is_random
        # Refused under several processes (recompute.py).
        recompute = self.trains and not self.recompute and n_ranks() == 1
        recompute = recompute and has_blocks(self.hparams["encoder"])
        cast = self.precision == "fp32"
        checkpointing = "--checkpoint_activations True"
        alone = {checkpointing, "--precision bf16"}
        for cure, applies, share, recomputed in (
            (checkpointing, recompute, 1.0, True),
            ("--precision bf16", cast, 0.5, self.recompute),
            (f"{checkpointing} --precision bf16", recompute, 0.5, True),
            ("--width 8", may_narrow, 8 / width, self.recompute),
        ):
            both = cure.count("--") == 2
            if both and not (cast and alone.isdisjoint(cures)):
                continue  # one of them is enough
            if applies and self.need(share, recomputed).total() <= free:
                cures.append(cure)
        if not cures:
            return "use a machine with more memory"
        if width > 8 and {"min_clips", "temperature"} <= set(self.hparams):
            cures[-1] += " or use hparams/small_simclr.yaml"
        return f"pass {' or '.join(cures)}"

    def _fitting_batch(self, free: float) -> int:
        """Largest batch size that fits, rounded down to a multiple of 8."""
        if not self.trains:
            return 0
        need = self.need(recompute=self.recompute)
        share = (free - need.state) / need.activations
        size = int(min(share, 1.0) * self.hparams["batch_size"])
        return size - size % 8 if size >= 8 else size

    def add_step(self, seconds: float, n_done: int) -> None:
        """Count a step; after the first few, log a corrected estimate."""
        self.steps.append(seconds)
        if len(self.steps) != _STEPS + 1 or not self.step_s:
            return
        step_s = median(self.steps[1:])
        left = (self.n_steps - n_done) / self.n_steps * self.total_s
        left *= step_s / self.step_s
        if left > _SOON and if_main_process():
            logger.info(
                "time: %s a step, about %s to go",
                duration_in_words(step_s),
                duration_in_words(left),
            )


def forecast_simclr(brain, hparams: Dict, n_batches: int, n_valid: int) -> None:
    """Log a contrastive run's time and memory; refuse one that does not fit."""
    n_views, chunks = hparams["n_views"], hparams["chunks"]

    def forward(n):
        item = {
            "id": "",
            "chunks": tone(chunks.n_samples).expand(n_views, -1),
            "gain": torch.ones(1),
            "corpus": "",
        }
        with brain.training_ctx:
            batch = PaddedBatch([item] * n)
            return brain.compute_forward(batch, sb.Stage.TRAIN)

    # BatchNorm of the projector needs two rows in each pass.
    least = 2 if brain.two_passes else 1
    batch = -(-hparams["batch_size"] // n_ranks())
    valid = hparams["batch_size"] * 2 / n_views
    size = Size(batch, valid, batch * n_batches, n_valid * valid)
    samples = batch * n_views * chunks.n_samples
    check_workers(hparams["num_workers"], _SAMPLE_BYTES * samples)
    _announce(brain, hparams, forward, least, size, n_batches)


def forecast_classification(
    brain, hparams: Dict, seconds: Dict[str, List[float]], n_batches: int
) -> None:
    """Log a classifier's time and memory; refuse one that does not fit.

    ``seconds`` are those of the recordings of each split.
    """
    row_s, rate = hparams["chunk_s"], hparams["sample_rate"]

    levels = count(1)

    def forward(n):
        # Different ones: a frozen encoder recalls what it has embedded.
        sound = tone(round(row_s * rate))
        items = [{"sig": sound / next(levels)} for _ in range(n)]
        batch = PaddedBatch(items).to(brain.device)
        with brain.training_ctx:
            return brain.modules.head(brain.modules.embedder(*batch.sig))

    # Longer ones are evaluated in windows, and trained on in chunks.
    longest = min(LONGEST_S, max(map(max, seconds.values()))) / row_s
    batch = -(-hparams["batch_size"] // n_ranks())
    if hparams["trained_on"] == "recordings":
        whole = [s for s in seconds["train"] if s <= LONGEST_S]
        batch *= max(whole, default=row_s) / row_s
    evaluated_s = sum(seconds["valid"])
    if brain.cached:  # each recording is embedded once, whatever the epochs
        batch = 0
        evaluated_s = sum(map(sum, seconds.values()))
        evaluated_s /= hparams["number_of_epochs"]
    size = Size(
        batch,
        max(1, hparams["batch_size"] // 4) * longest,
        batch * n_batches,
        evaluated_s / row_s / n_ranks(),
    )
    samples = max(size.batch, size.eval_batch) * row_s * rate
    check_workers(hparams["num_workers"], _SAMPLE_BYTES * samples)
    _announce(brain, hparams, forward, 2, size, n_batches)


def _announce(brain, hparams, forward, least, size, n_batches):
    device = torch.device(brain.device)
    measured = measure(forward, brain.modules, least, size.batch, device)
    brain.forecast = Forecast(brain, hparams, measured, size, n_batches)
    brain.forecast.announce()


def tone(n_samples: int) -> torch.Tensor:
    """Test sound without random numbers, ``[n_samples]``."""
    return 0.1 * torch.sin(torch.arange(n_samples) ** 1.5 / 50)


def gigabytes(n_bytes: float) -> str:
    """Format bytes, such as ``20.4 GB``."""
    return f"{n_bytes / 1e9:.1f} GB"
