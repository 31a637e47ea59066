#!/usr/bin/env python3
"""Train and test a classifier on every fold, and pool what it says.

> python recipes/classification/folds.py hparams/neuro_linear.yaml \
    --output_folder=results/folds [options of train_cls.py]

Each value of the column ``fold`` is tested on once, with the next one as
validation. Scores of different folds come from different models, so the mean
over folds is given beside the pooled figures.

Authors
 * The contributors of cry-ssl 2026
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from cry_modules.metrics import evaluate
from cry_modules.predictions import Predictions
from data_prep.errors import one_line_errors
from data_prep.tables import write_text

ROOT = Path(__file__).resolve().parents[2]


def run_folds(arguments, n_folds, folder):
    """Run ``train_cls.py`` for each fold that has no result yet."""
    for fold in range(n_folds):
        out = folder / f"fold{fold}"
        if (out / "metrics.json").is_file():
            continue
        command = [sys.executable, str(ROOT / "train_cls.py"), *arguments]
        command += [f"--test_fold={fold}", f"--output_folder={out}"]
        command += [f"--valid_fold={(fold + 1) % n_folds}"]
        status = subprocess.run(command).returncode
        if status:
            raise SystemExit(status)


def pool(folds):
    """Predictions of all folds as one.

    Arguments
    ---------
    folds : list of Predictions
        Of disjoint recordings.

    Returns
    -------
    Predictions
    """
    return Predictions(
        sum((p.ids for p in folds), []),
        sum((p.patients for p in folds), []),
        np.concatenate([p.labels for p in folds]),
        np.concatenate([p.scores for p in folds]),
        folds[0].classes,
    )


def main():
    """From the command line to ``folds.json``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output_folder", type=Path, required=True)
    parser.add_argument("--n_folds", type=int, default=5)
    args, rest = parser.parse_known_args()
    run_folds(rest, args.n_folds, args.output_folder)
    folds = [
        Predictions.read(args.output_folder / f"fold{k}/predictions_test.csv")
        for k in range(args.n_folds)
    ]
    each = [evaluate(p, n_draws=1) for p in folds]
    result = {"pooled": evaluate(pool(folds))}
    for name in ("auc", "average_precision", "accuracy"):
        values = [block[name] for block in each]
        result[name] = {
            "folds": values,
            "mean": float(np.mean(values)),
            "sd": float(np.std(values, ddof=1)),
        }
    write_text(args.output_folder / "folds.json", json.dumps(result, indent=1))
    auc, ap, pooled = (
        result["auc"],
        result["average_precision"],
        result["pooled"],
    )
    interval = "no interval: too few patients of a class"
    if pooled["auc_ci95"]:
        low, high = pooled["auc_ci95"]
        interval = f"95 % interval by patient {low:.3f} to {high:.3f}"
    print(
        f"done: {args.n_folds} folds, AUC {auc['mean']:.3f} sd {auc['sd']:.3f}"
        f", average precision {ap['mean']:.3f} sd {ap['sd']:.3f}; pooled AUC "
        f"{pooled['auc']:.3f} ({interval}), accuracy {pooled['accuracy']:.3f} "
        f"(majority {pooled['majority_accuracy']:.3f})"
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
