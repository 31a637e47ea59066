"""Plan of a synthetic corpus: its rows and numbers, without the audio.

Sites are distributed evenly within each class and split, and both classes of a
split have recordings of the same lengths, so that neither predicts a label; nor
do length, date, time, numbers, site and the patient's number of recordings
together, by a logistic regression on them, their squares and products, nor with
the level of the audio (of miniature and demo). The one exception is poster,
whose table has fewer recordings of an injured patient (1.2 of 1.5 in training).
``poster`` has the poster's table (recordings and patients by class and split,
hours by split, 1,149 triggers); the shares of triggers and sites are our
choice. ``miniature`` is made in seconds and has 760 test patients: paired
differences between two encoders of 0.02 to 0.045 AUC are separable, larger ones
for encoders that differ more.
"""

import enum
import string
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from data_prep.synthetic.sounds import CLASSES
from data_prep.synthetic.voices import SITE_SHARES, SITES, severity_at

FIRST_DAY = datetime(2020, 6, 1)
TRIGGERS = ("pain", "hunger", "discomfort")
TRIGGER_SHARES = (0.32, 0.38, 0.3)
ID_CHARACTERS = string.ascii_letters + string.digits + "_-"


class Stream(enum.IntEnum):
    """Purposes of random streams; the second number of their seeds."""

    PLAN_CRY = 0
    VOICE = 1
    CRY = 2
    PLAN_SOUND = 3
    VIDEO = 4
    SOUND = 5


@dataclass(frozen=True)
class Cell:
    """Number and length of the recordings of one class in one split."""

    split: str  #: train, valid, test, or empty for the extra recordings
    label: str  #: healthy, injury, or empty
    recordings: int
    patients: int
    mean_s: float  #: mean length


@dataclass(frozen=True)
class Scale:
    """Size of a corpus."""

    cells: Tuple[Cell, ...]  #: cry recordings
    triggers: int  #: number of labelled recordings with a trigger
    spread: float  #: lengths are uniform in mean * (1 - spread .. 1 + spread)
    classes: int  #: of generic sounds
    clips: int  #: of generic sounds, in total
    clip_s: float  #: length of a generic clip


def _hours(hours: float, recordings: int) -> float:
    """Mean length in seconds."""
    return hours * 3600 / recordings


SCALES: Dict[str, Scale] = {
    "tiny": Scale(
        cells=(
            Cell("train", "healthy", 11, 8, 1.5),
            Cell("valid", "healthy", 4, 3, 1.5),
            Cell("test", "healthy", 4, 3, 1.5),
            Cell("train", "injury", 4, 2, 1.5),
            Cell("valid", "injury", 3, 2, 1.5),
            Cell("test", "injury", 4, 2, 1.5),
            Cell("", "", 6, 4, 1.5),
        ),
        triggers=20,
        spread=0.1,
        classes=4,
        clips=24,
        clip_s=1.5,
    ),
    "miniature": Scale(
        cells=(
            Cell("train", "healthy", 260, 260, 2.5),
            Cell("valid", "healthy", 130, 130, 2.5),
            Cell("test", "healthy", 540, 540, 2.5),
            Cell("train", "injury", 100, 100, 2.5),
            Cell("valid", "injury", 50, 50, 2.5),
            Cell("test", "injury", 220, 220, 2.5),
            Cell("", "", 300, 200, 3.5),
        ),
        triggers=740,
        spread=0.2,
        classes=16,
        clips=400,
        clip_s=3.0,
    ),
    "demo": Scale(
        cells=(
            Cell("train", "healthy", 246, 174, 6.0),
            Cell("valid", "healthy", 68, 48, 6.0),
            Cell("test", "healthy", 94, 67, 6.0),
            Cell("train", "injury", 42, 30, 6.0),
            Cell("valid", "injury", 12, 8, 6.0),
            Cell("test", "injury", 18, 13, 6.0),
            Cell("", "", 150, 100, 6.0),
        ),
        triggers=274,
        spread=1 / 3,
        classes=16,
        clips=400,
        clip_s=5.0,
    ),
    "poster": Scale(
        cells=(
            # Mean length over both classes of the poster: its means differ by
            # class, so the duration would predict the label.
            Cell("train", "healthy", 1360, 885, _hours(11.1, 1452)),
            Cell("valid", "healthy", 247, 165, _hours(2.2, 287)),
            Cell("test", "healthy", 238, 163, _hours(2.3, 283)),
            Cell("train", "injury", 92, 75, _hours(11.1, 1452)),
            Cell("valid", "injury", 40, 33, _hours(2.2, 287)),
            Cell("test", "injury", 45, 38, _hours(2.3, 283)),
            Cell("", "", 1190, 800, _hours(9.0, 1190)),
        ),
        triggers=1149,
        spread=0.6,
        classes=len(CLASSES),
        clips=4000,
        clip_s=10.0,
    ),
}


