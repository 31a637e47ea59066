"""Embeddings of recordings that all folds of a cross-validation have in common."""

from collections import defaultdict
from typing import Dict, Optional

from speechbrain.dataio.dataset import (
    DynamicItemDataset,
    FilteredSortedDynamicItemDataset,
)
from torch import nn

from cry_modules.checkpoints.encoders import CALIBRATED, EncoderSource
from cry_modules.distributed import unwrapped
from recipes.classification.after import embed_all


class EmbeddingCache:
    """Embeds each recording once for all folds, where no fold changes what
    embeds it: audio features, and a frozen encoder that is the same in all.

    It is called in place of ``embed_all``, which embeds one recording at a time
    on a CPU: there a fold that is trained alone is the same to the bit.
    """

    def __init__(self, encoder_source: Optional[str]):
        # A calibrated encoder has the statistics of a fold's recordings.
        is_calibrated = EncoderSource(encoder_source).kind == CALIBRATED
        is_of_fold = "{fold}" in (encoder_source or "")
        self.has_one_encoder = not (is_calibrated or is_of_fold)
        self.items = defaultdict(dict)

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
        if is_own and not (brain.cached and self.has_one_encoder):
            return embed_all(brain, hparams, datasets, embedder, description)
        known = self.items[description, tuple(brain.classes)]
        new = {}
        for split, dataset in datasets.items():
            ids = [ID for ID in dataset.data_ids if ID not in known]
            if len(ids) == len(dataset):
                new[split] = dataset
            elif ids:
                new[split] = FilteredSortedDynamicItemDataset(dataset, ids)
        embedded = embed_all(brain, hparams, new, embedder, description)
        for part in embedded.values():
            known.update(part.data)
        return {
            split: DynamicItemDataset(
                {ID: known[ID] for ID in dataset.data_ids},
                output_keys=["id", *known[dataset.data_ids[0]]],
            )
            for split, dataset in datasets.items()
        }
