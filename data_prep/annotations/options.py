"""Sources and options of a database made of annotations."""

from dataclasses import dataclass, field
from typing import Dict, Optional, Sequence

from data_prep.files.tables import Named


@dataclass
class Sources:
    """Recordings, annotations and tables that make a database."""

    audio_folder: str
    annotations: str  #: a folder, or a file
    format: Optional[str] = None
    encoding: Optional[str] = None
    recordings_csv: Optional[str] = None
    named: Optional[Named] = None  #: columns of the table
    patient: Optional[str] = None  #: regular expression, or ``folder``
    hard_negatives: Optional[str] = None  #: detections: a folder, or a file
    hard_threshold: Optional[float] = None  #: see ``read_marks``


@dataclass
class Options:
    """Options that decide which segments a recording gives."""

    #: label of the database by ``identity`` of a label of the annotations;
    #: empty: all labels are kept
    labels: Dict[str, str] = field(default_factory=dict)
    tiers: Sequence[str] = ()  #: empty: all
    empty_label: str = ""  #: of events without one; empty: left out
    least_s: float = 0.2  #: shorter events are left out
    overlaps: str = "merge"  #: events of one label and channel; or "keep"
    negatives: float = 1.0  #: number for each annotated event
    negative_label: str = "other"
    margin_s: float = 1.0  #: between an event and a negative
    seed: int = 0
