"""Supervised training as a SpeechBrain Brain: cross-entropy on recordings.

Authors
 * The contributors of cry-ssl 2026
"""

from collections import Counter
from typing import List, Optional, Sequence

import numpy as np
import speechbrain as sb
import torch
import torch.nn.functional as F
from speechbrain.utils.distributed import ddp_broadcast, run_on_main

from cry_modules.predictions import Predictions
from cry_modules.ranking import auc
from cry_modules.resumable import ResumableBrain
from data_prep.errors import InputError


class ClassificationBrain(ResumableBrain):
    """Cross-entropy on the logits of chunks, whole recordings or embeddings.

    Set ``history``, ``schedule``, ``classes`` and ``class_weights`` before
    ``fit``; ``predictions`` are those of the last evaluation.
    """

    best_by = {"max_key": "score"}

    def compute_forward(self, batch, stage):
        """Logits ``[batch, n_classes]``."""
        batch = batch.to(self.device)
        if self.hparams.finetune_mode == "linear":
            return self.modules.head(batch.emb.data)
        feats, lengths = self.modules.features(*batch.sig)
        return self.modules.head(self.modules.encoder(feats, lengths))

    def compute_objectives(self, predictions, batch, stage):
        """Weighted cross-entropy; keeps scores when evaluating."""
        logits, labels = predictions.float(), batch.class_index.to(self.device)
        loss = F.cross_entropy(logits, labels, weight=self.class_weights)
        n = len(labels)
        if stage == sb.Stage.TRAIN:
            self.totals.add("", loss=loss.item() * n, n=n)
            return loss
        self.loss_sum += loss.item() * n
        scores = torch.softmax(logits.double(), dim=1)
        self.seen.append(
            (batch.id, batch.patient_id, labels.tolist(), scores.tolist())
        )
        return loss

    def on_fit_start(self):
        """The best score so far, where a run goes on."""
        super().on_fit_start()
        done = self.hparams.epoch_counter.current
        scores = [
            row["valid_auc"]
            for row in self.history.rows
            if row["epoch"] <= done
        ]
        self.best = max(scores, default=-1.0)

    def on_stage_start(self, stage, epoch=None):
        """New sums, new scores; the chunks of this epoch."""
        super().on_stage_start(stage, epoch)
        self.loss_sum, self.seen = 0.0, []
        if stage == sb.Stage.TRAIN:
            self.hparams.chunks.epoch = epoch

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Write the epoch's row, and a checkpoint."""
        if stage == sb.Stage.TRAIN:
            sums = self.totals.joined()[""]
            self.row = {
                "epoch": epoch,
                "lr": self.optimizer.param_groups[0]["lr"],
                **self.timing(sums["n"]),
                "train_loss": sums["loss"] / sums["n"],
            }
            return
        self.predictions = self._collect()
        if stage == sb.Stage.TEST:
            return
        loss = self.loss_sum / len(self.predictions.labels)
        score = auc(self.predictions.labels, self.predictions.scores) or 0.0
        score = ddp_broadcast(score)  # else ranks could save or not
        self.row.update(valid_loss=loss, valid_auc=score)
        self.hparams.train_logger.log_stats(
            self.row, verbose=self.hparams.finetune_mode != "linear"
        )
        run_on_main(self.history.add, args=[self.row])
        self._save(epoch, score)

    def _collect(self):
        ids, patients, labels, scores = zip(*self.seen)
        return Predictions(
            sum(ids, []),
            sum(patients, []),
            np.array(sum(labels, [])),
            np.array(sum(scores, [])),
            self.classes,
        )

    def _save(self, epoch, score):
        """A checkpoint of each epoch to go on from, and of the best to test.

        Epochs of a cached probe last milliseconds: of these, the best alone.
        Of equal scores the newest is best, here and for the checkpointer.
        """
        is_last = epoch == self.hparams.number_of_epochs
        is_long = self.hparams.finetune_mode != "linear"
        is_kept = score >= self.best or is_last or is_long
        self.best = max(self.best, score)
        self.save_epoch({"epoch": epoch, "score": score} if is_kept else None)


def class_weights(
    train_labels: Sequence[str], classes: List[str], scheme: str
) -> Optional[torch.Tensor]:
    """Weight of each class in the loss.

    Arguments
    ---------
    train_labels : sequence of str
        Of the training recordings.
    classes : list of str
        Their order.
    scheme : str
        ``balanced``: inverse to the class's share; ``none``.

    Returns
    -------
    torch.Tensor or None
        ``[n_classes]``.

    Raises
    ------
    InputError
        Another scheme.

    Example
    -------
    >>> class_weights(["a", "a", "a", "b"], ["a", "b"], "balanced")
    tensor([0.6667, 2.0000])
    """
    if scheme not in ("balanced", "none"):
        raise InputError(
            f"class_weights is {scheme!r}; expected balanced or none"
        )
    if scheme == "none":
        return None
    n_of = Counter(train_labels)
    share = [n_of[c] * len(classes) / len(train_labels) for c in classes]
    return 1 / torch.tensor(share)
