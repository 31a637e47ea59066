"""Mix long recordings of clips at known times in real background.

> python -m data_prep.night clips.csv backgrounds/ --out night --hours 8 \\
>     --snr_db 0,10,20 --per_hour cry=12,laughter=3,music=3 --seed 1

CLIPS is a table with the columns path and label (and patient_id, the origin),
or a folder of a folder for each label; BACKGROUND an audio file, a folder or a
table. Writes a recording for each signal-to-noise ratio, annotations.csv with
the events, and mix.csv with each clip, its origin, place, gain and ratio. The
same command writes the same samples.
"""

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from data_prep.annotations.event import Event
from data_prep.annotations.event_table import COLUMNS as EVENT_COLUMNS
from data_prep.annotations.formats import write_events
from data_prep.audio.folder import AUDIO, audio_files, find_files
from data_prep.audio.measure import check_rate
from data_prep.audio.write import audio_output
from data_prep.files.arguments import Arguments, nearest
from data_prep.files.atomic import make_folder
from data_prep.files.errors import (
    InputError,
    not_a_file,
    one_line_errors,
    require,
)
from data_prep.files.folders import named_only, require_other
from data_prep.files.lock import locked
from data_prep.files.missing import is_missing, refuse_damaged, without_marks
from data_prep.files.option_values import Number, convert, path
from data_prep.files.tables import (
    read_table,
    require_own,
    write_table,
    write_text,
)
from data_prep.files.words import count
from data_prep.synthetic.background import Background, open_source
from data_prep.synthetic.night import (
    Clip,
    Clips,
    Mixed,
    blocks,
    headroom,
    mixed,
    numbers_of,
    plan,
)

LABEL = "label"  #: column of a table of clips
EVENTS, MIX = "annotations.csv", "mix.csv"
_PATHS = ("clips", "background", "out", "data_folder")
BLOCK_S = 30.0
PER_HOUR = 6.0
#: Largest file of a plain WAV header, with room for the header.
MOST_WAV_BYTES = 2**32 - 2**16
_SAMPLE_BYTES = 2
_FULL_SCALE = 32767
COLUMNS = (
    *("recording", "clip", "source", "label", "onset_s", "offset_s"),
    *("onset_sample", "n_samples", "clip_start_s", "gain_db", "snr_db"),
    *("active_dbfs", "background_dbfs", "background"),
)


class Container(NamedTuple):
    """Format of an audio file as soundfile names it."""

    suffix: str
    format: str


def container(format: str, n_samples: int) -> Container:
    """Format of a recording of 16 bit: RF64 for a WAV beyond 4 GB.

    Example
    -------
    >>> container("wav", 16000), container("wav", 2**32)
    (Container(suffix='.wav', format='WAV'), \
Container(suffix='.wav', format='RF64'))
    """
    if format == "wav" and n_samples * _SAMPLE_BYTES > MOST_WAV_BYTES:
        return Container(".wav", "RF64")
    return Container(f".{format}", format.upper())


def read_clips(
    source: str, label_column: str, data_folder: Optional[str]
) -> Dict[str, List[Clip]]:
    """Clips of each label, from a table or from a folder of folders."""
    root, rows = _listed(source, data_folder, ("path", label_column))
    clips: Dict[str, List[Clip]] = {}
    for where, file, cells in rows:
        label = cells.get(label_column, Path(file).parent.name)
        require(
            not is_missing(label),
            f"{where} has no label",
            "fill in the label, or put the file in a folder named by it",
        )
        origin = without_marks(cells).get("patient_id", "")
        refuse_damaged(where, "patient_id", origin, is_id=True)
        clip = Clip(str(root / file), file, label, origin)
        clips.setdefault(label, []).append(clip)
    return clips


def _listed(source: str, data_folder, columns) -> Tuple[Path, List]:
    """Root, and (place, path below it, cells of its row) of audio files."""
    place = Path(source)
    require(place.exists(), not_a_file(source), "pass a table or a folder")
    if place.is_dir():
        files = audio_files(place)
        return place, [(str(place / file), file, {}) for file in files]
    if place.name.lower().endswith(AUDIO):
        return place.parent, [(source, place.name, {})]
    root = Path(data_folder or place.parent)
    rows = read_table(place, columns)
    paths = find_files(root, [cells["path"] for _, cells in rows])
    for where, cells in rows:
        require(
            paths[cells["path"]] is not None,
            f"{where}: {cells['path']} is not in {root}",
            "correct the path, or pass the folder with --data_folder",
        )
    return root, [(w, paths[cells["path"]], cells) for w, cells in rows]


