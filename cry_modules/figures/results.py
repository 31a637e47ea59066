"""Pictures of what a classifier's test scores are worth.

> python -m cry_modules.figures.results results/neuro_linear/2022

Writes to ``figures/`` of the run folder, each as png and svg: ``roc``,
``precision_recall``, ``calibration``, ``confusion``, ``patients`` and
``training``. They are 85 mm wide (``confusion`` of more than five classes
180 mm), with no letter below 7 pt and no name of a patient, and drawn again
they are the same files.
"""

import argparse
import json
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from sklearn.metrics import confusion_matrix

from cry_modules.evaluation.outcome import Outcome, held_out
from cry_modules.figures.training import (
    COLOURS,
    MARKERS,
    draw_panels,
    panels,
    picture,
    read_run,
)
from cry_modules.metrics.bootstrap import patient_weights
from cry_modules.metrics.calibration import N_BINS, bin_of, event_probabilities
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.predictions import UNITS, Predictions
from cry_modules.metrics.ranking import OPERATING_SHARE, ranked_classes
from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError, one_line_errors

#: More classes than this have one curve, their mean.
MOST_CURVES = 8
#: More classes than this have no numbers in the confusion matrix.
MOST_NUMBERS = 12
#: More classes than this have no names on an axis.
MOST_NAMES = 50

#: Inches: one of two columns of A4, and both.
_COLUMN, _PAGE = 3.35, 7.1
_DPI = 300
_SMALLEST = 7  # pt
_STYLE = {
    "font.size": 8.5,  # what curves.py calls small is then 7.1
    "figure.titlesize": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": _SMALLEST,
    "ytick.labelsize": _SMALLEST,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.6,
    "text.parse_math": False,  # names are users'
}
_DASHES = ("-", "--", "-.", (0, (1, 1)))
_CHANCE = {"color": "0.45", "linestyle": (0, (4, 3)), "linewidth": 0.9}
_LINE = {"color": COLOURS[0], "linewidth": 1.4}
_DIAMOND = {
    "marker": "D", "markersize": 5.5, "linestyle": "", "color": COLOURS[1],
    "markeredgecolor": "black", "markeredgewidth": 0.7, "clip_on": False,
    "zorder": 5,
}  # fmt: skip
_TICK = {
    "marker": "|", "linestyle": "", "color": "0.4", "markeredgewidth": 0.6,
}  # fmt: skip
_THRESHOLD = {"color": "black", "linestyle": "--", "linewidth": 0.9}
_GRID = np.linspace(0, 1, 201)
_Z95 = 1.959963984540054  # of the normal distribution
_AT_SPECIFICITY = f"for {100 * OPERATING_SHARE:.0f} % specificity"
_LEAST_OF_A_GROUP = 10
#: Probabilities further out are drawn here.
_LEAST = 1e-4
#: What this reads of metrics.json.
_KEYS = (
    "classes", "test", "patient_score", "seed", "corpus", "encoder_source",
    "finetune_mode", "label_column",
)  # fmt: skip


@dataclass
class Results:
    """What the pictures of a run show.

    Arguments
    ---------
    test : Predictions
        By recording.
    patients : Predictions
        The same by patient.
    choices : dict
        ``Choices`` by unit, ``recording`` and ``patient``.
    blocks : dict
        What ``metrics.evaluate`` returns, by unit.
    caption : str
        Below each picture: whose scores these are.
    history : list of dict
        Rows of ``history.json``; empty where folds are pooled.
    seed : int
        Of the bootstrap.
    patient_score : str
        How a patient's score was made, see ``Predictions.by_patient``.
    """

    test: Predictions
    patients: Predictions
    choices: Dict[str, Choices]
    blocks: Dict[str, Dict]
    caption: str
    history: List[Dict] = field(default_factory=list)
    seed: int = 0
    patient_score: str = "mean_log_odds"

    @property
    def classes(self) -> List[str]:
        """Names, as short as a picture needs them."""
        return [_short(name, 20) for name in self.test.classes]

    @property
    def only_class(self) -> Optional[str]:
        """What all test recordings are, where they are of one class."""
        found = np.unique(self.test.labels)
        return self.classes[found[0]] if len(found) == 1 else None


def results_of(
    metrics: Dict, outcomes: List[Outcome], history: Sequence[Dict] = ()
) -> Results:
    """What the pictures show, from what a run leaves."""
    how = metrics["patient_score"]
    found = {unit: held_out(outcomes, unit, how) for unit in UNITS}
    return Results(
        found["recording"][0],
        found["patient"][0],
        {unit: choices for unit, (_, choices) in found.items()},
        metrics["test"],
        caption_of(metrics, len(outcomes)),
        list(history),
        metrics["seed"],
        how,
    )


