"""Frozen probe: how well an encoder separates held-out labels, every few
epochs of pre-training.

The contrastive loss does not show whether the encoder learns or forgets the
classes that it will be used for.
"""

import logging
import math
import os
from collections import Counter
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence

import numpy as np
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from torch import nn

from cry_modules.audio import RecordingReader, shortest_input
from cry_modules.distributed import gather_objects, own_share, unwrapped
from cry_modules.embeddings import Embedder
from cry_modules.evaluation.columns import named_in
from cry_modules.evaluation.embed import embed
from cry_modules.evaluation.linear_model import indices
from cry_modules.evaluation.separability import (
    N_FOLDS,
    knn_accuracy,
    linear_auc,
    retrieval_map,
)
from cry_modules.metrics.bootstrap import patients_per_class
from cry_modules.training.batches import batches_by_length
from cry_modules.training.dataset import whole_recording
from cry_modules.training.recompute import modes_kept
from data_prep import manifest
from data_prep.audio.audits import audit_files
from data_prep.audio.folder import find_files, holds
from data_prep.corpora.database import read_database
from data_prep.files.errors import require
from data_prep.files.identifiers import identity
from data_prep.files.missing import is_missing
from data_prep.files.tables import Named, read_table
from data_prep.manifest import Recording

logger = logging.getLogger(__name__)

#: Fewest labelled recordings of a probe.
LEAST_RECORDINGS = 10
#: Seconds of sound in a batch, padding included, which bound the memory.
BATCH_S = 120.0


class Probe:
    """Held-out labelled recordings, and how well an encoder separates them.

    The table and its audio, which is read once, are checked before training.
    Audio that cannot be decoded, or is silent, is left out with a warning.
    Each process makes its own.
    """

    def __init__(
        self,
        spec: str,
        folder: Optional[str],
        reader: RecordingReader,
        shortest: int,
        seed: int,
        named: Optional[Named] = None,
    ):
        table, _, self.name = spec.rpartition(":")
        require(
            # A colon before ".csv" is part of the path.
            table and self.name and not self.name.endswith((".csv", ".xlsx")),
            f"--probe {spec} names no column",
            "pass the column of the labels too, as in --probe "
            "recordings.csv:column",
        )
        table = Path(table)
        root = Path(folder) if folder else table.parent
        recordings = _read(table, self.name, named)
        require(
            root.is_dir(),
            f"{root} is not a folder",
            f"pass the one that the paths in {table} begin at",
        )
        reader.pack_of(str(root))  # refuses a pack of another rate
        recordings = _usable(recordings, root, table)
        self.labels = [rec.label for rec in recordings]
        self.patients = [rec.patient_id for rec in recordings]
        self.paths = [os.path.realpath(root / rec.wav) for rec in recordings]
        self.seed = seed
        self._check(f"column {self.name!r} of {table}")
        self._dataset = _whole_recordings(recordings, root, reader, shortest)
        self._batches = batches_by_length(
            [rec.seconds for rec in recordings], BATCH_S
        )

    def _check(self, column):
        n_of = Counter(self.labels)
        require(
            len(n_of) >= 2,
            f"{column} has {len(n_of)} label(s) ({', '.join(n_of) or 'none'})",
            "a probe needs 2 or more",
        )
        require(
            len(self.labels) >= LEAST_RECORDINGS,
            f"{column} has {len(self.labels)} usable recordings with a label",
            f"a probe needs {LEAST_RECORDINGS} or more",
        )
        n_patients = patients_per_class(
            indices(self.labels), indices(self.patients)
        )
        require(
            n_patients.max() >= 2,
            f"{column}: no label has recordings of two patients, so none can "
            "be predicted from other patients",
            "pass another column",
        )
        rarest = int(n_patients.argmin())
        if n_patients[rarest] < N_FOLDS:
            logger.warning(
                "probe %s: label %r has fewer than %d patients (%d), so the "
                "AUC is left out",
                self.name,
                sorted(n_of)[rarest],
                N_FOLDS,
                n_patients[rarest],
            )
        logger.info(
            "Probe %s: %d recordings of %d patients (%s)",
            self.name,
            len(self.labels),
            len(set(self.patients)),
            ", ".join(f"{label}: {n}" for label, n in sorted(n_of.items())),
        )

    def __call__(
        self, features: nn.Module, encoder: nn.Module, device: str
    ) -> Dict[str, float]:
        """Evaluate the encoder: figures by name, none where embeddings are not
        finite.

        Training is not affected: modes are restored, and no global random
        generator is used. Every process must call this: each embeds its share
        of the batches, and all return the same.
        """
        embs = self._embed(features, encoder, device)
        if not np.isfinite(embs).all():
            logger.warning(
                "probe %s: embeddings are not finite; no figures", self.name
            )
            return {}
        figures = {
            "knn": knn_accuracy(embs, self.labels, self.patients),
            "map": retrieval_map(embs, self.labels, self.patients),
            "auc": linear_auc(embs, self.labels, self.patients, seed=self.seed),
        }
        return {
            f"probe_{self.name}_{key}": value
            for key, value in figures.items()
            if value is not None
        }

    def _embed(self, features, encoder, device) -> np.ndarray:
        """Embed all recordings: ``[n, emb_dim]``, in the table's order."""
        # Whole batches: any number of processes has the same padding.
        batches = own_share(self._batches)
        features, encoder = unwrapped(features), unwrapped(encoder)
        embedded = []
        with modes_kept(features, encoder):
            if batches:  # there may be fewer than processes
                embedded = embed(
                    Embedder(features, encoder),
                    self._dataset,
                    device,
                    progressbar=False,
                    batch_sampler=batches,
                    # Else the loader draws from the generator of training.
                    generator=torch.Generator(),
                )
        share = [(int(e["id"]), e["emb"].double().numpy()) for e in embedded]
        pairs = sum(gather_objects(share), [])
        return np.stack([emb for _, emb in sorted(pairs, key=itemgetter(0))])


