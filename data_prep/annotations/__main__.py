"""Make a database to train on out of annotations of long recordings.

python -m data_prep.annotations AUDIO_FOLDER ANNOTATIONS --out DIR
"""

import argparse
import logging

from data_prep.annotations.database import Options
from data_prep.annotations.formats import FORMATS
from data_prep.annotations.labels import Choice, check_label, parsed_labels
from data_prep.annotations.prepare import Sources, prepare_annotations
from data_prep.files.arguments import (
    Arguments,
    add_columns,
    take_columns,
    texts,
)
from data_prep.files.errors import one_line_errors, require
from data_prep.files.identifiers import cleaned
from data_prep.files.spreadsheets import checked_encoding

#: Largest number of negatives for an event.
MOST_NEGATIVES = 100


def main() -> None:
    """Parse the command line, make the database, print a line on it."""
    args = argparse.Namespace(**take_columns(_parser().parse_args()))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        options = _options(args)
        if args.encoding is not None:
            checked_encoding(args.encoding)
        sources = Sources(
            args.audio_folder,
            args.annotations,
            args.format,
            args.encoding,
            args.recordings_csv,
            args.named,
            args.patient,
            args.hard_negatives,
            args.hard_threshold,
        )
        print(prepare_annotations(sources, options, args.out))


def _options(args: argparse.Namespace) -> Options:
    for name, least in (
        ("negatives", 0.0),
        ("margin_s", 0.0),
        ("least_s", 0.1),
        ("hard_threshold", 0.0),
    ):
        value = getattr(args, name)
        require(
            value is None or value >= least,
            f"--{name} is {value}",
            f"it must be {least:g} or more",
        )
    require(
        args.negatives <= MOST_NEGATIVES,
        f"--negatives is {args.negatives:g}",
        f"it is a number for each event; it must be {MOST_NEGATIVES} or less",
    )
    require(
        args.hard_negatives is None or args.negatives > 0,
        "--hard_negatives are counted as --negatives, and --negatives is 0",
        "pass --negatives 1",
    )
    labels = parsed_labels(args.labels)
    negative = cleaned(args.negative_label)
    empty = cleaned(args.empty_label or "")
    for name, label in ("negative", negative), ("empty", empty):
        if label or name == "negative":
            check_label(f"--{name}_label", label)
    choice = Choice(labels, texts(args.tiers) or [], empty)
    return Options(
        choice,
        args.least_s,
        args.overlaps == "merge",
        args.channels == "mix",
        args.negatives,
        negative,
        args.margin_s,
        args.seed,
        args.positive,
    )


def _parser() -> Arguments:
    parser = Arguments(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("audio_folder", metavar="AUDIO_FOLDER", help="long recordings")
    add("annotations", metavar="ANNOTATIONS", help="a folder, or a file")
    add("--out", required=True, help="folder of the database")
    add("--format", choices=sorted(FORMATS), help="default: recognised")
    add("--encoding", help="of texts; default: Unicode, else cp1252")
    add("--recordings_csv", help="table of the recordings: patient_id, path")
    add_columns(parser)
    add(
        "--patient",
        help="regular expression, whose group (patient, or the first) in the "
        "path is the patient; or folder",
    )
    add(
        "--labels",
        nargs="+",
        metavar="NEW=OLD,OLD",
        help="labels to use, and their new names, as cry=cry,fuss; default: all",
    )
    add("--empty_label", help="label of events without a text")
    add("--tiers", nargs="+", help="tiers or annotators; default: all")
    add(
        "--overlaps",
        choices=("merge", "keep"),
        default="merge",
        help="of events of one label; default: merge",
    )
    add(
        "--channels",
        choices=("annotated", "mix"),
        default="annotated",
        help="the channel that an event names, or the mean of all",
    )
    add("--least_s", type=float, default=0.2, help="least length of an event")
    add(
        "--negatives",
        type=float,
        default=1.0,
        help="parts between the events, for each event; 0: none; default: 1",
    )
    add("--negative_label", default="other", help="default: other")
    add("--margin_s", type=float, default=1.0, help="from events; default: 1")
    add(
        "--hard_negatives",
        metavar="DETECTIONS",
        help="events or scores of a detector: those that no annotated event "
        "is near are the first negatives",
    )
    add(
        "--hard_threshold",
        type=float,
        help="least score of a detection; default: all, and 0.5 in scores over "
        "time",
    )
    add("--positive", help="label that is the positive class; default: last")
    add("--seed", default=0, help="seed of the negatives and of the split")
    return parser


if __name__ == "__main__":
    main()
