"""Brain of supervised classification: cross-entropy on recordings."""

import logging
import time
from collections import Counter
from typing import Dict, List, Sequence

import numpy as np
import speechbrain as sb
import torch
import torch.nn.functional as F
from speechbrain.utils.distributed import ddp_broadcast, run_on_main

from cry_modules.distributed import (
    any_rank,
    gather_objects,
    part_of_mean,
    unwrapped,
)
from cry_modules.embeddings import embedded
from cry_modules.lengths import float64
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import auc
from cry_modules.training.batches import EmbeddingSet
from cry_modules.training.brain import ResumableBrain
from cry_modules.training.history import History, taken_epoch
from cry_modules.training.logistic import STRENGTHS, fit_logistic
from cry_modules.training.state import Snapshot

logger = logging.getLogger(__name__)

#: Least seconds between two checkpoints of a cached probe.
_PAUSE = 5.0


class ClassificationBrain(ResumableBrain):
    """Cross-entropy on the logits of chunks, whole recordings or embeddings.

    Set ``history``, ``schedule``, ``classes``, ``prevalence`` and ``cached``
    (train on embeddings) before ``fit``; ``predictions`` are those of the last
    evaluation. Without ``validates`` the last epoch counts as the best.
    """

    best_by = {"max_key": "score"}
    validates = True
    #: Inverse penalty of ``solve``.
    c = None

    def compute_forward(self, batch, stage):
        """Logits ``[batch, n_classes]``."""
        batch = batch.to(self.device)
        if self.cached:
            return self.modules.head(batch.emb)
        embs = embedded(self.modules.embedder, batch.sig, self.device)
        return self.modules.head(embs)

    def compute_objectives(self, predictions, batch, stage):
        """Weighted cross-entropy; keep the scores in evaluation."""
        logits, labels = predictions.float(), batch.class_index.to(self.device)
        losses = F.cross_entropy(logits, labels, reduction="none")
        weights = self._loss_weights()
        if weights is not None:
            # Not F.cross_entropy's own weights, which it divides by their sum
            # in the batch: a batch without positives would count fully.
            losses = losses * weights[labels]
        n = len(labels)
        if stage == sb.Stage.TRAIN:
            self.totals.add("", loss=losses.sum().item(), n=n)
            return part_of_mean(losses, sum(gather_objects(n)))
        self.loss_sum += losses.sum().item()
        logits = float64(logits)
        prior = self._log_prior().to(logits.device)
        scores = torch.softmax(logits + prior, dim=1)
        self.seen.append(
            (batch.id, batch.patient_id, labels.tolist(), scores.tolist())
        )
        return losses.mean()

    def _loss_weights(self):
        """Weights inverse to each class's prevalence if ``balance`` is loss."""
        if self.hparams.balance != "loss":
            return None
        weights = 1 / (self.prevalence * len(self.prevalence))
        return torch.tensor(weights, dtype=torch.float, device=self.device)

    def _log_prior(self):
        """Log prevalence, to add to the logits of a model trained on balanced
        classes (Elkan 2001, https://dl.acm.org/doi/10.5555/1642194.1642224)."""
        if self.hparams.balance == "none":
            return torch.tensor(0.0)
        return torch.tensor(np.log(self.prevalence))

    def solve(
        self, train: EmbeddingSet, valid: EmbeddingSet, strengths=STRENGTHS
    ):
        """Set the head to the optimum of a logistic regression and save it, in
        place of ``fit``. ``balance`` weights the classes, however it says."""
        weights, log_prior = None, 0.0
        if self.hparams.balance != "none":
            weights = 1 / (self.prevalence * len(self.prevalence))
            log_prior = np.log(self.prevalence)
        head = unwrapped(self.modules.head)
        best = fit_logistic(head, train, valid, weights, log_prior, strengths)
        if self.validates:
            logger.info("Penalty that is best on validation: C = %.2g", best.c)
        self.c = best.c
        meta = {"epoch": 0, "score": best.score}
        self.checkpointer.save_and_keep(meta, **self.best_by)

    def chosen(self) -> Dict[str, float]:
        """Return what validation has chosen: the epoch, or the penalty."""
        if self.c is not None:
            return {"c": float(self.c)}
        rows = History(self.hparams.output_folder).rows  # on every rank
        return {"epoch": taken_epoch(rows)}

    def on_fit_start(self):
        """Resume, and recall the best score so far."""
        super().on_fit_start()
        done = self.hparams.epoch_counter.current
        scores = [
            row["score"] for row in self.history.rows if row["epoch"] <= done
        ]
        self.best = max(scores, default=-float("inf"))
        self.held, self.saved = None, time.monotonic()

    def on_stage_start(self, stage, epoch=None):
        """Start sums and scores; draw the chunks of this epoch."""
        super().on_stage_start(stage, epoch)
        self.loss_sum, self.seen = 0.0, []
        if stage == sb.Stage.TRAIN:
            self.hparams.chunks.epoch = epoch

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Write the epoch's row and a checkpoint."""
        if stage == sb.Stage.TRAIN:
            sums = self.totals.joined()[""]
            self.row = {
                "epoch": epoch,
                "lr": self.optimizer.param_groups[0]["lr"],
                **self.timing(sums["n"]),
                "train_loss": sums["loss"] / sums["n"],
            }
            return
        ids, patients, labels, scores = (sum(s, []) for s in zip(*self.seen))
        self.predictions = Predictions(
            ids, patients, np.array(labels), np.array(scores), self.classes
        )
        if stage == sb.Stage.TEST:
            return
        score = float(epoch)
        if self.validates:
            score = self._validated(self.loss_sum / len(ids))
        self.row["score"] = score
        self.hparams.train_logger.log_stats(
            {k: v for k, v in self.row.items() if k != "score" and v is not None},
            verbose=not self.cached,
        )  # fmt: skip
        run_on_main(self.history.add, args=[self.row])
        self.hparams.epoch_counter.update(score)
        self._save(epoch, score)

    def _validated(self, loss: float) -> float:
        """Add loss and AUC to the epoch's row; return its score."""
        valid_auc = auc(self.predictions.labels, self.predictions.scores)
        self.row.update(valid_loss=loss, valid_auc=valid_auc)
        # With one class there is no AUC, but the loss is defined. Broadcast,
        # else ranks could differ in stopping.
        return ddp_broadcast(-loss if valid_auc is None else valid_auc)

    def _save(self, epoch, score):
        """Save each epoch, to resume from, and the best one, to test.

        Epochs of a cached probe last milliseconds: the best is held in memory
        and written every few seconds, the last at the end. Among equal scores
        the newest is best, here and for the checkpointer.
        """
        counter = self.hparams.epoch_counter
        is_last = counter.should_stop or epoch == counter.limit
        meta = {"step": self.optimizer_step, "epoch": epoch, "score": score}
        meta["finished"] = is_last
        is_best = score >= self.best
        self.best = max(self.best, score)
        if not self.cached:
            self.save_epoch(meta)
            return
        if is_best:
            self.held = Snapshot(self.checkpointer.recoverables, meta)
        waited = time.monotonic() - self.saved > _PAUSE
        due = is_last or self.stop.requested or waited
        if any_rank(due, self.device):
            self._save_held()
        self.save_epoch(meta if is_last and not is_best else None)

    def _save_held(self):
        """Write the checkpoint of the best epoch unless it is written."""
        if self.held is not None:
            with self.held.restored():
                self.checkpointer.save_and_keep(self.held.meta, **self.best_by)
        self.held, self.saved = None, time.monotonic()

    def _save_intra_epoch_ckpt(self):
        """Save the best epoch first: a run that resumes from the newer
        checkpoint does not repeat it."""
        self._save_held()
        super()._save_intra_epoch_ckpt()


def prevalence_of(labels: Sequence[str], classes: List[str]) -> np.ndarray:
    """Share of each class.

    Arguments
    ---------
    labels : sequence of str
        Labels of the training recordings.
    classes : list of str
        Classes in order.

    Returns
    -------
    numpy.ndarray
        ``[n_classes]``.

    Example
    -------
    >>> prevalence_of(["a", "a", "a", "b"], ["a", "b"])
    array([0.75, 0.25])
    """
    n_of = Counter(labels)
    return np.array([n_of[name] for name in classes]) / len(labels)
