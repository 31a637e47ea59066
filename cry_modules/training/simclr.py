"""SimCLR as a SpeechBrain Brain, shared by pre-training and adaptation.

Two or more chunks of a recording (``n_views``) go through features, encoder
and projector in one batch, so that BatchNorm sees all views, as in the SimCLR
paper (https://arxiv.org/abs/2002.05709), or with ``two_passes`` one after the
other. The objective compares them (``cry_modules.objectives``).
"""

import json
import logging
import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.distributed import if_main_process, run_on_main

from cry_modules.checkpoints.encoders import EncoderSource, load_companion
from cry_modules.distributed import part_of_mean, sum_of_ranks, unwrapped
from cry_modules.embeddings import EMBEDDING
from cry_modules.objectives.byol import TargetNetwork, momentum_at
from cry_modules.training.brain import ResumableBrain
from cry_modules.training.forecast import forecast_simclr
from cry_modules.training.history import BEFORE_FILE, History, read_before
from cry_modules.training.monitor import (
    Moments,
    alignment_sum,
    collapse,
    potential_sum,
)
from cry_modules.training.recompute import recompute_blocks
from cry_modules.training.resume import has_begun
from cry_modules.training.schedule import step_schedule
from cry_modules.training.state import EpochTotals
from cry_modules.training.views_data import CRY
from data_prep.files.errors import InputError
from data_prep.files.tables import write_text

logger = logging.getLogger(__name__)

#: Module, and checkpoint file, of the objective's own predictor.
PREDICTOR = "objective_predictor"


class Views(NamedTuple):
    """Outputs of the model: all first views of a batch, then all second ones.

    ``feats`` ``[n_views * batch, frames, n_mels]``, ``embs`` ``[n_views *
    batch, emb_dim]``, ``z`` ``[n_views * batch, projection_dim]`` or another
    output of the objective's head; where the objective has them, predictions
    from ``z`` and targets: projections by the target network, or what the
    encoder does not see.
    """

    feats: torch.Tensor
    embs: torch.Tensor
    z: torch.Tensor
    predicted: Optional[torch.Tensor] = None
    targets: Optional[torch.Tensor] = None


