"""Several processes equal one process on the joined batch, in float64."""

import copy
import random

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cry_modules.cnn14 import Cnn14
from cry_modules.distributed import RankShare, any_rank, own_share
from cry_modules.heads import ProjectionHead
from cry_modules.losses import NTXentLoss
from cry_modules.replay import ReplayBatchSampler
from cry_modules.training.batch_norm import RankBatchNorm, convert_batch_norms
from cry_modules.training.state import EpochTotals, RandomStates
from cry_modules.training.views_data import valid_batches
from data_prep.files.errors import InputError

TOLERANCE = {"rtol": 0, "atol": 1e-10}

#: Recordings of each rank: equally many, and an uneven last batch.
SHARES = {"equal": [[0, 1], [2, 3]], "unequal": [[0, 1, 2], [3]]}


def network():
    """Encoder and projector, the same in every process."""
    torch.manual_seed(0)
    encoder = Cnn14(mel_bins=32, width=1, dropout=0.0)
    return nn.Sequential(encoder, ProjectionHead(32, 8, 8)).double()


def views():
    generator = torch.Generator().manual_seed(1)
    shape = (2, 4, 64, 32)  # views, recordings, frames, bands
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def step(net, x):
    """Backward pass of the views; returns the loss."""
    z1, z2 = net(x.flatten(0, 1)).chunk(2)
    loss = NTXentLoss(0.5)(z1, z2)
    loss.backward()
    return loss.detach()


def one_rank(rank, folder):
    result = {}
    for name, shares in SHARES.items():
        net = convert_batch_norms(network())
        loss = step(DistributedDataParallel(net), views()[:, shares[rank]])
        dist.all_reduce(loss)
        result[name] = {
            "loss": loss / 2,
            "gradients": {n: p.grad for n, p in net.named_parameters()},
            "buffers": dict(net.named_buffers()),
        }
    totals = EpochTotals()
    totals.start(1)
    totals.add("cry", loss=1.0 + rank, views=2)
    if rank:  # a corpus that the other rank does not have
        totals.add("generic", loss=0.5, views=4)
    result["totals"] = str(totals.joined())
    result["any"] = [any_rank(rank == 1, "cpu"), any_rank(False, "cpu")]
    result["batches"] = list(RankShare([[0, 1, 2], [3, 4]]))
    result["valid"] = own_share(valid_batches([9, 9], 3, seed=0))
    torch.manual_seed(rank)
    states, path = RandomStates(), f"{folder}/random.ckpt"
    states.save(path)
    result["drawn"] = torch.rand(3)
    dist.barrier()
    states.load(path, end_of_epoch=True)
    result["drawn again"] = torch.rand(3)
    totals.save(f"{folder}/totals.ckpt")
    return result


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, two_ranks):
    """Results of two processes, and the folder they wrote to."""
    folder = tmp_path_factory.mktemp("ranks")
    return two_ranks(one_rank, str(folder)), folder


@pytest.mark.parametrize("shares", SHARES)
def test_loss_gradients_and_statistics_are_those_of_one_process(ranks, shares):
    net = network()
    loss = step(net, views())
    for result in ranks[0]:
        result = result[shares]
        torch.testing.assert_close(result["loss"], loss, **TOLERANCE)
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(
                result["gradients"][name], parameter.grad, **TOLERANCE
            )
        for name, buffer in net.named_buffers():
            torch.testing.assert_close(
                result["buffers"][name], buffer, **TOLERANCE
            )


def test_sums_and_flags_are_joined(ranks):
    whole = "{'cry': {'loss': 3.0, 'views': 4}, "
    whole += "'generic': {'loss': 0.5, 'views': 4}}"
    for result in ranks[0]:
        assert result["totals"] == whole
        assert result["any"] == [True, False]


def test_shares_of_batches_add_up_to_the_batches(ranks):
    first, second = (result["batches"] for result in ranks[0])
    joined = [sorted(a + b) for a, b in zip(first, second)]
    assert joined == [[0, 1, 2], [3, 4]]
    first, second = (result["valid"] for result in ranks[0])
    assert len(first) == len(second) == 3
    assert sorted(map(tuple, first + second)) == sorted(
        map(tuple, valid_batches([9, 9], 3, seed=0))
    )


def test_each_rank_restores_its_random_state(ranks):
    (first, second), _ = ranks
    assert not torch.equal(first["drawn"], second["drawn"])
    for result in (first, second):
        assert torch.equal(result["drawn"], result["drawn again"])


def test_another_number_of_processes_is_refused(ranks):
    with pytest.raises(InputError, match="started on 2 processes and would"):
        EpochTotals().load(ranks[1] / "totals.ckpt", end_of_epoch=True)


def test_all_random_states_come_back():
    states = RandomStates()
    before = states.get_state()
    draw = [random.random(), np.random.rand(), torch.rand(1).item()]
    states.set_state(before)
    assert [random.random(), np.random.rand(), torch.rand(1).item()] == draw


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (4, 3, 5, 2)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_rank_batch_norm_is_batch_norm(shape, momentum):
    plain = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}
    plain = plain[len(shape)](3, momentum=momentum).double()
    nn.init.uniform_(plain.weight)
    nn.init.uniform_(plain.bias)
    other = convert_batch_norms(nn.Sequential(copy.deepcopy(plain)))
    assert isinstance(other[0], RankBatchNorm)
    for _ in range(3):
        x = torch.randn(shape, dtype=torch.float64)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, z = plain(a), other(b)
        torch.testing.assert_close(y, z, **TOLERANCE)
        for out in (y, z):
            out.square().sum().backward()
        torch.testing.assert_close(a.grad, b.grad, **TOLERANCE)
    assert other.state_dict().keys() == {f"0.{k}" for k in plain.state_dict()}
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(
            other[0].state_dict()[name], value, **TOLERANCE
        )
    torch.testing.assert_close(plain.eval()(x), other.eval()(x), **TOLERANCE)


def test_a_rank_s_share_follows_the_epoch():
    batches = ReplayBatchSampler(20, 0, 4, 0.0, seed=0)
    share = RankShare(batches)
    share.set_epoch(1)
    first = list(share)
    share.set_epoch(2)
    assert len(share) == 5 and list(share) != first
