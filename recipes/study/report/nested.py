"""The choice of a study's method (encoder and mode) nested: made by validation
AUC, tested on patients that it has not seen.

With folds, each fold takes the method whose AUC on the fold's validation patients
is the highest, mean over seeds, and its test predictions are pooled; the AUC
compares recordings within folds, as everywhere. Without folds one choice is made.
The highest test AUC of all methods, which a page shows, is chosen on the very
patients that it is of, and so flatters the method.
"""

from collections import Counter
from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from cry_modules.metrics.words import with_interval
from recipes.study.report.doubtful import best_method
from recipes.study.report.results import SeedSet
from recipes.study.stages import method_in_words

Method = Tuple[str, str]  # encoder and mode


def nested(results, task: str) -> Optional[Dict[str, Any]]:
    """AUC of the nested choice beside the highest of all; None if there are not
    two methods, or their runs do not have the validation AUC."""
    valid = {
        (encoder, mode): aucs
        for encoder in results.settings.encoders
        for mode in results.settings.modes
        if (aucs := _validation(results.of(task, encoder, mode)))
    }
    best = best_method(results, task)
    if best not in valid or len(valid) < 2:
        return None
    # Methods of as many seeds and folds as the best one.
    n_seeds, names = len(results.of(task, *best)), [*valid[best]]
    valid = {
        method: aucs
        for method, aucs in valid.items()
        if [*aucs] == names and len(results.of(task, *method)) == n_seeds
    }
    chosen = {
        name: max(valid, key=lambda method: valid[method][name])
        for name in names
    }
    cell = results.cell_of(_pooled(results, task, chosen))
    highest = results.cell(task, *best)
    if cell.mean is None:
        return None
    entry = {
        "n_methods": len(valid),
        "n_choices": len(chosen),
        "chosen": _counts(chosen),
        "auc": cell.mean,
        "auc_ci95": cell.ci95,
        "highest": highest.mean,
        "highest_ci95": highest.ci95,
        "highest_method": method_in_words(*best),
    }
    return {**entry, "sentence": _sentence(entry)}


def _validation(runs: List[Dict]) -> Optional[Dict[str, float]]:
    """Validation AUC by fold, mean over seeds; the name is empty without folds.
    None if a run or a fold does not have it."""
    by_seed = []
    for metrics in runs:
        if metrics.get("folds"):
            each = metrics.get("by_fold", {}).get("each", [])
            aucs = {block.get("fold"): block.get("valid_auc") for block in each}
        else:
            block = metrics.get("valid", {}).get("recording", {})
            aucs = {"": block.get("auc")}
        by_seed.append(aucs)
    names = [*by_seed[0]] if by_seed else []
    complete = all(
        [*aucs] == names and None not in (*aucs, *aucs.values())
        for aucs in by_seed
    )
    if not names or not complete:
        return None
    return {n: float(np.mean([aucs[n] for aucs in by_seed])) for n in names}


def _pooled(results, task: str, chosen: Dict[str, Method]) -> SeedSet:
    """Test predictions of each fold's method, seed by seed."""
    sets = {m: results.set_of(task, *m) for m in chosen.values()}
    first = next(iter(sets.values()))
    if len(sets) == 1:
        return first
    predictions = []
    for i, p in enumerate(first.predictions):
        scores = p.scores.copy()
        for fold, method in chosen.items():
            rows = np.array(p.folds) == fold
            scores[rows] = sets[method].predictions[i].scores[rows]
        predictions.append(p.with_scores(scores))
    return replace(first, predictions=predictions, reports=())


def _counts(chosen: Dict[str, Method]) -> List[Dict]:
    """How many folds chose each method, the most frequent first."""
    counts = Counter(chosen.values()).most_common()
    return [{"method": method_in_words(*m), "n": n} for m, n in counts]


def _sentence(entry) -> str:
    """Say what the choice means."""
    n, (first, *others) = entry["n_choices"], entry["chosen"]
    whole = f"{with_interval(entry, 'auc')} on the test patients"
    if n == 1 and first["method"] == entry["highest_method"]:
        return (
            f"Validation AUC chooses the same of {entry['n_methods']} methods "
            f"({first['method']}), so its {whole} is not flattered by a choice "
            "there."
        )
    how = f"by validation AUC ({first['method']})"
    if n > 1:
        of = "; ".join(
            f"{each['method']} in {each['n']} of {n}"
            for each in (first, *others)
        )
        how = f"in each fold by validation AUC ({of})"
    return (
        f"Of {entry['n_methods']} methods, one chosen {how} has an AUC of "
        f"{whole}, and {entry['highest_method']} the highest there, "
        f"{with_interval(entry, 'highest')}: the first is what such a choice is worth on new "
        "patients, and the second was chosen on the patients that it is of, "
        "which flatters it on average."
    )
