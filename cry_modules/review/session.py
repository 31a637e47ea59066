"""State of a review: the queue of cases, and what is decided on them."""

import threading
from typing import Dict, List, NamedTuple, Optional, Sequence

from soundfile import LibsndfileError

from cry_modules.review.cases import Case
from cry_modules.review.clip import Clip, make_clip
from cry_modules.review.decisions import DECISION, Decisions, answer, item_of
from cry_modules.review.order import Item
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import cleaned
from data_prep.files.shapes import checked, whole

_LONGEST_NOTE = 1000  # letters
#: Shape of a decision that a page sends.
_SENT = {
    **{name: DECISION[name] for name in ("decision", "label", "seconds")},
    **{"note": str, "n": whole(0), "version": whole(0)},
}


class Changed(InputError):
    """A case was decided elsewhere since the page has shown it."""


class Settings(NamedTuple):
    """Settings of a review."""

    classes: Sequence[str]  #: labels that a case can get
    is_blind: bool = False  #: labels and scores are hidden until decided
    around_s: float = 3.0  #: audio around an event
    reviewer: str = ""
    journal: str = ""  #: file of the decisions, for the page
    out: str = ""  #: new table, for the page


class Session:
    """A queue of cases and the decisions on them, for several threads."""

    def __init__(
        self,
        cases: Sequence[Case],
        queue: Sequence[Item],
        decisions: Decisions,
        settings: Settings,
    ):
        self.settings = settings
        self._cases = {case.row: case for case in cases}
        self._queue, self._decisions = list(queue), decisions
        self._place = {item: n for n, item in enumerate(self._queue)}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of cases to play."""
        return len(self._queue)

    @property
    def is_events(self) -> bool:
        """True if the cases are events in recordings."""
        return self.case(0).span is not None

    def case(self, n: int) -> Case:
        """Case at a place of the queue."""
        require(0 <= n < len(self), f"case {n} does not exist", "reload")
        return self._cases[self._queue[n].row]

    def clip(self, n: int) -> Clip:
        """Window of its recording that is played of a case."""
        case = self.case(n)
        around_s = self.settings.around_s
        return make_clip(case.path, case.span, around_s, case.channel)

    def show(self, n: Optional[int] = None) -> Dict:
        """Everything that a page shows of a case, by default of the first that
        is not decided."""
        with self._lock:
            if n is None:
                n = self._next(-1)
            return self._shown(0 if n is None else n)

    def _shown(self, n: int) -> Dict:
        case, item = self.case(n), self._queue[n]
        decision = self._decisions.of(item)
        names = ("decision", "label", "note")
        shown = {
            "n": n,
            "total": len(self),
            "done": len(self) - len(self._open()),
            "next": self._next(n),
            "version": self._decisions.n_entries(item),
            "decision": decision and {name: decision[name] for name in names},
            "span": case.span,
            "channel": case.channel,
            "fault": None,
            # A name of a file may tell its label.
            **dict.fromkeys(("name", "label", "scores", "time")),
        }
        if decision is not None or not self.settings.is_blind:
            shown |= {"name": case.recording, "label": case.label}
            shown |= {"scores": list(case.scores.items()), "time": case.time}
        try:
            clip = self.clip(n)
            stop_s = clip.start_s + clip.duration_s
            shown["window"] = [clip.start_s, stop_s, clip.seconds]
        except Exception as error:
            shown["fault"] = unusable(error)
            if shown["fault"] is None:
                raise
        return shown

    def _open(self) -> List[int]:
        """Places of the cases that are not decided."""
        decided = map(self._decisions.of, self._queue)
        return [n for n, decision in enumerate(decided) if decision is None]

    def _next(self, n: int) -> Optional[int]:
        """The next case that is not decided, from the first one after the
        last; None if all are."""
        places = [m for m in self._open() if m != n]
        return next((m for m in places if m > n), next(iter(places), None))

    def decide(self, sent: Dict) -> Dict:
        """Store a decision that a page has sent; return what to show next.

        Raises ``Changed`` if the case was decided in another window since.
        """
        checked(sent, _SENT, "the decision", "reload the page")
        note = cleaned(sent["note"].replace("\n", " "))
        require(
            len(note) <= _LONGEST_NOTE,
            f"the note has {len(note)} letters",
            f"shorten it to {_LONGEST_NOTE}",
        )
        is_label = sent["decision"] == "label"
        require(
            not is_label or sent["label"] in self.settings.classes,
            f"{sent['label']!r} is not one of the labels",
            "reload the page",
        )
        with self._lock:
            n = sent["n"]
            self.case(n)
            item = self._queue[n]
            if sent["version"] != self._decisions.n_entries(item):
                raise Changed(
                    "this case was decided in another window; look at it, then "
                    "decide again to change that"
                )
            self._decisions.add({
                "row": item.row, "again": item.again,
                "decision": sent["decision"],
                "label": sent["label"] if is_label else "",
                "reviewer": self.settings.reviewer,
                "seconds": round(sent["seconds"], 1), "note": note,
            })  # fmt: skip
            after = self._next(n)
            return self._shown(n if after is None else after)

    def undo(self) -> Dict:
        """Undo the last decision; return its case to show, and the answer
        that is undone."""
        with self._lock:
            reviewer = self.settings.reviewer
            undone = self._decisions.undo(self._place.keys(), reviewer)
            require(undone is not None, "nothing to undo", "decide first")
            shown = self._shown(self._place[item_of(undone)])
            return {**shown, "undone": answer(undone)}


def unusable(error: Exception) -> Optional[str]:
    """Reason why a recording cannot be read, without its name; None if the
    error is a fault of the program."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, LibsndfileError):
        return " ".join(error.error_string.split()).rstrip(".")
    if isinstance(error, OSError):
        return error.strerror or "it cannot be read"
    return None
