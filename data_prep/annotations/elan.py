"""Annotations of ELAN: its documents (.eaf) and its tab-delimited export.

A document is XML. Its annotations refer to time slots, in milliseconds of the
first medium; a medium that begins elsewhere has a ``TIME_ORIGIN``, the time of
the medium at which the annotations begin. Slots between two annotations of a
subdivided tier may have no time: they divide the time between their neighbours
evenly. An annotation that refers to another one has its times.
"""

import logging
import re
from pathlib import Path, PurePath
from typing import Dict, List, Optional, Sequence, Tuple
from urllib.parse import quote, unquote
from xml.etree.ElementTree import (
    Element,
    ParseError,
    SubElement,
    TreeBuilder,
    XMLParser,
    fromstring,
    tostring,
)

from data_prep.annotations import elan_text
from data_prep.annotations.event import Annotation, Event, checked_event
from data_prep.annotations.tiers import tiers_of
from data_prep.files.errors import InputError, require
from data_prep.files.spreadsheets import content_of
from data_prep.files.tables import write_text

logger = logging.getLogger(__name__)

SUFFIX = ".eaf"
_ALIGNED, _REFERRING = "ALIGNABLE_ANNOTATION", "REF_ANNOTATION"
_SLOTS = ("TIME_SLOT_REF1", "TIME_SLOT_REF2")
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"

#: Characters that XML cannot hold.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read a document of ELAN, or its tab-delimited export."""
    if Path(path).suffix.lower() != SUFFIX:
        return elan_text.read(path, encoding)
    root = _parsed(path, content_of(path))
    require(
        root.tag == "ANNOTATION_DOCUMENT",
        f"{path} is XML, but not a document of ELAN ({root.tag})",
        "pass the .eaf file",
    )
    header = root.find("HEADER")
    header = Element("HEADER") if header is None else header
    units = header.get("TIME_UNITS", "milliseconds")
    require(
        units == "milliseconds",
        f"{path}: the unit of time is {units}",
        "open it in ELAN and save it again",
    )
    recording, origin = _medium(header)
    times = _times(path, root)
    events, n_without = [], 0
    for tier in root.iter("TIER"):
        for annotation in tier.findall("ANNOTATION/*"):
            name = annotation.get("ANNOTATION_ID", "")
            if name not in times:
                n_without += 1
                continue
            label = annotation.findtext("ANNOTATION_VALUE") or ""
            onset, offset = (time + origin for time in times[name])
            names = {"recording": recording, "tier": tier.get("TIER_ID", "")}
            source = f"{path} annotation {name} of tier {names['tier']!r}"
            event = checked_event(source, onset, offset, label, **names)
            events.append(event)
    if n_without:
        words = "%s: %d annotations have no time and are left out; align them"
        logger.warning(f"{words} in ELAN", path, n_without)
    return events


class _Doctype(Exception):
    """A document type is declared."""


class _Builder(TreeBuilder):
    """Builder of XML that may be a stranger's: a document type, and so
    entities, is not accepted."""

    def doctype(self, *_):
        """Take a declaration of a document type."""
        raise _Doctype


def _parsed(path: Path, content: bytes) -> Element:
    cure = "save it again in ELAN"
    try:
        return fromstring(content, XMLParser(target=_Builder()))
    except _Doctype:
        problem = "declares a document type, which ELAN does not write"
        raise InputError(f"{path} {problem}; {cure}")
    except (ParseError, LookupError, ValueError) as error:
        row, _ = getattr(error, "position", (1, 0))
        raise InputError(f"{path} row {row} is not XML ({error}); {cure}")


def _medium(header: Element) -> Tuple[str, float]:
    """File name of the audio of a document, and its time origin, seconds."""
    media = header.findall("MEDIA_DESCRIPTOR")
    media.sort(key=lambda medium: "audio" not in medium.get("MIME_TYPE", ""))
    for medium in media:
        url = medium.get("RELATIVE_MEDIA_URL") or medium.get("MEDIA_URL") or ""
        name = PurePath(unquote(url).replace("\\", "/")).name
        if name:
            return name, float(medium.get("TIME_ORIGIN", 0)) / 1000
    return "", 0.0


