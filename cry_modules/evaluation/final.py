"""The final model of a cross-validation in words: what it is, and that nobody
has tested it."""

from typing import Dict, List


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
