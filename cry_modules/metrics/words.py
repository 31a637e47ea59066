"""Numbers as reports print them."""

from typing import Dict, Iterable, List, Optional, Sequence

from data_prep.files.words import count


def units_in_words(unit: str, n: int, n_patients: int) -> str:
    """Number of recordings or of patients that are classified.

    Example
    -------
    >>> units_in_words("patient", 44, 22), units_in_words("patient", 22, 22)
    ('22 patients, 44 patient-class pairs', '22 patients')
    """
    patients = count(n_patients, "patient")
    if unit == "recording":
        return f"{count(n, unit)} of {patients}"
    pairs = f", {n} patient-class pairs"
    return patients + (pairs if n != n_patients else "")


def folds_in_words(block: Dict) -> str:
    """Folds within which recordings are compared, as the end of a sentence;
    empty without folds.

    Example
    -------
    >>> folds_in_words({"n_folds": 5, "n_without_pair": 0})
    'within 5 folds'
    >>> folds_in_words({"n_folds": 5, "n_without_pair": 8})
    'within 5 folds (8 in folds of one class are left out)'
    """
    if "n_folds" not in block:
        return ""
    text, n = (
        f"within {count(block['n_folds'], 'fold')}",
        block["n_without_pair"],
    )
    return text + (f" ({n} in folds of one class are left out)" if n else "")


def with_interval(block: Dict, name: str = "auc") -> str:
    """Metric of a block of ``metrics.json`` with its interval, as text.

    Example
    -------
    >>> with_interval({"auc": 0.9151, "auc_ci95": [0.76, 0.991]})
    '0.915 (0.760 to 0.991)'
    >>> with_interval({"auc": 1.0, "auc_ci95": None})
    '1.000 (no interval)'
    >>> with_interval({"auc": None, "auc_ci95": None})
    'not defined'
    """
    if block[name] is None:
        return "not defined"
    ci95 = block.get(f"{name}_ci95")
    text = "no interval" if ci95 is None else interval_in_words(ci95)
    return f"{block[name]:.3f} ({text})"


def interval_in_words(ci95: Sequence[float], form: str = ".3f") -> str:
    """Interval as text, ``0.760 to 0.991``."""
    return " to ".join(format(end, form) for end in ci95)


def p_in_words(p: Optional[float]) -> str:
    """p value as text, never 0: ``p = 0.031``, ``p < 0.001``.

    Example
    -------
    >>> p_in_words(0.0002), p_in_words(0.0312)
    ('p < 0.001', 'p = 0.031')
    """
    if p is None:
        return "no p"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def difference_in_words(difference: Dict) -> str:
    """Difference between two models with its interval and p, as text."""
    if difference["difference"] is None:
        return "not defined"
    text = f"{difference['difference']:+.3f}"
    if difference["ci95"] is None:
        return text
    ci95 = interval_in_words(difference["ci95"], "+.3f")
    return f"{text} ({ci95}, {p_in_words(difference['p'])})"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence]) -> List[str]:
    """Lines of a Markdown table; a ``|`` in a cell is escaped."""
    lines = ["|---" * len(head) + "|"]
    for cells in (head, *rows):
        texts = [str(cell).replace("|", "\\|") for cell in cells]
        lines.append(
            "|" + "|".join(f" {t} " if t else " " for t in texts) + "|"
        )
    return [lines[1], lines[0], *lines[2:]]
