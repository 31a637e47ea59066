"""Variance of a metric by its sources: patients, seeds and folds.

Components are those of the method of moments. Patients: variance over draws of
patients of the mean over seeds. Seeds: variance between seeds on the same
patients, as in ``cry_modules.metrics.paired``. Folds: variance between folds
less what their patients alone would cause, at least 0 (DerSimonian & Laird
1986); a fold's model is trained on other patients and tested at other sites.
"""

from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from cry_modules.metrics.bootstrap import why_no_interval
from cry_modules.metrics.paired import metric_draws
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.saved import METRICS_FILE, read_metrics


def components(
    draws: np.ndarray, by_seed: np.ndarray
) -> Dict[str, Optional[float]]:
    """Variance components of a metric of one run: `draws` are those of
    patients, ``[seeds, draws]``, `by_seed` the values of the seeds."""
    several = len(by_seed) > 1
    return {
        "patients": float(np.nanvar(draws.mean(axis=0), ddof=1)),
        "seeds": float(np.var(by_seed, ddof=1)) if several else None,
        "folds": None,
    }


def add_folds(result: Dict) -> None:
    """Add the component of folds to the result of ``compare``, for sets of
    runs of folds: its mean over seeds."""
    how = result["metric"], result["seed"], result["n_draws"]
    for entry in result["sets"]:
        folds = [_read_folds(Path(file)) for file in entry["files"]]
        between = [fold_component(parts, *how) for parts in folds]
        between = [value for value in between if value is not None]
        if entry["variance"] and between:
            entry["variance"]["folds"] = float(np.mean(between))


def fold_component(
    folds: Sequence[Predictions], metric: str, seed: int, n_draws: int
) -> Optional[float]:
    """Variance of a metric between folds beyond that of their patients; None
    if fewer than two folds have enough patients."""
    values, within = [], []
    for p in folds:
        if why_no_interval(p.labels, p.patients, p.classes) is None:
            computed = metric_draws([p], metric, seed, n_draws)
            values.append(computed.values[0])
            within.append(np.nanvar(computed.draws[0], ddof=1))
    if len(values) < 2:
        return None
    return max(0.0, float(np.var(values, ddof=1) - np.mean(within)))


def _read_folds(file: Path) -> List[Predictions]:
    """Test predictions of each fold of a run of folds, from its pooled file;
    empty for a run without folds."""
    folder = file.parent
    if not (folder / METRICS_FILE).is_file():
        return []
    folds = read_metrics(folder, required=()).get("folds", [])
    files = [folder / fold / file.name for fold in folds]
    return [Predictions.read(f) for f in files if f.is_file()]


def variance_sentence(entry: Dict) -> Optional[str]:
    """Components of a set of ``compare`` as a sentence; None if patients are
    the only source."""
    sources = {
        k: v for k, v in (entry["variance"] or {}).items() if v is not None
    }
    total = sum(sources.values())
    if len(sources) < 2 or not total:
        return None
    heads = entry.get("n_encoders", np.inf) < entry["n_seeds"]
    names = {"seeds": "seeds of the head"} if heads else {}
    parts = ", ".join(
        f"{names.get(source, source)} {np.sqrt(value):.3f} ({100 * value / total:.0f} %)"
        for source, value in sources.items()
    )
    text = f"{entry['name']}, sd of one run by source (share of its variance): "
    text += parts
    if "seeds" in sources:
        n = entry["n_seeds"]
        error = np.sqrt(sources["patients"] + sources["seeds"] / n)
        text += f"; standard error of the mean of {n} {names.get('seeds', 'seeds')} {error:.3f}"
    return f"{text}."
