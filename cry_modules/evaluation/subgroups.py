"""Subgroups: the metrics of a run by the values of any column, such as
hospital, age or sex.

Metrics of groups differ by chance, the more the smaller the groups are. So
the largest and the smallest AUC are compared with those of random groups, in
which patients with the same labels exchange their groups. The null hypothesis
is that a group says nothing about the scores of a patient whose labels are
known. In 1,000 simulated runs under it, p was up to 0.05 in 5 to 6 % (two or
three groups, also of unequal size, patients in several of them, three
classes). If scores of one group are shifted against another's (sites that are
the folds) and the AUC is the same, p is too large: up to 0.05 in 1 to 2 %. A p
above it does not make groups equal: an AUC of 0.9 against 0.6 was detected
with 40 patients a group in 71 %, with 20 in 38 %. Each column is one test: of
twenty, one is below 0.05.
"""

from collections import defaultdict
from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from cry_modules.metrics.bootstrap import N_DRAWS, too_few_patients
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.evaluate import class_counts, evaluate
from cry_modules.metrics.figures import shown_in
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.within_folds import macro_auc
from cry_modules.metrics.words import markdown_table, with_interval
from data_prep.corpora.folds import as_number, natural_order
from data_prep.files.errors import InputError

#: A column of more values has three groups if they are numbers.
MOST_GROUPS = 12
N_PERMUTATIONS = 1000
#: Groups are reported to differ below this p.
SHOWN_BELOW = 0.05
NOT_GIVEN = "(not given)"

_ROUNDING = 1e-12
_PERMUTATIONS_AT_ONCE = 100  # memory does not grow with their number


