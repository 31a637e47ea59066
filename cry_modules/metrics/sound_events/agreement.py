"""Agreement on the amount of crying in bins of time, as LENA studies state it.

Correlations of counts of 5 minutes, an hour and a day: Cristia et al., "A
thorough evaluation of the Language Environment Analysis (LENA) system",
Behavior Research Methods 53:467-486, 2021. Concordance: Lin, Biometrics
45:255-268, 1989. Intraclass correlation ICC(A,1), two-way, absolute agreement,
single measurement: McGraw and Wong, Psychological Methods 1:30-46, 1996.
"""

from typing import Dict

import numpy as np

from cry_modules.metrics.sound_events.intervals import (
    ROUNDING_S,
    covered_s,
    merged,
)

#: Lengths of bins in seconds, by their names.
BINS_S = {"5_minutes": 300.0, "1_hour": 3600.0, "24_hours": 86400.0}


def bins(duration_s: float, bin_s: float) -> np.ndarray:
    """Begin and end of the bins that cover a recording, ``[n, 2]``.

    Bins follow each other from the start. A rest of at least half a bin is a
    bin; a shorter one is added to the last bin. A recording that is shorter
    than a bin is one.

    Example
    -------
    >>> bins(1000.0, 300.0).tolist()
    [[0.0, 300.0], [300.0, 600.0], [600.0, 1000.0]]
    """
    n = max(1, int(np.floor(duration_s / bin_s + 0.5 + ROUNDING_S)))
    edges = np.append(np.arange(n) * bin_s, duration_s)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def minutes_per_hour(intervals: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Minutes an hour that events take of each bin, ``[n]``; events that
    overlap count once."""
    lengths = windows[:, 1] - windows[:, 0]
    return 60 * covered_s(merged(intervals), windows) / lengths


def moments(annotated: np.ndarray, detected: np.ndarray) -> np.ndarray:
    """Sums over the bins of a recording from which agreement is computed,
    ``[7]``: number, x, y, x * x, y * y, x * y, absolute difference."""
    x, y = annotated, detected
    sums = (x, y, x * x, y * y, x * y, np.abs(x - y))
    return np.array([len(x), *(each.sum() for each in sums)])


def agreement(sums: np.ndarray) -> Dict[str, np.ndarray]:
    """Agreement of two amounts over bins.

    With means ``mx, my``, variances ``sx2, sy2`` and covariance ``sxy`` (all
    divided by the number of bins ``n``): Pearson's correlation ``sxy / (sx
    sy)``, concordance ``2 sxy / (sx2 + sy2 + (mx - my)^2)``, and the intraclass
    correlation from the mean squares of bins, of the two raters and of the
    rest, ``(MSR - MSE) / (MSR + MSE + 2 / n (MSC - MSE))``.

    `sums` ``[..., 7]`` are those of ``moments``, summed over recordings. The
    mean difference is that of detected less annotated. Pearson's correlation is
    NaN where either amount is the same in all bins, the other two where both
    are.

    Example
    -------
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> figures = agreement(moments(x, x + 1))
    >>> round(float(figures["pearson"]), 6), float(figures["mean_difference"])
    (1.0, 1.0)
    >>> round(float(figures["concordance"]), 6)
    0.571429
    """
    n, x, y, xx, yy, xy, absolute = np.moveaxis(np.asarray(sums, float), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mx, my = x / n, y / n
        sx2 = np.maximum(0, xx / n - mx**2)
        sy2 = np.maximum(0, yy / n - my**2)
        sxy = xy / n - mx * my
        # What is left of squares that cancel is rounding, not variance.
        sx2 = np.where(sx2 > 1e-12 * xx / n, sx2, 0.0)
        sy2 = np.where(sy2 > 1e-12 * yy / n, sy2, 0.0)
        sxy = np.where((sx2 > 0) & (sy2 > 0), sxy, 0.0)
        varies = np.where(sx2 + sy2 > 0, 1.0, np.nan)
        bias = mx - my
        # Mean squares of two raters: bins, raters, rest.
        between = n * (sx2 + sy2 + 2 * sxy) / 2 / (n - 1)
        rest = n * (sx2 + sy2 - 2 * sxy) / 2 / (n - 1)
        raters = n * bias**2 / 2
        icc = (between - rest) / (between + rest + 2 / n * (raters - rest))
        return {
            "pearson": np.clip(sxy / np.sqrt(sx2 * sy2), -1, 1),
            "concordance": varies * 2 * sxy / (sx2 + sy2 + bias**2),
            "icc": varies * icc,
            "mean_absolute_difference": absolute / n,
            "mean_difference": -bias,
        }
