"""Make a database to train on out of annotations of long recordings.

python -m data_prep.annotations AUDIO_FOLDER ANNOTATIONS --out DIR
"""

import logging
from dataclasses import fields

from data_prep.annotations.formats import FORMATS
from data_prep.annotations.labels import check_label, parsed_labels
from data_prep.annotations.options import Options, Sources
from data_prep.annotations.prepare import prepare_annotations
from data_prep.files.arguments import (
    Arguments,
    add_columns,
    take_columns,
    texts,
)
from data_prep.files.errors import one_line_errors, require
from data_prep.files.identifiers import cleaned
from data_prep.files.option_values import Number
from data_prep.files.spreadsheets import checked_encoding

_SECONDS = Number(0, 86_400)
#: Options, how their values are read, and their help.
_OPTIONS = (
    ("--out", {"required": True}, "folder of the database"),
    ("--format", {"choices": sorted(FORMATS)}, "default: recognised"),
    ("--encoding", {}, "of texts; default: Unicode, else cp1252"),
    ("--recordings_csv", {}, "table of the recordings: patient_id, path"),
    ("--patient", {},
     "regular expression, whose group (patient, or the first) in the path is "
     "the patient; or folder"),
    ("--labels", {"nargs": "+", "metavar": "NEW=OLD,OLD"},
     "labels to use, and their new names, as cry=cry,fuss; default: all"),
    ("--empty_label", {}, "label of events without a text"),
    ("--tiers", {"nargs": "+"}, "tiers or annotators; default: all"),
    ("--overlaps", {"choices": ("merge", "keep"), "default": "merge"},
     "of events of one label; default: merge"),
    ("--least_s", {"type": Number(0.1, 86_400), "default": 0.2},
     "least length of an event"),
    ("--negatives", {"type": Number(0, 100), "default": 1.0},
     "parts between the events, for each event; 0: none; default: 1"),
    ("--negative_label", {"default": "other"}, "default: other"),
    ("--margin_s", {"type": _SECONDS, "default": 1.0}, "from events; default: 1"),
    ("--hard_negatives", {"metavar": "DETECTIONS"},
     "events or scores of a detector: those that no annotated event is near "
     "are the first negatives"),
    ("--hard_threshold", {"type": Number(0)},
     "least score of a detection; default: all, and 0.5 in scores over time"),
    ("--seed", {"default": 0}, "seed of the negatives and of the split"),
)  # fmt: skip


def main() -> None:
    """Parse the command line, make the database, print a line on it."""
    parser = Arguments(description=__doc__.split("\n")[0])
    parser.add_argument(
        "audio_folder", metavar="AUDIO_FOLDER", help="long recordings"
    )
    parser.add_argument(
        "annotations", metavar="ANNOTATIONS", help="a folder, or a file"
    )
    for name, how, words in _OPTIONS:
        parser.add_argument(name, help=words, **how)
    add_columns(parser)
    args = take_columns(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        if args["encoding"] is not None:
            checked_encoding(args["encoding"])
        require(
            args["hard_negatives"] is None or args["negatives"] > 0,
            "--hard_negatives are counted as --negatives, and --negatives is 0",
            "pass --negatives 1",
        )
        args["labels"] = parsed_labels(args["labels"])
        args["tiers"] = texts(args["tiers"]) or []
        for name in ("negative_label", "empty_label"):
            args[name] = cleaned(args[name] or "")
            if args[name] or name == "negative_label":
                check_label(f"--{name}", args[name])
        sources, options = (
            kind(**{field.name: args[field.name] for field in fields(kind)})
            for kind in (Sources, Options)
        )
        print(prepare_annotations(sources, options, args["out"]))


if __name__ == "__main__":
    main()
