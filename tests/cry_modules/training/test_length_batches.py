"""Batches: every recording, similar lengths, balanced classes."""

from collections import Counter

import numpy as np
import pytest

from cry_modules.training.batches import LengthBatchSampler, random_order


def batches_of(seconds, batch_size, epoch=1, labels=None, balanced=False):
    labels = labels or ["a"] * len(seconds)
    order = random_order(labels, balanced, seed=3)
    sampler = LengthBatchSampler(order, seconds, batch_size, seed=3)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    return batches


@pytest.mark.parametrize("n", [2, 3, 5, 32, 33, 65, 257, 600])
@pytest.mark.parametrize("batch_size", [2, 4, 32])
def test_each_recording_once_in_batches_of_equal_size(n, batch_size):
    batches = batches_of(np.linspace(1, 30, n), batch_size)
    assert sorted(sum(batches, [])) == list(range(n))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2  # BatchNorm cannot train on one
    assert max(sizes) <= max(batch_size, 3)


def test_padding_is_little():
    """A batch of any lengths is a third to half padding, a batch of sorted
    ones hardly any."""
    rng = np.random.default_rng(0)
    seconds = rng.uniform(1, 60, 800)

    def padding(batches):
        sound = sum(seconds[b].sum() for b in batches)
        return 1 - sound / sum(seconds[b].max() * len(b) for b in batches)

    at_random = np.array_split(rng.permutation(800), 50)
    assert padding(at_random) > 0.4
    assert padding(batches_of(seconds, 16)) < 0.2


def test_a_millisecond_sorts_nothing():
    """Cries of 5.001 s among sounds of 5 s must not share batches."""
    label = np.arange(400) % 8 == 0
    batches = batches_of(np.where(label, 5.001, 5.0), 20)
    counts = [label[batch].sum() for batch in batches]
    # As many as by chance: hypergeometric, 2.5 on average.
    assert max(counts) < 9
    assert np.mean(counts) == 2.5


def test_another_epoch_is_another_order_and_the_same_again():
    seconds = np.linspace(1, 9, 50)
    assert batches_of(seconds, 8, 1) != batches_of(seconds, 8, 2)
    assert batches_of(seconds, 8, 2) == batches_of(seconds, 8, 2)


def test_balanced_draws_have_every_class_alike():
    labels = ["rare"] * 30 + ["common"] * 970
    drawn = sum(batches_of(np.ones(1000), 50, 1, labels, balanced=True), [])
    assert len(drawn) == 1000
    n_of = Counter(labels[i] for i in drawn)
    # Binomial(1000, 0.5): four standard deviations are 63.
    assert abs(n_of["rare"] - 500) < 64
