"""Tiers of events that do not overlap, as annotation programs hold them."""

from typing import Dict, List, Sequence

from data_prep.annotations.event import Event

#: Name of the tier of events that name none.
TIER = "events"


def tiers_of(events: Sequence[Event]) -> Dict[str, List[Event]]:
    """Events by tier, in order of time; an event that begins before another of
    its tier has ended goes to a further tier, such as ``Anna 2``.

    Example
    -------
    >>> list(tiers_of([Event(0, 2, "cry"), Event(1, 3, "cat")]))
    ['events', 'events 2']
    """
    tiers: Dict[str, List[Event]] = {}
    for event in sorted(events, key=lambda e: (e.onset_s, e.offset_s)):
        base, n = event.tier or TIER, 1
        name = base
        while (tier := tiers.setdefault(name, [])) and (
            tier[-1].offset_s > event.onset_s
        ):
            n += 1
            name = f"{base} {n}"
        tier.append(event)
    return tiers or {TIER: []}
