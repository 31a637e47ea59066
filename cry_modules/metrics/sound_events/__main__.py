"""Judge detected sound events against annotated ones.

> python -m cry_modules.metrics.sound_events annotated/ detected/events.csv \\
>     --audio recordings/ --out judged

Both are files or folders of events in any format of data_prep.annotations.
Writes metrics.json, recordings.csv, bins.csv and events.png: event-based, segment-based and
intersection-based figures, PSDS, false alarms an hour, and agreement on the
amount of each label, with intervals over recordings or over infants.
"""

import json
import logging
from itertools import combinations
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from cry_modules.figures.sound_events import draw
from cry_modules.metrics.bootstrap import N_DRAWS
from cry_modules.metrics.paired import LEAST_DRAWS
from cry_modules.metrics.sound_events.agreement import BINS_S, bins
from cry_modules.metrics.sound_events.comparison import (
    Recording,
    Settings,
    at_threshold,
    bin_amounts,
    compare,
)
from cry_modules.metrics.sound_events.event_based import Collar
from cry_modules.metrics.sound_events.intersection import Criteria
from cry_modules.metrics.sound_events.labels import judged, relabelled, renames
from cry_modules.metrics.sound_events.lists import (
    Lookup,
    of_channel,
    read_lists,
)
from cry_modules.metrics.sound_events.pairing import (
    DURATION,
    Sources,
    audio_durations,
    paired,
    read_recordings,
)
from cry_modules.metrics.sound_events.report import report
from cry_modules.metrics.sound_events.resampling import Resampling
from cry_modules.metrics.sound_events.tiers import by_tier, common, within
from data_prep.annotations.formats import FORMATS
from data_prep.files.arguments import Arguments
from data_prep.files.atomic import make_folder
from data_prep.files.errors import one_line_errors, require
from data_prep.files.lock import locked
from data_prep.files.option_values import path
from data_prep.files.tables import write_table, write_text

_SHARES = ("offset_share", "dtc", "gtc", "cttc")
_SECONDS = ("onset_collar_s", "offset_collar_s", "segment_s")
_ADD = "add it, or correct the name of the recording"


def make_parser() -> Arguments:
    """Build the parser of ``python -m cry_modules.metrics.sound_events``."""
    parser = Arguments(
        prog="python -m cry_modules.metrics.sound_events",
        description=__doc__.split("\n")[0],
    )
    add = parser.add_argument
    add(
        "annotated",
        type=path,
        metavar="ANNOTATED",
        help="file or folder of events",
    )
    add(
        "detected",
        type=path,
        metavar="DETECTED",
        help="file or folder of events",
    )
    add("--out", required=True, help="folder for the figures")
    add("--audio", help="folder of the recordings, for their lengths")
    add(
        "--durations",
        type=path,
        help="instead: table of the recordings that were annotated, with the "
        "columns recording and duration_s",
    )
    add(
        "--recordings",
        help="table with the columns recording and patient, and perhaps "
        "duration_s: intervals are over infants",
    )
    add(
        "--labels",
        metavar="LABEL,LABEL",
        help="labels that are judged, or all; false alarms in other annotated "
        "sounds are counted by sound (default: all, if both have them)",
    )
    add("--rename", metavar="OLD=NEW,OLD=NEW", help="new names of labels")
    add("--tier", help="tier of the annotation (default: each)")
    for side in ("annotated", "detected"):
        add(
            f"--{side}_format",
            choices=tuple(FORMATS),
            help="default: by suffix and content",
        )
    add(
        "--channel", type=int,
        help="channel of recordings with several, the first is 1",
    )  # fmt: skip
    add("--threshold", type=float, help="leave out detections of lower score")
    _add_tolerances(parser)
    add("--seed", default=0, help="seed of the draws of recordings")
    add("--n_draws", type=int, default=N_DRAWS, help="draws of recordings")
    return parser


