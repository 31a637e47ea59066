"""Prepare unlabelled cries of a database for adaptation.

Patients that a classifier will be tested on are excluded.
"""

import logging

from data_prep.corpora import exclusion
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.arguments import Arguments
from data_prep.files.errors import one_line_errors


def main() -> None:
    """Parse the command line and prepare."""
    parser = Arguments(description=__doc__.split("\n")[0])
    parser.add_argument("cry_folder", help="folder of the database")
    parser.add_argument("--out", required=True, help="manifest folder")
    parser.add_argument(
        "--recordings_csv", help="default: recordings.csv in the folder"
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="TABLE",
        help="manifest or recordings.csv of held-out patients; repeatable",
    )
    parser.add_argument(
        "--excluded",
        default=exclusion.REFUSE,
        metavar=f"{exclusion.REFUSE}|{exclusion.DROP}",
        help="treatment of recordings shared with these tables",
    )
    parser.add_argument(
        "--exclude_folder",
        help="folder that paths in these tables are relative to",
    )
    parser.add_argument(
        "--valid_share", type=float, default=0.1, help="share of the patients"
    )
    parser.add_argument("--seed", default=0)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        prepare_unlabelled(save_folder=args.pop("out"), **args)


if __name__ == "__main__":
    main()
