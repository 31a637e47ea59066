"""Encoders of waveforms with layers of frames, read at one layer or at all."""

import json
from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from torch import nn

from cry_modules.embeddings import EMBEDDING, LAYERS, cut

#: Longest input in seconds. Longer recordings are read in windows: the encoders
#: were trained on 10 to 30 s, and memory would grow with the square.
WINDOW_S = 30
#: Largest sizes in a configuration, which others may have changed: published
#: models have below 50 layers, and sizes below 10,000.
_MOST_LAYERS, _MOST_SIZE = 200, 20_000
_SIZES = ("layers", "size", "sizes", "dim", "d_model", "heads", "kernel")
_SIZES += ("stride", "embeddings", "groups", "positions", "bins", "buckets")
_SIZES += ("channels", "neurons", "dilations", "scale", "pos", "distance")


def configuration(source: str) -> Dict[str, Any]:
    """Settings of an encoder; refuse sizes that no published model has, before
    they are allocated.

    Example
    -------
    >>> configuration('{"channels": [512, 1000000]}')
    Traceback (most recent call last):
    ...
    ValueError: channels is [512, 1000000]; it must be 20000 or less
    """
    settings = json.loads(source)
    for name, value in settings.items():
        most = _MOST_LAYERS if name.endswith("layers") else _MOST_SIZE
        numbers = value if isinstance(value, list) else [value]
        is_size = name != "vocab_size" and name.endswith(_SIZES)
        if is_size and any(type(n) is int and n > most for n in numbers):
            raise ValueError(f"{name} is {value}; it must be {most} or less")
    return settings


