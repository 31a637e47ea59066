"""SimCLR as a SpeechBrain Brain: what pre-training and adaptation share.

Two chunks of a recording go through features, encoder and projector in one
batch, so that BatchNorm sees both views, as in the SimCLR paper
(https://arxiv.org/abs/2002.05709); the closest public code makes two passes.

Authors
 * The contributors of cry-ssl 2026
"""

import logging
import time
from collections import defaultdict
from typing import Dict, List

import numpy as np
import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.distributed import run_on_main

from cry_modules.history import History
from cry_modules.schedule import step_schedule, warmup_cosine
from data_prep.errors import InputError

logger = logging.getLogger(__name__)


class SimCLRBrain(sb.Brain):
    """Contrastive training, logged by corpus where there are several.

    ``train_simclr`` sets ``history`` and ``schedule``.
    """

    def compute_forward(self, batch, stage):
        """Projections of both views, ``[2 * batch, projection_dim]``."""
        batch = batch.to(self.device)
        wavs = torch.cat([batch.sig1.data, batch.sig2.data])
        # Chunks are of one length: nothing is padded.
        feats, _ = self.modules.views(wavs)
        return self.modules.projector(self.modules.encoder(feats))

    def compute_objectives(self, predictions, batch, stage):
        """NT-Xent; adds each recording's loss and accuracy to its corpus."""
        z1, z2 = predictions.chunk(2)
        logits, targets = self.hparams.loss.logits(z1, z2)
        losses = torch.nn.functional.cross_entropy(
            logits, targets, reduction="none"
        )
        correct = (logits.detach().argmax(dim=1) == targets).float()
        for corpus in set(batch.corpus):
            own = torch.tensor([c == corpus for c in batch.corpus] * 2)
            sums = self.sums[corpus]
            sums["loss"] += losses.detach()[own].sum().item()
            sums["accuracy"] += correct[own].sum().item()
            sums["views"] += int(own.sum())
        return losses.mean()

    def on_stage_start(self, stage, epoch=None):
        """New sums; chunks of this epoch, or those that never change."""
        self.sums = defaultdict(lambda: defaultdict(float))
        self.hparams.chunks.epoch = epoch if stage == sb.Stage.TRAIN else 0
        # Every rank validates on the same recordings: nothing to gather.
        self.hparams.loss.train(stage == sb.Stage.TRAIN)
        self.stage_began = time.time()

    def on_fit_batch_start(self, batch, should_step):
        """The learning rate of this step."""
        lr = warmup_cosine(self.optimizer_step, **self.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Write the epoch's row and the checkpoint."""
        if stage == sb.Stage.TRAIN:
            seconds = time.time() - self.stage_began
            n_views = sum(sums["views"] for sums in self.sums.values())
            self.row = {
                "epoch": epoch,
                "lr": self.optimizer.param_groups[0]["lr"],
                "seconds": round(seconds, 3),
                "clips_per_s": round(n_views / 2 / seconds, 2),
                # Where a run goes on at the very end of an epoch.
                "train_loss": stage_loss,
                **self._averages("train"),
            }
            return
        self.row.update(self._averages("valid"))
        self.hparams.train_logger.log_stats(self.row)
        run_on_main(self.history.add, args=[self.row])
        self.checkpointer.save_and_keep_only(
            meta={"epoch": epoch, "loss": self.row["train_loss"]},
            num_to_keep=1,
        )

    def _averages(self, stage):
        """Loss and accuracy over all views, and by corpus if several."""
        averages = {}
        n_views = sum(sums["views"] for sums in self.sums.values())
        for name in ("loss", "accuracy") if n_views else ():
            total = sum(sums[name] for sums in self.sums.values())
            averages[f"{stage}_{name}"] = total / n_views
            for corpus, sums in sorted(self.sums.items()):
                if corpus:
                    averages[f"{stage}_{name}_{corpus}"] = (
                        sums[name] / sums["views"]
                    )
        return averages


def read_views(
    hparams: Dict, csv_path: str, data_folder: str, corpus: str = ""
) -> DynamicItemDataset:
    """Recordings of one manifest as pairs of chunks.

    Arguments
    ---------
    hparams : dict
        With ``reader`` and ``chunks``.
    csv_path : str
        The manifest.
    data_folder : str
        What ``$data_root`` stands for.
    corpus : str
        Name under which its loss is logged; empty where there is one corpus.

    Returns
    -------
    DynamicItemDataset
        ``sig1``, ``sig2``: ``[chunk samples]``.
    """
    reader, chunks = hparams["reader"], hparams["chunks"]
    # A pack of another rate is refused here rather than in a loader worker.
    reader.pack_of(str(data_folder))

    @sb.utils.data_pipeline.takes("id", "wav", "start", "stop")
    @sb.utils.data_pipeline.provides("sig1", "sig2", "corpus")
    def two_chunks(recording_id, wav, start, stop):
        sig = reader(wav, float(start), float(stop))
        yield from chunks(sig, recording_id, 2)
        yield corpus

    return DynamicItemDataset.from_csv(
        csv_path,
        replacements={"data_root": str(data_folder)},
        dynamic_items=[two_chunks],
        output_keys=["id", "sig1", "sig2", "corpus"],
    )


def valid_batches(
    sizes: List[int], batch_size: int, seed: int
) -> List[List[int]]:
    """Batches of equal size, none of which mixes corpora.

    A contrastive loss depends on how many others there are, so only batches
    of one size can be compared; what does not fill one is left out. In an
    order that is drawn once: neighbours in a manifest are often of one
    patient.

    Arguments
    ---------
    sizes : list of int
        Recordings of each corpus, whose datasets follow each other.
    batch_size : int
        At most.
    seed : int
        Of the order.

    Returns
    -------
    list of list of int

    Raises
    ------
    InputError
        Fewer than two recordings of a corpus: there is no other to tell from.

    Example
    -------
    >>> [sorted(b) for b in valid_batches([3, 3], batch_size=8, seed=0)]
    [[0, 1, 2], [3, 4, 5]]
    """
    if min(sizes) < 2:
        raise InputError(
            f"{min(sizes)} recordings to validate with, 2 at least; raise "
            "--valid_share"
        )
    batch_size = min(batch_size, *sizes)
    rng = np.random.default_rng(seed)
    batches, first = [], 0
    for size in sizes:
        order = (first + rng.permutation(size)).tolist()
        for i in range(0, size - batch_size + 1, batch_size):
            batches.append(order[i : i + batch_size])
        first += size
    return batches


def train_simclr(brain, hparams, train_loader, valid_loader, corpus) -> None:
    """Train, then say in one line what came of it.

    Arguments
    ---------
    brain : SimCLRBrain
        Ready but for its history and schedule.
    hparams : dict
        The experiment.
    train_loader : DataLoader
        Its length gives the real number of steps.
    valid_loader : DataLoader
        Batches of one corpus each.
    corpus : str
        Its name, for the log.
    """
    brain.history = History(hparams["output_folder"])
    brain.schedule = step_schedule(
        hparams, len(train_loader), brain.grad_accumulation_factor
    )
    logger.info(
        "SimCLR on %s: %d steps in %d epochs",
        corpus,
        brain.schedule["n_steps"],
        hparams["number_of_epochs"],
    )
    brain.fit(hparams["epoch_counter"], train_loader, valid_loader)
    if not brain.history.rows:
        raise InputError("no epoch was trained; leave out --test_only")
    last = brain.history.rows[-1]
    print(
        f"done: {last['epoch']} epochs on {corpus}, validation loss "
        f"{last['valid_loss']:.3f}, contrastive accuracy "
        f"{last['valid_accuracy']:.3f}; encoder in {hparams['output_folder']}"
    )
