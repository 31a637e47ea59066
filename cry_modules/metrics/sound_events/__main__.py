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
from dataclasses import replace
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
from cry_modules.metrics.sound_events.lists import Lists, of_channel, read_lists
from cry_modules.metrics.sound_events.pairing import (
    DURATION,
    Sources,
    audio_durations,
    paired,
    read_recordings,
)
from cry_modules.metrics.sound_events.report import report
from cry_modules.metrics.sound_events.resampling import Resampling
from cry_modules.metrics.sound_events.tiers import by_tier, within
from data_prep.annotations.formats import FORMATS
from data_prep.files.arguments import Arguments, texts
from data_prep.files.atomic import make_folder
from data_prep.files.errors import one_line_errors, require
from data_prep.files.lock import locked
from data_prep.files.option_values import path, whole_number
from data_prep.files.tables import write_table, write_text

_FORMAT = {"choices": tuple(FORMATS)}
#: Arguments, how their values are read, and their help.
_ARGUMENTS = (
    ("annotated", {"type": path, "metavar": "ANNOTATED"},
     "file or folder of events"),
    ("detected", {"type": path, "metavar": "DETECTED"},
     "file or folder of events"),
    ("--out", {"required": True}, "folder for the figures"),
    ("--audio", {}, "folder of the recordings, for their lengths"),
    ("--durations", {"type": path},
     "instead: table of the recordings that were annotated, with the columns "
     "recording and duration_s"),
    ("--recordings", {},
     "table with the columns recording and patient, and perhaps duration_s: "
     "intervals are over infants"),
    ("--labels", {"metavar": "LABEL,LABEL"},
     "labels that are judged, or all; false alarms in other annotated sounds "
     "are counted by sound (default: all, if both have them)"),
    ("--rename", {"metavar": "OLD=NEW,OLD=NEW"}, "new names of labels"),
    ("--tier", {}, "tier of the annotation (default: each)"),
    ("--annotated_format", _FORMAT, "default: by suffix and content"),
    ("--detected_format", _FORMAT, "default: by suffix and content"),
    ("--channel", {"type": whole_number(1, 1000)},
     "channel of recordings with several, the first is 1"),
    ("--threshold", {"type": float}, "leave out detections of lower score"),
    ("--seed", {"default": 0}, "seed of the draws of recordings"),
    ("--n_draws", {"type": int, "default": N_DRAWS}, "draws of recordings"),
)  # fmt: skip
#: When a detection is right: option, default, least and most value, help.
_TOLERANCES = (
    ("onset_collar_s", Collar().onset_s, 0, 3600,
     "seconds by which an onset may differ, event-based"),
    ("offset_collar_s", Collar().offset_s, 0, 3600,
     "seconds by which an offset may differ, event-based"),
    ("offset_share", Collar().offset_share, 0, 1,
     "share of the event's duration by which an offset may differ, if that is "
     "longer"),
    ("segment_s", 1.0, 0.01, 3600, "length of segments, segment-based"),
    ("dtc", Criteria().dtc, 0, 1, "least share of a detection in its label"),
    ("gtc", Criteria().gtc, 0, 1, "least share of an event that is detected"),
    ("cttc", Criteria().cttc, 0, 1,
     "least share of a detection in another label"),
)  # fmt: skip


