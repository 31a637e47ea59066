"""Confusion matrices."""

import textwrap

import numpy as np
from sklearn.metrics import confusion_matrix

from cry_modules.figures import sheet
from cry_modules.figures.ranking import AT_SPECIFICITY
from cry_modules.figures.style import INK, PAGE, write_in

#: With more classes, cells have no numbers.
MOST_NUMBERS = 12
#: With more classes, axes have no names.
MOST_NAMES = 50


def draw_confusion(run, folder) -> None:
    """Write a classifier's confusion matrices as png and svg: with
    balanced class priors and, for two classes, also at the threshold."""
    test, choices = run.test, run.choices["recording"]
    n_classes, balanced = (
        len(run.classes),
        choices.balanced_predictions(test.scores),
    )
    panels = {"balanced class priors": balanced}
    if n_classes == 2:
        panels = {
            "balanced\nclass priors": balanced,
            "at the\nthreshold": at_threshold(test, choices),
        }
    width = sheet.COLUMN if n_classes <= 5 else sheet.TWO_COLUMNS
    letters = int((width - 1.1) / n_classes / len(panels) * 72 / 4.4)
    # A word that is wider than a cell.
    is_turned = max(map(len, " ".join(run.classes).split())) > letters
    names = 0.065 * max(map(len, run.classes)) if is_turned else 0.3
    a_row = 0.55 if n_classes == 2 else 0.4 if _has_numbers(run) else 0.13
    size = width, 0.8 + names + a_row * min(n_classes, MOST_NAMES)
    caption = f"{run.caption}{_caption(run)}"
    with sheet.sheet(folder, "confusion", size, caption) as figure:
        row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, (title, predicted) in zip(row, panels.items()):
            axes.set_title(title)
            if predicted is None:
                write_in(axes, "no threshold")
                continue
            counts = confusion_matrix(
                test.labels, predicted, labels=range(n_classes)
            )
            mesh = _draw_matrix(axes, counts)
            _name_cells(axes, run.classes, letters, is_turned)
        row[0].set_ylabel("true class")
        if not _has_numbers(run):
            figure.colorbar(mesh, label="share of the row", fraction=0.03)


def at_threshold(predictions, choices):
    """Classes predicted at the threshold chosen on validation, ``[n]``; None
    without one."""
    if choices.at_specificity is None:
        return None
    return (predictions.scores[:, 1] >= choices.at_specificity).astype(int)


def _has_numbers(run) -> bool:
    return len(run.classes) <= MOST_NUMBERS


def _draw_matrix(axes, counts):
    """Draw shares of the rows as colours; return them for a colour bar."""
    n_classes = len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    is_large = n_classes > MOST_NAMES
    mesh = axes.pcolormesh(
        shares, cmap="Blues", vmin=0, vmax=1, rasterized=is_large,
        edgecolors="none" if is_large else "0.8", linewidth=0.3,
    )  # fmt: skip
    axes.set_ylim(n_classes, 0)
    axes.grid(False)
    if n_classes <= MOST_NUMBERS:
        for (i, j), n in np.ndenumerate(counts):
            per_cent = f"\n{100 * shares[i, j]:.0f} %" if totals[i] else ""
            axes.text(
                j + 0.5, i + 0.5, f"{n}{per_cent}", ha="center", va="center",
                fontsize=sheet.SMALLEST,
                color=PAGE if shares[i, j] > 0.55 else INK,
            )  # fmt: skip
    return mesh


def _name_cells(axes, classes, letters, is_turned) -> None:
    columns = rows = classes if len(classes) <= MOST_NAMES else []
    at = np.arange(len(rows)) + 0.5
    if not is_turned:
        columns = [textwrap.fill(name, letters) for name in rows]
    if len(classes) <= MOST_NUMBERS:
        rows = [textwrap.fill(name, 12) for name in rows]
    axes.set_xticks(at, columns, rotation=90 if is_turned else 0)
    axes.set_yticks(at, rows)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class")


def _caption(run) -> str:
    accuracy = sheet.with_ci95(run.blocks["recording"], "balanced_accuracy")
    text = " Recordings, and per cent of the row." if _has_numbers(run) else ""
    text += (
        " Balanced class priors: the class whose probability exceeds its share in "
        f"training most; balanced accuracy {accuracy}."
    )
    # Only of two classes.
    if run.choices["recording"].at_specificity is not None:
        text += f" Threshold: chosen on validation {AT_SPECIFICITY}."
    return text