def caption_of(metrics: Dict, n_folds: int = 1) -> str:
    """Whose scores these are.

    Example
    -------
    >>> metrics = {"corpus": "cries", "label_column": "neuro_injury"}
    >>> metrics.update(encoder_source=None, finetune_mode="linear")
    >>> metrics["test"] = {"recording": {"n": 12, "n_patients": 1}}
    >>> caption_of(metrics)
    'cries, neuro_injury. Random encoder, linear. 12 test recordings of 1 patient.'
    """
    block, encoder = metrics["test"]["recording"], metrics["encoder_source"]
    folds = f", pooled over {n_folds} folds" if n_folds > 1 else ""
    return (
        f"{metrics['corpus']}, {metrics['label_column']}. "
        f"{f'Encoder {encoder}' if encoder else 'Random encoder'}, "
        f"{metrics['finetune_mode']}. {_count(block['n'], 'test recording')} "
        f"of {_count(block['n_patients'], 'patient')}{folds}."
    )


def draw_results(run: Results, folder: Path) -> List[Path]:
    """Draw all pictures of a run."""
    figures = make_folder(Path(folder) / "figures")
    for kind in (ROC, PRECISION_RECALL):
        _draw_ranking(run, kind, figures)
    _draw_calibration(run, figures)
    _draw_confusion(run, figures)
    _draw_patients(run, figures)
    names = ["roc", "precision_recall", "calibration", "confusion", "patients"]
    learned = [
        panel
        for panel in panels(sorted({key for row in run.history for key in row}))
        if panel.title in ("loss", "validation AUC")
    ]
    if learned:
        _draw_training(run, learned, figures)
        names.append("training")
    return [figures / f"{name}.png" for name in names]


# A sheet is a figure above its caption.


@contextmanager
def _sheet(folder, name, size, caption):
    """Hand out a figure of this size, then write it twice."""
    width, height = size
    with plt.rc_context(_STYLE):
        lines = _lines(caption, 72 * width - 12)
        strip = (1.4 * _SMALLEST * len(lines) + 6) / 72
        path = folder / f"{name}.png"
        copies = [folder / f"{name}.svg"]
        with picture(path, (width, height + strip), copies, _DPI) as figure:
            above, below = figure.subfigures(2, height_ratios=[height, strip])
            below.text(
                6 / 72 / width, 1, "\n".join(lines), fontsize=_SMALLEST,
                va="top", linespacing=1.25,
            )  # fmt: skip
            yield above


def _lines(text, width) -> List[str]:
    """Text in lines of at most this width, pt."""
    lines, used = [[]], 0.0
    for word in text.replace(" %", "\xa0%").split(" "):
        word = _short(word, 48)
        used += _width(f"{word} ")
        if used > width and lines[-1]:
            lines.append([])
            used = _width(f"{word} ")
        lines[-1].append(word)
    return [" ".join(line) for line in lines]


@lru_cache(maxsize=None)
def _width(word) -> float:
    """In the letters of captions, pt."""
    font = FontProperties(size=_SMALLEST)
    return text_to_path.get_text_width_height_descent(word, font, False)[0]


def _short(name, longest) -> str:
    """A name without its middle where it is long."""
    if len(name) <= longest:
        return name
    last = (longest - 3) // 2
    return f"{name[: longest - 3 - last]}...{name[-last:]}"


def _count(n, what) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _say(axes, text) -> None:
    """Words where there is nothing to draw."""
    axes.tick_params(
        left=False, labelleft=False, bottom=False, labelbottom=False
    )
    axes.text(
        0.5, 0.5, textwrap.fill(text, 24), ha="center", va="center",
        transform=axes.transAxes,
    )  # fmt: skip


def _in_words(block, name) -> str:
    """A figure and its interval."""
    if block[name] is None:
        return "not defined"
    if block[f"{name}_ci95"] is None:
        return f"{block[name]:.3f}"
    low, high = block[f"{name}_ci95"]
    return f"{block[name]:.3f} (95 % {low:.3f} to {high:.3f})"


def _why_no_interval(block, name) -> str:
    if block[name] is None or block[f"{name}_ci95"] is not None:
        return ""
    why = block["no_interval"] or "the draws of patients give none"
    return f" No interval: {why}."


# ROC, and precision and recall.


