"""Compare runs: metrics of sets of test predictions, and differences.

> python -m cry_modules.metrics results/random results/SimCLR --out both.json

Each argument is a set of predictions: a predictions csv, a run folder, a
folder of runs of several seeds, or a quoted pattern of these; each file is a
seed. Each later set is compared to the first on the same recordings, with the
same draws of patients for all files.
"""

import json
from typing import Optional, Sequence

from cry_modules.metrics.bootstrap import N_DRAWS
from cry_modules.metrics.compare import FILE, compare, read_sets
from cry_modules.metrics.compare_report import report
from cry_modules.metrics.figures import shown_in
from cry_modules.metrics.paired import LEAST_DRAWS
from cry_modules.metrics.predictions import AGGREGATIONS, MEAN_LOG_ODDS, UNITS
from data_prep.files.arguments import Arguments
from data_prep.files.atomic import is_stream, messages_to, require_writable
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.tables import write_text


def make_parser() -> Arguments:
    """Build the parser of ``python -m cry_modules.metrics``."""
    parser = Arguments(
        prog="python -m cry_modules.metrics",
        description="Compare runs: a metric of each set of predictions, and "
        "the difference of each later set to the first.",
    )
    parser.add_argument(
        "sets",
        nargs="+",
        metavar="SET",
        help=f"a predictions csv, a run folder (its {FILE}), a folder of runs "
        "of several seeds, or a quoted pattern of these",
    )
    parser.add_argument(
        "--unit",
        choices=UNITS,
        default=UNITS[0],
        help="whether scores count per recording or per patient",
    )
    parser.add_argument(
        "--patient_score",
        choices=tuple(AGGREGATIONS),
        help="how recordings become a patient's score, with --unit patient "
        f"(default: as the runs' reports, else {MEAN_LOG_ODDS})",
    )
    parser.add_argument(
        "--metric",
        choices=shown_in("compare"),
        default="auc",
        help="metric to compare",
    )
    parser.add_argument(
        "--seed",
        help="seed of the draws of patients (default: that of the runs' "
        "reports, else 0)",
    )
    parser.add_argument(
        "--n_draws",
        type=int,
        help="draws of patients (default: as the runs' reports, else "
        f"{N_DRAWS})",
    )
    parser.add_argument(
        "--names", help="names of the sets, separated by commas"
    )
    parser.add_argument("--out", help="json file for all numbers")
    return parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Compare sets of predictions and print tables and sentences."""
    args = make_parser().parse_intermixed_args(argv)
    with one_line_errors():
        _check(args)
        names = args.names and [n.strip() for n in args.names.split(",")]
        result = compare(
            read_sets(args.sets, names),
            args.unit,
            args.patient_score,
            args.seed,
            args.n_draws,
            args.metric,
        )
        if args.out:
            write_text(args.out, json.dumps(result, indent=1, allow_nan=False))
        to = messages_to(args.out)
        print(report(result) + "\n", file=to)
        print(_summary(result, args.out), file=to)


def _check(args):
    for name, least in (("n_draws", LEAST_DRAWS), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise InputError(f"--{name} is {value}; pass {least} or more")
    if args.patient_score and args.unit != "patient":
        raise InputError(
            f"--patient_score {args.patient_score} has no effect per "
            "recording; add --unit patient"
        )
    if args.out and not (args.out.endswith(".json") or is_stream(args.out)):
        raise InputError(f"--out is {args.out}; pass a name that ends in .json")
    if args.out:
        require_writable(args.out)


def _summary(result, out) -> str:
    n_files = sum(len(entry["files"]) for entry in result["sets"])
    done = (
        f"done: sets {len(result['sets'])}, files {n_files}, by "
        f"{result['unit']}, patients {result['n_patients']}"
    )
    return f"{done}; numbers in {out}" if out else done


if __name__ == "__main__":
    main()