class CryRow(NamedTuple):
    """Row of recordings.csv, all text."""

    recording_id: str
    patient_id: str
    path: str
    neuro_injury: str
    trigger: str
    site: str
    recorded_at: str
    split: str


@dataclass(frozen=True)
class CryPlan:
    """A cry recording to synthesise: its row and its hidden parameters."""

    row: CryRow
    index: int  #: seeds the recording
    patient: int  #: seeds the voice
    seconds: float
    severity: float  #: of the patient's injury, see ``cry.py``
    trigger: str  #: also where the row leaves it empty


@dataclass(frozen=True)
class SoundPlan:
    """A generic clip to synthesise, in the form of a VGGSound clip."""

    youtube_id: str  #: eleven random characters
    start: int  #: of the clip in its video, seconds
    label: str
    split: str
    index: int  #: seeds the clip
    video: int  #: seeds the recorder
    label_index: int
    seconds: float
    missing: bool  #: listed but without a file, like a deleted video

    @property
    def file_name(self) -> str:
        """Name of the clip's file in VGGSound: id and start in seconds."""
        return f"{self.youtube_id}_{self.start:06d}.wav"


def _share_out(total: int, shares: Sequence[float]) -> List[int]:
    """Divide a total by largest remainder."""
    exact = np.asarray(shares, dtype=float) / np.sum(shares) * total
    counts = np.floor(exact).astype(int)
    left = total - counts.sum()
    counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    return counts.tolist()


def _deal(rng: np.random.Generator, counts: Sequence[int]) -> List[int]:
    """Random sequence of 0, 1, 2, ... with these counts, evenly mixed."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    places = [(np.arange(c) + rng.uniform(size=c)) / max(c, 1) for c in counts]
    return numbers[np.argsort(np.concatenate(places))].tolist()


def plan_cries(scale: str = "demo", seed: int = 1234) -> List[CryPlan]:
    """Plan the cry recordings of a corpus."""
    size = find_scale(scale)
    rng = np.random.default_rng([seed, Stream.PLAN_CRY])
    drafts: List[_Draft] = []
    people = 0
    for cell in size.cells:
        drafts += _draft_cell(rng, cell, size.spread, people)
        people += cell.patients
    _deal_triggers(rng, drafts, size.triggers)
    # Shuffled, so that names predict neither class nor split.
    numbers, people = rng.permutation(len(drafts)), rng.permutation(people)
    plans = [
        _plan(draft, int(number), int(people[draft.patient]))
        for draft, number in zip(drafts, numbers)
    ]
    return sorted(plans, key=lambda plan: plan.index)


def find_scale(name: str) -> Scale:
    """Scale by its name."""
    if name not in SCALES:
        raise ValueError(f"scale {name!r} is unknown: use {', '.join(SCALES)}")
    return SCALES[name]


@dataclass
class _Draft:
    """A cry recording without its final numbers."""

    cell: Cell
    patient: int
    site: str
    severity: float
    when: datetime
    seconds: float
    trigger: str = ""
    is_listed: bool = False  # the row has the trigger


def _draft_cell(
    rng: np.random.Generator, cell: Cell, spread: float, first_patient: int
) -> List[_Draft]:
    """Draw patients, sites, dates and lengths of one cell's recordings."""
    # Every patient has at least one recording.
    repeats = rng.integers(0, cell.patients, cell.recordings - cell.patients)
    owners = sorted([*range(cell.patients), *repeats.tolist()])
    sites = _deal(rng, _share_out(cell.patients, SITE_SHARES))
    injured = [int(cell.label == "injury")] * cell.patients
    if not cell.label:  # about as many injured as among the labelled
        injured = _deal(rng, _share_out(cell.patients, (0.9, 0.1)))
    ranks = (rng.permutation(cell.patients) + 0.5) / cell.patients
    days = rng.uniform(0, 900, cell.patients)
    middle = 2 * (np.arange(cell.recordings) + 0.5) / cell.recordings - 1
    lengths = cell.mean_s * (1 + spread * rng.permutation(middle))
    drafts = []
    for owner, length in zip(owners, lengths):
        days[owner] += rng.uniform(0.05, 0.8)
        drafts.append(
            _Draft(
                cell=cell,
                patient=first_patient + owner,
                site=sorted(SITES)[sites[owner]],
                severity=severity_at(ranks[owner], bool(injured[owner])),
                when=FIRST_DAY + timedelta(days=float(days[owner])),
                seconds=round(float(length), 3),
            )
        )
    return drafts


