"""SimCLR as a SpeechBrain Brain: what pre-training and adaptation share.

Two chunks of a recording (or more, with ``n_views``) go through features,
encoder and projector in one batch, so that BatchNorm sees all views, as in the
SimCLR paper (https://arxiv.org/abs/2002.05709), or with ``two_passes`` one
after the other.
"""

import json
import logging
import math
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

import numpy as np
import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.distributed import if_main_process, run_on_main

from cry_modules.audio import shortest_input
from cry_modules.distributed import EpochTotals, part_of_mean, unwrapped
from cry_modules.training.brain import ResumableBrain
from cry_modules.training.dataset import manifest_dataset
from cry_modules.training.forecast import forecast_simclr
from cry_modules.training.history import History
from cry_modules.training.monitor import (
    Moments,
    alignment_sum,
    collapse,
    potential_sum,
)
from cry_modules.training.recompute import recompute_blocks
from cry_modules.training.schedule import step_schedule
from data_prep.files.errors import InputError
from data_prep.files.tables import write_text

logger = logging.getLogger(__name__)

#: What was measured before the first step.
BEFORE_FILE = "before.json"


class Views(NamedTuple):
    """What becomes of the first views of a batch, then of the second, ...

    ``feats`` ``[n_views * batch, frames, n_mels]``, ``embs`` ``[n_views *
    batch, emb_dim]``, ``z`` ``[n_views * batch, projection_dim]``.
    """

    feats: torch.Tensor
    embs: torch.Tensor
    z: torch.Tensor


