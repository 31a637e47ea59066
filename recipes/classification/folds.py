"""Cross-validation of a recipe: what changes in each fold, and the final model
of all recordings, whose epochs or penalty the folds have chosen."""

import json
import re
import sys
from pathlib import Path
from statistics import median, median_low
from typing import Dict, List, Tuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from cry_modules.checkpoints.saved_model import FINAL
from cry_modules.evaluation.columns import named_in, refuse_personal
from cry_modules.evaluation.final import chosen_in_words
from cry_modules.evaluation.outcome import pooled_predictions
from cry_modules.metrics.choices import choose
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.predictions import UNITS, Predictions
from data_prep import manifest
from data_prep.audio.audits import JOURNAL
from data_prep.audio.checksums import CHECKSUM_FILE, write_checksums
from data_prep.corpora.folds import rounds
from data_prep.corpora.labelled import fold_values
from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError, require
from data_prep.files.tables import read_table, write_text

#: Entries of the folds' ``metrics.json`` that are not those of a model.
_OF_FOLDS = ("folds", "fold_column", "by_fold", "nuisance", "figures")


def without_bars(run_opts: Dict) -> Dict:
    """Options of the runs after the first fold: no progress bars in a log, of
    which each would be a line."""
    is_watched = getattr(sys.stderr, "isatty", lambda: False)()
    return run_opts if is_watched else {**run_opts, "noprogressbar": True}


def check_final(hparams: Dict) -> None:
    """Refuse ``--final`` where no folds choose its settings."""
    if not hparams.get("final"):
        return
    require(
        bool(hparams["folds"]),
        "--final is True without --folds",
        "pass --folds all: the folds choose the epochs of the final model, and "
        "test its settings",
    )
    fraction = hparams["label_fraction"]
    require(
        fraction == 1,
        f"--final is True and --label_fraction is {fraction}",
        "leave one of them out: the final model trains on all labels",
    )
    require(
        "{fold}" not in (hparams["encoder_source"] or ""),
        "--final is True and --encoder_source has a {fold}",
        "leave out --final: there is no encoder for all folds",
    )


def changes_of_folds(hparams: Dict) -> Tuple[str, List[str], Dict[str, Dict]]:
    """Column and names of the folds, and the settings that each changes, by
    the name of its folder."""
    if hparams["test_fold"] is not None or hparams["valid_fold"] is not None:
        raise InputError(
            f"folds is {hparams['folds']}, which tests on every fold; leave "
            "out --test_fold and --valid_fold, or --folds"
        )
    column = hparams["folds"]
    column = hparams["fold_column"] if column == "all" else str(column)
    refuse_personal(column, "folds", ())
    names = ("data_folder", "recordings_csv", "label_column", "classes")
    values = fold_values(
        *(hparams[name] for name in (*names, "other_labels")),
        column,
        named_in(hparams),
    )
    refuse_personal(column, "folds", values)
    changes = {}
    for i, fold in enumerate(rounds(column, values)):
        name = f"fold_{i}_" + re.sub(r"[^\w.-]+", "_", fold.test)
        chosen = {
            "fold_column": fold.column,
            "test_fold": fold.test,
            "valid_fold": fold.valid,
        }
        changes[name] = {**chosen, "folds": None, "prepare": chosen}
        changes[name]["final"] = False
        source = hparams["encoder_source"] or ""
        if "{fold}" in source:
            changes[name]["encoder_source"] = source.replace(
                "{fold}", fold.test
            )
    return column, values, changes


def share_audit(finished: List[str], output: Path, name: str) -> None:
    """Give a fold the audit of the first one, whose recordings it has too."""
    audit = output / name / "manifest" / JOURNAL
    first = output / "".join(finished[:1]) / "manifest" / JOURNAL
    if first.is_file() and not audit.exists():
        write_text(
            make_folder(audit.parent) / JOURNAL, first.read_text("utf-8")
        )


def chosen_by_folds(metrics: List[Dict]) -> Dict:
    """Epochs, or penalty, of the final model: the median of what validation
    has chosen in each fold."""
    chosen = [entry["chosen"] for entry in metrics]
    if "c" in chosen[0]:
        return {"c": median_low(entry["c"] for entry in chosen)}
    epochs = median(entry["epoch"] for entry in chosen)
    return {"epochs": max(1, round(epochs))}