def _deal_triggers(
    rng: np.random.Generator, drafts: List[_Draft], triggers: int
) -> None:
    """Assign a trigger to every recording, and list `triggers` of them.

    Assigned along (split, class, site), so independently of all three.
    """
    groups: Dict[str, List[_Draft]] = {}
    for i in rng.permutation(len(drafts)):
        groups.setdefault(drafts[i].cell.split, []).append(drafts[i])
    names = sorted(groups)
    labelled = [len(groups[name]) if name else 0 for name in names]
    for name, shown in zip(names, _share_out(triggers, labelled)):
        group = sorted(groups[name], key=lambda d: (d.cell.label, d.site))
        listed = _deal(rng, (len(group) - shown, shown))
        for draft, is_listed in zip(group, listed):
            draft.is_listed = bool(is_listed)
        for is_listed in (False, True):
            some = [draft for draft in group if draft.is_listed == is_listed]
            hand = _deal(rng, _share_out(len(some), TRIGGER_SHARES))
            for draft, trigger in zip(some, hand):
                draft.trigger = TRIGGERS[trigger]


def _plan(draft: _Draft, number: int, patient: int) -> CryPlan:
    """Turn a draft into a plan with its final numbers."""
    name = f"syn{number:05d}"
    row = CryRow(
        recording_id=name,
        patient_id=f"synp{patient:04d}",
        path=f"audio/{name}.flac",
        neuro_injury=draft.cell.label,
        trigger=draft.trigger if draft.is_listed else "",
        site=draft.site,
        recorded_at=draft.when.isoformat(timespec="seconds"),
        split=draft.cell.split,
    )
    return CryPlan(
        row, number, patient, draft.seconds, draft.severity, draft.trigger
    )


def plan_sounds(scale: str = "demo", seed: int = 1234) -> List[SoundPlan]:
    """Plan the generic clips of a corpus."""
    size = find_scale(scale)
    rng = np.random.default_rng([seed, Stream.PLAN_SOUND])
    counts = _share_out(size.clips, [1.0] * size.classes)
    plans: List[SoundPlan] = []
    for label_index, count in enumerate(counts):
        tests = round(0.2 * count)
        for i in range(count):
            index = len(plans)
            split = "test" if i < tests else "train"
            # Some videos have a second clip, in the same split.
            again = i % 9 == 8 and i != tests
            name = plans[-1].youtube_id if again else _video_id(rng, index)
            start = plans[-1].start + 10 if again else int(rng.integers(0, 300))
            plans.append(
                SoundPlan(
                    name,
                    start,
                    CLASSES[label_index][0],
                    split,
                    index,
                    plans[-1].video if again else index,
                    label_index,
                    size.clip_s,
                    index % 20 == 7,
                )
            )
    return sorted(plans, key=lambda plan: (plan.youtube_id, plan.start))


def _video_id(rng: np.random.Generator, index: int) -> str:
    """Eleven characters; like real ids, some begin with "-" or hold "_"."""
    name = "".join(rng.choice(list(ID_CHARACTERS), 11))
    if index % 11 == 0:
        name = "-" + name[1:]
    return name[:6] + "_" + name[7:] if index % 5 == 0 else name
