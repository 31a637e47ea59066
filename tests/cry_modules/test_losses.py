"""NT-Xent against Algorithm 1 of https://arxiv.org/abs/2002.05709."""

import itertools
import math

import numpy as np
import pytest
import torch

from cry_modules.losses import NTXentLoss


def algorithm_1(z1, z2, temperature):
    """The paper's loops: pairs 2k-1, 2k; cosine similarity; l(i, j)."""
    z = np.empty((2 * len(z1), z1.shape[1]))
    z[0::2], z[1::2] = z1, z2
    n = len(z)
    s = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            norms = np.linalg.norm(z[i]) * np.linalg.norm(z[j])
            s[i, j] = z[i] @ z[j] / norms

    def ell(i, j):
        others = [math.exp(s[i, k] / temperature) for k in range(n) if k != i]
        return -math.log(math.exp(s[i, j] / temperature) / sum(others))

    total = 0.0
    for k in range(len(z1)):
        total += ell(2 * k, 2 * k + 1) + ell(2 * k + 1, 2 * k)
    return total / n


def all_pairs(views, temperature):
    """Each pair of views of a recording in both orders, one after the other:
    find the second among it and all views of other recordings."""
    z = [[v / np.linalg.norm(v) for v in view] for view in views]
    n_views, n = len(z), len(z[0])
    losses = []
    for k in range(n):
        for a, b in itertools.permutations(range(n_views), 2):
            right = math.exp(z[a][k] @ z[b][k] / temperature)
            wrong = sum(
                math.exp(z[a][k] @ z[c][m] / temperature)
                for c in range(n_views)
                for m in range(n)
                if m != k
            )
            losses.append(-math.log(right / (right + wrong)))
    return np.mean(losses)


def views(batch=5, dim=7, dtype=torch.float64, seed=0, n_views=2):
    generator = torch.Generator().manual_seed(seed)
    shape = (n_views, batch, dim)
    z = torch.randn(shape, generator=generator, dtype=torch.float64)
    return z.to(dtype).unbind()


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_equals_the_papers_loops(batch, temperature):
    z1, z2 = views(batch)
    loss = NTXentLoss(temperature)(z1, z2).item()
    expected = algorithm_1(z1.numpy(), z2.numpy(), temperature)
    assert loss == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n_views", [2, 3, 4])
@pytest.mark.parametrize("batch", [1, 5])
def test_equals_the_loops_over_all_pairs_of_views(n_views, batch):
    many = views(batch, n_views=n_views)
    expected = all_pairs([view.numpy() for view in many], 0.2)
    assert NTXentLoss(0.2)(*many).item() == pytest.approx(expected, abs=1e-12)