def roc_points(
    positive: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """ROC curve under each row of weights, a point a distinct score.

    Shapes: positive ``[n]``, scores ``[n]``, weights ``[draws, n]``, false
    ``[draws, 1 + distinct scores]``.

    Example
    -------
    >>> positive, scores = np.array([0, 1, 1, 0]) > 0, np.array([1, 1, 2, 3])
    >>> roc_points(positive, scores, np.ones((1, 4)))
    (array([[0. , 0.5, 0.5, 1. ]]), array([[0. , 0. , 0.5, 1. ]]))
    """
    pos, neg = _called(positive, scores, weights)
    return neg / neg[:, -1:], pos / pos[:, -1:]


def precision_recall_points(
    positive: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Recall and precision under each row of weights, a point a distinct
    score. Where nothing is called the precision is 1, as in scikit-learn.

    Shapes: positive ``[n]``, scores ``[n]``, weights ``[draws, n]``, recall
    ``[draws, 1 + distinct scores]``.

    Example
    -------
    >>> positive, scores = np.array([0, 1, 1, 0]) > 0, np.array([1, 1, 2, 3])
    >>> precision_recall_points(positive, scores, np.ones((1, 4)))
    (array([[0. , 0. , 0.5, 1. ]]), array([[1. , 0. , 0.5, 0.5]]))
    """
    pos, neg = _called(positive, scores, weights)
    called = pos + neg
    precision = np.divide(pos, called, out=np.ones_like(pos), where=called > 0)
    return pos / pos[:, -1:], precision


def _called(positive, scores, weights):
    """Weight of the positives and of the negatives that are called from each
    score on, from nothing to all."""
    order = np.argsort(-scores, kind="stable")
    weights, positive = weights[:, order], positive[order]
    is_last = np.append(np.diff(scores[order]) != 0, True)  # of equal scores
    pos, neg = (
        np.cumsum(weights * who, axis=1)[:, is_last]
        for who in (positive, ~positive)
    )
    known = (pos[:, -1] > 0) & (neg[:, -1] > 0)
    return tuple(np.pad(x[known], ((0, 0), (1, 0))) for x in (pos, neg))


def _sensitivity_at(false, true):
    """At each false positive rate of the grid, on the line between points."""
    return np.interp(_GRID, false, true)


def _precision_at(recall, precision):
    """At each recall of the grid: at the highest score that reaches it."""
    return precision[np.searchsorted(recall, _GRID)]


def _roc_point(block, classes):
    """Where the validation threshold lies."""
    sensitivity = block["sensitivity_at_spec80"]
    specificity = block["specificity_at_threshold"]
    if sensitivity is None or specificity is None:
        return None
    words = f"sensitivity {sensitivity:.3f}, specificity {specificity:.3f}"
    return 1 - specificity, sensitivity, words


def _precision_recall_point(block, classes):
    point = _roc_point(block, classes)
    n_neg, n_pos = (block["per_class"][name]["n"] for name in classes)
    called = point and n_pos * point[1] + n_neg * point[0]
    if not called:
        return None
    recall, precision = point[1], n_pos * point[1] / called
    return recall, precision, f"recall {recall:.3f}, precision {precision:.3f}"


def _draw_diagonal(axes, shares, whose):
    axes.plot([0, 1], [0, 1], **_CHANCE, label="chance")


def _draw_shares(axes, shares, whose):
    for colour, share in shares:
        axes.axhline(share, **{**_CHANCE, "color": colour})
    value = f" {shares[0][1]:.3f}" if len(shares) == 1 else ""
    axes.plot([], [], **_CHANCE, label=f"chance: {whose}{value}")


class Ranking(NamedTuple):
    """A kind of curve that shows how scores rank.

    Arguments
    ---------
    name : str
        Of its files.
    title : str
        Above it.
    measure : str
        What sums it up, in ``metrics.json``.
    short : str
        The same in words.
    x : str
        What the axis from left to right is.
    y : str
        What the axis from below is.
    drawstyle : str
        How matplotlib joins its points.
    points : callable
        ``roc_points`` or ``precision_recall_points``.
    at : callable
        From the points of a curve to its height at the grid.
    operating_point : callable
        From a block and two classes to x, y and words; or None.
    draw_chance : callable
        From axes, colour and share of positives of each curve, and words.
    """

    name: str
    title: str
    measure: str
    short: str
    x: str
    y: str
    drawstyle: str
    points: Callable
    at: Callable
    operating_point: Callable
    draw_chance: Callable


ROC = Ranking(
    "roc",
    "ROC curve",
    "auc",
    "AUC",
    "false positive rate (1 - specificity)",
    "sensitivity",
    "default",
    roc_points,
    _sensitivity_at,
    _roc_point,
    _draw_diagonal,
)
PRECISION_RECALL = Ranking(
    "precision_recall",
    "Precision and recall",
    "average_precision",
    "average precision",
    "recall (sensitivity)",
    "precision (positive predictive value)",
    "steps-pre",
    precision_recall_points,
    _precision_at,
    _precision_recall_point,
    _draw_shares,
)


def band(
    kind: Ranking, test: Predictions, seed: int, n_draws: int
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the curve of the last class lies in 95 % of the draws of
    patients, at each x by itself.

    Shapes: x, low, high ``[201]``.
    """
    positive, scores = test.labels == 1, test.scores[:, 1]
    drawn = [
        kind.at(x, y)
        for weights in patient_weights(test.patients, seed, n_draws)
        for x, y in zip(*kind.points(positive, scores, weights))
    ]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return _GRID, low, high


def _draw_ranking(run, kind, folder):
    about = f"{run.caption}{_about_ranking(run, kind)}"
    size = _COLUMN, 3.3 + 0.17 * _legend_lines(run)
    with _sheet(folder, kind.name, size, about) as figure:
        axes = figure.subplots()
        axes.set(xlabel=kind.x, ylabel=kind.y)
        axes.set_title(_title_of_ranking(run, kind))
        if run.only_class:
            _say(axes, f"no curve: all test recordings are {run.only_class}")
            return
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.grid(alpha=0.3, linewidth=0.5)
        draw = _draw_two if len(run.classes) == 2 else _draw_many
        draw(axes, run, kind)
        figure.legend(loc="outside lower center", frameon=False)


def _legend_lines(run) -> int:
    if len(run.classes) == 2:
        return 4  # curve, two of the operating point, chance
    if len(run.classes) > MOST_CURVES:
        return 2
    return 1 + len(np.unique(run.test.labels))


def _title_of_ranking(run, kind) -> str:
    if len(run.classes) == 2:
        return f"{kind.title} of {run.classes[1]}"
    macro = run.blocks["recording"][kind.measure]
    found = "not defined" if macro is None else f"{macro:.3f}"
    return f"{kind.title}\nmacro {kind.short} {found}"


def _about_ranking(run, kind) -> str:
    """What is drawn, for the caption."""
    block = run.blocks["recording"]
    if run.only_class:
        return ""
    if len(run.classes) == 2:
        about = _about_point(run, kind) + _about_band(block, kind)
    else:
        about = f"{_about_classes(run)} Macro {kind.short} "
        about += f"{_in_words(block, kind.measure)}."
    return about + _why_no_interval(block, kind.measure)


def _about_point(run, kind) -> str:
    if kind.operating_point(run.blocks["recording"], run.test.classes):
        return f" Diamond: threshold chosen on validation {_AT_SPECIFICITY}."
    if run.choices["recording"].at_specificity is None:
        return " Validation gives no threshold."
    return " Nothing is called positive at the threshold of validation."


def _about_band(block, kind) -> str:
    if block[f"{kind.measure}_ci95"] is None:
        return ""
    return (
        f" Band: 95 % of {block['bootstrap_draws']} draws of patients with "
        "replacement, at each point of the axis by itself."
    )


def _about_classes(run) -> str:
    about = " Each class against the rest."
    if len(run.classes) > MOST_CURVES:
        about = " Mean over the classes, each against the rest."
    missing = len(run.classes) - len(np.unique(run.test.labels))
    if missing:
        about += f" Classes without test recordings: {missing}."
    return about


def _draw_two(axes, run, kind):
    """The curve of the last class with its band, and the threshold."""
    block, test = run.blocks["recording"], run.test
    positive = test.labels == 1
    if block[f"{kind.measure}_ci95"] is not None:
        x, low, high = band(kind, test, run.seed, block["bootstrap_draws"])
        axes.fill_between(x, low, high, color=COLOURS[0], alpha=0.2, lw=0)
    words = f"{kind.short} {_in_words(block, kind.measure)}"
    (x,), (y,) = kind.points(positive, test.scores[:, 1], _ones(test))
    axes.plot(x, y, **_LINE, drawstyle=kind.drawstyle, label=words)
    point = kind.operating_point(block, test.classes)
    if point:
        x, y, words = point
        where = _threshold_in_words(run.choices["recording"])
        axes.plot(x, y, **_DIAMOND, label=f"at {where}:\n{words}")
    shares = [(_CHANCE["color"], positive.mean())]
    kind.draw_chance(axes, shares, "share of positives")


def _threshold_in_words(choices) -> str:
    if np.ndim(choices.at_specificity):
        return "the threshold of each fold"
    return f"the threshold {choices.at_specificity:.3g}"


def _draw_many(axes, run, kind):
    """A curve a class against the rest, or their mean."""
    test = run.test
    ranked = ranked_classes(test.labels, len(run.classes))
    curves = {
        k: kind.points(test.labels == k, test.scores[:, k], _ones(test))
        for k in ranked
    }
    shares = {k: np.mean(test.labels == k) for k in ranked}
    if len(run.classes) > MOST_CURVES:
        mean = np.mean(
            [kind.at(x[0], y[0]) for x, y in curves.values()], axis=0
        )
        axes.plot(_GRID, mean, **_LINE, label=f"mean of {len(ranked)} classes")
        mean = [(_CHANCE["color"], np.mean(list(shares.values())))]
        kind.draw_chance(axes, mean, "mean share of a class")
        return
    for k, (x, y) in curves.items():
        block = run.blocks["recording"]["per_class"][run.test.classes[k]]
        axes.plot(
            x[0], y[0], **_look(k), drawstyle=kind.drawstyle, markersize=4,
            linewidth=1.2, linestyle=_DASHES[k % len(_DASHES)],
            markevery=(0.02 * k, 0.15),
            label=f"{run.classes[k]}: {block[kind.measure]:.3f}, share "
            f"{shares[k]:.3f}",
        )  # fmt: skip
    lines = [(_look(k)["color"], share) for k, share in shares.items()]
    kind.draw_chance(axes, lines, "share of the class")


def _ones(test) -> np.ndarray:
    return np.ones((1, len(test.labels)))


def _look(k) -> Dict:
    """Of a class: colours and marks repeat, both together do not."""
    return {
        "color": COLOURS[k % len(COLOURS)],
        "marker": MARKERS[k % len(MARKERS)],
    }


# Calibration.


class Group(NamedTuple):
    """Recordings of which about the same was claimed.

    Arguments
    ---------
    claimed : float
        Mean probability.
    share : float
        Of the recordings of which it was true.
    low : float
        Of its 95 % interval.
    high : float
        Of its 95 % interval.
    """

    claimed: float
    share: float
    low: float
    high: float


def groups(
    claimed: np.ndarray, happened: np.ndarray, patients: Sequence[str]
) -> List[Group]:
    """Recordings from the lowest claim to the highest, in up to ten groups of
    as many each. Of a rare class nearly all claims are low, so that bins of
    equal width would show one point.

    Recordings of one patient are alike, so the interval is that of as many
    observations as there are patients.

    Shapes: claimed ``[n]``, happened ``[n]``, patients ``[n]``.

    Example
    -------
    >>> claimed = np.repeat([0.1, 0.7], 10)
    >>> for group in groups(claimed, claimed > 0.5, [*range(20)]):
    ...     print(f"{group.claimed:.1f} {group.share:.1f} {group.low:.2f}")
    0.1 0.0 0.00
    0.7 1.0 0.72
    """
    n_groups = int(np.clip(len(claimed) // _LEAST_OF_A_GROUP, 1, N_BINS))
    edges = np.quantile(claimed, np.arange(1, n_groups) / n_groups)
    which = np.searchsorted(edges, claimed, side="right")
    found, patients = [], np.asarray(patients)
    for k in np.unique(which):
        inside = which == k
        share = float(happened[inside].mean())
        interval = wilson(share, len(set(patients[inside])))
        found.append(Group(float(claimed[inside].mean()), share, *interval))
    return found


def wilson(share: float, n: int) -> Tuple[float, float]:
    """95 % interval of a share by Wilson's formula.

    Example
    -------
    >>> low, high = wilson(0.5, 10)
    >>> print(f"{low:.3f} {high:.3f}")
    0.237 0.763
    """
    z2 = _Z95**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    half = np.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _draw_calibration(run, folder):
    test = run.test
    claimed, happened = event_probabilities(test.labels, test.scores)
    found = groups(claimed, happened, test.patients)
    limit = _end_of_axes(found)
    what, share = "of the class called", "share that is right"
    if len(run.classes) == 2:
        what, share = f"of {run.classes[1]}", f"share that is {run.classes[1]}"
    about = f"{run.caption} {_about_calibration(run.blocks['recording'])}"
    size = _COLUMN, 4.1 if limit == 1 else 4.4
    with _sheet(folder, "calibration", size, about) as figure:
        upper, lower = figure.subplots(
            2, sharex=limit == 1, height_ratios=[5, 1]
        )
        upper.set_title("Calibration")
        ends = (-0.02 * limit, 1.02 * limit)
        upper.set(ylabel=share, xlim=ends, ylim=ends)
        upper.grid(alpha=0.3, linewidth=0.5)
        upper.plot([0, limit], [0, limit], **_CHANCE)
        for group in found:
            x, y, low, high = group
            upper.vlines(x, low, high, COLOURS[0], linewidth=1.2)
            upper.plot(x, y, "o", color=COLOURS[0], markersize=5)
        if limit < 1:
            upper.set_xlabel("claimed probability, mean of a group")
            lower.set_xlim(-0.02, 1.02)
        lower.set(xlabel=f"claimed probability {what}", ylabel="n", yticks=[])
        _draw_counts(lower, np.bincount(bin_of(claimed), minlength=N_BINS))


def _end_of_axes(found) -> float:
    """1, or less where nothing would be seen of a rare class."""
    top = max(max(group.claimed, group.high) for group in found)
    return 1.0 if top > 0.4 else 1.05 * top


def _draw_counts(axes, n_of):
    """Recordings in each bin, bars with numbers."""
    axes.set_ylim(0, 1.7 * n_of.max())
    for k, n in enumerate(n_of):
        middle = (k + 0.5) / N_BINS
        axes.bar(middle, n, 0.9 / N_BINS, color="0.7")
        text = f"{n}" if n < 10000 else f"{n / 1000:.0f}k"
        axes.text(
            middle, n, text, ha="center", va="bottom", fontsize=_SMALLEST
        )  # fmt: skip


def _about_calibration(block) -> str:
    about = f"Expected calibration error {_in_words(block, 'ece')}."
    if len(block["per_class"]) == 2:
        about += (
            f" Slope {_in_words(block, 'calibration_slope')}, 1 is right. "
            f"Intercept {_in_words(block, 'calibration_intercept')}, 0 is "
            "right."
        )
    return (
        f"{about} Points: groups of as many recordings each, by claim; bars: "
        "95 % Wilson intervals that count patients; n: recordings in the bins "
        "of the error, of equal width."
    )


# Confusion.


def _draw_confusion(run, folder):
    test, choices = run.test, run.choices["recording"]
    n_classes = len(run.classes)
    calls = {"called at equal prevalence": choices.balanced_calls(test.scores)}
    if n_classes == 2:
        calls = {
            "called at\nequal prevalence": choices.balanced_calls(test.scores),
            "called at\nthe threshold": _at_threshold(test, choices),
        }
    width = _COLUMN if n_classes <= 5 else _PAGE
    cell = 72 * (width - 1.1) / n_classes / len(calls)
    turned = not _fit(run.classes, cell)
    size = width, _height_of_confusion(run.classes, turned)
    about = f"{run.caption}{_about_confusion(run)}"
    with _sheet(folder, "confusion", size, about) as figure:
        row = figure.subplots(1, len(calls), squeeze=False, sharey=True)[0]
        for axes, (title, called) in zip(row, calls.items()):
            axes.set_title(title)
            if called is None:
                _say(axes, "no threshold")
                continue
            counts = confusion_matrix(
                test.labels, called, labels=range(n_classes)
            )
            mesh = _draw_matrix(axes, counts)
            _name_cells(axes, run.classes, cell, turned)
        row[0].set_ylabel("true class")
        if n_classes > MOST_NUMBERS:
            figure.colorbar(mesh, label="share of the row", fraction=0.03)


def _about_confusion(run) -> str:
    block, choices = run.blocks["recording"], run.choices["recording"]
    about = " Recordings, and per cent of the row."
    if len(run.classes) > MOST_NUMBERS:
        about = ""
    about += (
        " Equal prevalence: the class whose probability exceeds its share in "
        "training most; balanced accuracy "
        f"{_in_words(block, 'balanced_accuracy')}."
    )
    if len(run.classes) == 2 and choices.at_specificity is not None:
        about += f" Threshold: chosen on validation {_AT_SPECIFICITY}."
    return about


def _at_threshold(predictions, choices) -> Optional[np.ndarray]:
    """Classes called, [n]."""
    if choices.at_specificity is None:
        return None
    return (predictions.scores[:, 1] >= choices.at_specificity).astype(int)


def _fit(classes, cell) -> bool:
    """Whether each word has room in a cell this wide, pt."""
    words = " ".join(classes).split()
    return max(map(len, words)) <= _letters(cell)


def _letters(width) -> int:
    return int(width / (0.62 * _SMALLEST))


def _height_of_confusion(classes, turned) -> float:
    """Inches; names and numbers need room."""
    n = len(classes)
    a_row = 0.55 if n == 2 else 0.4 if n <= MOST_NUMBERS else 0.13
    names = 0.065 * max(map(len, classes)) if turned else 0.3
    return 0.8 + names + a_row * min(n, MOST_NAMES)


def _draw_matrix(axes, counts):
    """Shares of the rows as colours; return them."""
    n_classes = len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    is_large = n_classes > MOST_NAMES
    mesh = axes.pcolormesh(
        shares, cmap="Blues", vmin=0, vmax=1, rasterized=is_large,
        edgecolors="none" if is_large else "0.8", linewidth=0.3,
    )  # fmt: skip
    axes.set_ylim(n_classes, 0)
    if n_classes <= MOST_NUMBERS:
        for (i, j), n in np.ndenumerate(counts):
            per_cent = f"\n{100 * shares[i, j]:.0f} %" if totals[i] else ""
            axes.text(
                j + 0.5, i + 0.5, f"{n}{per_cent}", ha="center", va="center",
                fontsize=_SMALLEST,
                color="white" if shares[i, j] > 0.55 else "black",
            )  # fmt: skip
    return mesh


def _name_cells(axes, classes, cell, turned):
    """Names below and beside."""
    at = np.arange(len(classes)) + 0.5
    if len(classes) > MOST_NAMES:
        at, classes = [], []
    below = beside = classes
    if not turned:
        below = [textwrap.fill(name, _letters(cell)) for name in classes]
    if len(classes) <= MOST_NUMBERS:
        beside = [textwrap.fill(name, 12) for name in classes]
    axes.set_xticks(at, below, rotation=90 if turned else 0)
    axes.set_yticks(at, beside)
    axes.tick_params(length=0)
    axes.set_xlabel("class called")


# Patients.


def _draw_patients(run, folder):
    units, choices = run.patients, run.choices["patient"]
    shown = np.unique(units.labels).tolist()  # from below
    if len(run.classes) > 2:
        shown = shown[::-1]
    height = float(np.clip(0.17 * len(shown), 3.2, 9))
    strip = 72 * 0.9 * height / len(shown)  # pt
    about = f"{run.caption} {_about_patients(run)}"
    with _sheet(folder, "patients", (_COLUMN, height + 1.1), about) as figure:
        axes = figure.subplots()
        figure.suptitle(_title_of_patients(run))
        for place, k in enumerate(shown):
            _draw_strip(axes, run, k, place, strip)
        if _one_threshold(choices):
            axes.axvline(_log_odds(choices.at_specificity), **_THRESHOLD)
        _name_strips(axes, run, shown)
        _scale_probability(axes)
        figure.legend(
            handles=_legend_of_patients(choices), loc="outside lower center",
            frameon=False, ncols=2,
        )  # fmt: skip


def _draw_strip(axes, run, k, place, strip):
    """Patients of a class, a row each from the lowest score on."""
    units = run.patients
    x = _log_odds(_claimed(units))
    rows = np.flatnonzero(units.labels == k)
    rows = rows[np.argsort(x[rows], kind="stable")]
    y = place + 0.05 + 0.9 * (np.arange(len(rows)) + 0.5) / len(rows)
    row_of = {units.patients[i]: at for i, at in zip(rows, y)}
    mine = np.flatnonzero(run.test.labels == k)
    axes.plot(
        _log_odds(_claimed(run.test))[mine],
        [row_of[run.test.patients[i]] for i in mine],
        **_TICK, markersize=np.clip(strip / len(rows), 2.5, 5),
    )  # fmt: skip
    wrong = _calls(units, run.choices["patient"])[rows] != k
    look = {**_look(k), "markersize": np.clip(strip / len(rows), 2, 5)}
    for which, filling in ((~wrong, look["color"]), (wrong, "white")):
        axes.plot(
            x[rows][which], y[which], **look, linestyle="",
            markeredgewidth=0.7, markerfacecolor=filling,
        )  # fmt: skip
    if strip > 5:
        axes.axhline(place, color="0.6", linewidth=0.5)


def _calls(units, choices) -> np.ndarray:
    """At the threshold where there is one, else at equal prevalence."""
    called = _at_threshold(units, choices)
    return choices.balanced_calls(units.scores) if called is None else called


def _claimed(units) -> np.ndarray:
    """Probability of the positive class; of more than two, of the true one."""
    if len(units.classes) == 2:
        return units.scores[:, 1]
    return units.scores[np.arange(len(units.labels)), units.labels]


def _log_odds(probability):
    p = np.clip(probability, _LEAST, 1 - _LEAST)
    return np.log(p / (1 - p))


def _one_threshold(choices) -> bool:
    threshold = choices.at_specificity
    return threshold is not None and np.ndim(threshold) == 0


def _name_strips(axes, run, shown):
    n_of = np.bincount(run.patients.labels, minlength=len(run.classes))
    axes.set_ylim(0, len(shown))
    names = [run.classes[k] for k in shown]
    if len(shown) <= MOST_CURVES:
        names = [
            f"{textwrap.fill(name, 12)}\nn = {n_of[k]}"
            for k, name in zip(shown, names)
        ]
    if len(shown) > MOST_NAMES:
        names = [""] * len(names)
    axes.set_yticks(np.arange(len(shown)) + 0.5, names)
    axes.tick_params(axis="y", length=0)
    what = f"of {run.classes[1]}"
    if len(run.classes) > 2:
        what = "of the true class"
    axes.set_xlabel(f"claimed probability {what}")


def _scale_probability(axes):
    """Probabilities on an axis of log-odds, 0.1 to 0.9 at least."""
    low, high = axes.dataLim.intervalx
    low, high = min(low, -2.3), max(high, 2.3)
    axes.set_xlim(low - 0.3, high + 0.3)
    ticks = (0.0001, 0.01, 0.5, 0.99, 0.9999)
    if high - low < 14:
        ticks = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
    ticks = [p for p in ticks if low - 0.3 <= _log_odds(p) <= high + 0.3]
    axes.set_xticks([_log_odds(p) for p in ticks], [f"{p:g}" for p in ticks])
    axes.grid(axis="x", alpha=0.3, linewidth=0.5)


def _legend_of_patients(choices) -> List[Line2D]:
    dot = {"color": "0.3", "marker": "o", "markersize": 4, "linestyle": ""}
    entries = [
        Line2D([], [], **dot, label="patient, called rightly"),
        Line2D([], [], **dot, markerfacecolor="white", label="called wrongly"),
        Line2D([], [], **_TICK, markersize=5, label="recording"),
    ]
    if _one_threshold(choices):
        entries.append(Line2D([], [], **_THRESHOLD, label="threshold"))
    return entries


def _title_of_patients(run) -> str:
    macro = "macro " if len(run.classes) > 2 else ""
    found = _in_words(run.blocks["patient"], "auc")
    return f"Scores by patient\n{macro}AUC {found}"


def _about_patients(run) -> str:
    units, choices = run.patients, run.choices["patient"]
    about = (
        "A row a patient, from the lowest score on; patient's score: "
        f"{run.patient_score.replace('_', ' ')} of the recordings. "
    )
    if choices.at_specificity is None:
        about += "Called at equal prevalence."
    else:
        about += (
            f"Called at {_threshold_in_words(choices)}, chosen on validation "
            f"{_AT_SPECIFICITY}"
        )
        point = _roc_point(run.blocks["patient"], run.test.classes)
        about += f": {point[2]}." if point else "."
    scores = np.concatenate([_claimed(units), _claimed(run.test)])
    if np.any((scores < _LEAST) | (scores > 1 - _LEAST)):
        about += (
            f" Scores below {_LEAST:g} or above {1 - _LEAST:g} are drawn there."
        )
    return about


# Training.


def _draw_training(run, learned, folder):
    height = 0.7 + 1.8 * len(learned)
    with _sheet(folder, "training", (_COLUMN, height), run.caption) as figure:
        figure.suptitle("Training")
        draw_panels(figure, learned, {"": run.history}, 1)


# The command line.


def read_results(folder: Path) -> Results:
    """What a run folder holds, or the folds of a cross-validation."""
    folder = Path(folder)
    metrics = _read_metrics(folder, _KEYS)
    folds = metrics.get("folds", ["."])
    outcomes = [_read_outcome(folder / fold, metrics) for fold in folds]
    history = [] if "folds" in metrics else read_run(str(folder))
    return results_of(metrics, outcomes, history)


def _read_metrics(folder, keys) -> Dict:
    path = folder / "metrics.json"
    if not path.is_file():
        raise InputError(
            f"{folder} holds no metrics.json; pass the output_folder of "
            "train_cls.py, once it is done"
        )
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        metrics = {}
    for key in keys:
        if key not in metrics:
            raise InputError(
                f"{path} has no {key!r}, so this version did not write it; "
                "train again into another folder"
            )
    return metrics


def _read_outcome(folder, whole) -> Outcome:
    """Validation and test predictions, and shares in training."""
    share = _read_metrics(folder, ["prevalence"])["prevalence"]
    paths = [folder / f"predictions_{split}.csv" for split in ("valid", "test")]
    valid, test = map(Predictions.read, paths)
    for path, predictions in zip(paths, (valid, test)):
        if predictions.classes != whole["classes"]:
            raise InputError(
                f"{path} has scores of {', '.join(predictions.classes)} and "
                f"metrics.json of {', '.join(whole['classes'])}; keep the "
                "files of one run in a folder"
            )
    return Outcome(valid, test, None if share is None else np.array(share))


def main(argv: Optional[Sequence[str]] = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument(
        "run_folder", type=Path, metavar="RUN_FOLDER",
        help="output_folder of a training, or of the folds of one",
    )  # fmt: skip
    folder = parser.parse_args(argv).run_folder
    with one_line_errors():
        drawn = draw_results(read_results(folder), folder)
        print(f"{len(drawn)} pictures in {folder / 'figures'}")


if __name__ == "__main__":
    main()
