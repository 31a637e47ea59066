"""Views: random draws of chunks, masks and time warp."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from cry_modules.front_ends import AugmentedFeatures, LogMel
from cry_modules.views.chunks_and_masks import (
    RandomChunks,
    SpecAugment,
    TimeWarp,
)


def starts(chunks, n_samples, names, n=2):
    """Starts of chunks, read from a signal that counts its samples."""
    sig = torch.arange(float(n_samples))
    return [[int(c[0]) for c in chunks(sig, name, n)] for name in names]


def test_chunks_follow_from_seed_epoch_and_recording_alone():
    names = [f"r{i}" for i in range(20)]
    chunks = RandomChunks(1.0, 100, seed=3)
    chunks.epoch = 5
    forward = starts(chunks, 1000, names)
    again = RandomChunks(1.0, 100, seed=3)
    again.epoch = 5
    assert starts(again, 1000, names[::-1])[::-1] == forward
    again.epoch = 6
    assert starts(again, 1000, names) != forward
    other = RandomChunks(1.0, 100, seed=4)
    other.epoch = 5
    assert starts(other, 1000, names) != forward


def test_chunks_cover_the_recording_uniformly():
    chunks = RandomChunks(1.0, 10, seed=0)
    counts = np.zeros(91)
    for epoch in range(2000):
        chunks.epoch = epoch
        for start in starts(chunks, 100, ["a", "b"])[0]:
            counts[start] += 1
    assert counts.min() > 0
    assert chisquare(counts).pvalue > 1e-3


def test_short_recordings_are_repeated():
    chunks = RandomChunks(1.0, 10, seed=0)
    (chunk,) = chunks(torch.tensor([1.0, 2.0, 3.0]), "a", 1)
    assert chunk.tolist() == [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]


def test_masks_differ_between_items_and_have_the_right_size():
    torch.manual_seed(0)
    augment = SpecAugment(time_warp=0, n_masks=2, mask_width=10)
    masked = augment(torch.ones(64, 101, 80)) == 0
    in_time = masked.all(dim=2).sum(dim=1)  # [B] frames
    in_bands = masked.all(dim=1).sum(dim=1)
    assert in_time.max() <= 20 and in_bands.max() <= 20
    assert in_time.float().mean() > 5 and in_bands.float().mean() > 5
    assert len({tuple(m.all(dim=1).tolist()) for m in masked}) > 50
    assert len({tuple(m.all(dim=0).tolist()) for m in masked}) > 50


def masks_in_loops(rng, n_items, size, n_masks, mask_width):
    """SpecAugment 3.1, 2 and 3: width f from 0 to F, start in [0, v - f)."""
    masked = np.zeros((n_items, size), dtype=bool)
    for i in range(n_items):
        for _ in range(n_masks):
            f = rng.integers(0, mask_width + 1)
            f0 = rng.integers(0, max(1, size - f))
            masked[i, f0 : f0 + f] = True
    return masked


@pytest.mark.parametrize(("n_frames", "n_bands"), [(40, 32), (12, 10), (9, 5)])
def test_masks_are_drawn_as_in_the_paper(n_frames, n_bands):
    """Share of masked values in each frame and each band, and of masks of
    each size."""
    torch.manual_seed(0)
    n = 20000
    augment = SpecAugment(0, n_masks=2, mask_width=10)
    masked = (augment(torch.ones(n, n_frames, n_bands)) == 0).numpy()
    rng = np.random.default_rng(0)
    frames, bands = (
        masks_in_loops(rng, n, size, 2, 10) for size in (n_frames, n_bands)
    )
    expected = frames[:, :, None] | bands[:, None]
    # Shares near 0.5 of 20,000 draws: five standard deviations of a difference.
    for axis in ((0, 1), (0, 2)):
        both = masked.mean(axis), expected.mean(axis)
        np.testing.assert_allclose(*both, rtol=0, atol=0.025)
    both = (np.bincount(m.sum((1, 2)), minlength=1) for m in (masked, expected))
    both = np.array(
        [np.pad(x, (0, n_frames * n_bands + 1 - len(x))) for x in both]
    )
    assert np.abs(both[0] - both[1]).max() / n < 0.025


def test_masks_lie_inside():
    """A single mask keeps its width: the last band and frame are never
    masked."""
    torch.manual_seed(0)
    augment = SpecAugment(0, n_masks=1, mask_width=10)
    masked = augment(torch.ones(20000, 40, 32)) == 0
    in_bands = masked.all(dim=1)
    assert not in_bands[:, -1].any() and in_bands[:, -2].any()
    assert not masked.all(dim=2)[:, -1].any()
    widths = torch.bincount(in_bands.sum(dim=1), minlength=11)
    assert len(widths) == 11 and chisquare(widths.numpy()).pvalue > 1e-3


def test_augmentation_leaves_its_input_alone():
    feats = torch.ones(4, 50, 80)
    SpecAugment(8, 2, 10)(feats)
    assert bool((feats == 1).all())


def test_time_warp_against_loops(monkeypatch):
    """A frame c goes to w; both sides are stretched linearly."""
    centre, shift, n_frames, window = 20, -6, 50, 8
    draws = iter([torch.tensor([[centre]]), torch.tensor([[shift]])])
    monkeypatch.setattr(torch, "randint", lambda *args, **kwargs: next(draws))
    feats = torch.randn(1, n_frames, 3)
    warped = TimeWarp(window)(feats)
    target, last = centre + shift, n_frames - 1
    for t in range(n_frames):
        if t < target:
            source = t * centre / target
        else:
            source = centre + (t - target) * (last - centre) / (last - target)
        i = min(int(source), n_frames - 2)
        part = source - i
        expected = (1 - part) * feats[0, i] + part * feats[0, i + 1]
        torch.testing.assert_close(warped[0, t], expected, rtol=1e-4, atol=1e-4)


def test_time_warp_is_drawn_for_each_item():
    torch.manual_seed(0)
    ramp = torch.arange(101.0)[None, :, None].expand(32, 101, 1)
    warped = TimeWarp(8)(ramp)
    middle = warped[:, 50, 0]
    assert len(set(middle.tolist())) > 10
    assert (middle - 50).abs().max() <= 8
    assert torch.equal(warped[:, [0, -1]], ramp[:, [0, -1]])
    assert bool((warped.diff(dim=1) >= 0).all())


def test_time_warp_takes_frames_of_its_own_item():
    torch.manual_seed(0)
    ramp = torch.arange(60.0)[None, :, None].expand(9, 60, 4)
    names = 1000 * torch.arange(9.0)[:, None, None]
    warped = TimeWarp(8)(ramp + names)
    frames = warped - names
    assert frames.min() >= 0 and frames.max() <= 59
    torch.manual_seed(0)
    torch.testing.assert_close(frames, TimeWarp(8)(ramp), rtol=0, atol=1e-2)


def test_augments_in_train_mode_only():
    torch.manual_seed(0)
    views = AugmentedFeatures(LogMel(), SpecAugment(8, 2, 10), False)
    wavs = torch.randn(4, 16000)
    plain = views.eval()(wavs)[0]
    assert torch.equal(plain, views(wavs)[0])
    augmented = views.train()(wavs)[0]
    assert not torch.equal(plain, augmented)
    assert not torch.equal(augmented, views(wavs)[0])


def test_order_of_masks_and_normalisation():
    """A mask is the mean after normalisation; before it, normalisation moves
    the mask and makes the mean over time zero."""
    torch.manual_seed(0)
    wavs = torch.randn(8, 16000)
    augment = SpecAugment(time_warp=0, n_masks=2, mask_width=10)
    before = AugmentedFeatures(LogMel(), augment, True).train()(wavs)[0]
    after = AugmentedFeatures(LogMel(), augment, False).train()(wavs)[0]
    assert before.mean(dim=1).abs().max() < 1e-3
    assert after.mean(dim=1).abs().max() > 0.1
    assert float((after == 0).float().mean()) > 0.1
