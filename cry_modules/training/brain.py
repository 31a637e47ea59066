"""A Brain that may be stopped at any moment and resumes to the same weights."""

import math
import time
from typing import Dict, Optional

import speechbrain as sb
import torch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.utils.distributed import if_main_process
from torch.nn import SyncBatchNorm
from torch.nn.parallel import DistributedDataParallel

from cry_modules.distributed import RankShare, any_rank, n_ranks, rank
from cry_modules.training.batch_norm import convert_batch_norms
from cry_modules.training.loader_workers import worker_errors, worker_options
from cry_modules.training.memory import keep_freed_memory
from cry_modules.training.schedule import warmup_cosine
from cry_modules.training.state import (
    EpochTotals,
    PerRank,
    PlatformRecord,
    RandomStates,
)
from cry_modules.training.stopping import Stopped, resume_command, stop_signals
from cry_modules.training.uncompiled import leave_compiler_out
from data_prep.files.errors import InputError, require
from data_prep.files.shapes import ANY_NUMBER, checked, whole

leave_compiler_out()

#: SpeechBrain's options that change the result.
_OPTIONS = (
    "precision",
    "eval_precision",
    "grad_accumulation_factor",
    "max_grad_norm",
    "skip_nonfinite_grads",
)
#: SpeechBrain's entries of a checkpoint, which it does not check.
_BRAIN = {
    "step": whole(0),
    "optimizer_step": whole(0),
    "avg_train_loss": ANY_NUMBER,
}


class SameOptions(PerRank):
    """SpeechBrain's options in a checkpoint; refuses a resume with others.

    ``resume.check_same_experiment`` compares the yaml file's.
    """

    shape = {str: (str, bool, ANY_NUMBER, None)}

    def __init__(self, brain):
        self.options = {name: getattr(brain, name) for name in _OPTIONS}

    def get_state(self):
        """Values by name."""
        return self.options

    def set_state(self, state):
        """Refuse options that differ from the checkpoint's."""
        for name, value in self.options.items():
            require(
                state[name] == value,
                f"this run began with --{name} {state[name]}, now it is {value}",
                "pass that, or another --output_folder",
            )


class LateLoss:
    """Loss of a training step, read a step later to avoid waiting for a GPU.

    To read a number from a GPU waits until all queued work is done, and then
    the GPU waits for the next step. One step later the number is there.

    Example
    -------
    >>> late = LateLoss()
    >>> late.exchange(torch.tensor(3.0))
    >>> late.exchange(torch.tensor(2.0))
    3.0
    >>> late.take()
    2.0
    """

    def __init__(self):
        self._copy = self._copied = None

    def exchange(self, loss: torch.Tensor) -> Optional[float]:
        """Keep this step's loss, a scalar on any device; return that of the
        step before, or None."""
        before = self.take()
        # Torch copies into pinned memory, else it would wait.
        self._copy = loss.detach().to("cpu", non_blocking=True, copy=True)
        if loss.is_cuda:
            self._copied = torch.cuda.Event()
            self._copied.record()
        return before

    def take(self) -> Optional[float]:
        """Return the kept loss and forget it; wait for it where necessary."""
        if self._copied is not None:
            self._copied.synchronize()
        copy, self._copy, self._copied = self._copy, None, None
        return None if copy is None else copy.item()


