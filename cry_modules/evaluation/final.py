"""The final model of a cross-validation in words: what it is, that nobody has
tested it, and what the page of its study says."""

from pathlib import Path
from typing import Dict, List, Optional

from cry_modules.metrics.words import with_interval
from data_prep.files.shapes import read_json, whole

#: Figures of a study's page, in the folder of its final model, and their shape.
STUDY_FILE = "study.json"
_FIGURE = {"auc": (float, None), "auc_ci95": ([float, float], None)}
STUDY = {
    "encoder": str,
    "mode": str,
    "n_seeds": whole(1),
    "n_methods": whole(1),
    "is_best": bool,
    **_FIGURE,
    "nested?": _FIGURE,
    "others": {str: _FIGURE},
    "besides_cry": {str: _FIGURE},
}


def chosen_in_words(final: Dict) -> str:
    """Setting that the folds have chosen, as text.

    Example
    -------
    >>> chosen_in_words({"epochs": 12})
    "12 epochs, the median of the folds' best"
    >>> chosen_in_words({"c": 0.01})
    "penalty C = 0.01, the median of the folds' best"
    """
    text = f"penalty C = {final['c']:.2g}" if "c" in final else ""
    text = text or f"{final['epochs']} epoch" + "s" * (final["epochs"] != 1)
    return f"{text}, the median of the folds' best"


def card_sentence(final: Dict) -> str:
    """Caution of the card: whose the results are."""
    return (
        "This very model has been tested by nobody: it was trained on all "
        f"recordings ({chosen_in_words(final)}). The results are those of "
        f"{final['n_folds']} models of the same settings, each trained without "
        "one part of the patients and tested on it; calibration and threshold "
        "come from their out-of-fold scores."
    )


def read_study(run: Path, mode: str) -> Optional[Dict]:
    """Figures of the page of a final model's study, or None; ``run`` is the
    model's folder, in that of the folds, and ``mode`` that of its metrics."""
    path = Path(run).parent / STUDY_FILE
    if not path.is_file():
        return None
    cure = "train the final model again with python -m recipes.study.final"
    study = read_json(path, STUDY, cure)
    return study if study["mode"] == mode else None


def study_sentence(study: Dict, seed: int) -> str:
    """Relate the results of a final model to the page of its study."""
    n = study["n_seeds"]
    mean = f"the mean over {n} seeds" if n > 1 else "that of one seed"
    text = (
        f"The results are those of seed {seed}; the page of the study has {mean} of "
        f"the same settings, AUC {with_interval(study)} by recording"
    )
    if study["is_best"] and study["n_methods"] > 1:
        text += (
            f", the highest of {study['n_methods']} combinations of encoder "
            "and read-out, chosen on these patients: the choice flatters it"
        )
        if "nested" in study:
            text += (
                "; one chosen by validation in each fold has an AUC of "
                f"{with_interval(study['nested'])}"
            )
    return f"{text}."


def study_limits(study: Dict) -> List[str]:
    """Controls of the study that come near to the model, and what tells the
    classes without the cry."""
    low, lines = (study["auc_ci95"] or [0.0])[0], []
    near = {
        name: figure
        for name, figure in study["others"].items()
        if figure["auc"] is not None and figure["auc"] >= low
    }
    if near:
        lines.append(
            "We found no evidence that it is better than these controls of its "
            "study on the same recordings, whose AUC is within or above its "
            f"interval: {_listed(near)}."
        )
    if study["besides_cry"]:
        lines.append(
            "Without the cry, its classes are predicted with an AUC of: "
            f"{_listed(study['besides_cry'])}. What is above 0.5 there may be "
            "the room or the recorder, in its own result too."
        )
    else:
        lines.append(
            "Its study has not examined what background and files tell without "
            "the cry."
        )
    return lines


def _listed(figures: Dict[str, Dict]) -> str:
    ranked = sorted(figures, key=lambda name: -(figures[name]["auc"] or 0))
    return "; ".join(
        f"{name}, {with_interval(figures[name])}" for name in ranked
    )


def report_lines(metrics: Dict) -> List[str]:
    """Lines of ``report.md`` of a run with folds."""
    if not metrics.get("final"):
        return [
            "None: each fold has its own model. For one of all recordings, to "
            "share or to use, run the same command again with `--final True`."
        ]
    return [
        "`final/` holds one model of all recordings "
        f"({chosen_in_words(metrics['final'])}). It has been tested by nobody: "
        "the results above are those of the folds' models. Its calibration and "
        "threshold come from their out-of-fold scores."
    ]
