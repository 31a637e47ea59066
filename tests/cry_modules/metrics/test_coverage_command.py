"""Abstention at the coverages that ``--coverage`` names."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from cry_modules.metrics.__main__ import main
from tests.cry_modules.metrics.compared import models, write


@pytest.fixture
def pair(tmp_path):
    """Two models, and their files."""
    predicted = models(np.random.default_rng(0), 40, 80, (0.75, 0.85))
    names = zip("ab", predicted)
    return predicted, [write(tmp_path / name, p) for name, p in names]


def certain(certainty, coverage):
    """Weight of each recording, from the most certain on, until the share is
    used up: the last counts in part."""
    weights, left = np.zeros(len(certainty)), coverage * len(certainty)
    for i in np.argsort(-certainty):
        weights[i] = min(1, left)
        left -= weights[i]
    return weights


@pytest.mark.parametrize("unit", ["recording", "patient"])
def test_the_most_certain_share_is_judged(pair, tmp_path, capsys, unit):
    predicted, files = pair
    out = tmp_path / "out.json"
    main([*files, "--coverage", "0.8", "0.35", "--unit", unit,
          "--n_draws", "200", "--out", str(out)])  # fmt: skip
    printed = capsys.readouterr().out
    entries = json.loads(out.read_text())["coverages"]
    assert [entry["set"] for entry in entries] == ["a", "b"]
    for entry, p in zip(entries, predicted):
        p = p.by_unit(unit, "mean_log_odds")
        assert f"{entry['set']}, {entry['file']}, where the most" in printed
        assert [row["coverage"] for row in entry["rows"]] == [0.8, 0.35]
        for row in entry["rows"]:
            kept = certain(p.scores.max(axis=1), row["coverage"])
            called = p.scores.argmax(axis=1)
            value = accuracy_score(p.labels, called, sample_weight=kept)
            assert row["accuracy"] == pytest.approx(value)
            value = roc_auc_score(p.labels, p.scores[:, 1], sample_weight=kept)
            assert row["auc"] == pytest.approx(value)
            for name in ("accuracy", "auc"):
                low, high = row[f"{name}_ci95"]
                assert low < row[name] < high
                assert f"{row[name]:.3f} ({low:.3f} to {high:.3f})" in printed
    assert "| decided | accuracy | AUC | decided of healthy / injury" in printed
    assert "| 80 % |" in printed and "| 35 % |" in printed


def test_everything_decided_is_the_metric_itself(pair, tmp_path, capsys):
    """And a share of a percent keeps its digits."""
    (p, _), (file, _) = pair
    out = tmp_path / "out.json"
    main([file, "--coverage", "1", "0.995", "--n_draws", "200",
          "--out", str(out)])  # fmt: skip
    row = json.loads(out.read_text())["coverages"][0]["rows"][0]
    assert row["auc"] == pytest.approx(roc_auc_score(p.labels, p.scores[:, 1]))
    assert row["kept"] == {"healthy": 1.0, "injury": 1.0}
    printed = capsys.readouterr().out
    assert "| 100 % |" in printed and "| 99.5 % |" in printed


@pytest.mark.parametrize(
    "options, words",
    [
        ("--coverage 0", "--coverage is 0; pass shares of the recordings"),
        ("--coverage 0.8 1.5", "--coverage is 1.5; pass shares of the"),
        ("--coverage nan", "--coverage is nan"),
        ("--coverage -0.1", "--coverage is -0.1; pass shares of the"),
        ("--coverage half", "half"),
        ("--coverage", "--coverage"),
        ("--plan b --coverage 0.8", "--coverage has no effect with --plan"),
    ],
)
def test_a_share_that_is_none_is_refused(
    pair, tmp_path, capsys, options, words
):
    sets = [] if "--plan" in options else ["does_not_exist"]
    with pytest.raises(SystemExit) as stop:
        main([*sets, *options.split()])
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.out == ""
    assert words in printed.err and printed.err.count("\n") == 1
