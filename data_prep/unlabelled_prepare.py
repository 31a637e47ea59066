"""Unlabelled cries of a clinical database for adaptation, less whoever a
classifier will be tested on.
"""

import argparse
import logging

from data_prep.corpora import exclusion
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.errors import one_line_errors


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=prepare_unlabelled.__doc__.split("\n\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("cry_folder")
    parser.add_argument("--out", required=True, help="manifest folder")
    parser.add_argument("--recordings_csv")
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="TABLE",
        help="manifest or recordings.csv that must share nothing; repeatable",
    )
    parser.add_argument(
        "--excluded",
        default=exclusion.REFUSE,
        metavar=f"{exclusion.REFUSE}|{exclusion.DROP}",
        help="what to do with recordings that are shared",
    )
    parser.add_argument(
        "--exclude_folder", help="where the paths of these tables begin"
    )
    parser.add_argument("--valid_share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        prepare_unlabelled(save_folder=args.pop("out"), **args)


if __name__ == "__main__":
    main()
