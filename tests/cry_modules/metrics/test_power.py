"""The difference that a test finds with 80 % power, against the noncentral t; and
a difference that none can miss."""

import numpy as np
import pytest
from scipy.stats import (
    nct,
    t as student,
)

from cry_modules.metrics.paired import (
    MetricDraws,
    mean_difference,
    paired_difference,
)
from tests.cry_modules.metrics.compared import predictions


@pytest.mark.parametrize("n", [6, 12, 40])
def test_a_difference_of_the_stated_size_is_proven_in_80_percent(n):
    """Power by the noncentral t: ``n`` patients of each class move the
    difference alike, so that Welch's degrees of freedom are 2 (n - 1)."""
    i, freedom, spread = np.arange(2 * n), 2 * (n - 1), 0.03
    draws = np.tile([-1.0, 1.0], 500)
    draws *= spread / draws.std(ddof=1)
    without = 0.01 * (-1.0) ** (i // 2)
    computed = MetricDraws(
        np.array([0.5, 0.5]),
        *(np.stack([0 * x, x]) for x in (draws, without)),
    )
    recordings = predictions(i % 2, i)
    result = mean_difference(computed, [0], [1], recordings, None)
    limit = student.ppf(0.975, freedom)
    power = nct.sf(limit, freedom, result["detectable"] / spread)
    # The sum of two quantiles is that of the noncentral t to 0.002 from
    # 8 degrees of freedom.
    assert power == pytest.approx(0.8, abs=0.002)


def test_a_sure_difference_has_a_p_above_zero():
    labels = np.arange(400) % 2
    rng = np.random.default_rng(0)
    good, bad = (
        predictions(labels, sign * labels + 0.2 * rng.normal(size=400))
        for sign in (1, -1)
    )
    result = paired_difference(bad, good)
    assert 0 < result["p"] < 0.001 and result["ci95"][1] <= 1
