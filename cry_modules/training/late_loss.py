"""A training loss that is looked at one step later.

Reading a number of a GPU waits until all that was asked of it is done, and
then the GPU waits for the next step. A step later the number is there.
"""

from typing import Optional

import torch


class LateLoss:
    """Keeps the loss of a step until the next one.

    Example
    -------
    >>> late = LateLoss()
    >>> late.exchange(torch.tensor(3.0)) is None
    True
    >>> late.exchange(torch.tensor(2.0))
    3.0
    >>> late.take()
    2.0
    """

    def __init__(self):
        self._copy = None
        self._copied = None

    def exchange(self, loss: torch.Tensor) -> Optional[float]:
        """Arguments
        ---------
        loss : torch.Tensor
            Of this step, a scalar on any device.

        Returns
        -------
        float or None
            Of the step before; None where there was none.
        """
        before = self.take()
        loss = loss.detach()
        if loss.is_cuda:
            # Only a copy to pinned memory does not wait.
            self._copy = torch.empty_like(loss, device="cpu", pin_memory=True)
            self._copy.copy_(loss, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()
        else:
            self._copy = loss.clone()
        return before

    def take(self) -> Optional[float]:
        """The loss that is kept, once; waits for it if need be."""
        if self._copied is not None:
            self._copied.synchronize()
        copy, self._copy, self._copied = self._copy, None, None
        return None if copy is None else copy.item()
