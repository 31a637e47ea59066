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
from typing import Dict, List, Optional, Sequence

from cry_modules.metrics.bootstrap import N_DRAWS
from cry_modules.metrics.paired import LEAST_DRAWS
from cry_modules.metrics.sound_events.agreement import BINS_S, bins
from cry_modules.metrics.sound_events.comparison import (
    Recording,
    Settings,
    bin_amounts,
    compare,
)
from cry_modules.metrics.sound_events.event_based import Collar
from cry_modules.metrics.sound_events.intersection import Criteria
from cry_modules.metrics.sound_events.labels import judged, relabelled, renames
from cry_modules.metrics.sound_events.lists import (
    TABLE,
    Lists,
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
from cry_modules.metrics.sound_events.tiers import by_tier, of_both
from data_prep.annotations.formats import FORMATS
from data_prep.files.arguments import Arguments, texts
from data_prep.files.atomic import make_folder
from data_prep.files.errors import one_line_errors, require
from data_prep.files.folders import named_only, require_other
from data_prep.files.lock import locked
from data_prep.files.option_values import Number, path, whole_number
from data_prep.files.tables import require_own, write_table, write_text

BINS, RECORDINGS = "bins.csv", "recordings.csv"
_COLUMNS = (
    *("annotated", "detected", "recording", "label", "begin_s", "end_s"),
    *("annotated_minutes_per_hour", "detected_minutes_per_hour"),
)
_PATHS = "annotated", "detected", "out", "audio", "durations", "recordings"
_FORMAT = {"choices": tuple(FORMATS)}
_SECONDS, _SHARE = Number(0, 3600), Number(0, 1)
_DRAWS = whole_number(LEAST_DRAWS, 1_000_000)
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
    ("--seed", {"default": 0}, "seed of the draws of recordings"),
    ("--n_draws", {"type": _DRAWS, "default": N_DRAWS}, "draws of recordings"),
    ("--onset_collar_s", {"type": _SECONDS, "default": Collar().onset_s},
     "by which an onset may differ, event-based (default: %(default)s)"),
    ("--offset_collar_s", {"type": _SECONDS, "default": Collar().offset_s},
     "by which an offset may differ, event-based (default: %(default)s)"),
    ("--offset_share", {"type": _SHARE, "default": Collar().offset_share},
     "share of the event's duration by which an offset may differ, if that is "
     "longer (default: %(default)s)"),
    ("--segment_s", {"type": Number(0.01, 3600), "default": 1.0},
     "length of segments, segment-based (default: %(default)s)"),
    ("--dtc", {"type": _SHARE, "default": Criteria().dtc},
     "least share of a detection in its label (default: %(default)s)"),
    ("--gtc", {"type": _SHARE, "default": Criteria().gtc},
     "least share of an event that is detected (default: %(default)s)"),
)  # fmt: skip


def make_parser() -> Arguments:
    """Build the parser of ``python -m cry_modules.metrics.sound_events``."""
    parser = Arguments(
        prog="python -m cry_modules.metrics.sound_events",
        description=__doc__.split("\n")[0],
    )
    for name, how, words in _ARGUMENTS:
        parser.add_argument(name, help=words, **how)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Judge the events, print tables, and write all figures."""
    args = make_parser().parse_intermixed_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        require(
            args.audio is None or args.durations is None,
            "--audio and --durations both give the lengths of recordings",
            "leave out one of them",
        )
        for side in ("annotated", "detected"):
            folder = Path(getattr(args, side))
            if not (folder / TABLE).is_file():  # else nothing else is read
                require_other(args.out, side.upper(), folder)
        with locked(make_folder(args.out)):
            for table in (BINS, RECORDINGS):
                require_own(Path(args.out, table), _COLUMNS[:3])
            print(judge(args))


def _listed(text: Optional[str]) -> List[str]:
    return [*filter(None, texts([text]))] if text else []


def judge(args) -> str:
    """Compare the events as the options say; return the report."""
    written: Dict[str, str] = {}
    sources = _sources(args)
    recordings, notes = paired(*_read(args, written), sources, args.annotated)
    of_tiers = by_tier(recordings, args.tier)
    if len(of_tiers) > 1:
        notes.append(
            f"tiers {', '.join(of_tiers)} are taken as annotators; --tier "
            "NAME judges against one"
        )
    for note in notes:
        print(note)
    pairs = {
        (name or "annotation", "detector"): part
        for name, part in of_tiers.items()
    }
    for a, b in combinations(of_tiers, 2):
        pairs[a, b] = of_both(of_tiers[a], of_tiers[b])
    unit = "recording" if sources.infants is None else "infant"
    comparisons, reports, rows = [], [], []
    for pair, part in pairs.items():
        if not part:
            continue
        settings = _settings(args, part, written)
        groups = [recording.group for recording in part]
        resampling = Resampling(groups, unit, args.seed, args.n_draws)
        words = _silent(part)
        for note in words:
            print(f"{pair[1]} against {pair[0]}: {note}")
        named = {"annotated": pair[0], "detected": pair[1]}
        named["notes"] = [*notes, *words]
        comparison = {**named, **compare(part, settings, resampling)}
        comparisons.append(comparison)
        reports.append(report(comparison, settings))
        rows += [[*pair, *row] for row in _bin_rows(part, settings.labels)]
    _write(args, comparisons, rows)
    last = f"done: {len(comparisons)} comparisons; figures in {args.out}"
    return "\n\n".join([*reports, last])


def _silent(recordings: Sequence[Recording]) -> List[str]:
    """Words on recordings without detections, if there are any."""
    silent = [r.name for r in recordings if not r.detected]
    if not silent:
        return []
    return [
        f"{len(silent)} of {len(recordings)} recordings have no detections, "
        f"such as {silent[0]}: all their events count as missed"
    ]


def _settings(args, recordings, written: Dict[str, str]) -> Settings:
    events = (
        [event for r in recordings for event in getattr(r, side)]
        for side in ("annotated", "detected")
    )
    return Settings(
        *judged(*events, _listed(args.labels), written),
        Collar(args.onset_collar_s, args.offset_collar_s, args.offset_share),
        args.segment_s,
        Criteria(args.dtc, args.gtc),
    )


def _read(args, written: Dict[str, str]) -> List[Lists]:
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
    return result


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
    write_table(out / BINS, _COLUMNS, rows)
    of_each = [
        [comparison["annotated"], comparison["detected"], *row.values()]
        for comparison in comparisons
        for row in comparison["by_recording"]
    ]
    names = ["annotated", "detected", *comparisons[0]["by_recording"][0]]
    write_table(out / RECORDINGS, names, of_each)
    from cry_modules.figures.sound_events import draw  # imports matplotlib

    draw(comparisons, rows, out / "events.png")
    options = named_only(vars(args), _PATHS)
    result = {
        "options": options,
        "durations": options["audio"]
        or options["durations"]
        or "end of the last event",
        "comparisons": comparisons,
    }
    text = json.dumps(result, indent=1, allow_nan=False)
    write_text(out / "metrics.json", text)


if __name__ == "__main__":
    main()
