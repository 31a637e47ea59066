"""Splits that never divide a patient.

    python -m data_prep.split RECORDINGS --label_column L --out DIR

writes ``recordings.csv`` with a column ``split``, or ``fold`` (``--folds K``),
for all who will train on it, and the paper's table.

Authors
 * The contributors of cry-ssl 2026
"""

import argparse
import logging
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Dict, Hashable, List, Sequence, Set

import numpy as np

from data_prep import preparation
from data_prep.counts import as_markdown, counts, write_counts
from data_prep.database import TABLE, Row, locate, read_database, usable_rows
from data_prep.errors import InputError, one_line_errors
from data_prep.manifest import SPLITS, Recording
from data_prep.tables import write_table

logger = logging.getLogger(__name__)

#: Train, valid, test where nobody says otherwise.
SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}


def strata(recordings: List[Recording]) -> Dict[str, tuple]:
    """Label and site of each patient.

    A patient with recordings of several labels counts for the rarest: that
    is the one whose distribution over splits matters.

    Arguments
    ---------
    recordings : list of Recording
        Of all splits.

    Returns
    -------
    dict
        (label, site) by patient_id.

    Example
    -------
    >>> rec = Recording("a", 2.0, "a.wav", 0.0, 2.0, "pain", "p1", "north")
    >>> strata([rec])
    {'p1': ('pain', 'north')}
    """
    n_of = Counter(rec.label for rec in recordings)
    found = defaultdict(list)
    for rec in recordings:
        found[rec.patient_id].append((n_of[rec.label], rec.label, rec.site))
    return {patient: min(seen)[1:] for patient, seen in found.items()}


def split_patients(
    stratum_of: Dict[str, tuple], shares: Dict[str, float], seed: int
) -> Dict[str, str]:
    """Assign whole patients to splits, stratified by label, then site.

    Each split gets its share of each label to within one patient, and at
    least one patient where there are as many as splits.

    Arguments
    ---------
    stratum_of : dict
        (label, site) by patient, see ``strata``.
    shares : dict
        Share by split; they sum to 1.
    seed : int
        Another seed, another split.

    Returns
    -------
    dict
        Split by patient.

    Example
    -------
    >>> split = split_patients(
    ...     {f"p{i}": ("a", "") for i in range(10)},
    ...     {"train": 0.7, "valid": 0.1, "test": 0.2},
    ...     seed=0,
    ... )
    >>> sorted(Counter(split.values()).items())
    [('test', 2), ('train', 7), ('valid', 1)]
    """
    rng = np.random.default_rng(seed)
    split_of = {}
    for patients in _by_label(stratum_of, rng).values():
        quota = _whole_numbers(len(patients), shares)
        given = Counter()
        for i, patient in enumerate(patients, start=1):
            # The split that is furthest behind: sites, which follow each
            # other in the list, are spread over the splits as well.
            behind = {
                s: quota[s] * i / len(patients) - given[s] for s in shares
            }
            split = max(shares, key=behind.__getitem__)
            split_of[patient] = split
            given[split] += 1
    return split_of


def _by_label(stratum_of, rng) -> Dict[Hashable, List[str]]:
    """Patients by label, sites one after the other, shuffled within."""
    patients = sorted(stratum_of)
    rng.shuffle(patients)
    patients.sort(key=lambda p: stratum_of[p])  # stable
    groups = defaultdict(list)
    for patient in patients:
        groups[stratum_of[patient][0]].append(patient)
    return groups


def _whole_numbers(n: int, shares: Dict[str, float]) -> Dict[str, int]:
    """Whole numbers that sum to n, by largest remainder; none empty if n
    allows."""
    quota = {s: math.floor(n * share) for s, share in shares.items()}
    rest = sorted(shares, key=lambda s: quota[s] - n * shares[s])
    for s in rest[: n - sum(quota.values())]:
        quota[s] += 1
    for s in shares:
        if quota[s] == 0 and shares[s] > 0 and n >= len(shares):
            quota[max(quota, key=quota.get)] -= 1
            quota[s] = 1
    return quota