def _add_tolerances(parser: Arguments) -> None:
    """Add the options on when a detection is right."""
    words = "seconds by which an onset may differ, event-based"
    collar, criteria = Collar(), Criteria()
    numbers = (
        ("onset_collar_s", collar.onset_s, words),
        ("offset_collar_s", collar.offset_s, words.replace("onset", "offset")),
        (
            "offset_share",
            collar.offset_share,
            "share of the event's duration by which an offset may differ, if "
            "that is longer",
        ),
        ("segment_s", 1.0, "length of segments, segment-based"),
        ("dtc", criteria.dtc, "least share of a detection in its label"),
        ("gtc", criteria.gtc, "least share of an event that is detected"),
        ("cttc", criteria.cttc, "least share of a detection in another label"),
    )
    for name, default, words in numbers:
        words += f" (default: {default:g})"
        parser.add_argument(
            f"--{name}", type=float, default=default, help=words
        )


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Judge the events, print tables, and write all figures."""
    args = make_parser().parse_intermixed_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        _check(args)
        with locked(make_folder(args.out)):
            print(judge(args))


def listed(text: Optional[str]) -> List[str]:
    """Parts of a text that is separated by commas.

    Example
    -------
    >>> listed("cry, speech"), listed(None)
    (['cry', 'speech'], [])
    """
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _check(args) -> None:
    for name in (*_SHARES, *_SECONDS):
        value = getattr(args, name)
        limit = 1 if name in _SHARES else 3600
        least = 0.01 if name == "segment_s" else 0
        require(
            least <= value <= limit,
            f"--{name} is {value:g}",
            f"pass a number from {least:g} to {limit}",
        )
    require(
        args.n_draws >= LEAST_DRAWS,
        f"--n_draws is {args.n_draws}",
        f"pass {LEAST_DRAWS} or more",
    )
    require(
        args.channel is None or args.channel >= 1,
        f"--channel is {args.channel}",
        "the first is 1",
    )
    given = [x for x in (args.audio, args.durations) if x is not None]
    require(
        len(given) < 2,
        "--audio and --durations both give the lengths of recordings",
        "leave out one of them",
    )


def judge(args) -> str:
    """Compare the events as the options say; return the report."""
    annotated, detected = _read(args)
    sources, of_tiers = _sources(args), by_tier(annotated, args.tier)
    if len(of_tiers) > 1:
        print(
            f"tiers {', '.join(of_tiers)} are taken as annotators; --tier "
            "NAME judges against one"
        )
    done = []
    for name, lists in of_tiers.items():
        listed = dict.fromkeys(sources.listed, [])
        narrowed = sources._replace(
            listed=tuple(within(listed, annotated, lists))
        )
        both = lists, within(detected, annotated, lists)
        done.append(
            _judge(args, (name or "annotation", "detector"), both, narrowed)
        )
    for pair in combinations(of_tiers, 2):
        a, b = (of_tiers[name] for name in pair)
        names = common(a, b)
        if names:
            both = ({n: lists[n] for n in names} for lists in (a, b))
            narrowed = sources._replace(listed=())
            done.append(_judge(args, pair, tuple(both), narrowed))
    comparisons, reports, rows = zip(*done)
    _write(args, comparisons, sum(rows, []))
    last = f"done: {len(done)} comparisons; figures in {args.out}"
    return "\n\n".join([*reports, last])


def _judge(args, pair, both, sources) -> Tuple[Dict, str, List[List]]:
    """Compare one pair of lists: figures, report, and rows of bins.csv."""
    recordings, notes = paired(*both, sources, args.annotated)
    for note in notes:
        print(f"{pair[1]} against {pair[0]}: {note}")
    settings = _settings(args, *both)
    resampling = Resampling(
        [recording.group for recording in recordings],
        "recording" if sources.groups is None else "infant",
        args.seed,
        args.n_draws,
    )
    named = dict(zip(("annotated", "detected"), pair), notes=notes)
    comparison = {**named, **compare(recordings, settings, resampling)}
    rows = [[*pair, *row] for row in _bin_rows(recordings, settings.labels)]
    return comparison, report(comparison, settings), rows


def _read(args) -> Tuple[Dict, Dict]:
    """Annotated and detected events, with the labels renamed."""
    new_labels, written = renames(listed(args.rename)), {}
    lists = []
    for side in ("annotated", "detected"):
        option = f"--{side}_format"
        format = getattr(args, option.lstrip("-"))
        source = getattr(args, side)
        events = read_lists(source, format, option)
        events = of_channel(events, args.channel, source)
        lists.append(relabelled(events, new_labels, written))
    args.written = written
    annotated, detected = lists
    if args.threshold is not None:
        scores = [e.score for events in detected.values() for e in events]
        require(
            None not in scores,
            f"--threshold needs scores, and {args.detected} has "
            f"{scores.count(None)} events without one",
            "leave it out",
        )
        detected = {
            name: at_threshold(events, args.threshold)
            for name, events in detected.items()
        }
    return annotated, detected


def _settings(args, annotated, detected) -> Settings:
    labels = judged(annotated, detected, listed(args.labels), args.written)
    return Settings(
        *labels,
        Collar(args.onset_collar_s, args.offset_collar_s, args.offset_share),
        args.segment_s,
        Criteria(args.dtc, args.gtc, args.cttc),
    )


def _sources(args) -> Sources:
    """Tables and folders in which lengths and infants are looked up."""
    annotated: List[str] = []
    durations = groups = None
    if args.audio:
        durations = Lookup(audio_durations(args.audio), args.audio, _ADD)
    if args.durations:
        table = read_recordings(args.durations, DURATION)
        durations = Lookup(table.durations, args.durations, _ADD)
        annotated += table.durations
    if args.recordings:
        table = read_recordings(args.recordings, "patient")
        annotated += table.groups or table.durations
        if table.groups:
            groups = Lookup(table.groups, args.recordings, _ADD)
        if durations is None and table.durations:
            durations = Lookup(table.durations, args.recordings, _ADD)
    return Sources(durations, groups, tuple(dict.fromkeys(annotated)))


def _bin_rows(recordings: Sequence[Recording], labels) -> List[List]:
    """Amounts of each label in the shortest bins."""
    bin_s = min(BINS_S.values())
    return [
        [recording.name, label, *window, *pair]
        for recording in recordings
        for label in labels
        for window, pair in zip(
            bins(recording.duration_s, bin_s).tolist(),
            zip(*(x.tolist() for x in bin_amounts(recording, label, bin_s))),
        )
    ]


def _write(args, comparisons: Sequence[Dict], rows: List[List]) -> None:
    out = Path(args.out)
    result = {
        "options": {
            name: value
            for name, value in vars(args).items()
            if name != "written"
        },
        "durations": args.audio or args.durations or "end of the last event",
        "comparisons": comparisons,
    }
    columns = (
        *("annotated", "detected", "recording", "label", "begin_s", "end_s"),
        *("annotated_minutes_per_hour", "detected_minutes_per_hour"),
    )
    write_table(out / "bins.csv", columns, rows)
    of_each = [
        [comparison["annotated"], comparison["detected"], *row.values()]
        for comparison in comparisons
        for row in comparison["by_recording"]
    ]
    names = list(comparisons[0]["by_recording"][0])
    head = ["annotated", "detected", *names]
    write_table(out / "recordings.csv", head, of_each)
    draw(comparisons, rows, out / "events.png")
    text = json.dumps(result, indent=1, allow_nan=False)
    write_text(out / "metrics.json", text)


if __name__ == "__main__":
    main()