class SimCLRBrain(ResumableBrain):
    """Self-supervised training on views, logged per corpus if there are several.

    Set ``probes`` before ``train_simclr``, which sets what the settings and
    the loaders decide; adaptation may set the anchors and ``negatives``.
    """

    best_by = {"min_key": "valid_loss"}
    anchor = projection_anchor = target = None
    predicts = False
    negatives = "all"

    def compute_forward(self, batch, stage):
        """Features, embeddings and projections of all views."""
        batch = batch.to(self.device, non_blocking=True)
        # All chunks have the same length: nothing is padded.
        chunks = batch.chunks.data.transpose(0, 1)
        n_views = len(chunks)
        wavs = chunks.flatten(0, 1) * batch.gain.data.repeat(n_views, 1)
        wavs = self.modules.waveform_augment(wavs, self._is_generic(batch))
        feats, targets = self.hparams.loss.hide(self.modules.views(wavs)[0])
        encoder, projector = self.modules.encoder, self.modules.projector
        if stage != sb.Stage.TRAIN:
            encoder, projector = unwrapped(encoder), unwrapped(projector)
        passes = feats.chunk(n_views) if self.two_passes else [feats]
        reads = self.hparams.loss.reads
        where = {} if reads == (EMBEDDING,) else {"places": reads}
        embs = [encoder(view, **where) for view in passes]
        z = torch.cat([projector(emb) for emb in embs])
        embs = torch.cat(embs)[:, : self.hparams.emb_dim]
        views = Views(feats, embs, z, targets=targets)
        if self.predicts:
            predictor = self.modules[PREDICTOR]
            if stage != sb.Stage.TRAIN:
                predictor = unwrapped(predictor)
            views = views._replace(predicted=predictor(z))
        if self.target is not None:
            views = views._replace(targets=self.target(feats))
        return views

    def _is_generic(self, batch):
        """True for a recording of a corpus other than the cries, ``[batch]``."""
        flags = torch.tensor([corpus != CRY for corpus in batch.corpus])
        return flags.to(self.device, non_blocking=True)

    def compute_objectives(self, predictions, batch, stage):
        """Compute the loss; add loss and metrics to the sums of each corpus."""
        n_views, more = len(predictions.z) // len(batch.id), {}
        if self.negatives == "corpus":
            more["corpora"] = self._is_generic(batch)
        if predictions.targets is not None:
            more["targets"] = predictions.targets.chunk(n_views)
        views = predictions.z
        if predictions.predicted is not None:
            views = predictions.predicted
        rows = self.hparams.loss.rows(*views.chunk(n_views), **more)
        training = stage == sb.Stage.TRAIN
        totals = self.totals if training else self.valid_totals
        figures = {"loss": rows.losses.detach(), **rows.figures}
        for corpus in sorted(set(batch.corpus)):
            of_corpus = torch.tensor([c == corpus for c in batch.corpus])
            of_corpus = of_corpus.to(self.device, non_blocking=True)
            in_corpus = of_corpus[rows.recordings]
            sums = {n: (v * in_corpus).sum() for n, v in figures.items()}
            n_clips = batch.corpus.count(corpus)
            totals.add(corpus, **sums, clips=n_clips, rows=in_corpus.sum())
            if not training:
                self._monitor(corpus, predictions)
        if not training:
            return rows.losses.mean()
        n_rows = sum_of_ranks(len(rows.losses), self.device)
        loss = part_of_mean(rows.losses, n_rows)
        if self.anchor is not None or self.projection_anchor is not None:
            loss = loss + self._anchor_loss(predictions)
        return loss

    def _anchor_loss(self, predictions):
        feats, embs, z = predictions[:3]
        n_views, loss = sum_of_ranks(len(embs), self.device), 0.0
        if self.anchor is not None:
            encoder = unwrapped(self.modules.encoder)
            loss = loss + self.anchor(encoder, feats, embs, n_views)
        if self.projection_anchor is not None:
            predicted = self.modules.anchor_predictor(z)
            loss = loss + self.projection_anchor(feats, predicted, n_views)
        self.totals.add("/anchor", loss=loss, batches=1)
        return loss

    def _monitor(self, corpus, predictions):
        """Add a validation batch, which holds one corpus, to the sums."""
        compared = predictions.z
        if not self.hparams.loss.has_projections:
            compared = predictions.embs
        z1, z2 = compared.chunk(2)
        n = len(z1)
        self.valid_totals.add(
            corpus,
            alignment=alignment_sum(z1, z2),
            potential=potential_sum(z1) + potential_sum(z2),
            pairs=n * (n - 1),
            moments=Moments.of(predictions.embs),
        )

    def on_fit_start(self):
        """Resume, or validate before the first step."""
        super().on_fit_start()
        path = Path(self.hparams.output_folder) / BEFORE_FILE
        if self.optimizer_step:  # otherwise the file is another run's
            self.before = read_before(self.hparams.output_folder)
            return
        self._fit_valid(
            self.valid_loader, 0, if_main_process() and not self.noprogressbar
        )
        self.before = self.row
        text = json.dumps(self.before, indent=1) + "\n"
        run_on_main(write_text, args=[path, text])

    def on_stage_start(self, stage, epoch=None):
        """Reset the sums; validation always uses the same chunks."""
        super().on_stage_start(stage, epoch)
        self.valid_totals = EpochTotals()
        self.hparams.chunks.epoch = epoch if stage == sb.Stage.TRAIN else 0
        # Ranks validate on different batches: nothing may be gathered.
        # What is hidden from the encoder is always the same, too.
        self.hparams.loss.train(stage == sb.Stage.TRAIN)
        if self.target is not None:
            self.target.train(stage == sb.Stage.TRAIN)

    def optimizers_step(self):
        """Step, then move the target network towards the trained one."""
        super().optimizers_step()
        if self.target is None:
            return
        modules = (self.modules[name] for name in ("encoder", "projector"))
        n_steps = self.schedule["n_steps"]
        self.target.follow(
            *map(unwrapped, modules),
            momentum_at(
                self.hparams.loss.momentum, self.optimizer_step, n_steps
            ),
        )

    def _wrap_distributed(self):
        """The target network's BatchNorms are over all ranks, too."""
        super()._wrap_distributed()
        if self.target is not None and self.distributed_launch:
            self.over_all_ranks(self.target)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Probe the encoder, write the epoch's row, warn of collapse, save."""
        if stage == sb.Stage.TRAIN:
            self.row = self._train_row(epoch)
            return
        if epoch == 0:
            self.row = {"epoch": 0}
        sums = self.valid_totals.joined()
        self.row.update(averages("valid", sums, self.hparams.loss.figures))
        last = self.hparams.number_of_epochs
        if epoch % self.probe_every == 0 or epoch == last:
            modules = self.modules.views, self.modules.encoder
            for probe in self.probes:
                self.row.update(probe(*modules, self.device))
        if epoch == 0:
            return
        self.hparams.train_logger.log_stats(self.row)
        run_on_main(self.history.add, args=[self.row])
        chance = self.hparams.loss.chance_loss(
            self.hparams.batch_size, self.hparams.n_views
        )
        reason = collapse(self.row, chance, self.hparams.warmup_epochs)
        if reason and if_main_process():
            cure = "lower --lr or raise --batch_size"
            logger.warning("epoch %d: %s; %s", epoch, reason, cure)
        meta = {"epoch": epoch, "finished": epoch == last}
        self.save_epoch({**meta, "valid_loss": self.row["valid_loss"]})

    def _train_row(self, epoch):
        totals = self.totals.joined()
        extra = {k: totals.pop(k) for k in list(totals) if k.startswith("/")}
        n_clips = sum(sums["clips"] for sums in totals.values())
        row = {
            "epoch": epoch,
            "lr": self.optimizer.param_groups[0]["lr"],
            **self.timing(n_clips),
            **averages("train", totals, self.hparams.loss.figures),
        }
        gradient = extra.get("/gradient", {"steps": 0})
        if gradient["steps"]:  # none if fp16 overflowed in every step
            row["train_grad_norm"] = gradient["norm"] / gradient["steps"]
        if "/anchor" in extra:
            anchor = extra["/anchor"]
            row["train_anchor"] = anchor["loss"] / anchor["batches"]
        return row