def fold_patients(
    stratum_of: Dict[str, tuple], n_folds: int, seed: int
) -> Dict[str, str]:
    """Assign whole patients to folds, stratified by label, then site.

    Arguments
    ---------
    stratum_of : dict
        (label, site) by patient, see ``strata``.
    n_folds : int
        Two or more.
    seed : int
        Another seed, other folds.

    Returns
    -------
    dict
        Fold, from "0", by patient.

    Raises
    ------
    InputError
        Fewer patients than folds.

    Example
    -------
    >>> fold_of = fold_patients({f"p{i}": ("a", "") for i in range(9)}, 3, 0)
    >>> sorted(Counter(fold_of.values()).items())
    [('0', 3), ('1', 3), ('2', 3)]
    """
    if n_folds < 2:
        raise InputError(f"folds is {n_folds}; there must be two or more")
    if len(stratum_of) < n_folds:
        raise InputError(
            f"{len(stratum_of)} patients cannot be put into {n_folds} folds; "
            "ask for fewer, or add patients"
        )
    n_of = Counter(label for label, _ in stratum_of.values())
    for label, n in sorted(n_of.items()):
        if n < n_folds:
            logger.warning(
                "class %r has %d patients, fewer than the %d folds: some "
                "folds have none",
                label,
                n,
                n_folds,
            )
    shares = {str(fold): 1 / n_folds for fold in range(n_folds)}
    return split_patients(stratum_of, shares, seed)


def split_by_patient(
    recordings: List[Recording], shares: Dict[str, float], seed: int
) -> Dict[str, List[Recording]]:
    """Recordings by split, no patient divided.

    Arguments
    ---------
    recordings : list of Recording
        To be split.
    shares : dict
        Share by split.
    seed : int
        Of the split.

    Returns
    -------
    dict
        Recordings by split.
    """
    split_of = split_patients(strata(recordings), shares, seed)
    return {
        split: [r for r in recordings if split_of[r.patient_id] == split]
        for split in shares
    }


def fraction_of_patients(
    stratum_of: Dict[str, tuple], fraction: float, seed: int
) -> Set[str]:
    """A part of the patients, every label kept, nested in larger parts.

    The 3 % of a seed are among its 5 %, whatever is trained with them.

    Arguments
    ---------
    stratum_of : dict
        (label, site) by patient.
    fraction : float
        Above 0, up to 1.
    seed : int
        Of the experiment.

    Returns
    -------
    set of str

    Raises
    ------
    InputError
        A fraction outside that range.

    Example
    -------
    >>> patients = {f"p{i}": ("a", "") for i in range(100)}
    >>> some = fraction_of_patients(patients, 0.03, seed=1)
    >>> len(some), some < fraction_of_patients(patients, 0.1, seed=1)
    (3, True)
    """
    if not 0 < fraction <= 1:
        raise InputError(
            f"label_fraction is {fraction}; it must be above 0 and up to 1"
        )
    rng = np.random.default_rng(seed)
    kept = set()
    for _, patients in sorted(_by_label(stratum_of, rng).items()):
        rng.shuffle(patients)
        # Not 3.0000000000000004 of 100 patients, which would be 4.
        kept.update(patients[: math.ceil(round(fraction * len(patients), 9))])
    return kept


