"""Lengths of recordings: valid frames of a padded batch, windows that cover a
long recording."""

from typing import List, Optional, Sequence

import torch

from data_prep.audio.decode import LONGEST_S

#: Fewest frames and mel bins of an input: five of the six blocks of CNN14 halve
#: both.
MIN_FRAMES = 32


def float64(x: torch.Tensor) -> torch.Tensor:
    """A tensor in float64: on the CPU where its device may not have that, as
    MPS and some XPUs."""
    return (x if x.device.type in ("cpu", "cuda") else x.cpu()).double()


def frame_mask(
    n_frames: Optional[torch.Tensor], total: int
) -> Optional[torch.Tensor]:
    """Mask ``[batch, total]``, True for the first ``n_frames`` of each row.

    Arguments
    ---------
    n_frames : torch.Tensor or None
        Valid frames of each item, ``[batch]``.
    total : int
        Frames with padding.

    Returns
    -------
    torch.Tensor or None
        None if ``n_frames`` is None.

    Example
    -------
    >>> frame_mask(torch.tensor([1, 3]), 3).int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    if n_frames is None:
        return None
    return torch.arange(total, device=n_frames.device) < n_frames[:, None]


def covering(length: int, size: int) -> List[int]:
    """Starts of as few windows as cover a recording, evenly spaced.

    Example
    -------
    >>> covering(6, 4), covering(3, 4)
    ([0, 2], [0])
    """
    n_windows = max(1, -(-length // size))
    last, steps = max(0, length - size), max(1, n_windows - 1)
    return [round(last * i / steps) for i in range(n_windows)]


def batches_in_order(
    seconds: Sequence[float], batch_size: int
) -> List[List[int]]:
    """Batches of indices in order; recordings above ``LONGEST_S`` are alone.

    Example
    -------
    >>> batches_in_order([1.0, 500.0, 2.0, 3.0, 4.0], batch_size=2)
    [[0], [1], [2, 3], [4]]
    """
    batches = []
    for i, length in enumerate(seconds):
        is_long = max(length, seconds[i - 1]) > LONGEST_S
        if i and not is_long and len(batches[-1]) < batch_size:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
