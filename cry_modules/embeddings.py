"""Waveforms to embeddings, the input of a classification head."""

from itertools import islice
from typing import List, Optional, Sequence, Tuple, Union

import torch
from speechbrain.dataio.batch import PaddedData
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from cry_modules.audio import LongRecording
from cry_modules.distributed import unwrapped
from cry_modules.front_ends import (
    WAVEFORM,
    AugmentedFeatures,
    MelFrames,
    Waveform,
)
from cry_modules.lengths import LONGEST_S, covering, frame_mask

#: The paper's read-out.
EMBEDDING = "embedding"
#: Part of a read-out that is not a place of the encoder.
LOGMEL = "logmel"
#: All layers of an encoder side by side, which the head weights.
LAYERS = "layers"
#: Input of the model: a whole recording at once, or chunks of it.
INPUTS = ("recordings", "chunks")


class Embedder(nn.Module):
    """Waveforms to embeddings: features, encoder and readout.

    In train mode it embeds its input as a whole. In evaluation mode it can cut
    recordings into chunks and average their embeddings; since the head is
    affine in that mode, this equals averaging the logits. A recording not
    longer than a chunk has the same embedding either way.

    Arguments
    ---------
    features : torch.nn.Module
        Waveforms and lengths to features and lengths, with ``logmel``.
    encoder : torch.nn.Module
        Features and lengths to embeddings ``[batch, emb_dim]``. Its layers
        after the last place that is read are not trained.
    readout : str
        Where the encoder is read, parts joined by ``+``: ``embedding``, another
        of the encoder's ``places`` such as ``block3``, and ``logmel``, which
        adds mean and standard deviation over time of the log-mel before
        normalisation, which would remove level and tilt.
    tested_on : str
        Input in evaluation mode: whole ``recordings`` or ``chunks``.
    chunk_s : float
        Length of a chunk in seconds.
    sample_rate : int
        Hz.

    Example
    -------
    >>> from cry_modules.cnn14 import Cnn14
    >>> from cry_modules.front_ends import LogMel
    >>> from cry_modules.front_ends import AugmentedFeatures
    >>> from cry_modules.views.chunks_and_masks import SpecAugment
    >>> features = AugmentedFeatures(LogMel(), SpecAugment(0, 0), False)
    >>> embedder = Embedder(features, Cnn14(80, width=1), "embedding+logmel")
    >>> embedder(torch.randn(2, 8000)).shape
    torch.Size([2, 192])
    """

    def __init__(
        self,
        features: nn.Module,
        encoder: nn.Module,
        readout: str = "embedding",
        tested_on: str = "recordings",
        chunk_s: float = 4.0,
        sample_rate: int = 16000,
    ):
        super().__init__()
        if tested_on not in INPUTS:
            raise ValueError(
                f"tested_on is {tested_on!r}; expected one of "
                f"{', '.join(INPUTS)}"
            )
        self.features = features
        self.encoder = encoder
        self.parts = parts_of(readout, encoder)
        self.n_layers = layers_of(readout, encoder)
        for layer in unread_layers(encoder, self.parts):
            layer.requires_grad_(False)
        self.statistics = None
        if LOGMEL in self.parts:
            self.statistics = LogMelStatistics(features.logmel)
        self.tested_on = tested_on
        self.n_samples = round(chunk_s * sample_rate)

    def forward(
        self, wavs: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """``[batch, samples]``, with the valid share of each item ``[batch]``,
        to ``[batch, dimensions]``."""
        if self.training or self.tested_on == "recordings":
            return self._embed(wavs, lengths)
        chunks, chunk_lengths, owner = cut(wavs, lengths, self.n_samples)
        # Chunks in batches of the original size.
        embs = torch.cat(
            [
                self._embed(*some)
                for some in zip(
                    chunks.split(len(wavs)), chunk_lengths.split(len(wavs))
                )
            ]
        )
        n_of = torch.bincount(owner, minlength=len(wavs)).unsqueeze(1)
        total = embs.new_zeros(len(wavs), embs.shape[1])
        return total.index_add_(0, owner, embs) / n_of

    @torch.no_grad()
    def dimension(self) -> int:
        """Dimension of the embedding, measured on a chunk of a ramp: silence has
        no logarithm, in encoders that take it."""
        was_training = self.training
        emb = self.eval()(torch.linspace(-1, 1, self.n_samples)[None])
        self.train(was_training)
        return emb.shape[1]

    def _embed(self, wavs, lengths):
        places = [part for part in self.parts if part != LOGMEL]
        where = {} if places == [EMBEDDING] else {"places": places}
        embs = self.encoder(*self.features(wavs, lengths), **where)
        if self.statistics is None:
            return embs
        return torch.cat([embs, self.statistics(wavs, lengths)], dim=1)


def places_of(encoder: nn.Module) -> Sequence[str]:
    """Places that an encoder can be read at; an encoder without ``places`` has
    its embedding alone."""
    inner = getattr(encoder, "encoder", encoder)  # of a fine-tuning mode
    return [*getattr(inner, "places", [EMBEDDING])]


def unread_layers(
    encoder: nn.Module, parts: Sequence[str]
) -> Sequence[nn.Module]:
    """Layers of an encoder that reading these parts does not compute."""
    inner = getattr(encoder, "encoder", encoder)
    has_choice = places_of(encoder) != [EMBEDDING]
    return inner.unread(parts) if has_choice else []


def parts_of(readout: str, encoder: nn.Module) -> List[str]:
    """Parts of a read-out, ``logmel`` last.

    Raises ``ValueError`` unless they are different places of the encoder, with
    or without ``logmel``.

    Example
    -------
    >>> from cry_modules.cnn14 import Cnn14
    >>> parts_of("block3+logmel", Cnn14(80, width=1))
    ['block3', 'logmel']
    """
    parts, places = str(readout).split("+"), places_of(encoder)
    if (
        set(parts) - {*places, LOGMEL}
        or len(set(parts)) < len(parts)
        or parts == [LOGMEL]
        or LOGMEL in parts[:-1]
    ):
        raise ValueError(
            f"readout is {readout!r}; expected one or more of "
            f"{', '.join(places)}, joined by + and followed by +{LOGMEL} or "
            "not"
        )
    if LAYERS in parts and len(parts) > 1:
        raise ValueError(
            f"readout is {readout!r}; the head weights {LAYERS} alone: pass "
            f"--readout {LAYERS}, or some layers by name"
        )
    return parts


def layers_of(readout: str, encoder: nn.Module) -> int:
    """Layers that the head of a read-out weights; 1 without weights."""
    inner = getattr(encoder, "encoder", encoder)
    return inner.n_layers if parts_of(readout, encoder) == [LAYERS] else 1


def readout_dim(readout: str, encoder: nn.Module, n_mels: int) -> int:
    """Dimension of a read-out."""
    dims = {EMBEDDING: encoder.emb_dim, LOGMEL: 2 * n_mels}
    dims.update(getattr(encoder, "places", {}))
    return sum(dims[part] for part in parts_of(readout, encoder))


class Samples(nn.Module):
    """Waveforms as the features of encoders that read samples: at one peak, as
    every front end gets them, and not augmented.

    Arguments
    ---------
    logmel : Waveform
        Used by the read-out ``logmel`` alone.

    Example
    -------
    >>> Samples(Waveform())(torch.zeros(2, 16000))[0].shape
    torch.Size([2, 16000, 1])
    """

    def __init__(self, logmel: Waveform):
        super().__init__()
        self.logmel = logmel

    def forward(
        self, wavs: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Pass ``[batch, samples]`` on as ``[batch, samples, 1]``."""
        return wavs.unsqueeze(2), lengths


def make_features(
    logmel: MelFrames, augment: nn.Module, augment_before_norm: bool
) -> nn.Module:
    """Build what computes an encoder's input from waveforms: ``Samples`` for the
    front end ``waveform``, else ``AugmentedFeatures`` of these arguments."""
    if logmel.name == WAVEFORM:
        return Samples(logmel)
    return AugmentedFeatures(logmel, augment, augment_before_norm)


class Unchanged(nn.Module):
    """Identity in place of the normaliser of SpeechBrain's
    ``EncoderClassifier``: an ``Embedder`` already normalises.

    Example
    -------
    >>> Unchanged()(torch.ones(1, 2), torch.ones(1))
    tensor([[1., 1.]])
    """

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return ``x``."""
        return x


class LogMelStatistics(nn.Module):
    """Mean and standard deviation of each mel band over the valid frames: a
    description of a recording without a network.

    Example
    -------
    >>> from cry_modules.front_ends import LogMel
    >>> LogMelStatistics(LogMel())(torch.randn(2, 8000)).shape
    torch.Size([2, 160])
    """

    def __init__(self, logmel: nn.Module):
        super().__init__()
        self.logmel = logmel
        self.n_samples = round(LONGEST_S * logmel.sample_rate)

    def forward(
        self, wavs: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """``[batch, samples]`` to ``[batch, 2 * n_mels]``."""
        feats, lengths = self.logmel(wavs, lengths)
        if lengths is None:
            mean, spread = feats.mean(dim=1), feats.std(dim=1, correction=0)
            return torch.cat([mean, spread], dim=1)
        n_frames = torch.round(lengths * feats.shape[1]).long()
        mask = frame_mask(n_frames, feats.shape[1]).unsqueeze(2)
        n_frames = n_frames.unsqueeze(1)
        mean = (feats * mask).sum(dim=1) / n_frames
        squares = ((feats - mean.unsqueeze(1)) * mask).square().sum(dim=1)
        return torch.cat([mean, (squares / n_frames).sqrt()], dim=1)


def embedded(
    embedder: nn.Module,
    sigs: Union[PaddedData, List[LongRecording]],
    device: str,
) -> torch.Tensor:
    """Embed the signals of a batch: padded recordings as they are, long ones
    as the mean over their windows of ``embedder.n_samples``, of a block also
    the spreads.

    So a recording has another embedding from the length on at which it counts
    as long. Spreads pooled from squares would not prevent it, since each window
    is also normalised by its own mean.

    Returns ``[batch, dimensions]``.
    """
    if isinstance(sigs, PaddedData):
        return embedder(*sigs)
    embedder = unwrapped(embedder)
    return torch.stack([_mean_of_windows(embedder, s, device) for s in sigs])


def _mean_of_windows(embedder, recording, device):
    size = embedder.n_samples
    at_once = max(1, round(LONGEST_S * recording.sample_rate) // size)
    total, n_windows = 0.0, 0
    windows = iter(recording.windows(size))
    while batch := list(islice(windows, at_once)):
        embs = embedder(torch.stack(batch).to(device))
        total = total + embs.sum(dim=0)
        n_windows += len(batch)
    return total / n_windows


def cut(
    wavs: torch.Tensor, lengths: Optional[torch.Tensor], n_samples: int
) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cut recordings into as few chunks as cover them, evenly spaced.

    Returns the padded chunks ``[chunks, samples]``, their valid shares
    ``[chunks]`` and the index of each chunk's recording ``[chunks]``.

    Example
    -------
    >>> wavs, lengths = torch.arange(12.0).view(2, 6), torch.tensor([1.0, 0.5])
    >>> chunks, lengths, owner = cut(wavs, lengths, n_samples=4)
    >>> chunks
    tensor([[0., 1., 2., 3.],
            [2., 3., 4., 5.],
            [6., 7., 8., 0.]])
    >>> owner
    tensor([0, 0, 1])
    """
    ends = torch.full((len(wavs),), wavs.shape[1])
    if lengths is not None:
        ends = torch.round(lengths.cpu().double() * wavs.shape[1]).long()
    chunks, owner = [], []
    for i, end in enumerate(ends.tolist()):
        for start in covering(end, n_samples):
            chunks.append(wavs[i, start : min(start + n_samples, end)])
            owner.append(i)
    valid = torch.tensor([len(chunk) for chunk in chunks], device=wavs.device)
    padded = pad_sequence(chunks, batch_first=True)
    owner = torch.tensor(owner, device=wavs.device)
    return padded, valid / padded.shape[1], owner
