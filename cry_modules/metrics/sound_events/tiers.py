"""Annotators of one recording: each tier of an annotation is one."""

import re
from typing import Dict, List, Mapping, Optional, Sequence

from cry_modules.metrics.sound_events.lists import Names
from data_prep.annotations.event import Event
from data_prep.files.arguments import nearest
from data_prep.files.errors import require

#: What tells further tiers of one annotator apart.
_NUMBERED = re.compile(r" \d+$")

Lists = Mapping[str, List[Event]]


def by_tier(annotated: Lists, tier: Optional[str] = None) -> Dict[str, Lists]:
    """Event lists of each tier, or of a requested one.

    Writers of tiers without overlaps put an event that overlaps another one of
    Anna's into a tier "Anna 2": it is Anna's.

    A tier has the recordings in which it has an event, and those that have no
    event at all: who did not annotate a recording did not find it silent.
    """
    names = {e.tier for events in annotated.values() for e in events}
    owner = {name: _NUMBERED.sub("", name) for name in names}
    owner = {
        name: base if base in names else name for name, base in owner.items()
    }
    tiers = sorted(set(owner.values()))
    if tier:
        require(
            tier in tiers,
            f"--tier is {tier}{nearest(tier, tiers)}",
            f"pass one of {', '.join(filter(None, tiers)) or 'none: no tiers'}",
        )
        tiers = [tier]
    result: Dict[str, Lists] = {}
    for name in tiers or [""]:
        result[name] = lists = {}
        for recording, events in annotated.items():
            marked = [event for event in events if owner[event.tier] == name]
            if marked or not events:
                lists[recording] = marked
    return result


def within(lists: Lists, annotated: Lists, of_tier: Lists) -> Lists:
    """Event lists without recordings that only other tiers annotated."""
    key = Names(annotated, lists).key
    marked = {key(text) for text in of_tier}
    others = {key(text) for text in annotated} - marked
    return {text: e for text, e in lists.items() if key(text) not in others}


def common(a: Lists, b: Lists) -> Sequence[str]:
    """Recordings in which both of two annotators have events."""
    return [name for name in a if name in b and (a[name] or b[name])]
