"""Recordings as views for SimCLR: datasets of chunks and validation batches."""

from typing import Dict, List, Optional

import numpy as np
import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from cry_modules.training.dataset import SharedPartial, manifest_dataset
from data_prep.files.errors import InputError

#: Names of the corpora of adaptation.
CRY, GENERIC = "cry", "generic"


def read_views(
    hparams: Dict, manifests: str, data_folder: str, corpus: str = ""
) -> List[DynamicItemDataset]:
    """Make the datasets for training (``n_views`` views) and validation (two).

    Items: ``chunks`` ``[n_views, chunk samples]`` as they are stored, their
    ``gain`` ``[1]`` and the ``corpus``.
    """
    # Refuses a pack of another sample rate here rather than in a loader worker.
    hparams["reader"].pack_of(str(data_folder))
    hparams["reader"].expect(manifests, str(data_folder))
    return [
        _read_views(hparams, f"{manifests}/{split}.csv", data_folder, n, corpus)
        for split, n in (("train", hparams["n_views"]), ("valid", 2))
    ]


def _read_views(hparams, csv_path, data_folder, n_views, corpus):
    cut = SharedPartial(
        _cut, hparams["reader"], hparams["chunks"], n_views, corpus
    )
    random_chunks = {
        "func": cut,
        "takes": ["id", "wav", "start", "stop"],
        "provides": ["chunks", "gain", "corpus"],
    }
    return manifest_dataset(
        csv_path,
        replacements={"data_root": str(data_folder)},
        dynamic_items=[random_chunks],
        output_keys=["id", "chunks", "gain", "corpus"],
    )


def _cut(reader, chunks, n_views, corpus, recording_id, wav, start, stop):
    """Draw the views of a recording."""
    sound = reader.open(wav, float(start), float(stop))
    yield torch.stack(chunks(sound, recording_id, n_views))
    yield torch.tensor([sound.gain])
    yield corpus


def valid_batches(
    sizes: List[int],
    batch_size: int,
    seed: int,
    valid_share: Optional[float] = None,
) -> List[List[int]]:
    """Make batches of equal size that do not mix corpora.

    A contrastive loss depends on the batch size, so only batches of one size
    can be compared; recordings that do not fill one are left out. They are
    shuffled once: neighbours in a manifest are often of one patient.

    Arguments
    ---------
    sizes : list of int
        Recordings of each corpus; the datasets follow each other.
    batch_size : int
        Largest batch size.
    seed : int
        Seed of the order.
    valid_share : float
        Share of each corpus, for the error if it is too small.

    Returns
    -------
    list of list of int

    Example
    -------
    >>> [sorted(b) for b in valid_batches([3, 3], batch_size=8, seed=0)]
    [[0, 1, 2], [3, 4, 5]]
    """
    if min(sizes) < 2:
        raise InputError(
            f"valid_share is {valid_share}, which leaves "
            f"{' and '.join(map(str, sizes))} recordings to validate with; each "
            "corpus needs at least 2: raise --valid_share, or add recordings"
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
