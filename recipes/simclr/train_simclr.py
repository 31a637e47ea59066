#!/usr/bin/env python3
"""Recipe for pre-training an encoder with SimCLR on generic audio.

> python train_simclr.py hparams/vggsound.yaml --data_folder=/path/to/VGGSound

Two random chunks of a recording, masked as in SpecAugment, go through encoder
and projector in one batch (so BatchNorm sees both views, as in the SimCLR
paper; the closest public code makes two passes) and must find each other
among all other views.

To read this code efficiently, begin with main() at the bottom, then see what
the Brain does to a batch.

Authors
 * The contributors of cry-ssl 2026
"""

import logging
import time
from collections import defaultdict

import speechbrain as sb
import torch
from speechbrain.utils.distributed import run_on_main

from cry_modules.experiment import History, load, parse_arguments, step_schedule
from cry_modules.schedule import warmup_cosine
from data_prep.errors import InputError, one_line_errors
from data_prep.manifest import read_corpus
from data_prep.preparation import require_folder
from data_prep.vggsound_prepare import prepare_vggsound

logger = logging.getLogger(__name__)


class SimCLRBrain(sb.Brain):
    """Contrastive training, logged by corpus where there are several.

    Set ``history`` and ``schedule`` before ``fit``.
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
        self.stage_began = time.time()

    def on_fit_batch_start(self, batch, should_step):
        """The learning rate of this step."""
        self.lr = warmup_cosine(self.optimizer_step, **self.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Write the epoch's row and the checkpoint."""
        if stage == sb.Stage.TRAIN:
            seconds = time.time() - self.stage_began
            n_views = sum(sums["views"] for sums in self.sums.values())
            self.row = {
                "epoch": epoch,
                "lr": self.lr,
                "seconds": round(seconds, 3),
                "clips_per_s": round(n_views / 2 / seconds, 2),
                **self._averages("train"),
            }
            return
        self.row.update(self._averages("valid"))
        self.hparams.train_logger.log_stats(self.row)
        self.history.add(self.row)
        self.checkpointer.save_and_keep_only(
            meta={"epoch": epoch, "loss": self.row["train_loss"]},
            num_to_keep=1,
        )

    def _averages(self, stage):
        """Loss and accuracy over all views, and by corpus if several."""
        averages = {}
        n_views = sum(sums["views"] for sums in self.sums.values())
        for name in ("loss", "accuracy"):
            total = sum(sums[name] for sums in self.sums.values())
            averages[f"{stage}_{name}"] = total / n_views
            for corpus, sums in sorted(self.sums.items()):
                if corpus:
                    averages[f"{stage}_{name}_{corpus}"] = (
                        sums[name] / sums["views"]
                    )
        return averages


def read_views(hparams, csv_path, data_folder, corpus=""):
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

    @sb.utils.data_pipeline.takes("id", "wav", "start", "stop")
    @sb.utils.data_pipeline.provides("sig1", "sig2", "corpus")
    def two_chunks(recording_id, wav, start, stop):
        sig = reader(wav, float(start), float(stop))
        yield from chunks(sig, recording_id, 2)
        yield corpus

    return sb.dataio.dataset.DynamicItemDataset.from_csv(
        csv_path,
        replacements={"data_root": str(data_folder)},
        dynamic_items=[two_chunks],
        output_keys=["id", "sig1", "sig2", "corpus"],
    )


def valid_batches(sizes, batch_size):
    """Batches of equal size, none of which mixes corpora.

    A contrastive loss depends on how many others there are, so only batches
    of one size can be compared; what does not fill one is left out.

    Arguments
    ---------
    sizes : list of int
        Recordings of each corpus, whose datasets follow each other.
    batch_size : int
        At most.

    Returns
    -------
    list of list of int

    Example
    -------
    >>> valid_batches([5, 2], batch_size=8)
    [[0, 1], [2, 3], [5, 6]]
    """
    batch_size = min(batch_size, *sizes, *sizes)  # min() of one is an error
    batches, first = [], 0
    for size in sizes:
        for i in range(0, size - batch_size + 1, batch_size):
            batches.append(list(range(first + i, first + i + batch_size)))
        first += size
    return batches


def require_recordings(n, least, split, cure):
    """Refuse a split that is too small before anything is trained."""
    if n < least:
        raise InputError(
            f"{n} recordings to {split} with, {least} at least; {cure}"
        )


def main(argv=None):
    """From the command line to a trained encoder."""
    with one_line_errors():
        hparams_file, run_opts, overrides = parse_arguments(argv)
        sb.utils.distributed.ddp_init_group(run_opts)
        hparams = load(hparams_file, overrides)
        require_folder(hparams["data_folder"], "--data_folder", "VGGSound")
        sb.create_experiment_directory(
            experiment_directory=hparams["output_folder"],
            hyperparams_to_save=hparams_file,
            overrides=overrides,
        )
        manifests = f"{hparams['output_folder']}/manifest"
        run_on_main(
            prepare_vggsound,
            kwargs={
                "data_folder": hparams["data_folder"],
                "save_folder": manifests,
                "valid_share": hparams["valid_share"],
                "min_clips": hparams["min_clips"],
                "seed": hparams["seed"],
            },
        )
        train, valid = (
            read_views(
                hparams, f"{manifests}/{split}.csv", hparams["data_folder"]
            )
            for split in ("train", "valid")
        )
        batch_size = hparams["batch_size"]
        require_recordings(
            len(train), batch_size, "train", "lower --batch_size"
        )
        require_recordings(len(valid), 2, "validate", "raise --valid_share")

        brain = SimCLRBrain(
            modules=hparams["modules"],
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=run_opts,
            checkpointer=hparams["checkpointer"],
        )
        train_loader = brain.make_dataloader(
            train,
            sb.Stage.TRAIN,
            batch_size=batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=hparams["num_workers"],
            # Else the loader draws from the generator that dropout uses.
            generator=torch.Generator(),
        )
        valid_loader = brain.make_dataloader(
            valid,
            sb.Stage.VALID,
            ckpt_prefix=None,
            batch_sampler=valid_batches([len(valid)], batch_size),
            num_workers=hparams["num_workers"],
            generator=torch.Generator(),
        )
        corpus = read_corpus(manifests)["name"]
        fit(brain, hparams, train_loader, valid_loader, corpus)


def fit(brain, hparams, train_loader, valid_loader, corpus):
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
    last = brain.history.rows[-1]
    print(
        f"done: {last['epoch']} epochs on {corpus}, validation loss "
        f"{last['valid_loss']:.3f}, contrastive accuracy "
        f"{last['valid_accuracy']:.3f}; encoder in {hparams['output_folder']}"
    )


if __name__ == "__main__":
    main()