def by_subgroup(
    predictions: Predictions,
    choices: Choices,
    columns: Dict[str, Dict[str, str]],
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Dict:
    """Metrics of each group of each column, and p of the AUC differing between
    groups; `columns` holds the cell of each recording."""
    result = {}
    for column, cell_of in columns.items():
        cells = _cells(predictions, column, cell_of)
        names, group = assign_groups(cells, predictions.patients, column)
        blocks = {
            name: _block(predictions, choices, group == g, seed, n_draws)
            for g, name in enumerate(names)
        }
        large = [
            g for g, name in enumerate(names) if "too_small" not in blocks[name]
        ]
        rows = np.flatnonzero(np.isin(group, large))
        result[column] = {
            "groups": blocks,
            "p": permutation_p(predictions.take(rows), group[rows], seed),
        }
    return result


def _cells(predictions, column, cell_of) -> List[str]:
    for ID in predictions.ids:
        if ID not in cell_of:
            raise InputError(
                f"--subgroups {column}: test recording {ID!r} has no row in "
                "the table; pass the recordings.csv of the run"
            )
    return [cell_of[ID] for ID in predictions.ids]


def _block(predictions, choices, members, seed, n_draws) -> Dict:
    part = predictions.take(np.flatnonzero(members))
    block = {
        "n": len(part.ids),
        "n_patients": len(set(part.patients)),
        "per_class": class_counts(part),
    }
    # All classes of the test must be in a group, or its AUC is another
    # quantity than that of the others.
    present = [part.classes[k] for k in np.unique(predictions.labels)]
    why_not = too_few_patients(
        {name: block["per_class"][name]["n_patients"] for name in present},
        "figures need",
    )
    if why_not is not None:
        return {**block, "too_small": why_not}
    evaluated = evaluate(part, _choices_of(choices, members), seed, n_draws)
    for name in shown_in("subgroups"):
        block[name] = evaluated[name]
        block[f"{name}_ci95"] = evaluated[f"{name}_ci95"]
    return block


def _choices_of(choices: Choices, members: np.ndarray) -> Choices:
    """Choices of a group; in pooled folds each recording has its own."""

    def part(value, n_dims):
        return value[members] if np.ndim(value) == n_dims else value

    return replace(
        choices,
        prevalence=part(choices.prevalence, 2),
        at_specificity=part(choices.at_specificity, 1),
        at_sensitivity=part(choices.at_sensitivity, 1),
    )


def assign_groups(
    cells: Sequence[str], patients: Sequence[str], column: str
) -> Tuple[List[str], np.ndarray]:
    """Group recordings by a column's cells: names of the groups, and the index
    of each recording's, ``[n]``.

    Numbers of many values become thirds; ids and dates are refused.
    """
    values = sorted(
        {cell for cell in cells if cell}, key=lambda v: (natural_order(v), v)
    )
    names = {value: value for value in values}
    if len(values) > MOST_GROUPS:
        _require_numbers(values, column)
        names = _thirds(cells, patients, values)
    names[""] = NOT_GIVEN
    of_recording = [names[cell] for cell in cells]
    present = set(of_recording)
    order = [n for n in dict.fromkeys(names.values()) if n in present]
    group = [order.index(name) for name in of_recording]
    return order, np.array(group, dtype=int)


def _require_numbers(values, column):
    others = [value for value in values if as_number(value) is None]
    if len(others) == len(values):
        raise InputError(
            f"--subgroups names {column!r}, which has {len(values)} values "
            f"such as {values[0]!r} and {values[1]!r}: ids or dates, not "
            f"groups (up to {MOST_GROUPS}, or numbers with a decimal point); "
            "name another column"
        )
    if others:
        raise InputError(
            f"--subgroups names {column!r}, which has {len(values)} values, "
            f"numbers and {others[0]!r}; write numbers only, with a decimal "
            "point, and leave unknown cells empty"
        )


def _thirds(cells, patients, values) -> Dict[str, str]:
    """Name of the third that each value (sorted) is in; each patient counts
    once, whatever the number of recordings."""
    given = [(cell, p) for cell, p in zip(cells, patients) if cell]
    n_of = defaultdict(int)
    for _, patient in given:
        n_of[patient] += 1
    share = defaultdict(float)
    for cell, patient in given:
        share[as_number(cell)] += 1 / n_of[patient] / len(n_of)
    numbers = np.array([as_number(value) for value in values])
    starts = np.unique(numbers)
    below = np.cumsum([share[number] for number in starts])[:-1]
    cuts = sorted(
        {starts[1:][np.abs(below - x).argmin()] for x in (1 / 3, 2 / 3)}
    )
    edges = [numbers[0], *cuts]
    # With the digits of the table: two edges never look the same.
    text = [values[np.searchsorted(numbers, edge)] for edge in edges]
    names = [f"[{low}, {high})" for low, high in zip(text, text[1:])]
    names.append(f"[{text[-1]}, {values[-1]}]")
    third = np.searchsorted(edges, numbers, side="right") - 1
    return {value: names[i] for value, i in zip(values, third)}


def permutation_p(
    predictions: Predictions,
    group: np.ndarray,
    seed: int = 0,
    n_permutations: int = N_PERMUTATIONS,
) -> Optional[float]:
    """p of a permutation test of the largest AUC of a group minus the smallest.

    Patients exchange their groups with patients who have recordings of the
    same labels in as many groups; a patient of several groups (an age at each
    recording) also exchanges them among its recordings. So each group keeps
    its number of patients of each class, and recordings of a patient stay
    together.
    """
    names, group = np.unique(group, return_inverse=True)
    if len(names) < 2:
        return None
    observed = _spread(predictions, group[None], len(names))[0]
    as_large = 0
    rng = np.random.default_rng(seed)
    draw = _Exchange(predictions, group)
    for first in range(0, n_permutations, _PERMUTATIONS_AT_ONCE):
        size = min(_PERMUTATIONS_AT_ONCE, n_permutations - first)
        drawn = np.stack([draw(rng) for _ in range(size)])
        spread = _spread(predictions, drawn, len(names))
        # Groups without a pair of recordings within a fold count as different.
        as_large += int((~(spread < observed - _ROUNDING)).sum())
    return (1 + as_large) / (1 + n_permutations)


def _spread(predictions, group, n_groups) -> np.ndarray:
    """Largest AUC minus smallest; groups [draws, n] to [draws]."""
    aucs = [
        macro_auc(
            predictions.labels,
            predictions.scores,
            (group == g).astype(np.float64),
            predictions.folds,
        )
        for g in range(n_groups)
    ]
    return np.ptp(aucs, axis=0)


class _Exchange:
    """Groups of recordings, exchanged between patients of the same kind.

    The unit of exchange is a piece: a patient's recordings of one class in
    one group.
    """

    def __init__(self, predictions, group):
        of_patient = defaultdict(dict)
        self._piece = np.empty(len(group), dtype=int)
        n_pieces = 0
        keys = zip(predictions.patients, predictions.labels.tolist(), group)
        for row, (patient, label, g) in enumerate(keys):
            pieces = of_patient[patient]
            if (label, g) not in pieces:
                pieces[label, g] = n_pieces
                n_pieces += 1
            self._piece[row] = pieces[label, g]
        self._group = np.empty(n_pieces, dtype=int)
        self._group[self._piece] = group
        alike = defaultdict(list)
        for pieces in of_patient.values():
            by_label = sorted(pieces)
            kind = tuple(label for label, _ in by_label)
            alike[kind].append([pieces[key] for key in by_label])
        self._alike = {k: np.array(rows) for k, rows in alike.items()}

    def __call__(self, rng) -> np.ndarray:
        """Draw another group for each recording, [n]."""
        drawn = np.empty_like(self._group)
        for kind, pieces in self._alike.items():
            given = self._group[rng.permutation(pieces)]
            for label in sorted(set(kind)):
                same = np.flatnonzero(np.array(kind) == label)
                given[:, same] = rng.permuted(given[:, same], axis=1)
            drawn[pieces] = given
        return drawn[self._piece]


def subgroup_table(result: Dict) -> List[str]:
    """Lines of Markdown: a table of the groups, and a sentence per column."""
    any_column = next(iter(result.values()))["groups"]
    classes = list(next(iter(any_column.values()))["per_class"])
    shown = classes[1:] if len(classes) == 2 else classes
    head = ["column", "group", "recordings / patients"]
    head += [f"of them {name}" for name in shown] + ["AUC (95 % interval)"]
    rows = []
    for column, entry in result.items():
        for name, block in entry["groups"].items():
            counts = [block, *(block["per_class"][c] for c in shown)]
            cells = [f"{c['n']} / {c['n_patients']}" for c in counts]
            auc = block.get("too_small") or with_interval(block)
            rows.append([column, name, *cells, auc])
    sentences = [_sentence(column, entry) for column, entry in result.items()]
    return [*markdown_table(head, rows), "", *sentences]


def _sentence(column, entry) -> str:
    p = entry["p"]
    if p is None:
        return (
            f"{column}: fewer than two groups are large enough to compare them."
        )
    blocks = entry["groups"].values()
    aucs = [block["auc"] for block in blocks if "auc" in block]
    often, so = "often", "; a difference between the groups is not shown"
    if p < SHOWN_BELOW:
        often, so = "seldom", ""
    return (
        f"{column}: AUC {min(aucs):.3f} to {max(aucs):.3f} over {len(aucs)} "
        f"groups; groups drawn at random {often} differ as much (p = {p:.3f})"
        f"{so}."
    )
