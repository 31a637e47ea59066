"""Labels that are judged, and those that are annotated as confusers."""

from dataclasses import replace
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

from cry_modules.metrics.sound_events.lists import Lists
from data_prep.annotations.event import Event
from data_prep.annotations.labels import check_label
from data_prep.files.arguments import nearest
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import cleaned, spelling
from data_prep.files.missing import is_missing

ALL = "all"


def renames(pairs: Sequence[str]) -> Dict[str, str]:
    """New labels by the spelling of old ones, from texts such as CHI=cry."""
    result = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        require(
            bool(equals and new.strip()),
            f"--rename has {pair!r}",
            "write OLD=NEW, such as crying_baby=cry, or =cry for events without "
            "a label",
        )
        check_label("--rename", new)
        result[spelling(old)] = cleaned(new)
    return result


def relabelled(
    lists: Lists, new_labels: Mapping[str, str], written: Dict[str, str]
) -> Tuple[Lists, int]:
    """Events with renamed labels, each in the spelling of its first mention in
    `written` (by spelling), which grows; and the number of those without a
    label, which are not events, as in a table of ``cry_modules.review``."""
    result: Dict[str, List] = {name: [] for name in lists}
    for name, events in lists.items():
        for event in events:
            text = cleaned(event.label)
            text = new_labels.get(
                "" if is_missing(text) else spelling(text), text
            )
            if not is_missing(text):
                label = written.setdefault(spelling(text), text)
                result[name].append(replace(event, label=label))
    n_of = [sum(map(len, each.values())) for each in (lists, result)]
    return result, n_of[0] - n_of[1]


def judged(
    annotated: Iterable[Event],
    detected: Iterable[Event],
    requested: Sequence[str],
    written: Mapping[str, str],
) -> Tuple[List[str], List[str]]:
    """Labels that are judged, and annotated ones that are not.

    Without a request all annotated labels are judged, if the detector has them
    all; otherwise nobody knows whether it should.
    """
    of_annotation = sorted({event.label for event in annotated})
    of_detector = sorted({event.label for event in detected})
    every = sorted({*of_annotation, *of_detector})
    if requested == [ALL]:
        return every, []
    if requested:
        labels = [written.get(spelling(text), text) for text in requested]
        for label in labels:
            require(
                label in every,
                f"--labels names {label}, which is neither annotated nor "
                f"detected{nearest(label, every)}",
                f"pass some of {', '.join(every)}",
            )
        return labels, [name for name in of_annotation if name not in labels]
    for label in of_detector:
        if label not in of_annotation:
            raise InputError(
                f"the label {label!r} is detected and never annotated, which has "
                f"{', '.join(of_annotation) or 'none'}"
                f"{nearest(label, of_annotation)}; pass --rename {label}=NEW, "
                f"or --labels {ALL}"
            )
    never = [name for name in of_annotation if name not in of_detector]
    if of_detector and never:
        raise InputError(
            f"the label {never[0]!r} is annotated and never detected; pass "
            f"--labels {','.join(of_detector)} to count it as a confuser, or "
            f"--labels {ALL} to count it as missed"
        )
    return of_annotation, []