class ResumableBrain(sb.Brain):
    """SpeechBrain's Brain with a resume to the same weights, to the bit.

    A checkpoint holds all random states and the sums of the epoch; loaders
    draw from generators of their own; SIGTERM and Ctrl-C save and stop; a
    checkpoint within an epoch never falls between the batches of a gradient
    accumulation. A resume on another platform logs a warning (see
    ``state.PlatformRecord``), since its rounding differs. Set ``history`` and
    ``schedule`` (see ``step_schedule``) before ``fit``.
    """

    #: Estimate of the run's time, which the first steps correct.
    forecast = None

    #: Key of a checkpoint's meta by which the best is chosen.
    best_by: Dict[str, str] = {}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Keeping freed memory saves time and costs memory, which is scarce
        # where activations are recomputed.
        recompute = self.hparams.checkpoint_activations
        self.keeps_memory = not recompute and keep_freed_memory()
        self.totals = EpochTotals()
        self.late_loss = LateLoss()
        self.loader_generator = torch.Generator()
        self.checkpointer.add_recoverables(
            {
                "random": RandomStates(),
                "totals": self.totals,
                "options": SameOptions(self),
                "platform": PlatformRecord(self.device),
            }
        )

    def make_train_loader(self, dataset, batches, num_workers, **kwargs):
        """Make the resumable loader of this rank's share of each batch."""
        require(
            batches.batch_size >= n_ranks(),
            f"--batch_size is {batches.batch_size} for {n_ranks()} processes",
            "raise it, or start fewer",
        )
        self.train_sampler = RankShare(batches)
        kwargs["batch_sampler"] = self.train_sampler
        kwargs["generator"] = self.loader_generator
        loader = self.make_loader(dataset, num_workers, **kwargs)
        self.checkpointer.add_recoverable("dataloader-TRAIN", loader)
        return loader

    def make_loader(self, dataset, num_workers, **kwargs):
        """Loader for evaluation, which is not part of a checkpoint."""
        # Else the loader draws from the generator that dropout uses.
        kwargs.setdefault("generator", torch.Generator())
        kwargs.update(worker_options(num_workers))
        kwargs.update(pin_memory=self.device_type == "cuda")
        return make_dataloader(dataset, **kwargs)

    def fit(self, *args, **kwargs):
        """Train as SpeechBrain does, until a signal requests a stop."""
        with stop_signals() as self.stop, worker_errors():
            super().fit(*args, **kwargs)

    def evaluate(self, *args, **kwargs):
        """Evaluate as SpeechBrain does; errors of workers are one line."""
        with worker_errors():
            return super().evaluate(*args, **kwargs)

    def on_fit_start(self):
        """Give each rank its own random seed, then load the last checkpoint."""
        if rank() > 0:
            torch.manual_seed(self.hparams.seed + rank())
        super().on_fit_start()
        checked(
            {name: getattr(self, name) for name in _BRAIN},
            _BRAIN,
            f"{self.checkpointer.checkpoints_dir}: brain.ckpt of the newest",
            "pass another --output_folder",
        )
        self.history.require(self.hparams.epoch_counter.current)

    def _wrap_distributed(self):
        """Wrap in DistributedDataParallel, with BatchNorm over all ranks:
        SyncBatchNorm on a GPU, RankBatchNorm on a CPU."""
        if not self.distributed_launch:
            super()._wrap_distributed()
            return
        on_gpu = self.device_type == "cuda"
        for name, module in self.modules.items():
            if not any(p.requires_grad for p in module.parameters()):
                continue
            self.modules[name] = DistributedDataParallel(
                self.over_all_ranks(module),
                device_ids=[self.device] if on_gpu else None,
                find_unused_parameters=self.find_unused_parameters,
            )

    def over_all_ranks(self, module: torch.nn.Module) -> torch.nn.Module:
        """Give a module BatchNorms over the batches of all ranks."""
        if self.device_type == "cuda":
            return SyncBatchNorm.convert_sync_batchnorm(module)
        return convert_batch_norms(module)

    def on_stage_start(self, stage, epoch=None):
        """Start the sums of an epoch, or resume those of an unfinished one."""
        self._require_finite(self.late_loss.take())
        if stage == sb.Stage.TRAIN:
            self.totals.start(epoch)
            # Workers' seeds follow from it: the same after a resume.
            self.loader_generator.manual_seed(epoch)
            self.timer = self.unsaved_since = time.monotonic()

    def fit_batch(self, batch):
        """Train on a batch as SpeechBrain does, without waiting for a GPU."""
        should_step = self.step % self.grad_accumulation_factor == 0
        self.on_fit_batch_start(batch, should_step)
        with self.no_sync(not should_step):
            with self.training_ctx:
                outputs = self.compute_forward(batch, sb.Stage.TRAIN)
                loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
            self.scaler.scale(loss / self.grad_accumulation_factor).backward()
        if should_step:
            self.optimizers_step()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        before = self.late_loss.exchange(loss)
        self._require_finite(before)
        return loss.detach().cpu() if before is None else torch.tensor(before)

    def _require_finite(self, loss):
        """Stop with one line at a loss that is not finite, before a save."""
        if loss is None or self.skip_nonfinite_grads or math.isfinite(loss):
            return
        raise InputError(
            f"the loss is {loss} at step {self.optimizer_step}; lower --lr, "
            "or use --precision fp32"
        )

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Count the seconds of the step, loading included."""
        now = time.monotonic()
        self.totals.add("/clock", seconds=now - self.timer)
        if self.forecast is not None:
            n_done = self.optimizer_step * self.grad_accumulation_factor
            self.forecast.add_step(now - self.timer, n_done)
        self.timer = now

    def optimizers_step(self):
        """Step with the scheduled learning rate; add up the norm of the
        gradient before it is clipped."""
        lr = warmup_cosine(self.optimizer_step, **self.schedule)
        gradients = []
        for group in self.optimizer.param_groups:
            group["lr"] = lr
            gradients += [p.grad for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        norm = norm / self.scaler.get_scale()
        # Equal on all ranks: counted once. Infinite where fp16 overflowed.
        if if_main_process():
            finite = torch.isfinite(norm)
            norm = torch.where(finite, norm, torch.zeros_like(norm))
            self.totals.add("/gradient", norm=norm, steps=finite)
        super().optimizers_step()

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        """Also save after a signal; never between accumulated gradients."""
        self.stopping = any_rank(self.stop.requested, self.device)
        if self.step % self.grad_accumulation_factor:
            return False
        n_steps, minutes = self.ckpt_interval_steps, self.ckpt_interval_minutes
        due = 0 < n_steps <= steps_since_ckpt
        if minutes > 0:
            # Not last_ckpt_time, which is of a clock that may be set.
            waited = time.monotonic() - self.unsaved_since
            due = any_rank(waited > 60 * minutes, self.device)
        return self.stopping or due

    def _save_intra_epoch_ckpt(self):
        """Save within an epoch, and stop if requested."""
        self._require_finite(self.late_loss.take())
        meta = {"step": self.optimizer_step, "epoch": self.totals.epoch}
        meta["finished"] = False
        self.checkpointer.save_and_keep(
            meta, end_of_epoch=False, **self.best_by
        )
        self.unsaved_since = time.monotonic()
        if self.stopping:
            raise self._stopped()

    def save_epoch(self, meta: Optional[Dict]):
        """Save at the end of an epoch unless ``meta`` is None, and stop if
        requested."""
        if meta is not None:
            meta = {"step": self.optimizer_step, **meta}
            self.checkpointer.save_and_keep(meta, **self.best_by)
        if any_rank(self.stop.requested, self.device):
            raise self._stopped()

    def _stopped(self):
        cure = "" if rank() else f"; resume with: {resume_command()}"
        done = f"stopped after {self.optimizer_step} steps and saved"
        return Stopped(done + cure)

    def timing(self, n_clips: float) -> Dict[str, float]:
        """Columns of history.json that depend on the clock."""
        clock = self.totals.joined().get("/clock", {"seconds": 0.0})
        seconds = clock["seconds"] / n_ranks()
        return {
            "seconds": round(seconds, 3),
            "clips_per_s": round(n_clips / max(seconds, 1e-9), 2),
        }
