"""A frozen probe: what an encoder knows of labelled recordings it does not
train on, every few epochs.

Loss says whether a task of our making is solved, not whether the encoder
learns or forgets what it is for.
"""

import logging
import math
import os
from collections import Counter
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import provides, takes
from torch import nn

from cry_modules.audio import RecordingReader, repeat_to
from cry_modules.distributed import gather_objects, n_ranks, rank, unwrapped
from cry_modules.embeddings import Embedder, embed
from cry_modules.evaluation.linear_model import indices
from cry_modules.evaluation.separability import (
    N_FOLDS,
    knn_accuracy,
    linear_auc,
    retrieval_map,
)
from cry_modules.metrics.bootstrap import patients_per_class
from cry_modules.training.batches import batches_by_length
from data_prep import manifest
from data_prep.audio.audits import audit_files
from data_prep.audio.folder import holds
from data_prep.corpora.database import read_database
from data_prep.files.errors import InputError
from data_prep.files.tables import read_lines, read_table
from data_prep.manifest import Recording

logger = logging.getLogger(__name__)

LEAST_RECORDINGS = 10
#: Sound in a batch, padding included, seconds: memory does not grow with the
#: recordings.
BATCH_S = 120.0


class Probe:
    """Held-out labelled recordings, and how well a frozen encoder tells them.

    Everything that a user can mend is refused here, before training; the
    audio is read once for that. What cannot be decoded, or is silent, is left
    out with a warning. Where there are several processes, make it in each.

    Example
    -------
    >>> Probe("recordings.csv", None, RecordingReader(16000), 4960, seed=0)
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: --probe recordings.csv names no column; pass the column of the labels too, as in --probe recordings.csv:column
    """

    def __init__(
        self,
        spec: str,
        folder: Optional[str],
        reader: RecordingReader,
        shortest: int,
        seed: int,
    ):
        table, self.name = _split_spec(spec)
        root = Path(folder) if folder else table.parent
        rows = _read(table, self.name)
        if not root.is_dir():
            raise InputError(
                f"{root} is no folder; pass the one that the paths in {table}"
                " begin at"
            )
        reader.pack_of(str(root))  # a pack of another rate is refused
        rows = _usable(rows, root, table)
        self.labels = [label for _, label in rows]
        self.patients = [rec.patient_id for rec, _ in rows]
        self.paths = [os.path.realpath(root / rec.wav) for rec, _ in rows]
        self.seed = seed
        self._check(table)
        recordings = [rec for rec, _ in rows]
        self._dataset = _whole_recordings(recordings, root, reader, shortest)
        self._batches = batches_by_length(
            [rec.seconds for rec in recordings], BATCH_S
        )

    def _check(self, table):
        n_of = Counter(self.labels)
        if len(n_of) < 2:
            raise InputError(
                f"column {self.name!r} of {table} has {len(n_of)} label(s) "
                f"({', '.join(n_of) or 'none'}); a probe needs two at least"
            )
        if len(self.labels) < LEAST_RECORDINGS:
            raise InputError(
                f"column {self.name!r} of {table} has {len(self.labels)} "
                f"recordings with a label that can be used; a probe needs "
                f"{LEAST_RECORDINGS} at least"
            )
        patients_of = patients_per_class(
            indices(self.labels), indices(self.patients)
        )
        if patients_of.max() < 2:
            raise InputError(
                f"column {self.name!r} of {table}: no label has recordings of "
                "two patients, and none is told by its own patient; pass "
                "another column"
            )
        rarest = int(patients_of.argmin())
        if patients_of[rarest] < N_FOLDS:
            logger.warning(
                "probe %s: label %r has fewer than %d patients (%d), so there "
                "is no AUC",
                self.name,
                sorted(n_of)[rarest],
                N_FOLDS,
                patients_of[rarest],
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
        """What the encoder knows now; nothing that training uses changes.

        Both modules' modes are restored, and no global random generator is
        drawn from. Where there are several processes, each must call this:
        it embeds its share of the batches, and all return the same.
        """
        embs = self._embed(features, encoder, device)
        if not np.isfinite(embs).all():
            logger.warning(
                "probe %s: embeddings are not finite; no figures", self.name
            )
            return {}
        about = (self.labels, self.patients)
        figures = {
            "knn": knn_accuracy(embs, *about),
            "map": retrieval_map(embs, *about),
            "auc": linear_auc(embs, *about, seed=self.seed),
        }
        return {
            f"probe_{self.name}_{key}": value
            for key, value in figures.items()
            if value is not None
        }

    def _embed(self, features, encoder, device) -> np.ndarray:
        """``[n, emb_dim]``, in the order of the table."""
        # Whole batches: whatever the number of processes, the same padding.
        share = self._batches[rank() :: n_ranks()]
        mine = self._embed_batches(features, encoder, device, share)
        parts = gather_objects(mine)
        embs = {key: emb for part in parts for key, emb in part.items()}
        return np.stack([embs[str(i)] for i in range(len(self.labels))])

    def _embed_batches(self, features, encoder, device, batches):
        """Embedding by number of the recording."""
        if not batches:  # fewer batches than processes
            return {}
        features, encoder = unwrapped(features), unwrapped(encoder)
        with _modes_kept(features, encoder):
            found = embed(
                Embedder(features, encoder),
                self._dataset,
                device,
                progressbar=False,
                batch_sampler=batches,
                # Else the loader draws from the generator of training.
                generator=torch.Generator(),
            )
        return {item["id"]: item["emb"].double().numpy() for item in found}


def _split_spec(spec: str) -> Tuple[Path, str]:
    """The table and the column.

    Example
    -------
    >>> _split_spec("a:b/recordings.csv:sound")[1]
    'sound'
    """
    table, _, column = spec.rpartition(":")
    # A colon in front of ".csv" belongs to the path.
    if not table or not column or column.endswith(".csv"):
        raise InputError(
            f"--probe {spec} names no column; pass the column of the labels "
            "too, as in --probe recordings.csv:column"
        )
    return Path(table), column


def _read(table: Path, column: str) -> List[Tuple[Recording, str]]:
    """Labelled recordings of a manifest or a recordings.csv; those of the
    latter stop at infinity, since only their audio says where."""
    cells = [cells for _, cells in read_table(table, [column])]
    header = {name.strip() for name in read_lines(table)[0]}
    if {"ID", "wav"} <= header:
        recordings = manifest.read(table)
    else:
        recordings = [rec for rec, _ in read_database(table, [column])]
        for rec in recordings:
            rec.stop = math.inf
    rows = [
        (rec, row[column]) for rec, row in zip(recordings, cells) if row[column]
    ]
    for rec, _ in rows:
        if not rec.patient_id:
            raise InputError(f"{rec.source}: patient_id is empty; fill it in")
    return rows


def _usable(
    rows: List[Tuple[Recording, str]], root: Path, table: Path
) -> List[Tuple[Recording, str]]:
    """Those whose audio can be used, with the durations that it has."""
    for rec, _ in rows:
        if not holds(root, rec.wav):
            raise InputError(
                f"{rec.source}: {rec.wav} is not in {root}; add the file, "
                "correct the path, or pass the folder that the table's paths "
                "begin at"
            )
    audits = audit_files([rec.wav for rec, _ in rows], root)
    kept = [row for row in rows if audits[row[0].wav].usable]
    for rec, _ in kept:
        rec.duration = audits[rec.wav].duration
        if math.isinf(rec.stop):
            rec.stop = rec.duration
    manifest.check({"probe": [rec for rec, _ in kept]}, root)
    if len(kept) < len(rows):
        bad = next(rec for rec, _ in rows if not audits[rec.wav].usable)
        logger.warning(
            "%s: %d recordings of the probe cannot be used and are left out, "
            "such as %s (%s, %s)",
            table,
            len(rows) - len(kept),
            bad.wav,
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
    """``sig``, ``[samples]``, of each recording by its number."""

    @takes("wav", "start", "stop")
    @provides("sig")
    def whole(wav, start, stop):
        return repeat_to(reader(wav, start, stop), shortest)

    items = {
        str(i): {
            "wav": str(root / rec.wav),
            "start": rec.start,
            "stop": rec.stop,
        }
        for i, rec in enumerate(recordings)
    }
    return DynamicItemDataset(items, [whole], output_keys=["id", "sig"])


@contextmanager
def _modes_kept(*modules: nn.Module):
    """Each module's mode as it was, whatever happens in between; also where
    some are in train mode and some are not."""
    modes = [(m, m.training) for module in modules for m in module.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def warn_if_trained_on(probe: Probe, trained: Iterable[Dict]) -> None:
    """Say so where a probe's recordings or patients are not held out.

    Training needs no labels, so its figures do not become worthless, but they
    say less of recordings that the encoder has not met. Files are compared by
    resolved path: a copy, or a pack of the same files, is not noticed.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> probe = SimpleNamespace(paths=["/a.wav"], patients=["p1"])
    >>> warn_if_trained_on(probe, [{"wav": "/b.wav", "patient_id": "p2"}])
    """
    files, patients = set(), set()
    for row in trained:  # made one by one
        files.add(os.path.realpath(row["wav"]))
        patients.add(row["patient_id"].lower())
    n_files = sum(path in files for path in probe.paths)
    n_patients = sum(patient.lower() in patients for patient in probe.patients)
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
    specs: Sequence[str],
    folder: Optional[str],
    reader: RecordingReader,
    shortest: int,
    seed: int,
    train_sets: Sequence[DynamicItemDataset],
) -> List[Probe]:
    """The probes that an experiment asks for.

    Example
    -------
    >>> make_probes([], None, RecordingReader(16000), 4960, 0, [])
    []
    """
    if folder and not specs:
        raise InputError(
            "--probe_folder is given and no probe; pass --probe "
            "recordings.csv:column, or leave it out"
        )
    probes = {}
    for spec in specs:
        probe = Probe(spec, folder, reader, shortest, seed)
        if probe.name in probes:
            raise InputError(
                f"two --probe options name a column {probe.name!r}; rename it "
                "in one of the tables"
            )
        probes[probe.name] = probe
        parts = (part.data.values() for part in train_sets)
        warn_if_trained_on(probe, chain.from_iterable(parts))
    return list(probes.values())
