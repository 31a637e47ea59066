"""Embeddings of whole recordings, computed once for a frozen encoder.

Authors
 * The contributors of cry-ssl 2026
"""

import torch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from torch import nn
from tqdm import tqdm


@torch.no_grad()
def embed(
    features: nn.Module,
    encoder: nn.Module,
    dataset: DynamicItemDataset,
    device: str,
    description: str = "embedding",
    progressbar: bool = True,
    **loader_kwargs,
) -> DynamicItemDataset:
    """Replace the waveforms of a dataset by their embeddings.

    Arguments
    ---------
    features : torch.nn.Module
        Waveforms and lengths to features and lengths.
    encoder : torch.nn.Module
        Features and lengths to embeddings.
    dataset : DynamicItemDataset
        With ``id``, ``sig`` and other output keys, which are kept.
    device : str
        Where to compute.
    description : str
        On the progress bar.
    progressbar : bool
        Whether there is one.
    **loader_kwargs
        Of the data loader, such as ``batch_size``.

    Returns
    -------
    DynamicItemDataset
        With ``emb``, ``[emb_dim]``, in place of ``sig``.

    Example
    -------
    >>> class Mean(nn.Module):
    ...     def forward(self, feats, lengths):
    ...         return feats.mean(dim=1, keepdim=True)
    >>> class Same(nn.Module):
    ...     def forward(self, wavs, lengths):
    ...         return wavs, lengths
    >>> dataset = DynamicItemDataset(
    ...     {"a": {"sig": torch.ones(4)}}, output_keys=["id", "sig"]
    ... )
    >>> embed(Same(), Mean(), dataset, "cpu", progressbar=False)[0]
    {'id': 'a', 'emb': tensor([1.])}
    """
    features.to(device).eval()
    encoder.to(device).eval()
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
        embs = encoder(*features(*batch.to(device).sig)).cpu()
        for row in zip(*(_plain(batch[k]) for k in keys), embs):
            item = dict(zip([*keys, "emb"], row))
            items[item.pop("id")] = item
    return DynamicItemDataset(items, output_keys=[*keys, "emb"])


def _plain(column):
    """Numbers, which a batch holds as one tensor, as numbers again."""
    return column.tolist() if torch.is_tensor(column) else column
