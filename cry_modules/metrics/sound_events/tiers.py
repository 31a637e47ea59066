"""Annotators of one recording: each tier of an annotation is one."""

import re
from typing import Dict, Mapping, Optional

from cry_modules.metrics.sound_events.lists import Lists
from data_prep.annotations.recording_names import RecordingNames
from data_prep.files.arguments import nearest
from data_prep.files.errors import require

#: What tells further tiers of one annotator apart.
_NUMBERED = re.compile(r" \d+$")


def by_tier(annotated: Lists, tier: Optional[str] = None) -> Dict[str, Lists]:
    """Event lists of each tier, or of a requested one.

    Writers of tiers without overlaps put an event that overlaps another one of
    Anna's into a tier "Anna 2": it is Anna's.

    A tier has the recordings in which it has an event, and those that have no
    event at all: who did not annotate a recording did not find it silent.
    """
    names = {e.tier for events in annotated.values() for e in events}
    owner = {}
    for name in names:
        base = _NUMBERED.sub("", name)
        owner[name] = base if base in names else name
    tiers = sorted(set(owner.values())) or [""]
    if tier:
        require(
            tier in tiers,
            f"--tier is {tier}{nearest(tier, tiers)}",
            f"pass one of {', '.join(filter(None, tiers)) or 'none: no tiers'}",
        )
        tiers = [tier]
    return {
        name: {
            recording: [e for e in events if owner[e.tier] == name]
            for recording, events in annotated.items()
            if not events or any(owner[e.tier] == name for e in events)
        }
        for name in tiers
    }


def within(lists: Mapping, annotated: Lists, of_tier: Lists) -> Dict:
    """Entries by recording without those that only other tiers annotated."""
    names = RecordingNames(annotated, lists)
    marked = {names.key(text) for text in of_tier}
    others = {names.key(text) for text in annotated} - marked
    return {
        k: entry for k, entry in lists.items() if names.key(k) not in others
    }
