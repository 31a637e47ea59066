"""Replay: share and order of the replayed recordings; schedule of the rate."""

import itertools
from collections import Counter

import pytest

from cry_modules.replay import ReplayBatchSampler
from cry_modules.training.schedule import warmup_cosine

N_NEW, N_OLD, BATCH = 37, 23, 8


def epochs(sampler, numbers):
    for epoch in numbers:
        sampler.set_epoch(epoch)
        yield list(sampler)


@pytest.mark.parametrize("ratio, n_replay", [(0.0, 0), (0.25, 2), (0.5, 4)])
def test_share_is_exact_in_every_batch(ratio, n_replay):
    sampler = ReplayBatchSampler(N_NEW, N_OLD, BATCH, ratio, seed=0)
    for batches in epochs(sampler, [1, 2, 3]):
        assert len(batches) == len(sampler) == N_NEW // (BATCH - n_replay)
        for batch in batches:
            assert len(batch) == BATCH
            assert sum(i >= N_NEW for i in batch) == n_replay
            assert max(batch) < N_NEW + N_OLD


def test_new_recordings_come_once_an_epoch_in_a_new_order():
    sampler = ReplayBatchSampler(N_NEW, N_OLD, BATCH, 0.5, seed=0)
    orders = []
    for batches in epochs(sampler, range(1, 6)):
        new = [i for batch in batches for i in batch if i < N_NEW]
        assert len(set(new)) == len(new) == N_NEW // 4 * 4
        orders.append(tuple(new))
    assert len(set(orders)) == 5


def test_no_old_recording_comes_twice_before_all_came_once():
    sampler = ReplayBatchSampler(N_NEW, N_OLD, BATCH, 0.5, seed=0)
    row = [
        i - N_NEW
        for batches in epochs(sampler, range(1, 30))
        for batch in batches
        for i in batch
        if i >= N_NEW
    ]
    passes = [row[k : k + N_OLD] for k in range(0, len(row), N_OLD)]
    for order in passes[:-1]:
        assert sorted(order) == list(range(N_OLD))
    assert len({tuple(p) for p in passes[:-1]}) == len(passes) - 1
    assert max(Counter(row).values()) - min(Counter(row).values()) <= 1


def test_no_batch_holds_a_recording_twice():
    """Also where one pass over the old ones ends and the next begins."""
    for n_old, ratio, replay, control in (
        (N_OLD, 0.5, "fixed", False),
        (BATCH, 0.5, "fixed", False),
        (5, 0.5, "fixed", False),
        (BATCH, 0.5, "fixed", True),
        (BATCH + 1, 0.0, "fixed", True),
        (N_OLD, 0.0, "proportional", False),
        (N_OLD, 0.0, "proportional", True),
    ):
        sampler = ReplayBatchSampler(
            N_NEW, n_old, BATCH, ratio, 3, replay, control
        )
        seen = Counter()
        for batches in epochs(sampler, range(1, 40)):
            assert all(len(set(batch)) == BATCH for batch in batches)
            seen.update(i for b in batches for i in b if i >= N_NEW)
        assert max(seen.values()) - min(seen.values()) <= 1


def test_proportional_mixing_is_that_of_one_shuffled_list():
    sampler = ReplayBatchSampler(
        N_NEW, N_OLD, BATCH, 0.0, seed=0, replay="proportional"
    )
    expected = BATCH * N_OLD / (N_NEW + N_OLD)
    seen = []
    for batches in epochs(sampler, range(1, 9)):
        assert len(batches) == (N_NEW + N_OLD) // BATCH
        shares = [sum(i >= N_NEW for i in batch) for batch in batches]
        assert all(abs(n - expected) < 1 for n in shares)
        # At any time the share so far is the expected one.
        for k, n in enumerate(itertools.accumulate(shares), start=1):
            assert abs(n - k * expected) < 1
        new = [i for batch in batches for i in batch if i < N_NEW]
        assert len(set(new)) == len(new)
        seen += [i for batch in batches for i in batch if i >= N_NEW]
    counts = Counter(seen)
    assert len(counts) == N_OLD
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("replay, ratio", [("fixed", 0.0), ("fixed", 0.5)])
def test_the_control_has_as_many_steps_without_cries(replay, ratio):
    sizes = (N_NEW, N_OLD, BATCH, ratio, 0, replay)
    sampler = ReplayBatchSampler(*sizes)
    control = ReplayBatchSampler(*sizes, control=True)
    assert len(control) == len(sampler)
    batches = list(control)
    assert all(len(batch) == BATCH for batch in batches)
    assert min(i for batch in batches for i in batch) >= N_NEW


def test_an_epoch_follows_from_seed_and_number():
    first = ReplayBatchSampler(N_NEW, N_OLD, BATCH, 0.5, seed=1)
    all_of_them = list(epochs(first, [1, 2, 3]))
    resumed = ReplayBatchSampler(N_NEW, N_OLD, BATCH, 0.5, seed=1)
    assert list(epochs(resumed, [3])) == all_of_them[2:]
    other = ReplayBatchSampler(N_NEW, N_OLD, BATCH, 0.5, seed=2)
    assert list(epochs(other, [3])) != all_of_them[2:]


@pytest.mark.parametrize(
    "n_new, n_old, ratio, replay, message",
    [
        (N_NEW, N_OLD, 1.0, "fixed", "leave a new"),
        (N_NEW, N_OLD, -0.1, "fixed", "0 to below 1"),
        (N_NEW, N_OLD, 0.01, "fixed", "less than one recording"),
        (3, N_OLD, 0.5, "fixed", "there are 3; lower"),
        (N_NEW, 2, 0.5, "fixed", "lower batch_size"),
        (N_NEW, N_OLD, 0.5, "some", "'some'; expected fixed or prop"),
    ],
)
def test_refuses(n_new, n_old, ratio, replay, message):
    with pytest.raises(ValueError, match=message):
        ReplayBatchSampler(n_new, n_old, BATCH, ratio, 0, replay)


def test_schedule_rises_linearly_and_falls_to_the_last_step():
    rates = [warmup_cosine(s, 100, 10, 2.0, 0.5) for s in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (s + 1) for s in range(10)])
    assert rates[9] == max(rates) == 2.0
    assert rates[-1] == pytest.approx(0.5)
    assert all(a > b for a, b in zip(rates[9:], rates[10:]))
    # Half of the cosine, half of the way.
    assert rates[54] == pytest.approx(1.25, abs=0.02)


def test_schedule_without_warm_up_begins_at_the_largest():
    assert warmup_cosine(0, 10, 0, 1.0, 0.0) == 1.0
    assert warmup_cosine(9, 10, 0, 1.0, 0.0) == pytest.approx(0.0)
    assert warmup_cosine(0, 1, 0, 1.0, 0.0) == 1.0
