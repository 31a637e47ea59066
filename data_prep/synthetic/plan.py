"""What the synthetic corpus will hold: rows and numbers, without the audio.

Sites are dealt out evenly within each class and split, and both classes of a
split have recordings of the same lengths, so that neither says anything about
a label. ``poster`` has the poster's own table (recordings and patients by class
and split, hours by split, 1,149 triggers); the shares of triggers and sites are
our choice. ``miniature`` is made in seconds and has 760 test patients: between
two encoders, paired differences of 0.02 to 0.045 AUC are separable, the less
alike they are the larger.
"""

import enum
import string
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from data_prep.synthetic.cry import SITE_SHARES, SITES, severity_at
from data_prep.synthetic.sounds import CLASSES

FIRST_DAY = datetime(2020, 6, 1)
TRIGGERS = ("pain", "hunger", "discomfort")
TRIGGER_SHARES = (0.32, 0.38, 0.3)
ID_CHARACTERS = string.ascii_letters + string.digits + "_-"


class Stream(enum.IntEnum):
    """What a random stream is for: the second number of its seed."""

    PLAN_CRY = 0
    VOICE = 1
    CRY = 2
    PLAN_SOUND = 3
    VIDEO = 4
    SOUND = 5


@dataclass(frozen=True)
class Cell:
    """Recordings of one class in one split.

    Arguments
    ---------
    split : str
        train, valid, test, or empty for the extra recordings.
    label : str
        healthy, injury, or empty.
    recordings, patients : int
        How many.
    mean_s : float
        Mean length, seconds.
    """

    split: str
    label: str
    recordings: int
    patients: int
    mean_s: float


@dataclass(frozen=True)
class Scale:
    """Size of a corpus.

    Arguments
    ---------
    cells : Tuple[Cell, ...]
        Cry recordings.
    triggers : int
        How many labelled recordings carry a trigger.
    spread : float
        Lengths are spread evenly over mean * (1 - spread) .. (1 + spread).
    classes, clips : int
        Generic classes, and clips in all.
    clip_s : float
        Length of a generic clip, seconds.
    """

    cells: Tuple[Cell, ...]
    triggers: int
    spread: float
    classes: int
    clips: int
    clip_s: float


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
            # The poster's hours of a split, over both classes: by class its
            # means differ, and the duration would tell the label.
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
    """A row of recordings.csv, all text; the fields are its columns."""

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
    """A cry recording to be made: its row, and what the row does not tell.

    Arguments
    ---------
    row : CryRow
        What recordings.csv says.
    index, patient : int
        Numbers the random streams start from.
    seconds : float
        Length.
    severity : float
        Of the patient's neurological injury, see ``synthetic_cry``.
    trigger : str
        The truth, whether the row tells it or not.
    """

    row: CryRow
    index: int
    patient: int
    seconds: float
    severity: float
    trigger: str


@dataclass(frozen=True)
class SoundPlan:
    """A generic clip to be made.

    Arguments
    ---------
    youtube_id : str
        Eleven random characters in the form of a video's name.
    start : int
        Where the clip would begin in its video, seconds.
    label, split : str
        Columns of vggsound.csv.
    index, video, label_index : int
        Numbers the random streams start from, and the class.
    seconds : float
        Length.
    missing : bool
        In the list but without a file, as videos that were taken down.
    """

    youtube_id: str
    start: int
    label: str
    split: str
    index: int
    video: int
    label_index: int
    seconds: float
    missing: bool

    @property
    def file_name(self) -> str:
        """<id>_<start:06d>.wav"""
        return f"{self.youtube_id}_{self.start:06d}.wav"


def _share_out(total: int, shares: Sequence[float]) -> List[int]:
    """Whole numbers with the given sum, nearest to the given shares."""
    exact = np.asarray(shares, dtype=float) / np.sum(shares) * total
    counts = np.floor(exact).astype(int)
    left = total - counts.sum()
    counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    return counts.tolist()


