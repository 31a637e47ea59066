"""Make windows to train a detector on: clips of a sound and of others in noise.

> python -m data_prep.detection_windows --out windows \\
>     --sounds corvin/recordings.csv esc50/recordings.csv:sound=crying_baby \\
>     --others speech_commands/recordings.csv esc50/recordings.csv:category!=crying_baby \\
>     --backgrounds esc50/recordings.csv:category=rain,wind

Tables are recordings.csv of any corpus, a table of paths and patients, with a
column whose values are chosen. Writes ``recordings.csv`` and windows of one
length, so that length tells nothing, split by patient; and for each split
``<split>_clips.csv`` and ``<split>_backgrounds.csv``, from which
``data_prep.night`` makes recordings to choose a threshold on (valid). The same
command writes the same samples.
"""

import logging
import os
import sys
from pathlib import Path
from typing import (
    Callable,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

import numpy as np
from tqdm import tqdm

from data_prep.annotations.labels import check_label
from data_prep.audio.write import audio_output
from data_prep.corpora.database import TABLE
from data_prep.corpora.exclusion import listed_patients
from data_prep.corpora.listing import prepared_from
from data_prep.corpora.stratify import SHARES, split_patients
from data_prep.files.arguments import Arguments
from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.identifiers import identity
from data_prep.files.lock import locked
from data_prep.files.option_values import Number
from data_prep.files.tables import read_table, require_own, write_table
from data_prep.night import ratios, read_clips
from data_prep.synthetic.background import Background, open_source
from data_prep.synthetic.levels import active_power, frame_powers
from data_prep.synthetic.night import FLOOR_DBFS, Clip, Clips

RATE = 16000
OTHER, BACKGROUND, CLIPS = "other", "background", "clips"
#: Share of the windows of the other class that are background alone.
EMPTY_SHARE = 0.15
#: Least share of the window, or of a shorter clip, that a sound fills (with less
#: a window has no clear label), and the same of another sound.
LEAST_SHARES = 0.5, 0.2
BACKGROUND_DBFS = -45.0
LONGEST_S = 30.0
COLUMNS = (
    *("recording_id", "patient_id", "path", "label", "kind", "snr_db"),
    *("clip", "background", "licence", "attribution", "split"),
)
#: Columns of licences and authors in the tables of corpora.
_LICENCE, _AUTHOR = ("licence", "license"), ("attribution", "uploader")


class Chosen(NamedTuple):
    """A clip, and what its table says of it."""

    clip: Clip  #: its label is the kind of sound
    licence: str
    attribution: str


def read_chosen(text: str, option: str) -> List[Chosen]:
    """Clips of ``TABLE``, ``TABLE:COLUMN`` or ``TABLE:COLUMN=VALUE,...``, or
    with ``!=`` all but those. The kind of a sound is its value of the column,
    without a column the name of the table's folder."""
    table, column, values, is_left_out = _parsed(text, option)
    folder = Path(table).resolve().parent
    clips = read_clips(table, column or "path", prepared_from(folder))
    for value in values:
        require(
            value in clips,
            f"{option} {text}: no row of {table} has {column} {value}",
            f"it has {', '.join(sorted(clips)[:20])}",
        )
    cells_of = {
        cells["path"]: cells for _, cells in read_table(Path(table), ["path"])
    }
    result = []
    for kind, of_kind in clips.items():
        if values and (kind in values) == is_left_out:
            continue
        for clip in of_kind:
            require(
                bool(clip.source),
                f"{table}: {clip.listed} has no patient_id",
                "fill it in: of one source all clips are in one split",
            )
            cells = cells_of.get(clip.listed, {})
            facts = [
                next((cells[name] for name in names if cells.get(name)), "")
                for names in (_LICENCE, _AUTHOR)
            ]
            named = clip._replace(label=kind if column else folder.name)
            result.append(Chosen(named, *facts))
    require(bool(result), f"{option} {text} chooses no row", "correct it")
    return result


def _parsed(text: str, option: str) -> Tuple[str, str, List[str], bool]:
    """Table, column, values, and whether these are left out."""
    table, column, values, is_left_out = text, "", "", False
    if not Path(text).is_file():
        table, _, choice = text.rpartition(":")
        column, equals, values = choice.partition("=")
        is_left_out = column.endswith("!")
        column = column.rstrip("!")
        require(
            Path(table).is_file()
            and bool(column)
            and bool(values or not equals),
            f"{option} {text}: {table or text} is not a table",
            "pass TABLE, TABLE:COLUMN or TABLE:COLUMN=VALUE,VALUE",
        )
    return table, column, values.split(",") if values else [], is_left_out


def held_out(tables: Sequence[str], here: Set[str]) -> Set[str]:
    """Patients of tables, as ``identity`` compares them; refuse a table that
    has none of those here."""
    patients: Set[str] = set()
    for table in map(Path, tables):
        listed = listed_patients(table, read_table(table, ["patient_id"]))
        require(
            not here.isdisjoint(listed),
            f"--exclude {table}: no listed id exists here (the tables have "
            f"{len(here)} other patients)",
            "correct the ids, or leave out --exclude if all patients are others",
        )
        patients |= listed.keys()
    return patients


class Draw:
    """Clips to draw from: a group (a table, or a kind of sound), then one of its
    patients, then one of the patient's clips."""

    def __init__(self, groups: Dict[str, List[Chosen]], power: float):
        self._groups: List[List[List[Chosen]]] = []
        for _, rows in sorted(groups.items()):
            by_patient: Dict[str, List[Chosen]] = {}
            for row in rows:
                patient = identity(row.clip.source)
                by_patient.setdefault(patient, []).append(row)
            self._groups.append(list(by_patient.values()))
        weights = np.array([len(group) ** power for group in self._groups])
        self._shares = weights / weights.sum()

    def __call__(self, rng: np.random.Generator) -> Chosen:
        """Draw a clip."""
        group = self._groups[rng.choice(len(self._groups), p=self._shares)]
        clips = group[rng.integers(len(group))]
        return clips[rng.integers(len(clips))]


class Windows:
    """Windows of one split: sounds at random places and levels in background."""

    def __init__(self, args, noises: Sequence[Chosen], n: int, rng):
        self.size, self.snr_db = round(args.window_s * RATE), args.snr_db
        self.clips, self.rng = Clips(RATE, LONGEST_S), rng
        listed = {row.clip.path: row for row in noises}
        sources = [
            open_source(path, path, RATE, BACKGROUND_DBFS) for path in listed
        ]
        stretch = 10 * self.size
        self.background = Background(sources, n * self.size, stretch, RATE, rng)
        self._noises = [
            listed[part.source.path] for part in self.background.stretches
        ]

    def noise(self, i: int) -> Tuple[np.ndarray, Chosen]:
        """Background of the i-th window, and where it is from."""
        part = self.background[i * self.size : (i + 1) * self.size]
        return part, self._noises[i // 10]

    def mixed(
        self, i: int, clip: Clip, least: float
    ) -> Tuple[Optional[np.ndarray], float]:
        """Samples of the i-th window with a clip, of which it holds at least so
        much, and the ratio in dB; None if the clip is silent."""
        sig, _ = self.clips(clip)
        snr = float(self.rng.uniform(*self.snr_db))
        power = active_power(frame_powers(sig, RATE)) if len(sig) else 0.0
        if power == 0:
            return None, snr
        result, _ = self.noise(i)
        least_n = max(1, round(least * min(self.size, len(sig))))
        # First sample of the clip, counted from that of the window.
        onset = int(
            self.rng.integers(least_n - len(sig), self.size - least_n + 1)
        )
        noise_power = max(np.mean(result**2), 10 ** (FLOOR_DBFS / 10))
        gain = np.sqrt(noise_power * 10 ** (snr / 10) / power)
        begin, end = max(0, onset), min(self.size, onset + len(sig))
        result[begin:end] += gain * sig[begin - onset : end - onset]
        return result, snr

    def drawn(
        self, i: int, draw: Draw, least: float
    ) -> Tuple[np.ndarray, float, Chosen]:
        """The i-th window with a clip that is drawn; silent ones are not."""
        for _ in range(100):
            row = draw(self.rng)
            sig, snr = self.mixed(i, row.clip, least)
            if sig is not None:
                return sig, snr, row
        raise InputError("100 clips in a row are silent; pass others")


class Rows(NamedTuple):
    """Clips by group: cries by table, others by kind, backgrounds by table."""

    sounds: Dict[str, List[Chosen]]
    others: Dict[str, List[Chosen]]
    backgrounds: Dict[str, List[Chosen]]

    def flat(self, k: int) -> List[Chosen]:
        """Clips of the k-th of the three."""
        return [row for rows in self[k].values() for row in rows]

    def every(self) -> List[Chosen]:
        """All clips."""
        return [row for k in range(len(self)) for row in self.flat(k)]

    def kept(self, is_kept: Callable[[str], bool]) -> "Rows":
        """Clips of some patients, groups that have any."""
        parts = []
        for groups in self:
            some = {
                name: [r for r in rows if is_kept(identity(r.clip.source))]
                for name, rows in groups.items()
            }
            parts.append({name: rows for name, rows in some.items() if rows})
        return Rows(*parts)


def read_rows(args) -> Rows:
    """Clips of all tables."""
    sounds, others, backgrounds = (
        {text: read_chosen(text, f"--{name}") for text in getattr(args, name)}
        for name in Rows._fields
    )
    by_kind: Dict[str, List[Chosen]] = {}
    for row in (row for rows in others.values() for row in rows):
        by_kind.setdefault(row.clip.label, []).append(row)
    return Rows(sounds, by_kind, backgrounds)


def make_windows(args) -> str:
    """Write the windows and the tables; return a summary."""
    rows = read_rows(args)
    here = {identity(row.clip.source) for row in rows.every()}
    out, left_out = Path(args.out), held_out(args.exclude or [], here)
    kept = rows.kept(lambda patient: patient not in left_out)
    stratum_of = {
        identity(row.clip.source): (row.clip.label, "")
        for row in reversed(kept.every())
    }
    split_of = split_patients(stratum_of, SHARES, args.seed)
    lines: List[List] = []
    for number, (split, share) in enumerate(SHARES.items()):
        here = kept.kept(
            lambda patient, split=split: split_of[patient] == split
        )
        for name, groups in zip(Rows._fields, here):
            require(
                bool(groups),
                f"no patient of --{name} is left for {split}",
                "pass more tables, of three patients or more",
            )
        rng = np.random.default_rng([args.seed, number])
        lines += _write_split(
            args, split, here, round(args.windows * share), rng
        )
        _write_night_lists(out, split, here, args.label)
    write_table(out / TABLE, COLUMNS, lines)
    n_kept, n_out = len(kept.every()), len(rows.every()) - len(kept.every())
    return (
        f"{len(lines)} windows of {args.window_s:g} s, half of them of "
        f"{args.label}, from {n_kept} clips of {len(split_of)} patients in {out}"
        + f"; {n_out} clips of excluded patients left out"
        * bool(n_out)
    )


def _write_split(args, split: str, here: Rows, n: int, rng) -> List[List]:
    """Write the windows of a split; return their rows."""
    windows = Windows(args, here.flat(2), n, rng)
    # A table of cries is a corpus with its microphones, and all count the same;
    # of other sounds a kind counts by the root of the number of its patients.
    draws = Draw(here.sounds, 0.0), Draw(here.others, 0.5)
    lines = []
    for i in tqdm(range(n), desc=split, unit="window", dynamic_ncols=True):
        is_other = i % 2
        sig, background = windows.noise(i)
        path, used = f"{CLIPS}/{split}_{i:06d}.flac", [background[1:]]
        cells = [background.clip.source, BACKGROUND, "", ""]
        if not is_other or rng.random() >= EMPTY_SHARE:
            sig, snr, row = windows.drawn(
                i, draws[is_other], LEAST_SHARES[is_other]
            )
            used = [row[1:], background[1:]]
            kind = row.clip.label if is_other else args.label
            cells = [row.clip.source, kind, f"{snr:.2f}", row.clip.listed]
        _write(Path(args.out) / path, sig)
        facts = ["; ".join(filter(None, part)) for part in zip(*used)]
        label = OTHER if is_other else args.label
        lines.append(
            [f"{split}_{i:06d}", cells[0], path, label, *cells[1:]]
            + [background.clip.listed, *facts, split]
        )
    return lines


def _write(path: Path, sig: np.ndarray) -> None:
    """Write 16 bit samples, quieter where they would be clipped."""
    sig = sig / max(1.0, np.abs(sig).max() / 0.99)
    with audio_output(path, RATE, "FLAC") as write:
        write(sig)


def _write_night_lists(out: Path, split: str, here: Rows, label: str) -> None:
    """Write the clips and backgrounds of a split for ``data_prep.night``."""
    kinds = (label, None, BACKGROUND)
    lines = [
        [
            [os.path.abspath(c.path), kinds[k] or c.label, c.source]
            for c, *_ in here.flat(k)
        ]
        for k in range(3)
    ]
    columns = ("path", "label", "patient_id")
    write_table(out / f"{split}_clips.csv", columns, lines[0] + lines[1])
    write_table(out / f"{split}_backgrounds.csv", columns, lines[2])


def make_parser() -> Arguments:
    """Build the parser of ``python -m data_prep.detection_windows``."""
    parser = Arguments(
        prog="python -m data_prep.detection_windows",
        description=__doc__.split("\n")[0],
    )
    add = parser.add_argument
    how = "TABLE, TABLE:COLUMN, TABLE:COLUMN=VALUE,VALUE or TABLE:COLUMN!=VALUE"
    for name, words in (
        ("sounds", "of what is to be detected"),
        ("others", "of other sounds"),
        ("backgrounds", "of backgrounds"),
    ):
        add(
            f"--{name}", nargs="+", required=True, metavar="TABLE",
            help=f"clips {words}: {how}",
        )  # fmt: skip
    add("--out", required=True, help="folder to write to")
    add("--label", default="cry", help="class of --sounds (default: cry)")
    add(
        "--exclude", nargs="+", metavar="TABLE",
        help="tables of patients that are held out (column patient_id)",
    )  # fmt: skip
    add(
        "--window_s", type=Number(0.1, 60), default=2.0, metavar="S",
        help="length of a window (default: 2)",
    )  # fmt: skip
    add(
        "--windows", type=Number(20, 1e6, whole=True), default=8000,
        metavar="N", help="windows in all (default: 8000)",
    )  # fmt: skip
    add(
        "--snr_db", default="0,25", metavar="LOW,HIGH",
        help="range of the signal-to-noise ratio of a clip (default: 0,25)",
    )  # fmt: skip
    add("--seed", default=0, help="seed of splits, clips, places and levels")
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Parse the command line and write the windows."""
    args = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        args.snr_db = sorted(ratios(args.snr_db))
        require(
            len(args.snr_db) == 2,
            f"--snr_db has {len(args.snr_db)} numbers",
            "write the lowest and the highest, as in 0,25",
        )
        check_label("--label", args.label)
        require(
            args.label not in (OTHER, BACKGROUND),
            f"--label is {args.label}, the name of what is not detected",
            "pass another",
        )
        with locked(make_folder(args.out)):
            require_own(Path(args.out, TABLE), COLUMNS)
            make_folder(Path(args.out, CLIPS))
            print(f"done: {make_windows(args)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
