"""From what a model and its controls said to ``metrics.json``; of one split,
or of all folds pooled.
"""

from dataclasses import dataclass, field
from typing import Dict, List, Tuple

import numpy as np

from cry_modules.evaluation.controls import beside
from cry_modules.evaluation.subgroups import by_subgroup
from cry_modules.metrics.bootstrap import N_DRAWS
from cry_modules.metrics.choices import Choices, choose, pooled
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.predictions import MEAN_LOG_ODDS, UNITS, Predictions


@dataclass
class Outcome:
    """What one model said.

    Arguments
    ---------
    valid : Predictions
        Of the validation recordings.
    test : Predictions
        Of the test recordings.
    prevalence : numpy.ndarray
        Share of each class that its scores reckon with, ``[n_classes]``.
    """

    valid: Predictions
    test: Predictions
    prevalence: np.ndarray

    def at(self, prevalence: np.ndarray) -> "Outcome":
        """The same as if trained with classes of another frequency.

        Shapes: prevalence ``[n_classes]``.
        """
        change = (self.prevalence, prevalence)
        return Outcome(
            self.valid.at_prevalence(*change),
            self.test.at_prevalence(*change),
            prevalence,
        )


@dataclass
class Asked:
    """What is asked of the outcome.

    Arguments
    ---------
    patient_score : str
        See ``Predictions.by_patient``.
    seed : int
        Of the bootstrap.
    n_draws : int
        Bootstrap draws.
    columns : dict
        By column, the cell of each recording: subgroups.
    """

    patient_score: str = "mean_log_odds"
    seed: int = 0
    n_draws: int = N_DRAWS
    columns: Dict[str, Dict[str, str]] = field(default_factory=dict)


def held_out(
    outcomes: List[Outcome], unit: str, patient_score: str
) -> Tuple[Predictions, Choices]:
    """Test predictions with what was chosen on validation; of several folds,
    each with its own choices, and all at the mean of their prevalences: a
    fold that leaves out many positives has few to train with, and scores that
    are low for that alone.
    """
    if len(outcomes) > 1:
        common = np.mean([o.prevalence for o in outcomes], axis=0)
        outcomes = [outcome.at(common) for outcome in outcomes]
    parts = [
        (
            outcome.test.by_unit(unit, patient_score),
            _choices(outcome, unit, patient_score),
        )
        for outcome in outcomes
    ]
    return parts[0] if len(parts) == 1 else pooled(parts)


def _choices(outcome, unit, patient_score) -> Choices:
    valid = outcome.valid.by_unit(unit, patient_score)
    how = patient_score if unit == "patient" else MEAN_LOG_ODDS
    return choose(valid, outcome.prevalence, how)


def figures_of(
    model: List[Outcome], controls: Dict[str, List[Outcome]], asked: Asked
) -> Dict:
    """The parts of ``metrics.json`` that follow from predictions."""
    how = (asked.seed, asked.n_draws)
    blocks = {}
    if len(model) == 1:
        blocks["valid"] = {
            unit: _valid_block(model[0], unit, asked) for unit in UNITS
        }
    else:
        blocks["by_fold"] = _by_fold(model, asked)
    blocks["test"] = {
        unit: evaluate(*held_out(model, unit, asked.patient_score), *how)
        for unit in UNITS
    }
    blocks["controls"] = {
        name: {
            unit: beside(
                held_out(model, unit, asked.patient_score)[0],
                *held_out(outcomes, unit, asked.patient_score),
                *how,
            )
            for unit in UNITS
        }
        for name, outcomes in controls.items()
    }
    if "logmel_svm" in controls:
        for block in blocks["controls"]["logmel_svm"].values():
            # Its scores rank and are no probabilities.
            block["accuracy"] = None
    if asked.columns:
        predictions, choices = held_out(model, "recording", asked.patient_score)
        blocks["subgroups"] = by_subgroup(
            predictions, choices, asked.columns, *how
        )
    return blocks


def _valid_block(outcome, unit, asked):
    units = outcome.valid.by_unit(unit, asked.patient_score)
    choices = _choices(outcome, unit, asked.patient_score)
    return evaluate(units, choices, asked.seed, asked.n_draws)


def _by_fold(model, asked) -> Dict:
    """Each fold by recording, and mean and spread over folds.

    Scores of different folds come from different models, so pooled figures
    can be lower than those of every fold.
    """
    each = []
    for outcome in model:
        predictions, choices = held_out([outcome], "recording", "mean_log_odds")
        block = evaluate(predictions, choices, asked.seed, asked.n_draws)
        del block["per_class"], block["confusion_matrix"]
        each.append(block)
    found = {"each": each}
    for name in ("auc", "average_precision", "balanced_accuracy", "accuracy"):
        values = [b[name] for b in each if b[name] is not None]
        found[name] = {
            "folds": [b[name] for b in each],
            "mean": float(np.mean(values)) if values else None,
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        }
    return found
