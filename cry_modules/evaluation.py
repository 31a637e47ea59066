"""From what a model and its controls said to ``metrics.json``; of one split,
or of all folds pooled.

Authors
 * The contributors of cry-ssl 2026
"""

from dataclasses import dataclass, field
from typing import Dict, List, Tuple

import numpy as np

from cry_modules.bootstrap import N_DRAWS
from cry_modules.controls import beside
from cry_modules.metrics import (
    UNITS,
    Choices,
    by_unit,
    choose,
    evaluate,
    pooled,
)
from cry_modules.predictions import Predictions
from cry_modules.subgroups import by_subgroup


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


def test_of(
    outcomes: List[Outcome], unit: str, patient_score: str
) -> Tuple[Predictions, Choices]:
    """Test predictions with what was chosen on validation; of several folds,
    each with its own choices.

    Arguments
    ---------
    outcomes : list of Outcome
        One, or one a fold.
    unit : str
        ``recording`` or ``patient``.
    patient_score : str
        See ``Predictions.by_patient``.

    Returns
    -------
    predictions : Predictions
        By that unit.
    choices : Choices
        Of them.
    """
    parts = [
        (
            by_unit(outcome.test, unit, patient_score),
            choose(
                by_unit(outcome.valid, unit, patient_score), outcome.prevalence
            ),
        )
        for outcome in outcomes
    ]
    return parts[0] if len(parts) == 1 else pooled(parts)


def figures_of(
    model: List[Outcome], controls: Dict[str, List[Outcome]], asked: Asked
) -> Dict:
    """The parts of ``metrics.json`` that follow from predictions.

    Arguments
    ---------
    model : list of Outcome
        One, or one a fold.
    controls : dict
        The same of each control, by name.
    asked : Asked
        What is asked.

    Returns
    -------
    dict
        ``valid`` (of one split) or ``by_fold``, ``test``, ``controls``,
        ``subgroups``.
    """
    how = (asked.seed, asked.n_draws)
    blocks = {}
    if len(model) == 1:
        blocks["valid"] = {
            unit: _valid_block(model[0], unit, asked) for unit in UNITS
        }
    else:
        blocks["by_fold"] = _by_fold(model, asked)
    blocks["test"] = {
        unit: evaluate(*test_of(model, unit, asked.patient_score), *how)
        for unit in UNITS
    }
    said = Predictions.joined([outcome.test for outcome in model])
    blocks["controls"] = {
        name: beside(
            said,
            Predictions.joined([outcome.test for outcome in outcomes]),
            {
                unit: test_of(outcomes, unit, asked.patient_score)[1]
                for unit in UNITS
            },
            asked.patient_score,
            *how,
        )
        for name, outcomes in controls.items()
    }
    if asked.columns:
        predictions, choices = test_of(model, "recording", asked.patient_score)
        blocks["subgroups"] = by_subgroup(
            predictions, choices, asked.columns, *how
        )
    return blocks


def _valid_block(outcome, unit, asked):
    units = by_unit(outcome.valid, unit, asked.patient_score)
    choices = choose(units, outcome.prevalence)
    return evaluate(units, choices, asked.seed, asked.n_draws)


def _by_fold(model, asked) -> Dict:
    """Each fold by recording, and mean and spread over folds.

    Scores of different folds come from different models with no common
    scale, so pooled figures can be lower than those of every fold.
    """
    each = []
    for outcome in model:
        predictions, choices = test_of([outcome], "recording", "mean_log_odds")
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