def make_parser() -> Arguments:
    """Build the parser of ``python -m cry_modules.metrics.sound_events``."""
    parser = Arguments(
        prog="python -m cry_modules.metrics.sound_events",
        description=__doc__.split("\n")[0],
    )
    for name, how, words in _ARGUMENTS:
        parser.add_argument(name, help=words, **how)
    for name, default, _, _, words in _TOLERANCES:
        words += f" (default: {default:g})"
        how = {"type": float, "default": default}
        parser.add_argument(f"--{name}", help=words, **how)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Judge the events, print tables, and write all figures."""
    args = make_parser().parse_intermixed_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        for name, _, least, most, _ in _TOLERANCES:
            value = getattr(args, name)
            require(
                least <= value <= most,
                f"--{name} is {value:g}",
                f"pass a number from {least:g} to {most}",
            )
        require(
            args.n_draws >= LEAST_DRAWS,
            f"--n_draws is {args.n_draws}",
            f"pass {LEAST_DRAWS} or more",
        )
        require(
            args.audio is None or args.durations is None,
            "--audio and --durations both give the lengths of recordings",
            "leave out one of them",
        )
        with locked(make_folder(args.out)):
            print(judge(args))


def _listed(text: Optional[str]) -> List[str]:
    return [*filter(None, texts([text]))] if text else []


def judge(args) -> str:
    """Compare the events as the options say; return the report."""
    written: Dict[str, str] = {}
    annotated, detected = _read(args, written)
    sources, of_tiers = _sources(args), by_tier(annotated, args.tier)
    if len(of_tiers) > 1:
        print(
            f"tiers {', '.join(of_tiers)} are taken as annotators; --tier "
            "NAME judges against one"
        )
    pairs = []
    for name, lists in of_tiers.items():
        listed = within(sources.listed, annotated, lists)
        both = lists, within(detected, annotated, lists)
        names = name or "annotation", "detector"
        pairs.append((names, both, replace(sources, listed=listed)))
    for names in combinations(of_tiers, 2):
        a, b = (of_tiers[name] for name in names)
        shared = [name for name in a if name in b and (a[name] or b[name])]
        both = [{name: lists[name] for name in shared} for lists in (a, b)]
        if shared:
            pairs.append((names, both, replace(sources, listed={})))
    done = [_judge(args, *pair, written) for pair in pairs]
    comparisons, reports, rows = zip(*done)
    _write(args, comparisons, sum(rows, []))
    last = f"done: {len(done)} comparisons; figures in {args.out}"
    return "\n\n".join([*reports, last])


def _read(args, written: Dict[str, str]) -> Tuple[Lists, Lists]:
    """Annotated and detected events, with the labels renamed; `written` gets
    all labels."""
    new_labels = renames(_listed(args.rename))
    result = []
    for side in ("annotated", "detected"):
        option, source = f"{side}_format", getattr(args, side)
        events = read_lists(source, getattr(args, option), f"--{option}")
        events = of_channel(events, args.channel, source)
        events, n_unnamed = relabelled(events, new_labels, written)
        if n_unnamed:
            print(
                f"{source}: {n_unnamed} events without a label are left out; "
                "--rename =NEW names them"
            )
        result.append(events)
    annotated, detected = result
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


def _sources(args) -> Sources:
    """Tables and folders in which lengths and infants are looked up."""
    sources = Sources()
    if args.audio:
        sources.lengths = audio_durations(args.audio)
    for table, required in (
        (args.durations, DURATION),
        (args.recordings, "patient"),
    ):
        if table:
            lengths, infants = read_recordings(table, required)
            names = {**lengths.entries, **infants.entries}
            sources.listed |= dict.fromkeys(names)
            if infants.entries and required == "patient":
                sources.infants = infants
            if lengths.entries and sources.lengths is None:
                sources.lengths = lengths
    return sources


def _judge(args, pair, both, sources, written) -> Tuple[Dict, str, List[List]]:
    """Compare one pair of lists: figures, report, and rows of bins.csv."""
    recordings, notes = paired(*both, sources, args.annotated)
    for note in notes:
        print(f"{pair[1]} against {pair[0]}: {note}")
    settings = Settings(
        *judged(*both, _listed(args.labels), written),
        Collar(args.onset_collar_s, args.offset_collar_s, args.offset_share),
        args.segment_s,
        Criteria(args.dtc, args.gtc, args.cttc),
    )
    resampling = Resampling(
        [recording.group for recording in recordings],
        "recording" if sources.infants is None else "infant",
        args.seed,
        args.n_draws,
    )
    named = {"annotated": pair[0], "detected": pair[1], "notes": notes}
    comparison = {**named, **compare(recordings, settings, resampling)}
    rows = [[*pair, *row] for row in _bin_rows(recordings, settings.labels)]
    return comparison, report(comparison, settings), rows


def _bin_rows(recordings: Sequence[Recording], labels) -> List[List]:
    """Amounts of each label in the shortest bins."""
    bin_s = min(BINS_S.values())
    return [
        [recording.name, label, *window, *amounts]
        for recording in recordings
        for label in labels
        for window, *amounts in zip(
            bins(recording.duration_s, bin_s).tolist(),
            *(x.tolist() for x in bin_amounts(recording, label, bin_s)),
        )
    ]


def _write(args, comparisons: Sequence[Dict], rows: List[List]) -> None:
    out = Path(args.out)
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
    names = ["annotated", "detected", *comparisons[0]["by_recording"][0]]
    write_table(out / "recordings.csv", names, of_each)
    draw(comparisons, rows, out / "events.png")
    result = {
        "options": vars(args),
        "durations": args.audio or args.durations or "end of the last event",
        "comparisons": comparisons,
    }
    text = json.dumps(result, indent=1, allow_nan=False)
    write_text(out / "metrics.json", text)


if __name__ == "__main__":
    main()
