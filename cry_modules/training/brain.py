"""A Brain that can be stopped at any moment and goes on to the same weights."""

import math
import time
from typing import Dict, Optional

import speechbrain as sb
import torch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.utils.distributed import if_main_process
from torch.nn import SyncBatchNorm
from torch.nn.parallel import DistributedDataParallel

from cry_modules.distributed import (
    EpochTotals,
    PerRank,
    RankShare,
    any_rank,
    n_ranks,
    rank,
)
from cry_modules.training.batch_norm import convert_batch_norms
from cry_modules.training.loader_workers import worker_options
from cry_modules.training.memory import keep_freed_memory
from cry_modules.training.schedule import warmup_cosine
from cry_modules.training.state import PlatformRecord, RandomStates
from cry_modules.training.stopping import Stopped, command, stop_signals
from data_prep.files.errors import InputError

#: SpeechBrain's options on which the result depends.
_OPTIONS = (
    "precision",
    "eval_precision",
    "grad_accumulation_factor",
    "max_grad_norm",
    "skip_nonfinite_grads",
)


class SameOptions(PerRank):
    """SpeechBrain's options, which a run must go on with.

    The yaml file's are compared by ``experiment.check_same_experiment``.
    """

    def __init__(self, brain):
        self.options = {name: getattr(brain, name) for name in _OPTIONS}

    def get_state(self):
        """Values by name."""
        return self.options

    def set_state(self, state):
        """Refuse others than those the run began with."""
        for name, value in self.options.items():
            if state[name] != value:
                raise InputError(
                    f"this run began with --{name} {state[name]}, now it is "
                    f"{value}; pass that, or another --output_folder"
                )