def _read(table: Path, column: str, named: Named) -> List[Recording]:
    """Recordings of a manifest or a recordings.csv with a label in a column;
    those of the latter stop at infinity until their audio is read."""
    rows = read_table(table, [column], named)
    if {"ID", "wav"} <= set(rows[0][1]):
        rows = zip(manifest.read(table), [cells for _, cells in rows])
    else:
        rows = read_database(table, [column], named, has_named=False)
        for rec, _ in rows:
            rec.stop = math.inf
    recordings = []
    for rec, cells in rows:
        rec.label = "" if is_missing(cells[column]) else cells[column]
        recordings.append(rec)
        require(
            rec.patient_id or not rec.label,
            f"{rec.source}: patient_id is empty",
            "fill it in",
        )
    return [rec for rec in recordings if rec.label]


def _usable(
    recordings: List[Recording], root: Path, table: Path
) -> List[Recording]:
    """Recordings whose audio can be used, with its durations."""
    found = find_files(root, [rec.wav for rec in recordings])
    for rec in recordings:
        rec.wav = found[rec.wav] or rec.wav
        require(
            holds(root, rec.wav),
            f"{rec.source}: {rec.wav} is not in {root}",
            "add the file, correct the path, or pass the folder that the "
            "table's paths begin at",
        )
    audits = audit_files([rec.wav for rec in recordings], root)
    kept = [rec for rec in recordings if audits[rec.wav].usable]
    for rec in kept:
        rec.duration = audits[rec.wav].duration
        if math.isinf(rec.stop):
            rec.stop = rec.duration
    manifest.check({"probe": kept}, root)
    if len(kept) < len(recordings):
        bad = next(rec for rec in recordings if not audits[rec.wav].usable)
        logger.warning(
            "%s: %d recordings of the probe cannot be used and are left out, "
            "such as that of %s (%s)",
            table,
            len(recordings) - len(kept),
            bad.source,
            audits[bad.wav].reason,
        )
    return kept


def _whole_recordings(
    recordings: List[Recording],
    root: Path,
    reader: RecordingReader,
    shortest: int,
) -> DynamicItemDataset:
    """Dataset of ``sig``, ``[samples]`` or what reads the windows of a long
    recording, by number of the recording."""
    items = {
        str(i): {**vars(rec), "wav": str(root / rec.wav)}
        for i, rec in enumerate(recordings)
    }
    whole = whole_recording(reader, shortest)
    return DynamicItemDataset(items, [whole], output_keys=["id", "sig"])


def warn_if_trained_on(probe: Probe, trained: Iterable[Dict]) -> None:
    """Warn where recordings or patients of a probe are also trained on.

    Pre-training uses no labels, but the figures then say less about new
    recordings. ``trained`` are rows with ``wav`` and ``patient_id``. Files are
    compared by resolved path: a copy or a pack of a file goes unnoticed.
    """
    files, patients = set(), set()
    for row in trained:
        files.add(os.path.realpath(row["wav"]))
        patients.add(identity(row["patient_id"]))
    n_files = sum(path in files for path in probe.paths)
    n_patients = sum(map(patients.__contains__, map(identity, probe.patients)))
    if n_files or n_patients:
        logger.warning(
            "probe %s: %d of its %d recordings are also trained on, and %d "
            "are of patients that are, so its figures are transductive, not "
            "those of held-out recordings",
            probe.name,
            n_files,
            len(probe.paths),
            n_patients,
        )


def make_probes(
    hparams: Dict, train_sets: Sequence[DynamicItemDataset]
) -> List[Probe]:
    """Build the probes of the option ``probe``; warn if trained on them."""
    require(
        hparams["probe"],
        "--probe_folder is given and no probe",
        "pass --probe recordings.csv:column, or leave it out",
    )
    shortest = shortest_input(hparams["logmel"].hop)
    options = hparams["probe_folder"], hparams["reader"], shortest
    probes = {}
    for spec in hparams["probe"]:
        probe = Probe(spec, *options, hparams["seed"], named_in(hparams))
        require(
            probe.name not in probes,
            f"two --probe options name a column {probe.name!r}",
            "rename it in one of the tables",
        )
        probes[probe.name] = probe
        parts = (part.data.values() for part in train_sets)
        warn_if_trained_on(probe, chain.from_iterable(parts))
    return list(probes.values())
