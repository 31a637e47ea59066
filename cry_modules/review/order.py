"""Order in which cases are played, and cases that are played again."""

import random
from typing import List, NamedTuple, Optional, Sequence
from zlib import crc32

from cry_modules.review.cases import Case, ScoreTable, doubt, surprise
from data_prep.files.errors import require

ORDERS = ("doubtful", "surprising", "random", "given")
#: A case is played again after so many others, unless there are fewer.
_LEAST_BETWEEN, _MOST_BETWEEN = 10, 30


class Item(NamedTuple):
    """A case of the queue."""

    row: int  #: of the case in its table
    again: bool = False  #: played the second time


def ordered(
    table: ScoreTable, order: Optional[str], seed: int = 0
) -> List[Case]:
    """Cases of a table in an order, by default the most doubtful first."""
    if order is None:
        order = "given" if table.is_sorted else "doubtful"
    if order == "surprising":
        require(
            not table.is_predicted,
            f"--order surprising compares scores with labels, and {table.path} "
            "has only what the model calls",
            "pass a table of recordings with --label_column, or --order "
            "doubtful",
        )
        return sorted(table.cases, key=surprise)
    if order == "doubtful":
        return sorted(table.cases, key=lambda c: doubt(c, table.threshold))
    cases = list(table.cases)
    if order == "random":
        random.Random(seed).shuffle(cases)
    return cases


def make_queue(
    cases: Sequence[Case], share: float = 0.0, seed: int = 0
) -> List[Item]:
    """Queue of all cases, with a share of them a second time, later on.

    Which these are depends on the seed and their rows, so that they are among
    those of a larger share.
    """
    places = [(i, 0, Item(case.row)) for i, case in enumerate(cases)]
    draws = {c.row: crc32(f"{seed} {c.row}".encode()) for c in cases}
    n_again = -(-round(1e6 * share * len(cases)) // 10**6)  # rounded up
    chosen = set(sorted(draws, key=draws.get)[:n_again])
    for i, case in enumerate(cases):
        if case.row in chosen:
            draw = draws[case.row]
            span = _MOST_BETWEEN - _LEAST_BETWEEN + 1
            place = i + _LEAST_BETWEEN + draw % span
            # After the last case in an order that is not that of the first.
            places.append((min(place, len(cases)), draw, Item(case.row, True)))
    return [item for *_, item in sorted(places)]