class LateLoss:
    """Keeps the loss of a step until the next one.

    Example
    -------
    >>> late = LateLoss()
    >>> late.exchange(torch.tensor(3.0)) is None
    True
    >>> late.exchange(torch.tensor(2.0))
    3.0
    >>> late.take()
    2.0
    """

    def __init__(self):
        self._copy = None
        self._copied = None

    def exchange(self, loss: torch.Tensor) -> Optional[float]:
        """Arguments
        ---------
        loss : torch.Tensor
            Of this step, a scalar on any device.

        Returns
        -------
        float or None
            Of the step before; None where there was none.
        """
        before = self.take()
        loss = loss.detach()
        if loss.is_cuda:
            # Only a copy to pinned memory does not wait.
            self._copy = torch.empty_like(loss, device="cpu", pin_memory=True)
            self._copy.copy_(loss, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()
        else:
            self._copy = loss.clone()
        return before

    def take(self) -> Optional[float]:
        """The loss that is kept, once; waits for it if need be."""
        if self._copied is not None:
            self._copied.synchronize()
        copy, self._copy, self._copied = self._copy, None, None
        return None if copy is None else copy.item()


class ResumableBrain(sb.Brain):
    """SpeechBrain's Brain, with what its own resume lacks.

    All random states and the sums of the epoch are in a checkpoint, loaders
    draw nothing from them, SIGTERM and Ctrl-C save and stop, and checkpoints
    within an epoch fall where no gradient waits to be used. Weights are the
    same to the bit on the same platform; another one is warned of (see
    ``training.state``). Set ``history`` and ``schedule`` (see
    ``step_schedule``) before ``fit``.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Freed memory that is kept saves time and is never quite reused; where
        # activations are recomputed, memory is what counts. Runs from before
        # that option have no such key.
        recompute = getattr(self.hparams, "checkpoint_activations", False)
        self.keeps_memory = not recompute and keep_freed_memory()
        self.totals = EpochTotals()
        self.late_loss = LateLoss()
        self.loader_generator = torch.Generator()
        self.checkpointer.add_recoverables(
            {
                "random": RandomStates(),
                "totals": self.totals,
                "options": SameOptions(self),
            }
        )
        # Checkpoints of before have none.
        self.checkpointer.add_recoverable(
            "platform", PlatformRecord(self.device), optional_load=True
        )

    def make_train_loader(self, dataset, batches, num_workers, **kwargs):
        """Loader of the global batches' share of this rank."""
        if batches.batch_size < n_ranks():
            raise InputError(
                f"batch_size is {batches.batch_size} for {n_ranks()} "
                "processes; raise it, or start fewer"
            )
        self.train_sampler = RankShare(batches)
        loader = make_dataloader(
            dataset,
            batch_sampler=self.train_sampler,
            # Else the loader draws from the generator that dropout uses.
            generator=self.loader_generator,
            **worker_options(num_workers),
            pin_memory=self.device_type == "cuda",
            **kwargs,
        )
        self.checkpointer.add_recoverable("dataloader-TRAIN", loader)
        return loader

    def make_valid_loader(self, dataset, num_workers, **kwargs):
        """Loader that draws nothing and of which nothing is saved."""
        return make_dataloader(
            dataset,
            generator=torch.Generator(),
            **worker_options(num_workers),
            pin_memory=self.device_type == "cuda",
            **kwargs,
        )

    #: Estimate of the run's time, which the first steps correct.
    forecast = None

    def fit(self, *args, **kwargs):
        """As SpeechBrain's, until a signal asks to stop."""
        with stop_signals() as self.stop:
            super().fit(*args, **kwargs)

    def on_fit_start(self):
        """Ranks draw different masks; then the state of an earlier start."""
        if rank() > 0:
            torch.manual_seed(self.hparams.seed + rank())
        super().on_fit_start()
        self.history.require(self.hparams.epoch_counter.current)

    def _wrap_distributed(self):
        """DistributedDataParallel, with BatchNorm over all ranks:
        SyncBatchNorm, which refuses a CPU, or our own there."""
        if not self.distributed_launch:
            super()._wrap_distributed()
            return
        on_gpu = self.device_type == "cuda"
        for name, module in self.modules.items():
            if not any(p.requires_grad for p in module.parameters()):
                continue
            if on_gpu:
                module = SyncBatchNorm.convert_sync_batchnorm(module)
            else:
                module = convert_batch_norms(module)
            self.modules[name] = DistributedDataParallel(
                module,
                device_ids=[self.device] if on_gpu else None,
                find_unused_parameters=self.find_unused_parameters,
            )

    def on_stage_start(self, stage, epoch=None):
        """New sums, or those of the epoch that a run goes on with."""
        self._require_finite(self.late_loss.take())
        if stage == sb.Stage.TRAIN:
            self.totals.start(epoch)
            # Workers' seeds follow from it: the same on every start.
            self.loader_generator.manual_seed(epoch)
            self.timer = time.time()

    def fit_batch(self, batch):
        """As SpeechBrain's, but that nothing in it waits for a GPU."""
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
        """One line in place of a traceback, before anything is saved."""
        if loss is None or self.skip_nonfinite_grads or math.isfinite(loss):
            return
        raise InputError(
            f"the loss is {loss} at step {self.optimizer_step}; lower --lr, "
            "or use --precision fp32"
        )

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """The time that the step took, data included."""
        now = time.time()
        self.totals.add("/clock", seconds=now - self.timer)
        if self.forecast is not None:
            n_done = self.optimizer_step * self.grad_accumulation_factor
            self.forecast.add_step(now - self.timer, n_done)
        self.timer = now

    def optimizers_step(self):
        """A step at its learning rate, and the norm of its gradient before
        it is clipped."""
        lr = warmup_cosine(self.optimizer_step, **self.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        gradients = [
            p.grad
            for group in self.optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        norm = torch.nn.utils.get_total_norm(gradients)
        norm = norm / self.scaler.get_scale()
        # The same on every rank: counted once. Infinite where fp16 overflowed.
        if if_main_process():
            finite = torch.isfinite(norm)
            norm = torch.where(finite, norm, torch.zeros_like(norm))
            self.totals.add("/gradient", norm=norm, steps=finite)
        super().optimizers_step()

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        """Also where a signal came; never where gradients wait."""
        self.stopping = any_rank(self.stop.requested, self.device)
        if self.step % self.grad_accumulation_factor:
            return False
        return self.stopping or super()._should_save_intra_epoch_ckpt(
            last_ckpt_time, steps_since_ckpt
        )

    def _save_intra_epoch_ckpt(self):
        """Save in the middle of an epoch, and stop where that is wished."""
        self._require_finite(self.late_loss.take())
        self.checkpointer.save_and_keep(
            {"step": self.optimizer_step}, end_of_epoch=False, **self.best_by
        )
        if self.stopping:
            raise self._stopped()

    #: Which key of a checkpoint's meta the best is chosen by.
    best_by: Dict[str, str] = {}

    def save_epoch(self, meta: Optional[Dict]):
        """Save at the end of an epoch, and stop where that is wished."""
        if meta is not None:
            self.checkpointer.save_and_keep(meta, **self.best_by)
        if any_rank(self.stop.requested, self.device):
            raise self._stopped()

    def _stopped(self):
        done = f"stopped after {self.optimizer_step} steps and saved"
        if rank() > 0:
            return Stopped(done)
        return Stopped(f"{done}; go on with: {command()}")

    def timing(self, n_clips: float) -> Dict[str, float]:
        """Columns of history.json that depend on the clock."""
        clock = self.totals.joined().get("/clock", {"seconds": 0.0})
        seconds = clock["seconds"] / n_ranks()
        return {
            "seconds": round(seconds, 3),
            "clips_per_s": round(n_clips / max(seconds, 1e-9), 2),
        }