def rates_per_hour(
    text: Optional[str], labels: Sequence[str]
) -> Dict[str, float]:
    """Events an hour of each label, from a text such as cry=12,music=3."""
    if text is None:
        return dict.fromkeys(labels, PER_HOUR)
    rates: Dict[str, float] = {}
    for pair in text.split(","):
        label, equals, rate = pair.strip().rpartition("=")
        require(bool(equals), f"--per_hour has {pair!r}", "write LABEL=NUMBER")
        require(
            label in labels,
            f"--per_hour names {label}{nearest(label, labels)}, which no clip "
            "has",
            f"pass some of {', '.join(sorted(labels))}",
        )
        require(
            label not in rates, f"--per_hour names {label} twice", "keep one"
        )
        rates[label] = convert("--per_hour", Number(0, 3600, above=True), rate)
    return rates


def ratios(text: str) -> List[float]:
    """Signal-to-noise ratios in dB, from a text such as 0,10,20."""
    number = Number(-40, 80)
    values = [float(convert("--snr_db", number, x)) for x in text.split(",")]
    require(
        len(set(values)) == len(values), "--snr_db has one twice", "remove it"
    )
    return values


def make_nights(args) -> str:
    """Write the recordings, their annotations and the list of clips; return a
    summary."""
    snrs, rate = ratios(args.snr_db), args.rate
    clips = read_clips(args.clips, args.label_column, args.data_folder)
    per_hour = rates_per_hour(args.per_hour, list(clips))
    root, rows = _listed(args.background, args.data_folder, ("path",))
    sources = [
        open_source(str(root / file), file, rate, args.background_dbfs)
        for _, file, _ in rows
    ]
    n_samples = round(args.hours * 3600 * rate)
    kind = container(args.format, n_samples)
    _check_room(args.out, n_samples * len(snrs), args.format)
    read = Clips(rate, args.longest_s)
    placed, silent = plan(
        clips,
        numbers_of(per_hour, args.hours),
        read,
        n_samples,
        round(args.least_gap_s * rate),
        np.random.default_rng([args.seed, 0]),
    )
    require(bool(placed), "no event is drawn", "raise --per_hour or --hours")
    background = Background(
        sources,
        n_samples,
        round(args.stretch_s * rate),
        rate,
        np.random.default_rng([args.seed, 1]),
    )
    lines: List[List] = []
    for snr in snrs:
        events = mixed(placed, background, read, snr)
        gain = headroom(events, background, sources, read)
        name = f"night_snr{snr:g}{kind.suffix}"
        parts = blocks(events, background, read, round(BLOCK_S * rate))
        _write_audio(Path(args.out, name), kind, rate, n_samples, parts, gain)
        lines += _rows(name, events, background, rate, snr, gain)
    _write_lists(args, lines, silent)
    left_out = f"; {count(len(silent), 'silent clip')} left out"
    return (
        f"{count(len(snrs), 'recording')} of {args.hours:g} h with "
        f"{count(len(placed), 'event')} each in {args.out}"
        + left_out
        * bool(silent)
    )


def _check_room(out: str, n_samples: int, format: str) -> None:
    needed = n_samples * _SAMPLE_BYTES / (2 if format == "flac" else 1)
    free = shutil.disk_usage(out).free
    require(
        needed <= free,
        f"{out} needs about {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are "
        "free",
        "free some space, or pass another --out",
    )


def _write_audio(path, kind, rate, n_samples, parts, gain) -> None:
    """Write 16 bit samples block by block."""
    bar = tqdm(
        total=n_samples, desc=path.name, unit="sample", unit_scale=True,
        dynamic_ncols=True,
    )  # fmt: skip
    with bar, audio_output(path, rate, kind.format) as write:
        for sig in parts:
            scaled = np.rint(sig * (gain * _FULL_SCALE))
            write(scaled.astype(np.int16))
            bar.update(len(sig))


def _rows(
    name: str, events: Sequence[Mixed], background, rate, snr, gain
) -> List[List]:
    """Rows of ``mix.csv`` of one recording."""
    begins = [stretch.begin for stretch in background.stretches]
    whole_db = 20 * np.log10(gain)
    rows = []
    for (clip, onset, n, start), own_gain, background_db, active_db in events:
        turn = int(np.searchsorted(begins, onset, "right")) - 1
        rows.append(
            [
                *(name, clip.listed, clip.source, clip.label),
                *(f"{onset / rate:.6f}", f"{(onset + n) / rate:.6f}"),
                *(onset, n, f"{start / rate:.6f}"),
                f"{20 * np.log10(own_gain) + whole_db:.4f}",
                f"{snr:g}",
                f"{active_db + whole_db:.4f}",
                f"{background_db + whole_db:.4f}",
                background.stretches[turn].source.path,
            ]
        )
    return rows


