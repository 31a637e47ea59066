"""Sheets for print: a picture above its caption, as png and svg.

A sheet is one column of A4 wide (85 mm), or two, and no letter is smaller
than 7 pt.
"""

import textwrap
from contextlib import contextmanager

from cry_modules.figures.style import picture, shortened
from cry_modules.metrics.words import interval_in_words

COLUMN, TWO_COLUMNS = 3.35, 7.1  # inches
SMALLEST = 7  # pt

_FONT_SIZE = 8.5  # pt; matplotlib's "small" is then 7.1
_DPI = 300
_LETTERS = 17  # of a caption, per inch


@contextmanager
def sheet(folder, name, size, caption):
    """Context manager with a figure of this size, inches, to draw in; after the
    block, it is written as png and svg with its caption below it."""
    width, height = size
    words = caption.replace(" %", "\xa0%").split(" ")
    caption = " ".join(shortened(word, 48) for word in words)
    lines = textwrap.wrap(
        caption, int(_LETTERS * width), break_on_hyphens=False
    )
    strip = (1.4 * SMALLEST * len(lines) + 6) / 72
    path, copies = folder / f"{name}.png", [folder / f"{name}.svg"]
    with picture(
        path, (width, height + strip), copies, _DPI, _FONT_SIZE
    ) as figure:
        above, below = figure.subfigures(2, height_ratios=[height, strip])
        below.text(
            6 / 72 / width, 1, "\n".join(lines), fontsize=SMALLEST, va="top",
            linespacing=1.25,
        )  # fmt: skip
        yield above


def with_ci95(block, name) -> str:
    """Format a metric of a ``metrics.json`` block with its interval, if any."""
    if block[name] is None:
        return "not defined"
    text, ci95 = f"{block[name]:.3f}", block[f"{name}_ci95"]
    return f"{text} (95 % {interval_in_words(ci95)})" if ci95 else text


def threshold_in_words(choices) -> str:
    """The threshold chosen on validation, or those of several folds."""
    if getattr(choices.at_specificity, "ndim", 0):
        return "the threshold of each fold"
    return f"the threshold {choices.at_specificity:.3g}"
