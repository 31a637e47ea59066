"""Decisions of reviewers, on disk as soon as they are made."""

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any, Collection, Dict, List, Optional, Tuple

from cry_modules.review.order import Item
from data_prep.files.errors import not_a_file, require
from data_prep.files.json_lines import JsonLines
from data_prep.files.shapes import mismatch, number, one_of, whole

logger = logging.getLogger(__name__)

#: What a reviewer can decide of a case: its label, or one of these.
EXCLUDED, UNSURE = "excluded", "unsure"
#: Longest time on one case, seconds.
MOST_S = 86_400.0
DECISION = {
    "row": whole(0),
    "again": bool,
    "decision": one_of("label", EXCLUDED, UNSURE),
    "label": str,
    "reviewer": str,
    "seconds": number(0, MOST_S),
    "note": str,
}
#: An undone decision, by its number among all entries.
_UNDO = {"undo": whole(0), "reviewer": str}


class Decisions(JsonLines):
    """Journal of decisions: a line of JSON each, appended and never changed.

    An undone decision keeps its line; another line says that it is undone.
    The first line is a header, which must be that of the same table of scores.
    A line cut short by a kill is ignored.
    """

    def __init__(self, path: Path, header: Dict):
        super().__init__(path, header)
        self._entries: List[Dict] = []
        #: Numbers of the decisions of each case that are not undone.
        self._standing: Dict[Item, List[int]] = {}
        self._n_entries = Counter()  # of each case, undone ones included
        require(
            self.path.is_file() or not os.path.lexists(self.path),
            not_a_file(str(self.path)),
            "remove it, or pass another --out",
        )
        faults = [n for n, line in self._earlier() if not self._take(line)]
        if faults:
            logger.warning(
                "%s: %d lines were cut short or changed, the first is line "
                "%d; they are ignored",
                self.path,
                len(faults),
                faults[0],
            )

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._entries)

    def _refuse(self, header: str) -> None:
        """Refuse the header of another table; one that a kill has cut short is
        replaced."""
        require(
            not header.endswith("\n"),
            f"{self.path} holds decisions on another table of scores, or on "
            "this one before it was changed",
            "pass another --out, or bring that table back",
        )

    def _take(self, entry: Any) -> bool:
        """Take an entry of an earlier session; False if it is damaged."""
        if mismatch(entry, (DECISION, _UNDO)) is not None:
            return False
        if "undo" in entry and not self._is_standing(entry["undo"]):
            return False
        self._apply(entry)
        return True

    def _is_standing(self, number: int) -> bool:
        if number >= len(self._entries) or "undo" in self._entries[number]:
            return False
        return number in self._standing.get(item_of(self._entries[number]), ())

    def _apply(self, entry: Dict) -> None:
        undone = entry.get("undo")
        item = item_of(entry if undone is None else self._entries[undone])
        if undone is None:
            self._standing.setdefault(item, []).append(len(self._entries))
        else:
            self._standing[item].remove(undone)
        self._n_entries[item] += 1
        self._entries.append(entry)

    def add(self, entry: Dict) -> None:
        """Append a decision; it is on disk when this returns, or refused."""
        self.append(entry, to_disk=True)
        self._apply(entry)

    def undo(self, items: Collection[Item], reviewer: str) -> Optional[Dict]:
        """Undo the last valid decision on one of some cases; return it, None
        without one."""
        last = [
            numbers[-1]
            for item, numbers in self._standing.items()
            if numbers and item in items
        ]
        if not last:
            return None
        self.add({"undo": max(last), "reviewer": reviewer})
        return self._entries[max(last)]

    def of(self, item: Item) -> Optional[Dict]:
        """Valid decision on a case, None without one."""
        numbers = self._standing.get(item)
        return self._entries[numbers[-1]] if numbers else None

    def n_entries(self, item: Item) -> int:
        """Number of entries of a case, undone ones included."""
        return self._n_entries[item]

    def twice(self) -> List[Tuple[Dict, Dict]]:
        """Both decisions on the cases that were played twice."""
        pairs = [
            (self.of(item._replace(again=False)), self.of(item))
            for item in self._standing
            if item.again
        ]
        return [pair for pair in pairs if all(pair)]


def item_of(entry: Dict) -> Item:
    """Item of the queue that a decision is on."""
    return Item(entry["row"], entry["again"])


def answer(decision: Dict) -> str:
    """The label of a decision, or the word for its absence."""
    if decision["decision"] == "label":
        return decision["label"]
    return decision["decision"]