def split_database(
    recordings: str,
    save_folder: str,
    label_column: str,
    data_folder: str = "",
    folds: int = 0,
    shares: Sequence[float] = tuple(SHARES.values()),
    fractions: Sequence[float] = (),
    seed: int = 0,
) -> None:
    """Write a database's ``recordings.csv`` again, with a column ``split`` or
    ``fold``, and the paper's table.

    Recordings that cannot be used are left out (``rejected.csv``); those
    without a label stay, with an empty cell.

    Arguments
    ---------
    recordings : str
        recordings.csv.
    save_folder : str
        To write to.
    label_column : str
        To stratify by, with the column ``site``.
    data_folder : str
        Where its paths begin; default: the folder of ``recordings``.
    folds : int
        How many; 0 for train, valid and test.
    shares : sequence of float
        Of train, valid and test.
    fractions : sequence of float
        Shares of the training patients, each within the next larger one;
        listed in ``fractions.csv``.
    seed : int
        Another seed, another split.

    Raises
    ------
    InputError
        Anything wrong with the database or the options.
    """
    if len(shares) != len(SPLITS) or min(shares) <= 0:
        raise InputError(
            f"shares is {list(shares)}; it must be three numbers above 0"
        )
    column = "fold" if folds else "split"
    root, table = locate(
        data_folder or str(Path(recordings).parent), recordings, "--data_folder"
    )
    rows = read_database(table, [label_column])
    if column in rows[0][1]:
        raise InputError(
            f"{table} has a column {column!r} already; use it as it is, or "
            "remove it for another one"
        )
    save_folder = Path(save_folder)
    rows, _ = usable_rows(rows, root, save_folder)
    for rec, cells in rows:
        rec.label = cells[label_column]
    labelled = [rec for rec, _ in rows if rec.label]
    if not labelled:
        raise InputError(
            f"no row of {table} has a label in {label_column}; correct "
            "--label_column"
        )
    stratum_of = strata(labelled)
    if folds:
        part_of = fold_patients(stratum_of, folds, seed)
    else:
        normal = {s: x / sum(shares) for s, x in zip(SPLITS, shares)}
        part_of = split_patients(stratum_of, normal, seed)
    parts = {
        part: [r for r in labelled if part_of[r.patient_id] == part]
        for part in sorted(set(part_of.values()), key=_order)
    }
    if not folds:
        preparation.require_classes(
            parts, sorted({r.label for r in labelled}), "add patients"
        )
    _write_split(rows, column, part_of, save_folder / TABLE)
    print(write_counts(parts, save_folder))
    if fractions:
        _report_fractions(parts, fractions, seed, save_folder)
    print(f"Wrote {save_folder / TABLE}: pass it with --recordings_csv")


def _order(part: str):
    """Splits in their order, folds by number."""
    return SPLITS.index(part) if part in SPLITS else int(part)


def _write_split(rows: List[Row], column, part_of, path: Path):
    columns = [*rows[0][1], column]
    cells = [
        [*row.values(), part_of[rec.patient_id] if rec.label else ""]
        for rec, row in rows
    ]
    write_table(path, columns, cells)


def _report_fractions(parts, fractions, seed, save_folder):
    if "train" not in parts:
        raise InputError(
            "fractions are of the training patients; leave out --folds or "
            "--fractions"
        )
    train = parts["train"]
    stratum_of = strata(train)
    smallest, subsets = {}, {}
    for fraction in sorted(fractions, reverse=True):
        kept = fraction_of_patients(stratum_of, fraction, seed)
        smallest.update(dict.fromkeys(kept, fraction))
        subsets[f"{fraction:.0%}"] = [r for r in train if r.patient_id in kept]
    write_table(
        save_folder / "fractions.csv",
        ("patient_id", "label", "smallest_fraction"),
        [(p, stratum_of[p][0], smallest[p]) for p in sorted(smallest)],
    )
    # The largest holds all the others: their sum would mean nothing.
    table = counts(dict(reversed(subsets.items())))
    for row in table.values():
        del row["all"]
    print("\nTraining patients by label fraction, each within the next:\n")
    print(as_markdown(table))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=split_database.__doc__)
    parser.add_argument("recordings", metavar="RECORDINGS")
    parser.add_argument("--label_column", required=True)
    parser.add_argument("--out", required=True, help="for recordings.csv")
    parser.add_argument("--data_folder", default="")
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument(
        "--shares", type=float, nargs="+", default=list(SHARES.values())
    )
    parser.add_argument("--fractions", type=float, nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=0)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        split_database(save_folder=args.pop("out"), **args)


if __name__ == "__main__":
    main()
