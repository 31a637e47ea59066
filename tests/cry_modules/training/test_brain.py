"""A loss that is read one step later."""

import torch

from cry_modules.training.brain import LateLoss


def test_each_loss_comes_once_a_step_later():
    late = LateLoss()
    losses = [late.exchange(torch.tensor(float(i))) for i in range(4)]
    assert losses == [None, 0.0, 1.0, 2.0]
    assert late.take() == 3.0 and late.take() is None


def test_a_later_change_of_the_tensor_does_not_change_the_loss():
    late, loss = LateLoss(), torch.tensor(1.0, requires_grad=True)
    late.exchange(loss)
    with torch.no_grad():
        loss += 1
    assert late.take() == 1.0