def test_each_row_of_many_views_has_one_target_and_hides_the_others():
    logits, targets = NTXentLoss(0.5).logits(*views(4, n_views=3))
    assert logits.shape == (24, 12)
    for row, (values, target) in enumerate(zip(logits, targets)):
        recording, view = row % 4, row % 12 // 4
        wanted = (view + 1 + row // 12) % 3
        assert target == 4 * wanted + recording
        same = {recording, recording + 4, recording + 8}
        hidden = same - {int(target)}
        assert set(torch.where(values.isinf())[0].tolist()) == hidden


def rows_by_corpus(many, corpora, temperature):
    """The loss of each recording among those of its corpus alone."""
    losses = np.empty(len(corpora))
    for name in set(corpora):
        members = [i for i, corpus in enumerate(corpora) if corpus == name]
        for i in members:
            order = [i, *(m for m in members if m != i)]
            part = [view[order].numpy() for view in many]
            losses[i] = of_first(part, temperature)
    return losses


def of_first(part, temperature):
    z = [[v / np.linalg.norm(v) for v in view] for view in part]
    total = []
    for a, b in itertools.permutations(range(len(z)), 2):
        right = math.exp(z[a][0] @ z[b][0] / temperature)
        wrong = sum(
            math.exp(z[a][0] @ v / temperature) for view in z for v in view[1:]
        )
        total.append(-math.log(right / (right + wrong)))
    return np.mean(total)


@pytest.mark.parametrize("n_views", [2, 3])
@pytest.mark.parametrize("corpora", [[0, 1, 1, 0, 1], [0, 1, 1, 1, 1], [0] * 5])
def test_negatives_of_the_same_corpus_only(n_views, corpora):
    many = views(5, n_views=n_views)
    rows = NTXentLoss(0.2).rows(*many, corpora=torch.tensor(corpora))
    expected = rows_by_corpus(many, corpora, 0.2)
    for recording, loss in enumerate(expected):
        ours = rows.losses[rows.recordings == recording].mean().item()
        assert ours == pytest.approx(loss, abs=1e-12)
    if corpora == [0] * 5:
        assert torch.equal(rows.losses, NTXentLoss(0.2).rows(*many).losses)


def test_gradient_of_negatives_of_the_same_corpus():
    z1, z2 = (z.requires_grad_() for z in views(4, 3))
    corpora = torch.tensor([0, 1, 0, 1])

    def loss(*z):
        return NTXentLoss(0.3).rows(*z, corpora=corpora).losses.mean()

    assert torch.autograd.gradcheck(loss, (z1, z2))


def test_gradient_by_finite_differences():
    z1, z2 = (z.requires_grad_() for z in views(3, 4))
    assert torch.autograd.gradcheck(NTXentLoss(0.3), (z1, z2))


def plain_products(h):
    """The formula, differentiated by torch."""
    itself = torch.eye(len(h), dtype=torch.bool)
    return (h @ h.T).masked_fill(itself, float("-inf"))


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_float32_at_the_size_of_a_batch(temperature):
    z1, z2 = (z.requires_grad_() for z in views(128, 64, torch.float32))
    loss = NTXentLoss(temperature)(z1, z2)
    loss.backward()
    exact = [z.detach().double().requires_grad_() for z in (z1, z2)]
    h = torch.cat([z / z.norm(dim=1, keepdim=True) for z in exact])
    expected = torch.nn.functional.cross_entropy(
        plain_products(h / temperature**0.5), torch.arange(256).roll(128)
    )
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for ours, slow in zip((z1, z2), exact):
        error = (ours.grad - slow.grad).abs().max() / slow.grad.abs().max()
        assert error < 1e-5


def test_autocast_does_not_change_the_loss():
    z1, z2 = views(16, 32, torch.bfloat16)
    loss = NTXentLoss(0.1)
    with torch.autocast("cpu", torch.bfloat16):
        cast = loss(z1, z2)
    assert cast.dtype == torch.float32
    assert torch.equal(cast, loss(z1.float(), z2.float()))


def test_accuracy_comes_from_the_same_logits():
    z1, z2 = views()
    logits, targets = NTXentLoss(0.5).logits(z1, z1)
    assert torch.equal(logits.argmax(dim=1), targets)
    assert torch.equal(targets, torch.tensor([5, 6, 7, 8, 9, 0, 1, 2, 3, 4]))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_refuses_a_temperature(temperature):
    with pytest.raises(ValueError, match="above 0"):
        NTXentLoss(temperature)


def test_refuses_views_of_different_shapes():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(4, 3\)"):
        NTXentLoss(0.5)(torch.ones(2, 3), torch.ones(4, 3))


def one_rank(rank, n_views):
    """Loss and gradient of a part of the batch, among all of it: the second
    rank has less than the first."""
    mine = [slice(0, 4), slice(4, 6)][rank]
    part = [z[mine].clone().requires_grad_() for z in views(6, n_views=n_views)]
    loss = NTXentLoss(0.2)(*part)
    loss.backward()
    return loss.detach(), [z.grad for z in part]


@pytest.mark.parametrize("n_views", [2, 3])
def test_two_ranks_equal_one_process_on_the_joined_batch(n_views, two_ranks):
    first, second = two_ranks(one_rank, n_views)
    whole = [z.requires_grad_() for z in views(6, n_views=n_views)]
    loss = NTXentLoss(0.2)(*whole)
    loss.backward()
    mean = (first[0] + second[0]) / 2
    torch.testing.assert_close(mean, loss.detach(), rtol=0, atol=1e-10)
    for z, *grads in zip(whole, first[1], second[1]):
        # Data parallelism averages over ranks what each rank computed.
        joined = torch.cat(grads) / 2
        torch.testing.assert_close(joined, z.grad, rtol=0, atol=1e-10)


def one_rank_by_corpus(rank):
    """The second rank holds one corpus alone."""
    mine = [slice(0, 4), slice(4, 6)][rank]
    part = [z[mine].clone().requires_grad_() for z in views(6)]
    corpora = torch.tensor([True, False, True, False, True, True])[mine]
    losses = NTXentLoss(0.2).rows(*part, corpora=corpora).losses
    losses.sum().backward()
    return losses.detach(), [z.grad for z in part]


def test_corpora_of_two_ranks(two_ranks):
    ranks = two_ranks(one_rank_by_corpus)
    whole = [z.requires_grad_() for z in views(6)]
    corpora = torch.tensor([True, False, True, False, True, True])
    rows = NTXentLoss(0.2).rows(*whole, corpora=corpora)
    rows.losses.sum().backward()
    parts = [losses.view(2, -1) for losses, _ in ranks]
    joined = torch.cat(parts, dim=1).flatten()
    torch.testing.assert_close(joined, rows.losses.detach())
    for z, *grads in zip(whole, *(grads for _, grads in ranks)):
        torch.testing.assert_close(torch.cat(grads), z.grad)