def _deal(rng: np.random.Generator, counts: Sequence[int]) -> List[int]:
    """0, 1, 2, ... so often, each in nearly its share of any stretch."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    places = [(np.arange(c) + rng.uniform(size=c)) / max(c, 1) for c in counts]
    return numbers[np.argsort(np.concatenate(places))].tolist()


def plan_cries(scale: str = "demo", seed: int = 1234) -> List[CryPlan]:
    """The cry recordings of a corpus, without their audio.

    Example
    -------
    >>> plans = plan_cries("tiny")
    >>> sorted({plan.row.split for plan in plans})
    ['', 'test', 'train', 'valid']
    """
    size = find_scale(scale)
    rng = np.random.default_rng([seed, Stream.PLAN_CRY])
    drafts: List[_Draft] = []
    people = 0
    for cell in size.cells:
        drafts += _draft_cell(rng, cell, size.spread, people)
        people += cell.patients
    _deal_triggers(rng, drafts, size.triggers)
    # Numbers are shuffled so that names tell neither class nor split.
    numbers, people = rng.permutation(len(drafts)), rng.permutation(people)
    plans = [
        _plan(draft, int(number), int(people[draft.patient]))
        for draft, number in zip(drafts, numbers)
    ]
    return sorted(plans, key=lambda plan: plan.index)


def find_scale(name: str) -> Scale:
    """Looks a scale up.

    Example
    -------
    >>> find_scale("poster").triggers
    1149
    """
    if name not in SCALES:
        raise ValueError(f"scale {name!r} is unknown: use {', '.join(SCALES)}")
    return SCALES[name]


@dataclass
class _Draft:
    """A cry recording while it is planned."""

    cell: Cell
    patient: int
    site: str
    severity: float
    when: datetime
    seconds: float
    trigger: str = ""
    told: bool = False


def _draft_cell(
    rng: np.random.Generator, cell: Cell, spread: float, first_patient: int
) -> List[_Draft]:
    """Patients, sites, dates and lengths of one cell's recordings."""
    # Every patient has one recording, some have more.
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
    """Gives every recording a trigger, and tells that of so many of them.

    Dealt along (split, class, site), so that it depends on none of the three.
    """
    groups: Dict[str, List[_Draft]] = {}
    for i in rng.permutation(len(drafts)):
        groups.setdefault(drafts[i].cell.split, []).append(drafts[i])
    names = sorted(groups)
    labelled = [len(groups[name]) if name else 0 for name in names]
    for name, shown in zip(names, _share_out(triggers, labelled)):
        group = sorted(groups[name], key=lambda d: (d.cell.label, d.site))
        for draft, told in zip(group, _deal(rng, (len(group) - shown, shown))):
            draft.told = bool(told)
        for told in (False, True):
            some = [draft for draft in group if draft.told == told]
            hand = _deal(rng, _share_out(len(some), TRIGGER_SHARES))
            for draft, trigger in zip(some, hand):
                draft.trigger = TRIGGERS[trigger]


def _plan(draft: _Draft, number: int, patient: int) -> CryPlan:
    """A draft with its final numbers."""
    name = f"syn{number:05d}"
    row = CryRow(
        recording_id=name,
        patient_id=f"synp{patient:04d}",
        path=f"audio/{name}.flac",
        neuro_injury=draft.cell.label,
        trigger=draft.trigger if draft.told else "",
        site=draft.site,
        recorded_at=draft.when.isoformat(timespec="seconds"),
        split=draft.cell.split,
    )
    return CryPlan(
        row, number, patient, draft.seconds, draft.severity, draft.trigger
    )


def plan_sounds(scale: str = "demo", seed: int = 1234) -> List[SoundPlan]:
    """The generic clips of a corpus, without their audio.

    Example
    -------
    >>> len(plan_sounds("tiny"))
    24
    """
    size = find_scale(scale)
    rng = np.random.default_rng([seed, Stream.PLAN_SOUND])
    counts = _share_out(size.clips, [1.0] * size.classes)
    plans: List[SoundPlan] = []
    for label_index, count in enumerate(counts):
        tests = round(0.2 * count)
        for i in range(count):
            index = len(plans)
            split = "test" if i < tests else "train"
            # Sometimes a second clip of the video before, in the same split.
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
    """Eleven characters; some begin with "-", some hold "_", as real ones."""
    name = "".join(rng.choice(list(ID_CHARACTERS), 11))
    if index % 11 == 0:
        name = "-" + name[1:]
    return name[:6] + "_" + name[7:] if index % 5 == 0 else name
