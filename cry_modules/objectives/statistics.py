"""Statistics of a batch of projections, for objectives without negatives."""

from itertools import combinations
from typing import Iterator, List, Sequence, Tuple

import torch
import torch.nn.functional as F

from cry_modules.distributed import gather_ranks


def in_float(views: Sequence[torch.Tensor]) -> List[torch.Tensor]:
    """Views in float32, or the float64 of a test: statistics of bfloat16 have
    three digits."""
    return [v if v.dtype == torch.float64 else v.float() for v in views]


def of_all_ranks(
    views: Sequence[torch.Tensor], training: bool
) -> List[torch.Tensor]:
    """Each view's projections of all ranks in training, else of this one."""
    if not training:
        return [*views]
    joined, _ = gather_ranks(torch.cat([*views], dim=1))
    return [*joined.chunk(len(views), dim=1)]


def pairs(
    views: Sequence[torch.Tensor],
) -> Iterator[Tuple[torch.Tensor, torch.Tensor]]:
    """All unordered pairs of views."""
    return combinations(views, 2)


@torch.no_grad()
def found_share(views: Sequence[torch.Tensor]) -> torch.Tensor:
    """Contrastive accuracy of each recording, ``[batch]``: the share of its
    views whose most similar view in the batch is another view of it.

    It is the figure that NT-Xent reports, among the recordings of this rank,
    so that runs with different objectives can be compared.

    Example
    -------
    >>> found_share([torch.eye(2), torch.eye(2)]).tolist()
    [1.0, 1.0]
    """
    z = F.normalize(torch.cat([*views]).float(), dim=1)
    n = len(views[0])
    nearest = (z @ z.T).fill_diagonal_(float("-inf")).argmax(dim=1)
    own = torch.arange(len(z), device=z.device) % n
    return (nearest % n == own).float().view(len(views), n).mean(dim=0)


def off_diagonal_square_sum(matrix: torch.Tensor) -> torch.Tensor:
    """Sum of the squares outside the diagonal of ``[dim, dim]``."""
    return matrix.square().sum() - matrix.diagonal().square().sum()
