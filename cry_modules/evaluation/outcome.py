"""``metrics.json`` from the predictions of a model and its controls, of one
split or of all folds pooled."""

from dataclasses import dataclass, field, replace
from typing import Dict, List, Optional, Tuple

import numpy as np

from cry_modules.evaluation.clinical import clinical
from cry_modules.evaluation.controls import by_method, compare_with_encoders
from cry_modules.evaluation.subgroups import by_subgroup
from cry_modules.metrics.bootstrap import N_DRAWS
from cry_modules.metrics.choices import Choices, choose, pooled
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.figures import shown_in
from cry_modules.metrics.predictions import MEAN_LOG_ODDS, UNITS, Predictions
from cry_modules.metrics.ranking import auc


@dataclass
class Outcome:
    """Validation and test predictions of one trained model."""

    valid: Predictions
    test: Predictions
    #: Class frequencies that the scores assume, ``[n_classes]``.
    prevalence: Optional[np.ndarray]
    #: Name of the fold that it was trained without, if it is one of several.
    fold: str = ""

    def at(self, prevalence: np.ndarray) -> "Outcome":
        """Adjust the scores to other class frequencies, ``[n_classes]``."""
        change = (self.prevalence, prevalence)
        return replace(
            self,
            valid=self.valid.at_prevalence(*change),
            test=self.test.at_prevalence(*change),
            prevalence=prevalence,
        )


@dataclass
class EvaluationOptions:
    """Options of the evaluation."""

    patient_score: str = MEAN_LOG_ODDS  # see Predictions.by_patient
    seed: int = 0  # of the bootstrap
    n_draws: int = N_DRAWS
    #: Subgroups: by column, the cell of each recording.
    columns: Dict[str, Dict[str, str]] = field(default_factory=dict)


def pooled_predictions(
    outcomes: List[Outcome], unit: str, patient_score: str
) -> Tuple[Predictions, Choices]:
    """Test predictions per unit with their operating points, folds pooled.

    Folds are pooled, each with its own choices, all at the mean of their
    prevalences: a fold that leaves out many positives has few to train with,
    and its scores are low for that reason alone. They are named, because AUC
    and average precision compare recordings within folds.
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
    if len(parts) == 1:
        return parts[0]
    names = [outcome.fold or str(i) for i, outcome in enumerate(outcomes)]
    return pooled(parts, names)


def _choices(outcome, unit, patient_score) -> Choices:
    valid = outcome.valid.by_unit(unit, patient_score)
    how = patient_score if unit == "patient" else MEAN_LOG_ODDS
    return choose(valid, outcome.prevalence, how)


def evaluate_outcomes(
    model: List[Outcome],
    controls: Dict[str, List[Outcome]],
    options: EvaluationOptions,
) -> Dict:
    """Evaluate a model and its controls: the blocks ``valid`` or ``by_fold``,
    ``test``, ``clinical``, ``controls`` and ``subgroups`` of
    ``metrics.json``."""
    how = (options.seed, options.n_draws)
    tested = {
        unit: pooled_predictions(model, unit, options.patient_score)
        for unit in UNITS
    }
    blocks = {}
    if len(model) == 1:
        blocks["valid"] = {
            unit: evaluate(
                model[0].valid.by_unit(unit, options.patient_score),
                _choices(model[0], unit, options.patient_score),
                *how,
            )
            for unit in UNITS
        }
    else:
        blocks["by_fold"] = _by_fold(model, how)
    blocks["test"] = {unit: evaluate(*tested[unit], *how) for unit in UNITS}
    known = [o.prevalence for o in model if o.prevalence is not None]
    trained = np.mean(known, axis=0) if known else None
    blocks["clinical"] = clinical(*tested["recording"], trained, *how)
    blocks["controls"] = {
        name: {
            unit: compare_with_encoders(
                tested[unit][0],
                [
                    pooled_predictions(outcomes, unit, options.patient_score)
                    for outcomes in encoders
                ],
                *how,
            )
            for unit in UNITS
        }
        for name, encoders in by_method(controls).items()
    }
    # Scores of a support vector machine rank but are not probabilities.
    for block in blocks["controls"].get("logmel_svm", {}).values():
        block["accuracy"] = None
    if options.columns:
        blocks["subgroups"] = by_subgroup(
            *tested["recording"], options.columns, *how
        )
    return blocks


def _by_fold(model, how) -> Dict:
    """Each fold by recording, and mean and spread over folds."""
    each = []
    for outcome in model:
        block = evaluate(
            *pooled_predictions([outcome], "recording", MEAN_LOG_ODDS), *how
        )
        del block["per_class"], block["confusion_matrix"]
        # Epoch or penalty were chosen by it, which flatters it.
        block["valid_auc"] = auc(outcome.valid.labels, outcome.valid.scores)
        each.append(block)
    result = {"each": each}
    for name in shown_in("controls"):
        values = [b[name] for b in each if b[name] is not None]
        result[name] = {
            "folds": [b[name] for b in each],
            "mean": float(np.mean(values)) if values else None,
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        }
    return result