def write_manifest_of_all(
    folds: List[Path], folder: Path, data_folder: str, classes: List[str]
) -> None:
    """Write the training manifest of the recordings of all folds."""
    recordings, checksums = {}, {}
    for fold in folds:
        manifests = fold / "manifest"
        for split in manifest.SPLITS:
            for rec in manifest.read(manifests / f"{split}.csv"):
                recordings.setdefault(rec.ID, rec)
        columns = ("path", "checksum")
        for _, row in read_table(manifests / CHECKSUM_FILE, columns):
            checksums[row["path"]] = row["checksum"]
    corpus = manifest.read_corpus(folds[0] / "manifest")
    splits = {"train": [recordings[ID] for ID in sorted(recordings)]}
    manifest.write(splits, folder, Path(data_folder), corpus, classes)
    write_checksums(checksums, folder)


def recalibration(predictions: Predictions) -> Tuple[float, List[float]]:
    """Slope of the log scores and shift of each class that make scores
    probabilities: a logistic regression of the class.

    The slope's logarithm has a standard normal prior, so that the slope is
    positive, and finite where the scores separate the classes.

    Example
    -------
    >>> p = np.tile([0.9, 0.9, 0.9, 0.1, 0.1, 0.1], 50)
    >>> scores = np.stack([1 - p, p], axis=1)
    >>> labels = np.tile([1, 1, 0, 0, 0, 1], 50)
    >>> slope, shift = recalibration(
    ...     Predictions([], [], labels, scores, ["a", "b"])
    ... )
    >>> round(slope, 1), [round(abs(s), 2) for s in shift]
    (0.3, [0.0, 0.0])
    """
    log_scores = np.log(np.clip(predictions.scores, 1e-12, 1))
    rows = np.arange(len(log_scores))

    def loss(parameters):
        slope, shift = np.exp(parameters[0]), parameters[1:]
        log_p = log_softmax(slope * log_scores + shift, axis=1)
        # The shifts' common part changes nothing: keep it at 0.
        prior = parameters[0] ** 2 / 2 + shift.sum() ** 2
        return prior - log_p[rows, predictions.labels].sum()

    best = minimize(loss, np.zeros(1 + log_scores.shape[1])).x
    return float(np.exp(best[0])), best[1:].tolist()


def recalibrated(predictions: Predictions, slope, shift) -> Predictions:
    """Predictions with recalibrated scores."""
    log_scores = np.log(np.clip(predictions.scores, 1e-12, 1))
    log_p = log_softmax(slope * log_scores + np.array(shift), axis=1)
    return predictions.with_scores(np.exp(log_p))


def final_metrics(
    done, prevalence: np.ndarray, options
) -> Tuple[Dict, Predictions]:
    """``metrics.json`` of the final model, and the recalibrated out-of-fold
    predictions that its threshold is chosen on.

    Its test results are those of the folds' models: nobody has tested it.
    """
    how = (options.seed, options.n_draws)
    pooled, _ = pooled_predictions(
        done.outcomes, "recording", options.patient_score
    )
    before = np.array(done.metrics["prevalence"])
    pooled = pooled.at_prevalence(before, prevalence)
    slope, shift = recalibration(pooled)
    pooled = recalibrated(pooled, slope, shift)
    valid = {}
    for unit in UNITS:
        units = pooled.by_unit(unit, options.patient_score)
        choices = choose(units, prevalence, options.patient_score)
        if unit == "recording":
            choices = choose(units, prevalence)
        valid[unit] = evaluate(units, choices, *how)
    facts = {k: v for k, v in done.metrics.items() if k not in _OF_FOLDS}
    test = {unit: dict(block) for unit, block in facts["test"].items()}
    for unit in UNITS:
        test[unit]["threshold"] = valid[unit]["threshold"]
    final = {
        **done.metrics["final"],
        "n_folds": len(done.metrics["folds"]),
        "slope": slope,
        "shift": shift,
    }
    facts.update(prevalence=prevalence.tolist(), valid=valid, test=test)
    return {**facts, "final": final}, pooled


def finish_final(hparams: Dict, done, prevalence, options) -> None:
    """Write the results of the final model, ``metrics.json`` last."""
    folder = Path(hparams["output_folder"])
    metrics, pooled = final_metrics(done, prevalence, options)
    everything = manifest.read(folder / "manifest/train.csv")
    path_of = {rec.ID: rec.wav for rec in everything}
    pooled.write(folder / "predictions_valid.csv", path_of)
    text = json.dumps(metrics, indent=1, allow_nan=False) + "\n"
    write_text(folder / "metrics.json", text)


def final_line(folder: str, metrics: Dict) -> str:
    """Line on the final model, printed after the results of the folds."""
    n_patients = metrics["test"]["recording"]["n_patients"]
    return (
        f"final model of all {n_patients} patients "
        f"({chosen_in_words(metrics['final'])}) in {folder}/{FINAL}, itself "
        "tested by nobody; share it with python -m cry_modules.export "
        f"{folder} OUT"
    )
