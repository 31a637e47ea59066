"""Numbers as reports print them."""

from typing import Dict, Optional, Sequence


def count(n: int, thing: str) -> str:
    """Write a number of things."""
    return f"{n} {thing}" + "s" * (n != 1)


def with_interval(block: Dict, name: str = "auc") -> str:
    """Write a metric of a block of ``metrics.json`` and its interval.

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
    """Write an interval."""
    return " to ".join(format(end, form) for end in ci95)


def p_in_words(p: Optional[float]) -> str:
    """Write a p value, which is never 0.

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
    """Write a difference between two models, its interval and p."""
    if difference["difference"] is None:
        return "not defined"
    text = f"{difference['difference']:+.3f}"
    if difference["ci95"] is None:
        return text
    ci95 = interval_in_words(difference["ci95"], "+.3f")
    return f"{text} ({ci95}, {p_in_words(difference['p'])})"
