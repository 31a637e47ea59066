"""What a study found besides its tables: gains over controls, what embeddings
tell of the site, what was forgotten, and what it all cost.
"""

import math
from typing import Dict, List, Optional, Sequence, Tuple

from recipes.study import cost
from recipes.study.encoders import ADAPTED, ENCODERS
from recipes.study.report.results import read_json
from recipes.study.settings import MODE_NAMES


def controls(results) -> List[Dict]:
    """What a gain is worth: methods held against their controls."""
    pairs = (
        ("random_calibrated", "simclr"),
        ("random_calibrated", "adapt_replay"),
        ("adapt_control", "adapt_replay"),
        ("adapt_control", "adapt_all"),
    )
    found = []
    for task in results.settings.tasks:
        for control, method in pairs:
            for mode in results.settings.modes:
                one = results.difference(task.name, mode, control, method)
                if one is not None:
                    found.append(
                        {
                            "task": task.label_column,
                            "mode": MODE_NAMES[mode],
                            "method": ENCODERS[method].label,
                            "control": ENCODERS[control].label,
                            **one,
                        }
                    )
    return found


def nuisance(results) -> List[Dict]:
    """What the embeddings tell of the site, beside log-mel statistics."""
    task, found = results.settings.tasks[0].name, []
    for encoder in results.settings.encoders:
        metrics = results.of(task, encoder, "linear")
        for column, probe in (
            metrics[0].get("nuisance", {}) if metrics else {}
        ).items():
            found.append(
                {
                    "encoder": ENCODERS[encoder].label,
                    "column": column,
                    "embedding": probe.get("embedding", {}).get("auc"),
                    "ci95": probe.get("embedding", {}).get("auc_ci95"),
                    "logmel": probe.get("log-mel", {}).get("auc"),
                }
            )
    return found


def forgetting(results) -> List[Dict]:
    """Contrastive accuracy on held-out generic audio and on cries, before
    and after each adaptation, by seed."""
    found = []
    for encoder in results.settings.encoders:
        if encoder not in ADAPTED:
            continue
        entry = {"encoder": ENCODERS[encoder].label}
        for corpus in ("generic", "cry"):
            pairs = [
                _change(results, encoder, seed, f"valid_accuracy_{corpus}")
                for seed in results.settings.pretraining_seeds
            ]
            pairs = [pair for pair in pairs if pair is not None]
            entry[corpus] = {
                "before": [before for before, _ in pairs],
                "after": [after for _, after in pairs],
            }
        if entry["cry"]["after"]:
            found.append(entry)
    return found


def _change(results, encoder, seed, key) -> Optional[Tuple[float, float]]:
    """Before and after an adaptation; the mean of its folds."""
    pairs = []
    for fold in results.plan.folds or [""]:
        run = results.plan.encoder(encoder, seed, fold)
        first = read_json(run.folder / "before.json") or {}
        last = (results.history(run) or [{}])[-1]
        if run.result.is_file() and key in first and key in last:
            pairs.append((first[key], last[key]))
    if not pairs:
        return None
    before, after = (sum(values) / len(pairs) for values in zip(*pairs))
    return before, after


def costs(results) -> List[Dict]:
    """Time, speed and memory by kind of run."""
    kinds: Dict[str, List] = {}
    for run in results.plan.runs.values():
        took = cost.timed(run, results.settings)
        if took is not None and run.result.is_file():
            kinds.setdefault(_kind(run), []).append((run, took))
    found = []
    for kind, runs in kinds.items():
        seconds = sorted(took["seconds"] for _, took in runs)
        speeds = [
            row["clips_per_s"]
            for run, _ in runs
            for row in results.history(run)[1:]
            if row.get("clips_per_s")
        ]
        found.append(
            {
                "kind": kind,
                "runs": len(runs),
                "median_s": seconds[len(seconds) // 2],
                "hours": sum(seconds) / 3600,
                "clips_per_s": _median(speeds),
                "peak_mb": max(took["peak_mb"] for _, took in runs),
            }
        )
    return found


def _kind(run) -> str:
    if run.rule == "train_cls":
        return f"{MODE_NAMES[run.facts['mode']]} classifier"
    if "encoder" in run.facts:
        return ENCODERS[run.facts["encoder"]].label
    return run.rule


def _median(values: Sequence[float]) -> Optional[float]:
    values = sorted(v for v in values if math.isfinite(v))
    return values[len(values) // 2] if values else None
