"""Choice of labels and tiers of events, and the names they get."""

import difflib
from collections import Counter
from dataclasses import replace
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

from data_prep.annotations.event import Event
from data_prep.annotations.text import in_one_line
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import cleaned, identity
from data_prep.files.missing import is_missing


class Choice(NamedTuple):
    """Labels and tiers that a user chooses."""

    #: label of the database by ``identity`` of a label of the annotations;
    #: empty: all labels are kept
    labels: Dict[str, str]
    tiers: Sequence[str] = ()  #: empty: all
    unlabelled: str = ""  #: label of events without one; empty: left out


def parsed_labels(typed: Optional[Sequence[str]]) -> Dict[str, str]:
    """New names by label, from words such as ``cry=cry,fuss``.

    Example
    -------
    >>> parsed_labels(["cry=cry,fuss", "speech"])
    {'cry': 'cry', 'fuss': 'cry', 'speech': 'speech'}
    """
    new_of: Dict[str, str] = {}
    for word in typed or []:
        new, _, olds = word.partition("=")
        new, names = cleaned(new), [cleaned(o) for o in olds.split(",")]
        if "=" not in word:
            names = [new]
        check_label("--labels", new)
        require(
            all(names),
            f"--labels holds {word!r}",
            "write NEW=OLD,OLD, such as cry=cry,fuss",
        )
        for name in names:
            other = new_of.setdefault(identity(name), new)
            require(
                other == new,
                f"--labels makes {name!r} both {other!r} and {new!r}",
                "name it once",
            )
    return new_of


def check_label(option: str, name: str) -> None:
    """Refuse a new label that a table would take for a missing value."""
    require(
        not is_missing(name),
        f"{option} makes a label {name!r}, a mark of a missing value",
        "name it otherwise",
    )


def require_present(events: Sequence[Event], choice: Choice) -> None:
    """Refuse a label or a tier that no event has, with the nearest name."""
    _require_known(
        "--tiers", choice.tiers, (event.tier for event in events), "tier"
    )
    _require_known(
        "--labels", choice.labels, (event.label for event in events), "label"
    )


def _require_known(
    option: str, names: Iterable[str], present: Iterable[str], noun: str
) -> None:
    counts = Counter(map(cleaned, present))
    known = {identity(name): name for name in counts if name}
    for name in names:
        if identity(name) in known:
            continue
        some = ", ".join(repr(n) for n, _ in counts.most_common(8) if n)
        raise InputError(
            f"{option}: no event has the {noun} {name!r}"
            f"{_near(name, known)}; the annotations have "
            f"{some or f'no {noun} at all'}"
        )


def _near(name: str, known: Dict[str, str]) -> str:
    close = difflib.get_close_matches(identity(name), known, n=1)
    return f" (did you mean {known[close[0]]!r}?)" if close else ""


def in_tiers(event: Event, choice: Choice) -> bool:
    """Check that an event is in one of the chosen tiers."""
    tiers = {identity(name) for name in choice.tiers}
    return not tiers or identity(event.tier) in tiers


def has_tiers(events: Sequence[Event], choice: Choice) -> bool:
    """Check that a recording has events in the chosen tiers, or no event."""
    return not events or any(in_tiers(event, choice) for event in events)


def chosen(event: Event, choice: Choice) -> Optional[Event]:
    """The event with its new label, None if it is not chosen."""
    if not in_tiers(event, choice):
        return None
    label = cleaned(in_one_line(event.label))
    if identity(label) in choice.labels:
        label = choice.labels[identity(label)]
    elif is_missing(label):
        label = choice.unlabelled
    elif choice.labels:
        label = ""
    return replace(event, label=label) if label else None


def one_spelling(events: Sequence[Event]) -> List[Event]:
    """Events whose labels that differ in case or spaces alone are one, in
    their most frequent spelling."""
    spelt: Dict[str, Counter] = {}
    for event in events:
        spelt.setdefault(identity(event.label), Counter())[event.label] += 1
    first = {key: names.most_common(1)[0][0] for key, names in spelt.items()}
    return [replace(e, label=first[identity(e.label)]) for e in events]
