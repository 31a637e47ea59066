"""Embeddings that folds and runs on the same frozen encoder share."""

import hashlib
from pathlib import Path
from typing import Dict, NamedTuple, Optional
from zipfile import BadZipFile

import numpy as np
import torch
from speechbrain.dataio.dataset import (
    DynamicItemDataset,
    FilteredSortedDynamicItemDataset,
)
from torch import nn

from cry_modules.checkpoints.module_identity import module_identity
from cry_modules.distributed import rank, unwrapped
from cry_modules.training.dataset import rows_of
from cry_modules.training.state import PlatformRecord
from data_prep.audio.checksums import Checksums
from data_prep.files.atomic import complete_or_absent, make_folder
from data_prep.files.errors import InputError
from recipes.classification.after import embed_all

_CURE = "delete it, and it is computed again"


class Known(NamedTuple):
    """Embeddings that one embedder has made."""

    embedder: str  # see ``module_identity``
    embeddings: Dict[str, torch.Tensor]  # ``[dimensions]``, by recording


class EmbeddingCache:
    """Embeds each recording once for all that embed it alike: the folds of a
    run, in memory, and all runs that are given the same `folder`.

    It is called in place of ``embed_all``, which embeds one recording at a time
    on a CPU: there nothing changes by it, to the bit. What embeds is known by
    its weights and settings and by the platform, a recording by its path, part
    and checksum. An encoder that training has changed is not shared.
    """

    def __init__(self, folder: Optional[str] = None):
        self.folder = make_folder(folder) if folder else None
        self.known: Dict[str, Known] = {}  # the latest of each description

    def __call__(
        self,
        brain,
        hparams: Dict,
        datasets: Dict[str, DynamicItemDataset],
        embedder: nn.Module,
        description: str,
    ) -> Dict[str, DynamicItemDataset]:
        """Embed the recordings of each split."""
        is_own = embedder is unwrapped(brain.modules.embedder)
        if is_own and not brain.cached:
            return embed_all(brain, hparams, datasets, embedder, description)
        known = self._known_to(embedder, brain.device, hparams, description)
        names = {
            split: _names(dataset, hparams)
            for split, dataset in datasets.items()
        }
        new = {
            split: _without(dataset, names[split], known.embeddings)
            for split, dataset in datasets.items()
        }
        new = {split: dataset for split, dataset in new.items() if len(dataset)}
        made = {
            names[split][ID]: item["emb"]
            for split, dataset in embed_all(
                brain, hparams, new, embedder, description
            ).items()
            for ID, item in dataset.data.items()
        }
        known.embeddings.update(made)
        if made and self.folder and rank() == 0:
            _write(made, self.folder / known.embedder)
        return {
            split: _embedded(dataset, names[split], known.embeddings)
            for split, dataset in datasets.items()
        }

    def _known_to(self, embedder, device, hparams, description) -> Known:
        """Embeddings that this embedder has made, here or in other runs."""
        rate = hparams["reader"].sample_rate
        platform = PlatformRecord(device).record
        identity = module_identity(embedder, rate, platform)
        known = self.known.get(description)
        if known is None or known.embedder != identity:
            folder = self.folder and self.folder / identity
            known = Known(identity, _read(folder) if folder else {})
            self.known[description] = known
        return known


def _names(dataset: DynamicItemDataset, hparams: Dict) -> Dict[str, str]:
    """Text that tells each recording from all others, by its ID."""
    root = str(hparams["data_folder"])
    manifests = f"{hparams['output_folder']}/manifest"
    checksums = Checksums(manifests, root)
    return {
        ID: repr(
            (row["wav"], row["start"], row["stop"], checksums.of(row["wav"]))
        )
        for ID, row in zip(dataset.data_ids, rows_of(dataset))
    }


def _without(dataset, names, known) -> DynamicItemDataset:
    """The recordings that are not known."""
    ids = [ID for ID in dataset.data_ids if names[ID] not in known]
    if len(ids) == len(dataset):
        return dataset
    return FilteredSortedDynamicItemDataset(dataset, ids)


def _embedded(dataset, names, known) -> DynamicItemDataset:
    """The dataset with ``emb`` in place of ``sig``, as of ``embed``."""
    keys = [key for key in dataset.pipeline.output_mapping if key != "sig"]
    items = {}
    with dataset.output_keys_as(keys):
        for i in range(len(dataset)):
            item = dataset[i]
            ID = item.pop("id")
            items[ID] = {**item, "emb": known[names[ID]]}
    return DynamicItemDataset(items, output_keys=[*keys, "emb"])


def _read(folder: Path) -> Dict[str, torch.Tensor]:
    """Read the embeddings ``[dimensions]`` that runs have written to a folder;
    ``InputError`` names a damaged file."""
    known = {}
    for path in sorted(folder.glob("*.npz")):
        try:
            with np.load(path) as arrays:
                rows = torch.from_numpy(arrays["embeddings"])
                known.update(zip(arrays["recordings"].tolist(), rows))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InputError(
                f"{path} cannot be read as embeddings ({error}); {_CURE}"
            )
    return known


def _write(embeddings: Dict[str, torch.Tensor], folder: Path) -> None:
    """Write embeddings to a file of their own, since runs at the same time
    write to the same folder."""
    names = [*embeddings]
    digest = hashlib.blake2b(repr(names).encode(), digest_size=16).hexdigest()
    with complete_or_absent(make_folder(folder) / f"{digest}.npz") as partial:
        rows = torch.stack([*embeddings.values()]).numpy()
        np.savez(partial, recordings=np.array(names), embeddings=rows)