class LayeredEncoder(nn.Module):
    """Base class of encoders of waveforms: frames of each layer, pooled over
    time as CNN14 does, maximum plus mean.

    Recordings of a batch are never padded: those of equal length go through the
    encoder together. So an embedding is that of the recording alone, to the last
    digits, also behind a GroupNorm over time or without an attention mask.
    A recording shorter than ``shortest`` samples is repeated; one longer than
    ``longest`` is read in as few windows as cover it, whose embeddings are
    averaged.

    A subclass computes ``frames`` and knows its ``blocks``.

    Arguments
    ---------
    source : str
        The configuration that the encoder is built from.
    emb_dim : int
        Values a frame.
    n_layers : int
        Transformer layers.
    shortest, longest : int
        Fewest samples that give a frame; samples of a window.
    """

    def __init__(
        self,
        source: str,
        emb_dim: int,
        n_layers: int,
        shortest: int,
        longest: int = WINDOW_S * 16000,
    ):
        super().__init__()
        if shortest > longest:
            raise ValueError(
                f"it needs recordings of {shortest} samples, and windows have "
                f"{longest}"
            )
        self.source = source
        self.emb_dim = emb_dim
        self.n_layers = n_layers + 1
        self.shortest, self.longest = shortest, longest

    def frames(self, wavs: torch.Tensor, all_layers: bool) -> torch.Tensor:
        """Frames of waveforms of one length, ``[batch, samples]``.

        Returns the output of the encoder ``[batch, frames, emb_dim]``, or of
        ``all_layers`` ``[n_layers, batch, frames, emb_dim]``: the input of the
        first one, then the output of each.
        """
        raise NotImplementedError

    def valid(self, frames: torch.Tensor, n_samples: int) -> torch.Tensor:
        """Frames of the recording itself, where ``frames`` pads it."""
        return frames

    @property
    def blocks(self) -> nn.ModuleList:
        """Transformer layers, in order."""
        raise NotImplementedError

    @property
    def last_norm(self) -> List[nn.Module]:
        """Normalisation after the last layer, which no layer's place holds."""
        return []

    def unread(self, places: Sequence[str]) -> List[nn.Module]:
        """Layers after the last of these places."""
        if EMBEDDING in places:
            return []
        names = [f"layer{i}" for i in range(self.n_layers)]
        numbers = [i for i, name in enumerate(names) if name in places]
        last = self.n_layers - 1 if LAYERS in places else max(numbers)
        return [*self.blocks[last:], *self.last_norm]

    @property
    def places(self) -> Dict[str, int]:
        """Dimension of each place that the encoder can be read at:
        ``embedding``, the output; ``layer0`` to the last layer, as in
        transformers' ``hidden_states``; and ``layers``, all of these side by
        side, which the head weights (see ``ClassificationHead``)."""
        names = [f"layer{i}" for i in range(self.n_layers)]
        places = dict.fromkeys([*names, EMBEDDING], self.emb_dim)
        return {**places, LAYERS: self.n_layers * self.emb_dim}

    def forward(
        self,
        feats: torch.Tensor,
        lengths: Optional[torch.Tensor] = None,
        places: Sequence[str] = (EMBEDDING,),
    ) -> torch.Tensor:
        """Embed waveforms of different lengths.

        Arguments
        ---------
        feats : torch.Tensor
            ``[batch, samples, 1]``.
        lengths : torch.Tensor or None
            Valid share of the samples of each item, 0..1, ``[batch]``.
        places : sequence of str
            Where to read, see ``places``.

        Returns
        -------
        torch.Tensor
            ``[batch, dimensions]``: of the places, in their order.
        """
        wavs = feats.squeeze(2)
        windows, shares, owner = cut(wavs, lengths, self.longest)
        n_samples = torch.round(shares * windows.shape[1]).long()
        embs = by_length(
            lambda wavs: self._embedded(wavs, places),
            windows,
            n_samples,
            at_once=len(feats),
        )
        if len(windows) == len(feats):
            return embs
        n_of = torch.bincount(owner, minlength=len(feats)).unsqueeze(1)
        total = embs.new_zeros(len(feats), embs.shape[1])
        return total.index_add_(0, owner, embs) / n_of

    def _embedded(self, wavs, places):
        """``[batch, samples]`` of one length to ``[batch, dimensions]``."""
        n_samples = wavs.shape[1]
        if n_samples < self.shortest:
            copies = -(-self.shortest // n_samples)
            wavs = wavs.repeat(1, copies)[:, : self.shortest]
            n_samples = self.shortest
        read = {}
        if EMBEDDING in places:
            frames = self.valid(self.frames(wavs, False), n_samples)
            read[EMBEDDING] = pooled(frames)
        if set(places) - {EMBEDDING}:
            frames = self.valid(self.frames(wavs, True), n_samples)
            for i in range(self.n_layers):
                if f"layer{i}" in places:
                    read[f"layer{i}"] = pooled(frames[i])
            if LAYERS in places:
                read[LAYERS] = pooled(frames).transpose(0, 1).flatten(1)
        return torch.cat([read[place] for place in places], dim=1)


def pooled(frames: torch.Tensor) -> torch.Tensor:
    """Maximum plus mean over time, ``[..., frames, dim]`` to ``[..., dim]``.

    Example
    -------
    >>> pooled(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    tensor([5., 0.])
    """
    return frames.amax(dim=-2) + frames.mean(dim=-2)


def by_length(
    function: Callable[[torch.Tensor], torch.Tensor],
    items: torch.Tensor,
    sizes: torch.Tensor,
    at_once: Optional[int] = None,
) -> torch.Tensor:
    """Apply a function to items of equal size together, without padding.

    Arguments
    ---------
    function : callable
        ``[batch, size, ...]`` to ``[batch, dimensions]``.
    items : torch.Tensor
        ``[batch, time, ...]``, padded.
    sizes : torch.Tensor
        Valid part of the time of each item, ``[batch]``.
    at_once : int or None
        Most items of a call; None: no limit.

    Returns
    -------
    torch.Tensor
        ``[batch, dimensions]``.

    Example
    -------
    >>> items = torch.tensor([[[1.0], [2]], [[3], [0]], [[5], [6]]])
    >>> by_length(lambda x: x.mean(dim=1), items, torch.tensor([2, 1, 2]))
    tensor([[1.5000],
            [3.0000],
            [5.5000]])
    """
    results: List[torch.Tensor] = []
    rows: List[torch.Tensor] = []
    for size in sizes.unique().tolist():
        equal = (sizes == size).nonzero().squeeze(1)
        for some in equal.split(at_once or len(equal)):
            rows.append(some)
            results.append(function(items[some, :size]))
    return torch.cat(results)[torch.cat(rows).argsort()]
