"""Embed the recordings of a dataset once, for evaluation and for training on a
frozen encoder."""

from typing import Dict, List, Tuple

import numpy as np
import torch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from torch import nn
from tqdm import tqdm

from cry_modules.embeddings import embedded
from cry_modules.metrics.predictions import Predictions


@torch.no_grad()
def embed(
    embedder: nn.Module,
    dataset: DynamicItemDataset,
    device: str,
    description: str = "embedding",
    progressbar: bool = True,
    **loader_kwargs,
) -> DynamicItemDataset:
    """Make a dataset with embeddings ``emb`` ``[dimensions]`` in place of the
    waveforms ``sig``.
    """
    embedder.to(device).eval()
    keys = [k for k in dataset.pipeline.output_mapping if k != "sig"]
    items = {}
    loader = make_dataloader(dataset, **loader_kwargs)
    bar = tqdm(
        loader,
        desc=description,
        unit="batch",
        dynamic_ncols=True,
        disable=not progressbar,
    )
    for batch in bar:
        embs = embedded(embedder, batch.to(device).sig, device).cpu()
        for row in zip(*(_plain(batch[k]) for k in keys), embs):
            item = dict(zip([*keys, "emb"], row))
            items[item.pop("id")] = item
    return DynamicItemDataset(items, output_keys=[*keys, "emb"])


def as_arrays(
    dataset: DynamicItemDataset, classes: List[str]
) -> Tuple[np.ndarray, Predictions]:
    """Embeddings ``[n, dimensions]`` of a dataset, and its recordings with
    one-hot labels as scores.

    Example
    -------
    >>> items = {"a": {"emb": torch.ones(2), "patient_id": "p"}}
    >>> items["a"]["class_index"] = 1
    >>> keys = ["id", "emb", "patient_id", "class_index"]
    >>> embs, recordings = as_arrays(
    ...     DynamicItemDataset(items, output_keys=keys), ["x", "y"]
    ... )
    >>> embs, recordings.ids
    (array([[1., 1.]]), ['a'])
    """
    items = [dataset[i] for i in range(len(dataset))]
    labels = np.array([item["class_index"] for item in items])
    return np.stack([item["emb"].double().numpy() for item in items]), (
        Predictions(
            [item["id"] for item in items],
            [item["patient_id"] for item in items],
            labels,
            np.eye(len(classes))[labels],
            classes,
        )
    )


def joined_arrays(
    datasets: Dict[str, DynamicItemDataset], classes: List[str]
) -> Tuple[np.ndarray, Predictions]:
    """Embeddings and recordings of all splits together, see ``as_arrays``."""
    embs, recordings = zip(*(as_arrays(d, classes) for d in datasets.values()))
    return np.concatenate(embs), Predictions.joined(recordings)


def _plain(column):
    """Undo batching of numbers, which a batch holds as one tensor."""
    return column.tolist() if torch.is_tensor(column) else column
