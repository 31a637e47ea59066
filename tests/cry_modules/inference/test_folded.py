"""Folded BatchNorm changes rounding only."""

import pytest
import torch

from cry_modules.inference.folded import fold_batch_norm
from tests.classifiers import changing, random_model


@pytest.mark.parametrize("width, readout", [(1, "embedding"), (8, "block3")])
def test_scores_are_equal(width, readout):
    model = random_model(width=width, readout=readout)
    sounds = [torch.from_numpy(changing(0.5, seed)) for seed in range(5)]
    wavs = torch.stack(sounds)
    lengths = torch.tensor([1.0, 0.9, 0.8, 1.0, 1.0])
    with torch.inference_mode():
        before = [
            model.posterior(model.embedder(wavs, n)) for n in (None, lengths)
        ]
        fold_batch_norm(model.embedder)
        after = [
            model.posterior(model.embedder(wavs, n)) for n in (None, lengths)
        ]
    for a, b in zip(before, after):
        torch.testing.assert_close(
            a.softmax(1), b.softmax(1), atol=1e-5, rtol=0
        )
