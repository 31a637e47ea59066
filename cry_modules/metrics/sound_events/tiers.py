"""Annotators of one recording: each tier of an annotation is one."""

import re
from dataclasses import replace
from typing import Dict, List, Optional, Sequence

from cry_modules.metrics.sound_events.comparison import Recording
from data_prep.files.arguments import nearest
from data_prep.files.errors import require

#: What tells further tiers of one annotator apart.
_NUMBERED = re.compile(r" \d+$")


def by_tier(
    recordings: Sequence[Recording], tier: Optional[str] = None
) -> Dict[str, List[Recording]]:
    """Recordings with the annotation of each tier, or of a requested one.

    Writers of tiers without overlaps put an event that overlaps another one of
    Anna's into a tier "Anna 2": it is Anna's.

    A tier has the recordings in which it has an event, and those that have no
    event at all: who did not annotate a recording did not find it silent.
    """
    names = {event.tier for r in recordings for event in r.annotated}
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
    result: Dict[str, List[Recording]] = {name: [] for name in tiers}
    for recording in recordings:
        for name in tiers:
            events = recording.annotated
            part = [event for event in events if owner[event.tier] == name]
            if part or not events:
                result[name].append(replace(recording, annotated=part))
    return result


def of_both(
    first: Sequence[Recording], second: Sequence[Recording]
) -> List[Recording]:
    """Recordings of two annotators, with the events of the second in place of
    detections; without those in which neither has any."""
    others = {recording.name: recording.annotated for recording in second}
    return [
        replace(recording, detected=others[recording.name])
        for recording in first
        if recording.name in others
        and (recording.annotated or others[recording.name])
    ]