class SimCLRBrain(ResumableBrain):
    """Contrastive training, logged by corpus where there are several.

    Set ``history``, ``two_passes``, ``probes`` and ``probe_every`` before
    ``train_simclr``, which sets ``schedule`` and ``valid_loader``; adaptation
    may set ``anchor``.
    """

    best_by = {"min_key": "valid_loss"}
    anchor = None

    def compute_forward(self, batch, stage):
        """Features, embeddings and projections of all views."""
        batch = batch.to(self.device, non_blocking=True)
        # As they are kept, of one length: nothing is padded.
        chunks = batch.chunks.data.transpose(0, 1)
        n_views = len(chunks)
        wavs = chunks.flatten(0, 1) * batch.gain.data.repeat(n_views, 1)
        feats, _ = self.modules.views(wavs)
        encoder, projector = self.modules.encoder, self.modules.projector
        if stage != sb.Stage.TRAIN:
            encoder, projector = unwrapped(encoder), unwrapped(projector)
        passes = feats.chunk(n_views) if self.two_passes else [feats]
        embs = [encoder(view) for view in passes]
        z = [projector(emb) for emb in embs]
        return Views(feats, torch.cat(embs), torch.cat(z))

    def compute_objectives(self, predictions, batch, stage):
        """NT-Xent; adds each recording's loss and accuracy to its corpus."""
        n_views = len(predictions.z) // len(batch.id)
        views = predictions.z.chunk(n_views)
        logits, targets = self.hparams.loss.logits(*views)
        losses = torch.nn.functional.cross_entropy(
            logits, targets, reduction="none"
        )
        correct = (logits.detach().argmax(dim=1) == targets).float()
        totals = self.totals if stage == sb.Stage.TRAIN else self.valid_totals
        for corpus, n in sorted(Counter(batch.corpus).items()):
            own = torch.tensor([c == corpus for c in batch.corpus])
            own = own.to(self.device, non_blocking=True)
            own = own.repeat(n_views * (n_views - 1))
            totals.add(
                corpus,
                loss=(losses.detach() * own).sum(),
                accuracy=(correct * own).sum(),
                clips=n,
                rows=len(own) // len(batch.id) * n,
            )
            if stage != sb.Stage.TRAIN:
                self._monitor(corpus, predictions)
        if stage != sb.Stage.TRAIN:
            return losses.mean()
        n_all = logits.shape[1]  # views of all ranks
        loss = part_of_mean(losses, n_all * (n_views - 1))
        if self.anchor is not None:
            loss = loss + self._pull(predictions, n_all)
        return loss

    def _pull(self, predictions, n_views):
        """The anchor's part of the loss."""
        pull = self.anchor(
            unwrapped(self.modules.encoder),
            predictions.feats,
            predictions.embs,
            n_views,
        )
        self.totals.add("/anchor", loss=pull, batches=1)
        return pull

    def _monitor(self, corpus, predictions):
        """A validation batch, which is of one corpus."""
        z1, z2 = predictions.z.chunk(2)
        n = len(z1)
        self.valid_totals.add(
            corpus,
            alignment=alignment_sum(z1, z2),
            potential=potential_sum(z1) + potential_sum(z2),
            pairs=n * (n - 1),
            moments=Moments.of(predictions.embs),
        )

    def on_fit_start(self):
        """Where the run is, and how the encoder was before it began."""
        super().on_fit_start()
        path = Path(self.hparams.output_folder) / BEFORE_FILE
        if self.optimizer_step:  # else it is another run's
            self.before = _read_before(path)
            return
        self._fit_valid(
            self.valid_loader, 0, if_main_process() and not self.noprogressbar
        )
        self.before = self.row
        text = json.dumps(self.before, indent=1) + "\n"
        run_on_main(write_text, args=[path, text])

    def on_stage_start(self, stage, epoch=None):
        """New sums; chunks of this epoch, or those that never change."""
        super().on_stage_start(stage, epoch)
        self.valid_totals = EpochTotals()
        self.hparams.chunks.epoch = epoch if stage == sb.Stage.TRAIN else 0
        # Each rank validates on batches of its own: nothing to gather.
        self.hparams.loss.train(stage == sb.Stage.TRAIN)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Write the epoch's row and the checkpoint."""
        if stage == sb.Stage.TRAIN:
            self.row = self._train_row(epoch)
            return
        if epoch == 0:
            self.row = {"epoch": 0}
        self.row.update(averages("valid", self.valid_totals.joined()))
        self.row.update(self._probe(epoch))
        if epoch == 0:
            return
        self.hparams.train_logger.log_stats(self.row)
        run_on_main(self.history.add, args=[self.row])
        self._warn_of_collapse()
        self.save_epoch({"epoch": epoch, "valid_loss": self.row["valid_loss"]})

    def _train_row(self, epoch):
        totals = self.totals.joined()
        extra = {k: totals.pop(k) for k in list(totals) if k.startswith("/")}
        n_clips = sum(sums["clips"] for sums in totals.values())
        row = {
            "epoch": epoch,
            "lr": self.optimizer.param_groups[0]["lr"],
            **self.timing(n_clips),
            **averages("train", totals),
        }
        gradient = extra.get("/gradient", {"steps": 0})
        if gradient["steps"]:  # else fp16 overflowed in every step
            row["train_grad_norm"] = gradient["norm"] / gradient["steps"]
        if "/anchor" in extra:
            anchor = extra["/anchor"]
            row["train_anchor"] = anchor["loss"] / anchor["batches"]
        return row

    def _probe(self, epoch):
        """Figures of the frozen probes, every few epochs and at both ends."""
        last = self.hparams.number_of_epochs
        if epoch % self.probe_every and epoch != last:
            return {}
        encoder = unwrapped(self.modules.encoder)
        figures = {}
        for probe in self.probes:
            figures.update(probe(self.modules.views, encoder, self.device))
        return figures

    def _warn_of_collapse(self):
        # The view to be found, and all of the other recordings.
        n = 1 + self.hparams.n_views * (self.hparams.batch_size - 1)
        reason = collapse(self.row, n, self.hparams.warmup_epochs)
        if reason and if_main_process():
            logger.warning(
                "epoch %d: %s; lower --lr or raise --batch_size",
                self.row["epoch"],
                reason,
            )


def _read_before(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"{path} cannot be read, which says what the encoder was like "
            "before this run; bring it back, or pass another --output_folder"
        )


