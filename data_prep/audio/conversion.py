"""Conversion of single files to mono 16 bit, checked for loss."""

import math
import os
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Optional, Union

from data_prep.audio.ffmpeg import Processes, Undecodable, decode, probe
from data_prep.audio.folder import AUDIO
from data_prep.audio.headers import sample_bytes
from data_prep.audio.measure import (
    CANCELS_DB,
    NOT_UNICODE,
    SILENT_DBFS,
    Audit,
    audit_file,
    is_unicode,
)
from data_prep.files.atomic import complete_or_absent, make_folder, to_disk
from data_prep.files.errors import InputError
from data_prep.files.fingerprint import is_same, stamp
from data_prep.files.folders import RELATIVE
from data_prep.files.journal import FILE, STAMP, Journal
from data_prep.files.shapes import fields_of, number

#: Decoded and stated length may differ by the largest of these. Encoders pad
#: the first and the last packet, and decoders may or may not remove the
#: padding: up to 1632 samples were measured in MP3, 768 in AAC. Two MPEG
#: frames bound it.
TOLERANCE_S = 0.1
TOLERANCE = 0.02
TOLERANCE_SAMPLES = 2304

_LONGEST_NAME = 240  # bytes; file systems allow 255, including ".partial"


@dataclass
class Conversion:
    """One row of ``convert.csv``."""

    path: str  #: of the source, relative to SRC
    output: str = ""  #: relative to OUT; empty without an output
    codec: str = ""  #: ffmpeg's name; empty if the file is unreadable
    rate: Union[int, str] = ""  #: of the source, Hz
    channels: Union[int, str] = ""  #: of the source
    container_s: Union[float, str] = ""  #: stated length, or "unknown"
    decoded_s: Union[float, str] = ""  #: length of the output
    #: "ok", "flagged" (kept; the lengths differ a little) or "rejected"
    verdict: str = "ok"
    reason: str = ""


#: Shape of an entry of the journal.
ENTRY = {
    "source": FILE,
    "stamp": STAMP,
    "settings": {str: object},
    "row": fields_of(
        Conversion, path=FILE, output=RELATIVE, decoded_s=number(0)
    ),
}


def output_names(names: List[str], format: str) -> Dict[str, str]:
    """Unique output names, which do not depend on the order of the inputs."""
    # Many file systems treat A.flac and a.flac as one file.
    counts = Counter(
        with_format_suffix(name, format).casefold() for name in names
    )
    outputs = {}
    for name in names:
        output = with_format_suffix(name, format)
        if counts[output.casefold()] > 1 or _is_ambiguous(name):
            output = f"{name}.{format}"
        outputs[name] = output
    owner: Dict[str, str] = {}
    for name, output in outputs.items():
        other = owner.setdefault(output.casefold(), name)
        if other != name:
            raise InputError(
                f"{name!r} and {other!r} differ in upper and lower case only, "
                "which not every file system can keep apart; rename one"
            )
    return outputs


def with_format_suffix(name: str, format: str) -> str:
    """Replace the suffix of a file name by that of the output format."""
    return f"{os.path.splitext(name)[0]}.{format}"


def _is_ambiguous(name: str) -> bool:
    """Check for a stem that looks like an output: a.3gp.wav, a.partial.wav."""
    suffix = os.path.splitext(os.path.splitext(name)[0])[1].lower()
    return suffix in AUDIO or suffix == ".partial"


