"""Prepare a labelled task of a clinical cry database.

``recordings.csv``: ``recording_id, patient_id, path`` and any label columns
(``neuro_injury``, ``trigger``, ...), ``site``, ``recorded_at``, optionally
``split`` (train, valid, test; empty for recordings without labels) or
``fold``; audio in the same folder. Any column may serve as folds.
"""

import logging

from data_prep.corpora.folds import FOLD
from data_prep.corpora.labelled import prepare_clinical
from data_prep.files.arguments import Arguments
from data_prep.files.errors import one_line_errors


def main() -> None:
    """Parse the command line and prepare."""
    parser = Arguments(description=__doc__.split("\n")[0])
    parser.add_argument("data_folder", help="folder of the database")
    parser.add_argument("--out", required=True, help="manifest folder")
    parser.add_argument(
        "--recordings_csv", help="default: recordings.csv in the folder"
    )
    parser.add_argument("--label_column", default="neuro_injury")
    parser.add_argument(
        "--classes",
        nargs="+",
        default=["healthy", "injury"],
        metavar="LABEL",
        help="the positive class last",
    )
    parser.add_argument(
        "--other_labels",
        default="error",
        metavar="error|drop",
        help="treatment of rows with another label",
    )
    parser.add_argument(
        "--fold_column", default=FOLD, help="fold, or any other column"
    )
    parser.add_argument("--test_fold", metavar="VALUE")
    parser.add_argument(
        "--valid_fold",
        metavar="VALUE",
        help="default: 15 %% of the other patients",
    )
    parser.add_argument(
        "--label_fraction",
        type=float,
        default=1.0,
        help="share of the training patients, per class",
    )
    parser.add_argument("--seed", default=0)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        prepare_clinical(save_folder=args.pop("out"), **args)


if __name__ == "__main__":
    main()