def _write_lists(args, lines: List[List], silent: List[str]) -> None:
    out = Path(args.out)
    events = [
        Event(float(row[4]), float(row[5]), row[3], recording=row[0])
        for row in lines
    ]
    write_events(out / EVENTS, events, "csv")
    write_table(out / MIX, COLUMNS, lines)
    options = named_only(vars(args), _PATHS)
    record = {"options": options, "silent_clips": silent}
    write_text(out / "night.json", json.dumps(record, indent=1) + "\n")


def make_parser() -> Arguments:
    """Build the parser of ``python -m data_prep.night``."""
    parser = Arguments(
        prog="python -m data_prep.night", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add(
        "clips",
        type=path,
        metavar="CLIPS",
        help="table, or folder of a folder a label",
    )
    add(
        "background",
        type=path,
        metavar="BACKGROUND",
        help="audio file, folder, or table",
    )
    add("--out", required=True, help="folder to write to")
    add("--hours", type=float, default=8.0, help="length (default: 8)")
    add(
        "--snr_db", default="0,10,20",
        help="signal-to-noise ratios, a recording each (default: 0,10,20; if negative, --snr_db=-5,0)",
    )  # fmt: skip
    add(
        "--per_hour", metavar="LABEL=NUMBER,...",
        help="events an hour of each label that is used (default: "
        f"{PER_HOUR:g} of every label)",
    )  # fmt: skip
    add("--label_column", default=LABEL, help="of the table CLIPS")
    add("--data_folder", help="folder that paths in tables are relative to")
    add(
        "--least_gap_s", type=float, default=5.0,
        help="seconds between two clips, at least (default: 5)",
    )  # fmt: skip
    add(
        "--longest_s", type=float, default=30.0,
        help="seconds of a clip that are used at most (default: 30)",
    )  # fmt: skip
    add(
        "--background_dbfs", type=float, default=-45.0,
        help="level of each recording of background (default: -45)",
    )  # fmt: skip
    add(
        "--stretch_s", type=float, default=600.0,
        help="seconds of background from one recording (default: 600)",
    )  # fmt: skip
    add("--rate", type=int, default=16000, help="Hz (default: 16000)")
    add(
        "--format", choices=("flac", "wav", "w64"), default="flac",
        help="a wav beyond 4 GB is RF64 (default: flac)",
    )  # fmt: skip
    add("--seed", default=0, help="seed of clips, times and background")
    return parser


_RANGES = {
    "hours": (0.001, 1000),
    "least_gap_s": (0, 3600),
    "longest_s": (0.1, 600),
    "background_dbfs": (-70, -10),
    "stretch_s": (1, 86400),
}


def _check_of_tables(args) -> None:
    """Refuse options of tables where there is none: they would do nothing."""
    places = Path(args.clips), Path(args.background)
    tables = [
        p for p in places if p.is_file() and not p.name.lower().endswith(AUDIO)
    ]
    folder, column = args.data_folder, args.label_column
    require(
        folder is None or bool(tables) or not all(p.exists() for p in places),
        f"--data_folder {folder} is for the paths in a table",
        "pass a table as CLIPS or BACKGROUND, or leave it out",
    )
    require(
        folder is None or Path(folder).is_dir(),
        f"--data_folder {folder} is not a folder",
        "pass the folder that paths in tables are relative to",
    )
    require(
        column == LABEL or places[0] in tables or not places[0].exists(),
        f"--label_column {column} is of a table, and CLIPS {args.clips} is not "
        "one",
        "pass a table, or leave it out: a folder names its label",
    )


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Parse the command line and write the recordings."""
    args = make_parser().parse_intermixed_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        for name, (least, most) in _RANGES.items():
            value = getattr(args, name)
            if not least <= value <= most:
                raise InputError(
                    f"--{name} is {value:g}; pass a number from {least:g} to "
                    f"{most:g}"
                )
        check_rate(args.rate)
        _check_of_tables(args)
        require_other(args.out, "CLIPS", args.clips)
        require_other(args.out, "BACKGROUND", args.background)
        with locked(make_folder(args.out)):
            require_own(Path(args.out, EVENTS), EVENT_COLUMNS)
            require_own(Path(args.out, MIX), COLUMNS)
            print(f"done: {make_nights(args)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