class Converter:
    """Conversion of files from one folder to another, from several threads.

    `settings` holds rate, format and channel, and is compared with the entries
    of the journal.
    """

    def __init__(self, root: Path, out: Path, settings: Dict, journal: Journal):
        self.root = root
        self.out = out
        self.settings = settings
        self.journal = journal
        self.processes = Processes()
        self._lock = threading.Lock()

    def add_to_journal(self, output: str, file: Path, entry: Dict) -> None:
        """Add an output to the journal, before the file has its name: one that
        a power cut left without an entry would be refused as another's."""
        with self._lock:
            self.journal.add(output, file, entry)
            to_disk(self.journal.path)

    def earlier_row(self, name: str, output: str) -> Optional[Conversion]:
        """Row of an earlier run with the same source, output and settings.

        Rejected files have no such row and are tried again: new permissions or
        a newer ffmpeg do not change the file.
        """
        entry = self.journal.get(output, self.out / output)
        if entry is None or entry["settings"] != self.settings:
            return None
        if not is_same(entry["stamp"], self.root / name):
            return None
        return Conversion(**{**entry["row"], "path": name})

    def is_source(self, name: str, other: str) -> bool:
        """Check that two paths lead to one file, which need not exist."""
        return os.path.realpath(self.root / name) == os.path.realpath(other)

    def check_overwrites(self, name: str, output: str) -> None:
        """Refuse to overwrite a file that was not made of this source."""
        path = self.out / output
        if not os.path.lexists(path):
            return
        entry = self.journal.get(output, path)
        if entry is None:
            raise InputError(
                f"{path} was not made by this command, or was changed since; "
                "move it away, or choose another OUT"
            )
        maker = entry["source"]
        if os.path.exists(maker) and not self.is_source(name, maker):
            raise InputError(
                f"{path} was made of {maker}, not of {self.root / name}; "
                "choose another OUT"
            )

    def convert(self, name: str, output: str) -> Conversion:
        """Convert one file; a file that cannot be converted is rejected."""
        row = Conversion(name)
        source = self.root / name
        entry = {"source": str(source), "stamp": stamp(source)}
        try:
            if not is_unicode(name):
                raise Undecodable(NOT_UNICODE)
            if len(os.fsencode(Path(output).name)) > _LONGEST_NAME:
                raise Undecodable("name too long for its output; shorten it")
            stated = probe(self.processes, source)
            row.codec, row.rate = stated.codec, stated.rate
            row.channels, length_s = stated.channels, stated.length_s
            if _is_streamed(source):
                row.verdict, length_s = "flagged", None
                row.reason = "the header states no length, may be truncated"
            row.container_s = (
                "unknown" if length_s is None else round(length_s, 3)
            )
            make_folder((self.out / output).parent)
            with complete_or_absent(self.out / output) as partial:
                channels_db = decode(
                    self.processes,
                    source,
                    stated,
                    partial,
                    *(self.settings[k] for k in ("rate", "format", "channel")),
                )
                audit = audit_file(str(partial))
                row.decoded_s = round(audit.duration, 3)
                _compare(row, length_s, channels_db, audit)
                row.output = output
                # Noted before the rename, which keeps the stamp: a kill in
                # between leaves no output that is missing in the journal.
                (self.out / output).unlink(missing_ok=True)
                entry.update(settings=self.settings, row=asdict(row))
                self.add_to_journal(output, partial, entry)
        except Undecodable as error:
            row.verdict, row.reason = "rejected", str(error)
        return row


def _is_streamed(source: Path) -> bool:
    """Check for a header without a length; reject a truncated file, whose
    header ffmpeg silently corrects."""
    lengths = sample_bytes(source)
    if lengths is not None and lengths.is_truncated:
        raise Undecodable(
            f"truncated: {lengths.present} of {lengths.stated} bytes of samples"
        )
    return lengths is not None and lengths.is_unknown


def _compare(row: Conversion, length_s, channels_db, audit: Audit) -> None:
    """Flag or reject by the decoded length and by the level of the mix."""
    if not audit.duration:
        raise Undecodable("no samples in it")
    if length_s is not None:
        allowed = max(
            TOLERANCE_S, TOLERANCE * length_s, TOLERANCE_SAMPLES / row.rate
        )
        difference = abs(row.decoded_s - length_s)
        reason = f"decoded {row.decoded_s:.2f} s of {length_s:.2f} s"
        if difference > allowed:
            raise Undecodable(reason)
        if difference > max(TOLERANCE_S, TOLERANCE_SAMPLES / row.rate):
            row.verdict, row.reason = "flagged", reason
    if channels_db is None or not channels_db > SILENT_DBFS:
        return
    mix_db = -math.inf if audit.level_dbfs is None else audit.level_dbfs
    if mix_db < channels_db - CANCELS_DB:
        raise Undecodable(
            f"the channels cancel each other: {channels_db:.0f} dBFS each, "
            f"{mix_db:.0f} dBFS mixed; convert this file to another OUT with "
            "--channel 0"
        )
