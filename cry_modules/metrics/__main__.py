"""Compare runs: metrics of sets of test predictions, and differences.

> python -m cry_modules.metrics results/random results/SimCLR --out both.json

Each argument is a set of predictions: a predictions csv, a run folder, a
folder of runs of several seeds, or a quoted pattern of these; each file is a
seed. Each set is compared to each earlier one on the same recordings, with the
same draws of patients for all files. Runs on one pre-trained encoder count as
one pre-training seed.

> python -m cry_modules.metrics results/neuro_linear --prevalence 0.01 0.05
> python -m cry_modules.metrics results/neuro_linear --coverage 0.8
> python -m cry_modules.metrics --plan results/neuro_linear --half_width 0.05

add predictive values where the positive class is rarer or metrics of the most
certain recordings, or compute how many patients a study needs.
"""

import json
from typing import Dict, Optional, Sequence, Tuple

from cry_modules.metrics.abstention import (
    check_coverages,
    coverage_table,
    risk_coverage,
)
from cry_modules.metrics.bootstrap import N_DRAWS
from cry_modules.metrics.compare import FILE, compare, read_sets
from cry_modules.metrics.compare_report import report
from cry_modules.metrics.figures import shown_in
from cry_modules.metrics.paired import LEAST_DRAWS
from cry_modules.metrics.plan import (
    DIFFERENCE,
    HALF_WIDTH,
    plan,
    report as plan_report,
)
from cry_modules.metrics.predictions import AGGREGATIONS, MEAN_LOG_ODDS, UNITS
from cry_modules.metrics.prevalence import (
    check_prevalences,
    of_run,
    prevalence_table,
)
from cry_modules.metrics.variance import add_folds
from data_prep.files.arguments import Arguments
from data_prep.files.atomic import is_stream, messages_to, require_writable
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.option_values import path
from data_prep.files.tables import write_text

#: Heads of the tables of a set, by their key in the json file.
_WHERE = {
    "prevalences": "the positive class has another share",
    "coverages": "the most certain are decided and the others are left out",
}


def make_parser() -> Arguments:
    """Build the parser of ``python -m cry_modules.metrics``."""
    parser = Arguments(
        prog="python -m cry_modules.metrics",
        description="Compare runs: a metric of each set of predictions, and "
        "the difference of each set to each earlier one.",
    )
    parser.add_argument(
        "sets",
        nargs="*",
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
    _add_studies(parser)
    return parser


def _add_studies(parser) -> None:
    """Add the options on other prevalences, abstention and study size."""
    parser.add_argument(
        "--prevalence",
        type=float,
        nargs="+",
        metavar="SHARE",
        help="also: predictive values, net benefit and calibration where this "
        "share is of the positive class, as 0.01 0.05; after the sets",
    )
    parser.add_argument(
        "--coverage",
        type=float,
        nargs="+",
        metavar="SHARE",
        help="also: accuracy and AUC where the model decides this share of the "
        "recordings, the most certain, as 0.8; after the sets",
    )
    parser.add_argument(
        "--plan",
        type=path,
        metavar="RUN",
        help="instead: patients that a study needs, by simulation from this "
        "set of predictions",
    )
    parser.add_argument(
        "--half_width",
        type=float,
        help="with --plan: half the width of the 95 %% interval of the metric "
        f"(default: {HALF_WIDTH})",
    )
    parser.add_argument(
        "--difference",
        type=float,
        help="with --plan: difference to the set of --with that is found with "
        f"80 %% power (default: {DIFFERENCE})",
    )
    parser.add_argument(
        "--with",
        dest="other",
        type=path,
        metavar="RUN",
        help="with --plan: set to be compared with, of the same recordings",
    )


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Compare sets of predictions and print tables and sentences."""
    parser = make_parser()
    args = parser.parse_intermixed_args(argv)
    if not args.sets and args.plan is None:
        parser.error("the following arguments are required: SET")
    with one_line_errors():
        _check(args)
        names = args.names and [n.strip() for n in args.names.split(",")]
        how = plan_study if args.plan else compare_sets
        result, text = how(args, names)
        if args.out:
            write_text(args.out, json.dumps(result, indent=1, allow_nan=False))
        print(text, file=messages_to(args.out))


def compare_sets(args, names) -> Tuple[Dict, str]:
    """Compare sets as the options say: numbers, and their report."""
    sets = read_sets(args.sets, names)
    unit = args.unit
    result = compare(
        sets, unit, args.patient_score, args.seed, args.n_draws, args.metric
    )
    patient_score = result["patient_score"] or MEAN_LOG_ODDS
    if unit == "recording":
        add_folds(result)
    lines = [report(result), ""]
    for run_set in sets:
        for file, p in zip(run_set.files, run_set.predictions):
            p = p.by_unit(unit, patient_score)
            how = result["seed"], result["n_draws"]
            tables = {}
            if args.prevalence:
                rows = of_run(p, file, args.prevalence, unit, *how)
                tables["prevalences"] = rows, prevalence_table(rows)
            if args.coverage:
                rows = risk_coverage(p, *how, args.coverage)
                tables["coverages"] = rows, coverage_table(rows)
            for key, (rows, table) in tables.items():
                entry = {"set": run_set.name, "file": str(file), "rows": rows}
                result.setdefault(key, []).append(entry)
                head = f"{run_set.name}, {file}, where {_WHERE[key]}:"
                lines += [head, "", *table, ""]
    return result, "\n".join([*lines, _summary(result, args.out)])


def plan_study(args, names) -> Tuple[Dict, str]:
    """Plan a study as the options say: numbers, and their report."""
    sets = [args.plan, *([args.other] if args.other else [])]
    difference = args.difference or (DIFFERENCE if args.other else None)
    result = plan(
        read_sets(sets, names),
        args.half_width or HALF_WIDTH,
        difference,
        args.unit,
        args.patient_score or MEAN_LOG_ODDS,
        args.metric,
        args.seed or 0,
        args.n_draws or N_DRAWS,
    )
    where = f"; numbers in {args.out}" if args.out else ""
    done = f"done: planned from {result['n_patients']} patients{where}"
    return result, f"{plan_report(result)}\n\n{done}"


def _check_studies(args) -> None:
    """Check the options on prevalences, abstention and study size."""
    check_prevalences(args.prevalence or [])
    check_coverages(args.coverage or [])
    options = ("half_width", "difference", "with")
    values = (args.half_width, args.difference, args.other)
    given = [name for name, value in zip(options, values) if value is not None]
    require(
        args.plan is not None or not given,
        f"--{(given or options)[0]} is for planning",
        "pass the run to plan from with --plan RUN",
    )
    if args.plan is None:
        return
    require(
        not args.sets,
        f"{(args.sets or [None])[0]} is one set too many with --plan",
        "pass the run to be compared with as --with RUN",
    )
    for name in ("prevalence", "coverage"):
        require(
            getattr(args, name) is None,
            f"--{name} has no effect with --plan",
            "leave out one of them",
        )
    require(
        args.difference is None or args.other is not None,
        "--difference needs the run that differs",
        "pass it with --with RUN",
    )
    for name, value in zip(options[:2], values):
        require(
            value is None or 0.001 <= value < 0.5,
            f"--{name} is {value}",
            "pass a number from 0.001 to below 0.5, as 0.05",
        )


def _check(args):
    _check_studies(args)
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
