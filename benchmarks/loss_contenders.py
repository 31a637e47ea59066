"""NT-Xent of two other packages and the project's, forward and backward.

``pip install -e '.[bench]'`` brings the packages; nothing else needs them. All
three give the same loss (tests/test_loss_contenders.py).
"""

from importlib.util import find_spec
from typing import List, Optional

import torch
from duel import Duel, Way, duel

from cry_modules.losses import NTXentLoss

TEMPERATURE = 0.5


def metric_learning():
    """pytorch-metric-learning's, as its documentation has it for two views."""
    from pytorch_metric_learning import losses

    return losses.SelfSupervisedLoss(losses.NTXentLoss(TEMPERATURE))


def lightly():
    """lightly's."""
    from lightly.loss import NTXentLoss as Lightly

    return Lightly(TEMPERATURE)


def project():
    """The project's."""
    return NTXentLoss(TEMPERATURE)


LOSSES = {
    "pytorch_metric_learning": metric_learning,
    "lightly": lightly,
    "project": project,
}


def loss_step(package: str, n_rows: int, dim: int):
    """Loss of ``n_rows`` projections, two a recording, and its gradient."""
    loss_of = LOSSES[package]()
    generator = torch.Generator().manual_seed(0)
    views = [
        torch.randn(n_rows // 2, dim, generator=generator).requires_grad_()
        for _ in range(2)
    ]

    def step():
        for view in views:
            view.grad = None
        loss = loss_of(*views)
        loss.backward()
        return loss.item()

    return step


def beside(
    package: str, shapes: List, rounds: int, n_threads: int
) -> Optional[Duel]:
    """The project beside a package, on the shape where it gains least."""
    if find_spec(package) is None:
        return None
    duels = [
        duel(
            _way(package, n_rows, dim),
            _way("project", n_rows, dim),
            rounds,
            n_threads,
            f"NT-Xent, {n_rows} x {dim}",
            steps=_steps(package, n_rows * n_rows * dim),
        )
        for n_rows, dim in shapes
    ]
    return min(duels, key=lambda found: found.row()["ratio"])


def _way(package, n_rows, dim):
    options = {"package": package, "n_rows": n_rows, "dim": dim}
    return Way("loss_contenders:loss_step", options)


def _steps(package, n_products):
    """As many as take a tenth of a second, with 1e9 products in one."""
    n_steps = max(1, min(100, round(1e9 / n_products)))
    # pytorch-metric-learning compares each pair with each: seconds.
    slow = package == "pytorch_metric_learning"
    return {"reference": 1 if slow else n_steps, "project": n_steps}
