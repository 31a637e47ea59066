"""Decision curves, and metrics of the most certain recordings."""

from typing import Dict, List, Sequence, Tuple

import numpy as np

from cry_modules.figures import style
from cry_modules.figures.sheet import COLUMN, sheet
from cry_modules.metrics.abstention import SHOWN, risk_coverage
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.net_benefit import decision_curve
from cry_modules.metrics.predictions import Predictions

#: Thresholds and coverages that are drawn.
_THRESHOLDS = np.arange(1, 100) / 100
_COVERAGES = np.arange(100, 45, -5) / 100


def draw_decision_curve(run, folder) -> None:
    """Write the net benefit of a classifier of two classes over threshold
    probabilities as png and svg."""
    n_draws = run.blocks["recording"]["bootstrap_draws"]
    curve = decision_curve(run.test, run.seed, n_draws, _THRESHOLDS.tolist())
    caption = (
        f"{run.caption} Net benefit of treating recordings from a predicted "
        f"probability on (prevalence {curve['prevalence']:.3f}, as in the test "
        "recordings)."
    )
    if curve["model_ci95"]:
        caption += f" {_band_in_words(n_draws)}"
    with sheet(folder, "decision_curve", (COLUMN, 3.6), caption) as figure:
        axes = figure.subplots()
        axes.set_title(f"Decision curve of {run.classes[1]}")
        style.add_legend(figure, draw_net_benefit(axes, curve))


def draw_net_benefit(axes, curve: Dict) -> List[Tuple]:
    """Draw the lines of a ``decision_curve``; give the legend's entries."""
    axes.set(xlabel="threshold probability", ylabel="net benefit")
    x = np.array(curve["thresholds"])
    entries = [("model", _line(axes, x, curve, "model", 0))]
    others = {"treat all": curve["treat_all"], "treat none": 0 * x}
    for i, (name, values) in enumerate(others.items()):
        properties = {**style.line(i + 1), "linewidth": 1.1}
        axes.plot(x, values, **properties)
        entries.append((name, properties))
    top = max(0.01, curve["prevalence"], *curve["model"])
    axes.set(xlim=(0, 1), ylim=(-0.35 * top, 1.1 * top))
    return entries


def draw_abstention(run, folder) -> None:
    """Write accuracy and AUC over the share of recordings that are decided as
    png and svg."""
    n_draws = run.blocks["recording"]["bootstrap_draws"]
    rows = risk_coverage(run.test, run.seed, n_draws, _COVERAGES.tolist())
    caption = f"{run.caption} {_words_of(run.test)}"
    if any(row[f"{name}_ci95"] for row in rows for name in SHOWN):
        caption += f" {_band_in_words(n_draws)}"
    with sheet(folder, "abstention", (COLUMN, 3.4), caption) as figure:
        axes = figure.subplots()
        axes.set_title("The most certain recordings")
        style.add_legend(figure, draw_coverages(axes, rows))


def draw_coverages(axes, rows: Sequence[Dict]) -> List[Tuple]:
    """Draw the rows of ``risk_coverage``; give the legend's entries."""
    axes.set(xlabel="share of recordings that are decided", ylabel="metric")
    x = np.array([row["coverage"] for row in rows])
    figures = {key: [row[key] for row in rows] for key in rows[0]}
    axes.set(xlim=(1.01, x[-1] - 0.01))
    return [
        (METRICS[name].words, _line(axes, x, figures, name, i))
        for i, name in enumerate(SHOWN)
    ]


def _words_of(test: Predictions) -> str:
    whose = "macro AUC" if len(test.classes) > 2 else "AUC"
    return (
        f"Accuracy and {whose} of the recordings whose predicted class has the "
        "highest probability; the others are left to a person."
    )


def _band_in_words(n_draws) -> str:
    return f"Bands: 95 % intervals by {n_draws} draws of patients, pointwise."


def _line(axes, x, figures, name, i):
    """Draw a line with the band of its intervals, where there are any."""
    y = np.array(figures[name], dtype=float)
    none = (np.nan, np.nan)
    bands = [
        ci95 or none for ci95 in figures[f"{name}_ci95"] or [none] * len(x)
    ]
    axes.fill_between(
        x, *np.transpose(bands), color=style.SERIES[i], alpha=0.16, linewidth=0
    )
    return axes.plot(x, y, **style.line(i))[0]
