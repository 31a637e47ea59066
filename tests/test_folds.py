"""folds.py pools what the models of all folds say."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cry_modules.predictions import Predictions


def test_figures_are_those_of_the_folds_and_of_all_of_them(tmp_path):
    rng = np.random.default_rng(0)
    labels, scores, each = [], [], []
    for fold in range(3):
        y = np.arange(20) % 2
        s = rng.uniform(size=20) + 0.3 * y
        s /= 2
        ids = [f"f{fold}r{i}" for i in range(20)]
        folder = tmp_path / f"fold{fold}"
        folder.mkdir()
        Predictions(
            ids, ids, y, np.stack([1 - s, s], axis=1), ["healthy", "injury"]
        ).write(folder / "predictions_test.csv")
        # A fold that has its metrics is not run again.
        (folder / "metrics.json").write_text("{}")
        labels.append(y)
        scores.append(s)
        each.append(roc_auc_score(y, s))
    done = subprocess.run(
        [sys.executable, "recipes/classification/folds.py", "--n_folds=3"]
        + [f"--output_folder={tmp_path}", "hparams/neuro_linear.yaml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("done: 3 folds, AUC")
    result = json.loads((tmp_path / "folds.json").read_text())
    assert result["auc"]["folds"] == pytest.approx(each)
    assert result["auc"]["sd"] == pytest.approx(np.std(each, ddof=1))
    pooled = roc_auc_score(np.concatenate(labels), np.concatenate(scores))
    assert result["pooled"]["auc"] == pytest.approx(pooled)
    assert result["pooled"]["n"] == 60
