"""Other recordings mixed into views as their background.

Two chunks of one recording share its background, the easiest way to find one
from the other. A background drawn for each view is one that they do not share.
"""

from typing import Optional, Sequence

import torch
from torch import nn


class Background(nn.Module):
    """Mix a chunk of another recording of the batch into each view.

    As in contrastive learning of sound events (Fonseca et al. 2021,
    https://arxiv.org/abs/2011.07616) and, on log-mel, the mixup of BYOL-A
    (https://arxiv.org/abs/2103.06695). Waveforms are added, which is exact.

    Arguments
    ---------
    snr : sequence of float
        Lowest and highest ratio of the view's power to the background's, dB.
        Uniform between them, drawn for each view.

    Example
    -------
    >>> mix = Background(snr=[0, 20])
    >>> mix(torch.randn(6, 16000), torch.tensor([False, True, True])).shape
    torch.Size([6, 16000])
    """

    def __init__(self, snr: Sequence[float]):
        super().__init__()
        self.snr = snr

    def forward(
        self, wavs: torch.Tensor, sources: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Mix the views, not in place.

        Arguments
        ---------
        wavs : torch.Tensor
            All first views of a batch, then all second ones, ...:
            ``[n_views * batch, samples]``.
        sources : torch.Tensor or None
            True where a recording may be a background, ``[batch]``; None: all.
            A view without a source other than its recording stays as it is.

        Returns
        -------
        torch.Tensor
            Same shape as ``wavs``.
        """
        if sources is None:
            sources = wavs.new_ones(len(wavs), dtype=torch.bool)
        n = len(sources)
        allowed = sources & ~torch.eye(n, dtype=torch.bool, device=wavs.device)
        allowed = allowed.repeat(len(wavs) // n, 1)  # [views, recordings]
        # The largest of random numbers, where allowed: uniform over these.
        draws = torch.rand(allowed.shape, device=wavs.device)
        recording = draws.masked_fill(~allowed, -1.0).argmax(dim=1)
        view = torch.randint(len(wavs) // n, (len(wavs),), device=wavs.device)
        other = wavs[view * n + recording]
        other = other * allowed.any(dim=1, keepdim=True)
        return add_at_snr(wavs, other, self.snr)


def add_at_snr(
    wavs: torch.Tensor, other: torch.Tensor, snr: Sequence[float]
) -> torch.Tensor:
    """Add other waveforms at a ratio of powers drawn for each row.

    Arguments
    ---------
    wavs, other : torch.Tensor
        ``[batch, samples]``. Where one of both is silent, nothing is added.
    snr : sequence of float
        Lowest and highest ratio in dB.

    Returns
    -------
    torch.Tensor
        ``[batch, samples]``.

    Example
    -------
    >>> add_at_snr(torch.tensor([[3.0, -3.0]]), torch.ones(1, 2), [0, 0])
    tensor([[6., 0.]])
    """
    low, high = snr
    decibels = torch.empty(len(wavs), 1, device=wavs.device)
    decibels.uniform_(low, high)
    norms = [torch.linalg.vector_norm(x, dim=1)[:, None] for x in (wavs, other)]
    gain = norms[0] / norms[1] * 10 ** (-decibels / 20)
    gain = gain.where(norms[1] > 0, 0.0)
    return torch.addcmul(wavs, gain, other)