def _times(path: Path, root: Element) -> Dict[str, Tuple[float, float]]:
    """Begin and end of the annotations with a time, in seconds, by their id."""
    slots = {}
    for slot in root.iter("TIME_SLOT"):
        value = slot.get("TIME_VALUE")
        require(
            value is None or value.strip().lstrip("-").isdecimal(),
            f"{path}: time slot {slot.get('TIME_SLOT_ID')} is {value!r}",
            "expected milliseconds; save it again in ELAN",
        )
        slots[slot.get("TIME_SLOT_ID")] = value and int(value) / 1000
    times = {}
    for tier in root.iter("TIER"):
        aligned = tier.findall(f"ANNOTATION/{_ALIGNED}")
        _fill(slots, [slot for a in aligned for slot in map(a.get, _SLOTS)])
        for annotation in aligned:
            begin, end = (slots.get(annotation.get(name)) for name in _SLOTS)
            if begin is not None and end is not None:
                times[annotation.get("ANNOTATION_ID", "")] = begin, end
    parents = {
        a.get("ANNOTATION_ID", ""): a.get("ANNOTATION_REF", "")
        for a in root.iter(_REFERRING)
    }
    for name, parent in parents.items():
        seen = {name}
        while parent in parents and parent not in seen:
            seen.add(parent)
            parent = parents[parent]
        if parent in times:
            times[name] = times[parent]
    return times


def _fill(slots: Dict, chain: Sequence[Optional[str]]) -> None:
    """Divide the time between slots with times among those without."""
    chain = list(dict.fromkeys(chain))
    known = [i for i, name in enumerate(chain) if slots.get(name) is not None]
    for first, last in zip(known, known[1:]):
        begin, end = slots[chain[first]], slots[chain[last]]
        for i in range(first + 1, last):
            share = (i - first) / (last - first)
            slots[chain[i]] = begin + share * (end - begin)


def write(path: Path, annotation: Annotation) -> None:
    """Write a document of ELAN; for another suffix than .eaf, its
    tab-delimited export. Times are rounded to milliseconds, and an event lasts
    at least one."""
    if Path(path).suffix.lower() != SUFFIX:
        elan_text.write(path, annotation)
        return
    root = Element(
        "ANNOTATION_DOCUMENT",
        {"xmlns:xsi": _XSI, "xsi:noNamespaceSchemaLocation": _SCHEMA},
        **{"AUTHOR": "", "DATE": "1970-01-01T00:00:00+00:00"},
        **{"FORMAT": "3.0", "VERSION": "3.0"},
    )
    units = {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
    header = SubElement(root, "HEADER", units)
    names = [event.recording for event in annotation.events]
    name = annotation.recording or next(filter(None, names), "")
    if name := PurePath(name).name:
        url = f"./{quote(name)}"
        kind = "audio/x-wav" if name.lower().endswith(".wav") else "audio/*"
        medium = {"MEDIA_URL": url, "RELATIVE_MEDIA_URL": url}
        SubElement(header, "MEDIA_DESCRIPTOR", medium, MIME_TYPE=kind)
    _add_tiers(root, annotation.events)
    kind = {"LINGUISTIC_TYPE_ID": "default-lt", "TIME_ALIGNABLE": "true"}
    SubElement(root, "LINGUISTIC_TYPE", kind, GRAPHIC_REFERENCES="false")
    text = tostring(root, encoding="unicode")
    write_text(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def _add_tiers(root: Element, events: Sequence[Event]) -> None:
    """Add the time slots and the tiers of events to a document."""
    order, n = SubElement(root, "TIME_ORDER"), 0
    for name, part in tiers_of(events).items():
        names = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": "default-lt"}
        tier = SubElement(root, "TIER", names)
        for event in part:
            n += 1
            begin = round(1000 * event.onset_s)
            end = max(begin + 1, round(1000 * event.offset_s))
            ids = f"ts{2 * n - 1}", f"ts{2 * n}"
            for slot, value in zip(ids, (begin, end)):
                names = {"TIME_SLOT_ID": slot, "TIME_VALUE": str(value)}
                SubElement(order, "TIME_SLOT", names)
            names = {**dict(zip(_SLOTS, ids)), "ANNOTATION_ID": f"a{n}"}
            parent = SubElement(tier, "ANNOTATION")
            annotation = SubElement(parent, _ALIGNED, names)
            label = _NOT_XML.sub("", event.label)
            SubElement(annotation, "ANNOTATION_VALUE").text = label
