"""Base class of encoders that are used as they are."""

import hashlib
from typing import Callable, Dict, Hashable, List, Optional, Sequence

import torch
from torch import nn

from cry_modules.audio import repeat_to
from data_prep.files.errors import InputError

#: Embeddings that are kept, as numbers: 200 MB of float32.
_MOST_NUMBERS = 50_000_000


class Memory:
    """Embeddings of the recordings that this process has embedded: the models of
    folds share them.

    Example
    -------
    >>> memory, wav = Memory(), torch.ones(3)
    >>> memory.get("sum", wav, torch.sum), memory.get("sum", wav, None)
    (tensor(3.), tensor(3.))
    """

    def __init__(self):
        self._known: Dict[Hashable, torch.Tensor] = {}
        self._free = _MOST_NUMBERS

    def get(
        self,
        key: Hashable,
        wav: torch.Tensor,
        embed: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Embed ``[samples]``, or recall its embedding with the same ``key``."""
        content = hashlib.sha256(wav.cpu().numpy().tobytes()).digest()
        known = self._known.get((key, content))
        if known is not None:
            return known.to(wav.device)
        emb = embed(wav)
        if emb.numel() <= self._free:
            self._free -= emb.numel()
            self._known[key, content] = emb.cpu()
        return emb


#: Memory of all frozen encoders.
MEMORY = Memory()


class FrozenEncoder(nn.Module):
    """Encoder of samples whose weights somebody else has trained.

    It embeds each recording by itself, so that no embedding depends on padding
    or on the other recordings of a batch. Its state dict holds the identity of
    the weights in place of the weights: a checkpoint is read only beside the
    weights that it was made with.

    Arguments
    ---------
    places : dict
        Read-outs and their dimensions; ``embedding`` is one of them.
    sha256 : bytes
        Identity of the weights.
    shortest : int
        Fewest samples that it can embed; shorter recordings are repeated.

    Attributes
    ----------
    kind : str
        Key of ``ARCHITECTURES``.
    n_parameters : int
        Its parameters; 0 if they are not PyTorch's.
    """

    kind: str
    n_parameters = 0

    def __init__(self, places: Dict[str, int], sha256: bytes, shortest: int):
        super().__init__()
        self.places, self.emb_dim = places, places["embedding"]
        self.shortest = shortest
        self._identity = f"{self.kind}_sha256"
        digest = torch.tensor([*sha256], dtype=torch.uint8, device="cpu")
        self.register_buffer(self._identity, digest)

    def read(self, wav: torch.Tensor, places: Sequence[str]) -> torch.Tensor:
        """Embed one recording ``[samples]`` as ``[dimensions]``."""
        raise NotImplementedError

    def unread(self, places: Sequence[str]) -> List[nn.Module]:
        """Layers that these places leave out: none."""
        return []

    @torch.no_grad()
    def forward(
        self,
        feats: torch.Tensor,
        lengths: Optional[torch.Tensor] = None,
        places: Sequence[str] = ("embedding",),
    ) -> torch.Tensor:
        """Embed the valid samples of each recording.

        Arguments
        ---------
        feats : torch.Tensor
            ``[batch, samples, 1]``.
        lengths : torch.Tensor or None
            Valid share of each item's samples, ``[batch]``.
        places : sequence of str
            Read-outs, keys of ``places``.

        Returns
        -------
        torch.Tensor
            ``[batch, dimensions]``.
        """
        state = getattr(self, self._identity).cpu().numpy().tobytes()

        def embed(wav):
            return self.read(repeat_to(wav, self.shortest), places)

        with torch.autocast(feats.device.type, enabled=False):
            embs = [
                MEMORY.get((state, *places), wav, embed)
                for wav in items_of(feats.squeeze(2).float(), lengths)
            ]
        return torch.stack(embs)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        written = state_dict.get(prefix + self._identity)
        ours = getattr(self, self._identity)
        if written is not None and not torch.equal(written.cpu(), ours.cpu()):
            raise InputError(
                f"these are other weights of {self.kind} than the checkpoint or "
                "model was made with; install or name those that it had"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def items_of(
    wavs: torch.Tensor, lengths: Optional[torch.Tensor]
) -> List[torch.Tensor]:
    """Recordings of a padded batch ``[batch, samples]``, each ``[samples]``.

    Example
    -------
    >>> items_of(torch.eye(2), torch.tensor([1.0, 0.5]))
    [tensor([1., 0.]), tensor([0.])]
    """
    if lengths is None:
        return [*wavs]
    ends = torch.round(lengths.cpu().double() * wavs.shape[1]).long().tolist()
    return [wav[:end] for wav, end in zip(wavs, ends)]


def mean_and_spread(frames: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation over time: ``[time, n]`` to ``[2 * n]``.

    Example
    -------
    >>> mean_and_spread(torch.tensor([[1.0], [3.0]]))
    tensor([2., 1.])
    """
    return torch.cat([frames.mean(dim=0), frames.std(dim=0, correction=0)])