def averages(stage: str, totals: Dict) -> Dict[str, float]:
    """Columns of an epoch's row, over all views, and by corpus if several.

    Example
    -------
    >>> averages("train", {"": {"loss": 3.0, "accuracy": 1.0, "rows": 2}})
    {'train_loss': 1.5, 'train_accuracy': 0.5}
    """
    parts = {f"_{corpus}": sums for corpus, sums in totals.items() if corpus}
    if totals:
        names = next(iter(totals.values()))
        whole = {n: sum(sums[n] for sums in totals.values()) for n in names}
        parts = {"": whole, **parts}
    row = {}
    for suffix, sums in parts.items():
        figures = {n: sums[n] / sums["rows"] for n in ("loss", "accuracy")}
        if "pairs" in sums:
            figures["alignment"] = sums["alignment"] / sums["clips"]
            figures["uniformity"] = math.log(sums["potential"] / sums["pairs"])
            figures["effective_rank"] = sums["moments"].effective_rank()
        row.update({f"{stage}_{n}{suffix}": v for n, v in figures.items()})
    return row


def views_by_split(hparams: Dict) -> Dict[str, int]:
    """Chunks of a recording to train on and to validate with.

    Example
    -------
    >>> views_by_split({"n_views": 4})
    {'train': 4, 'valid': 2}
    """
    return {"train": hparams["n_views"], "valid": 2}


def read_views(
    hparams: Dict,
    csv_path: str,
    data_folder: str,
    n_views: int,
    corpus: str = "",
) -> DynamicItemDataset:
    """Recordings of one manifest as chunks that make views.

    Shapes: returns ``[n_views, chunk samples]``, returns ``[1]``.
    """
    reader, chunks = hparams["reader"], hparams["chunks"]
    # A pack of another rate is refused here rather than in a loader worker.
    reader.pack_of(str(data_folder))

    @sb.utils.data_pipeline.takes("id", "wav", "start", "stop")
    @sb.utils.data_pipeline.provides("chunks", "gain", "corpus")
    def random_chunks(recording_id, wav, start, stop):
        sound = reader.open(wav, float(start), float(stop))
        yield torch.stack(chunks(sound, recording_id, n_views))
        yield torch.tensor([sound.gain])
        yield corpus

    return manifest_dataset(
        csv_path,
        replacements={"data_root": str(data_folder)},
        dynamic_items=[random_chunks],
        output_keys=["id", "chunks", "gain", "corpus"],
    )


def probes_of(hparams: Dict, train_sets: Sequence[DynamicItemDataset]) -> List:
    """The probes that an experiment asks for."""
    if not (hparams["probe"] or hparams["probe_folder"]):
        return []
    # It brings scikit-learn: a third of a second.
    from cry_modules.training.probe import make_probes

    return make_probes(
        hparams["probe"],
        hparams["probe_folder"],
        hparams["reader"],
        shortest_input(hparams["logmel"].hop),
        hparams["seed"],
        train_sets,
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
        found = " and ".join(map(str, sizes))
        raise InputError(
            f"{found} recordings to validate with, and each corpus needs 2 at "
            "least; raise --valid_share, or add recordings"
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


def train_simclr(brain, hparams, train_loader, valid_loader, corpus) -> Dict:
    """Train, and draw how it went."""
    # Of use at the end alone, and a second to import.
    from cry_modules.figures.training import draw_curves

    output = Path(hparams["output_folder"])
    if brain.test_only:
        raise InputError("there is nothing to test; leave out --test_only")
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
    # Runs from before this option have no such key.
    if hparams.get("checkpoint_activations", False):
        recompute_blocks(hparams["encoder"])
    brain.fit(hparams["epoch_counter"], train_loader, valid_loader)
    rows = History(str(output)).rows  # on every rank
    curves = {output.name: [brain.before, *rows]}
    run_on_main(draw_curves, args=[curves, output / "curves.png", corpus])
    return rows[-1]
