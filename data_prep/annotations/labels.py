"""Choice of labels and tiers of events, and the names they get."""

from collections import Counter
from dataclasses import replace
from typing import Dict, Iterable, List, Optional, Sequence

from data_prep.annotations.event import Event
from data_prep.annotations.options import Options
from data_prep.annotations.text import in_one_line
from data_prep.files.arguments import nearest
from data_prep.files.errors import require
from data_prep.files.identifiers import cleaned, identity
from data_prep.files.missing import is_missing


def parsed_labels(typed: Optional[Sequence[str]]) -> Dict[str, str]:
    """New names by label, from words such as ``cry=cry,fuss``.

    Example
    -------
    >>> parsed_labels(["cry=cry,fuss", "speech"])
    {'cry': 'cry', 'fuss': 'cry', 'speech': 'speech'}
    """
    new_of: Dict[str, str] = {}
    for word in typed or []:
        new, equals, olds = word.partition("=")
        new = cleaned(new)
        names = [cleaned(o) for o in olds.split(",")] if equals else [new]
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


def require_present(events: Sequence[Event], options: Options) -> None:
    """Refuse a label or a tier that no event has, with the nearest name."""
    _require_known("tier", options.tiers, (event.tier for event in events))
    _require_known("label", options.labels, (event.label for event in events))


def _require_known(
    noun: str, names: Iterable[str], present: Iterable[str]
) -> None:
    counts = Counter(filter(None, map(cleaned, present)))
    known = [repr(name) for name, _ in counts.most_common()]
    for name in names:
        require(
            identity(name) in map(identity, counts),
            f"--{noun}s: no event has the {noun} {name!r}"
            f"{nearest(repr(name), known)}",
            f"the annotations have {', '.join(known[:8]) or f'no {noun} at all'}",
        )


def in_tiers(event: Event, options: Options) -> bool:
    """Check that an event is in one of the chosen tiers."""
    tiers = map(identity, options.tiers)
    return not options.tiers or identity(event.tier) in tiers


def chosen(event: Event, options: Options) -> Optional[Event]:
    """The event with its new label, None if it is not chosen."""
    if not in_tiers(event, options):
        return None
    label = cleaned(in_one_line(event.label))
    if identity(label) in options.labels:
        label = options.labels[identity(label)]
    elif is_missing(label):
        # A reviewer has not named it, and so --empty_label does not either.
        label = "" if event.unreviewed else options.empty_label
    elif options.labels:
        label = ""
    if identity(label) == identity(options.negative_label):
        label = options.negative_label
    return replace(event, label=label) if label else None


def one_spelling(events: Sequence[Event], first: Dict[str, str]) -> List[Event]:
    """Events whose labels that differ in case or spaces alone are one, in the
    spelling of the first mention in `first` (by ``identity``), which grows."""
    return [
        replace(e, label=first.setdefault(identity(e.label), e.label))
        for e in events
    ]
