"""Confound report: which facts besides the cry predict the label."""

import logging
from dataclasses import fields

from cry_modules.evaluation.cross_validation import MODELS, Settings
from data_prep.files.arguments import (
    Arguments,
    add_columns,
    take_columns,
    texts,
)
from data_prep.files.errors import one_line_errors


def main() -> None:
    """Parse the command line and write a confound report."""
    default = Settings()
    parser = Arguments(
        description="Examine what besides the cry predicts a label: the "
        "patient, the site, the file or the background."
    )
    parser.add_argument(
        "recordings",
        metavar="RECORDINGS",
        help="recordings.csv, or the folder that holds it",
    )
    parser.add_argument("--out", required=True, help="folder of the report")
    parser.add_argument(
        "--label_column", required=True, help="column of the labels"
    )
    parser.add_argument(
        "--data_folder",
        help="folder that paths are relative to; default: that of the csv",
    )
    parser.add_argument(
        "--classes", nargs="+", metavar="LABEL", help="default: all labels"
    )
    parser.add_argument(
        "--model", choices=MODELS, default=default.model, help="the baseline"
    )
    for name, text in (
        ("folds", "folds of a cross-validation"),
        ("repeats", "cross-validations with other folds"),
        ("permutations", "shuffles of the labels between patients"),
        ("seed", "seed of all draws"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=getattr(default, name), help=text
        )
    add_columns(parser)
    args = take_columns(parser.parse_args())
    args["classes"] = texts(args["classes"])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = Settings(**{f.name: args.pop(f.name) for f in fields(Settings)})
    with one_line_errors():
        # Imports torch, which takes seconds.
        from cry_modules.evaluation.confounds import confounds

        print("\n".join(confounds(settings=settings, **args)))
        print(f"\nReport in {args['out']}/confounds.md, .json and .png")


if __name__ == "__main__":
    main()
