"""Results of made-up predictions, and what their pictures hold."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
from matplotlib.text import Text
from scipy.special import softmax

from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from cry_modules.figures.results import draw_results, results_of
from cry_modules.metrics.predictions import Predictions

PICTURES = [
    "roc", "decision_curve", "precision_recall", "calibration", "confusion",
    "patients", "abstention",
]  # fmt: skip
HISTORY = [
    {
        "epoch": epoch, "lr": 0.1, "train_loss": 1 / epoch,
        "valid_loss": 0.1 + 1 / epoch, "valid_auc": 1 - 0.5 / epoch,
    }
    for epoch in range(1, 6)
]  # fmt: skip
N_DRAWS = 40
SEED = 3
SHARE = np.array([0.8, 0.2])


def made(n_of, seed=0, pre="", strength=1.5, classes=None):
    """Predictions of so many patients a class, three recordings of every two
    patients; scores tie unless they are strong."""
    rng = np.random.default_rng([seed, 7])
    classes = classes or ["healthy", "injury", "c", *map(str, range(99))]
    labels = np.repeat(np.arange(len(n_of)), n_of)
    owner = np.concatenate(
        [np.arange(len(labels)), np.arange(0, len(labels), 2)]
    )
    rng.shuffle(owner)
    labels = labels[owner]
    raw = rng.normal(size=(len(labels), len(n_of)))
    raw[np.arange(len(labels)), labels] += strength
    return Predictions(
        [f"{pre}cry{i:04d}" for i in range(len(labels))],
        [f"{pre}infant{i:04d}" for i in owner],
        labels,
        softmax(raw, axis=1).round(2 if strength < 9 else 9),
        classes[: len(n_of)],
    )


def run_of(*outcomes, n_draws=N_DRAWS):
    """Metrics as train_cls.py leaves them, and contents of the pictures."""
    test, prevalence = outcomes[0].test, outcomes[0].prevalence
    options = EvaluationOptions("mean_log_odds", SEED, n_draws)
    metrics = {
        "corpus": "made up", "label_column": "neuro", "encoder_source": None,
        "finetune_mode": "linear", "classes": test.classes, "seed": SEED,
        "patient_score": "mean_log_odds",
        "prevalence": None if prevalence is None else list(prevalence),
        "test": evaluate_outcomes(list(outcomes), {}, options)["test"],
    }  # fmt: skip
    history = HISTORY if len(outcomes) == 1 else []
    return metrics, results_of(metrics, list(outcomes), history)


def made_run(n_valid, n_test, strength=1.5, n_draws=N_DRAWS, classes=None):
    valid = made(n_valid, 1, "v", strength, classes)
    test = made(n_test, 2, "", strength, classes)
    return run_of(Outcome(valid, test, None), n_draws=n_draws)[1]


USUAL = Outcome(made((24, 8), 1, "v"), made((64, 16), 2), SHARE)
FOLDS = [
    Outcome(made((16, 8), 10 + k, f"v{k}"), made((16, 8), k, f"t{k}"), SHARE)
    for k in range(3)
]


def axes_of(figure):
    return figure.subfigs[0].axes


def legend_of(figure):
    """Line of each label of the legend."""
    (legend,) = figure.subfigs[0].legends
    labels = [text.get_text() for text in legend.get_texts()]
    return dict(zip(labels, legend.legend_handles))


def words(figure):
    return " ".join(
        " ".join(t.get_text() for t in figure.findobj(Text)).split()
    )


def with_marker(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


def drawn_figures(folder, run):
    """Figures of a run by name, without the time that their files take."""
    drawn = {}

    def keep(figure, path, **kwargs):
        Path(path).write_bytes(b"")
        # The temporary file is hidden: .roc.partial.png.
        drawn[Path(path).name.strip(".").split(".")[0]] = figure

    with patch("matplotlib.figure.Figure.savefig", keep):
        draw_results(run, folder)
    return drawn
