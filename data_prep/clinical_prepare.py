"""A clinical cry database, as a hospital would keep it, to manifests.

``recordings.csv``: ``recording_id, patient_id, path`` and any label columns
(``neuro_injury``, ``trigger``, ...), ``site``, ``recorded_at``, optionally
``split`` (train, valid, test; empty for recordings without labels) or
``fold``; audio beside it. Any column may serve as folds (``folds.py``).
"""

import argparse
import logging

from data_prep.corpora.folds import FOLD
from data_prep.corpora.labelled import prepare_clinical
from data_prep.files.errors import one_line_errors


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=prepare_clinical.__doc__.split("\n\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("data_folder")
    parser.add_argument("--out", required=True, help="manifest folder")
    parser.add_argument("--recordings_csv")
    parser.add_argument("--label_column", default="neuro_injury")
    parser.add_argument(
        "--classes", nargs="+", default=["healthy", "injury"], metavar="LABEL"
    )
    parser.add_argument("--other_labels", default="error")
    parser.add_argument("--fold_column", default=FOLD)
    parser.add_argument("--test_fold", metavar="VALUE")
    parser.add_argument("--valid_fold", metavar="VALUE")
    parser.add_argument("--label_fraction", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        prepare_clinical(save_folder=args.pop("out"), **args)


if __name__ == "__main__":
    main()
