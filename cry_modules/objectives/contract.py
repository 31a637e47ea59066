"""The contract of a self-supervised objective."""

import math
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import nn


class Rows(NamedTuple):
    """Loss terms of a batch, one row each; the objective is their mean.

    Arguments
    ---------
    losses : torch.Tensor
        Loss of each row with its gradient, ``[rows]``.
    figures : dict
        For each name in ``Objective.figures`` a value per row, ``[rows]``.
    recordings : torch.Tensor
        Recording of each row: its index in the batch, ``[rows]``.
    """

    losses: torch.Tensor
    figures: Dict[str, torch.Tensor]
    recordings: torch.Tensor


def check_factors(**factors: float) -> None:
    """Refuse a factor of a loss that is not a finite number of 0 or more, with
    which training would go on to nothing."""
    for name, value in factors.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value}; it must be 0 or more")


class Objective(nn.Module):
    """Self-supervised objective: compares views of recordings.

    ``SimCLRBrain`` calls ``rows`` with the projections of each batch. It
    minimises the mean loss over the rows of all ranks, and writes the means of
    the loss and of all figures to ``history.json``, in total and per corpus.

    To add an objective, derive a class, in this package or anywhere Python can
    import it from, and name it in a copy of a pre-training yaml file::

        loss: !new:my_package.my_module.MyObjective

    Rows of an objective may depend on other recordings, and in train mode on
    those of other ranks (``cry_modules.distributed.gather_ranks``). In evaluation
    mode ranks have different numbers of batches: nothing may be gathered.

    Attributes
    ----------
    figures : dict
        Figures besides the loss: name in ``history.json`` (after ``train_`` or
        ``valid_``) and description in messages.
    has_negatives : bool
        Whether recordings of a batch repel each other: the setting
        ``negatives`` is for such objectives.
    has_target : bool
        Whether ``rows`` needs the projections of a target network, which
        follows the trained one by ``momentum`` (``objectives.byol``).
    has_projections : bool
        Whether the head's outputs are projections, by which views can be
        compared.
    reads : tuple of str
        Where the encoder is read for the head (``cnn14.Cnn14.forward``), the
        embedding first.
    unused : tuple of str
        Settings that have no effect on this objective.

    Example
    -------
    >>> class Distance(Objective):
    ...     figures = {"close": "share of close views"}
    ...
    ...     def rows(self, *views, corpora=None):
    ...         losses = (views[0] - views[1]).square().mean(dim=1)
    ...         close = (losses.detach() < 0.1).float()
    ...         return Rows(losses, {"close": close}, torch.arange(len(losses)))
    >>> Distance().rows(torch.zeros(2, 3), torch.ones(2, 3)).losses
    tensor([1., 1.])
    """

    figures: Dict[str, str] = {}
    has_negatives, has_target, has_projections = True, False, True
    reads: Tuple[str, ...] = ("embedding",)
    unused: Tuple[str, ...] = ()

    def head(self, encoder: nn.Module, n_mels: int) -> Optional[nn.Module]:
        """Network from what is read of the encoder to what ``rows`` compares;
        None: the projector of the yaml file."""
        return None

    def hide(
        self, feats: torch.Tensor
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Features ``[n_views * batch, frames, n_mels]`` as the encoder shall
        see them, and targets for ``rows`` (first dimension as ``feats``), if
        the objective has some."""
        return feats, None

    def rows(
        self,
        *views: torch.Tensor,
        corpora: Optional[torch.Tensor] = None,
        targets: Sequence[torch.Tensor] = (),
    ) -> Rows:
        """Compute the loss and recorded values of each row of a batch.

        Arguments
        ---------
        *views : torch.Tensor
            Projections of the first views, of the second ones, ..., each
            ``[batch, dim]`` in the order of the recordings, or the outputs of
            the objective's own ``head``. Two in validation, ``n_views`` in
            training.
        corpora : torch.Tensor or None
            Number of each recording's corpus, ``[batch]``, if recordings of
            other corpora must not be negatives; passed only with the setting
            ``negatives: corpus``.
        targets : sequence of torch.Tensor
            Projections by the target network, or the targets that ``hide``
            returned, in the order of ``views``; passed only if there are some.

        Returns
        -------
        Rows
        """
        raise NotImplementedError

    def predictor(self, dim: int) -> Optional[nn.Module]:
        """Network that is trained with the encoder, and through which
        projections ``[batch, dim]`` pass before ``rows``; None: as they are."""
        return None

    def chance_loss(self, n_recordings: int, n_views: int) -> Optional[float]:
        """Loss of guessing in a batch of ``n_recordings``, for the warning that
        training does not progress; None if unknown."""
        return None