def averages(
    stage: str, totals: Dict, names: Sequence[str]
) -> Dict[str, float]:
    """Columns of an epoch's row from sums by corpus: the loss and the named
    figures, over all rows, and per corpus if there are several.
    """
    parts = {f"_{corpus}": sums for corpus, sums in totals.items() if corpus}
    if totals:
        keys = next(iter(totals.values()))
        whole = {k: sum(sums[k] for sums in totals.values()) for k in keys}
        parts = {"": whole, **parts}
    row = {}
    for suffix, sums in parts.items():
        figures = {n: sums[n] / sums["rows"] for n in ("loss", *names)}
        if "pairs" in sums:
            figures["alignment"] = sums["alignment"] / sums["clips"]
            figures["uniformity"] = math.log(sums["potential"] / sums["pairs"])
            figures["effective_rank"] = sums["moments"].effective_rank()
        row.update({f"{stage}_{n}{suffix}": v for n, v in figures.items()})
    return row


def use_own_head(hparams: Dict) -> None:
    """Replace the projector where the objective has a head of its own. The
    masks of SpecAugment are then off if it hides bins itself."""
    loss = hparams["loss"]
    head = loss.head(hparams["encoder"], hparams["logmel"].n_mels)
    if head is not None:
        hparams["projector"] = hparams["modules"]["projector"] = head
        hparams["checkpointer"].add_recoverable("projector", head)
    if "n_masks" in loss.unused:
        hparams["augment"].n_masks = 0
    if loss.unused:
        logger.info(
            "The objective %s does not use %s",
            hparams["objective"],
            ", ".join(loss.unused),
        )


def add_networks(brain: SimCLRBrain, hparams: Dict) -> None:
    """Add the networks that the objective has besides encoder and projector,
    to be trained or kept, and saved."""
    loss = hparams["loss"]
    predictor = loss.predictor(hparams["projection_dim"])
    if predictor is not None:
        source = EncoderSource(hparams.get("encoder_source"))
        # A resumed run takes it from its checkpoint: the source may be gone.
        if not (source.is_random or has_begun(hparams["output_folder"])):
            load_companion(source.file(), f"{PREDICTOR}.ckpt", predictor)
        brain.predicts = True
        brain.modules[PREDICTOR] = predictor.to(brain.device)
        brain.checkpointer.add_recoverable(PREDICTOR, predictor)
    if loss.has_target:
        networks = brain.modules["encoder"], brain.modules["projector"]
        brain.target = TargetNetwork(*networks).to(brain.device)
        brain.checkpointer.add_recoverable("target", brain.target)


def probes_of(hparams: Dict, train_sets: Sequence[DynamicItemDataset]) -> List:
    """Build the probes; return an empty list without the option ``probe``."""
    if not (hparams["probe"] or hparams["probe_folder"]):
        return []
    # Imported here: scikit-learn takes a third of a second.
    from cry_modules.training.probe import make_probes

    return make_probes(hparams, train_sets)


def train_simclr(
    brain: SimCLRBrain, hparams: Dict, train_loader, valid_loader, corpus: str
) -> List[Dict]:
    """Train; return the validation before the first step and the epochs' rows."""
    if brain.test_only:
        raise InputError("there is nothing to test; leave out --test_only")
    brain.history = History(hparams["output_folder"], hparams["tensorboard"])
    brain.two_passes = hparams["two_passes"]
    brain.probe_every = hparams["probe_every"]
    brain.schedule = step_schedule(
        hparams, len(train_loader), brain.grad_accumulation_factor
    )
    brain.valid_loader = valid_loader
    logger.info(
        "SimCLR on %s: %d steps in %d epochs",
        corpus,
        brain.schedule["n_steps"],
        hparams["number_of_epochs"],
    )
    forecast_simclr(brain, hparams, len(train_loader), len(valid_loader))
    # After the forecast, whose trial pass keeps the state of `modules` alone;
    # the first steps correct it for what these networks take.
    add_networks(brain, hparams)
    if hparams["checkpoint_activations"]:
        recompute_blocks(hparams["encoder"])
    brain.fit(hparams["epoch_counter"], train_loader, valid_loader)
    rows = History(hparams["output_folder"]).rows  # on every rank
    return [brain.before, *rows]
