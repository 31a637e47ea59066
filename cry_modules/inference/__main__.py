"""Score recordings with a trained classifier.

    python -m cry_modules.inference MODEL AUDIO... --csv scores.csv --plot

Exit status: 0 if every recording has scores, 1 if some could not be used (the
column ``error`` says why) or the command was interrupted, 2 for wrong usage
or an unusable model.
"""

import logging
from pathlib import Path
from typing import Optional, Sequence

from cry_modules.inference.options import make_parser
from data_prep.files.errors import one_line_errors
from data_prep.files.lock import locked_beside


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    # Intermixed: recordings may follow options.
    args = make_parser().parse_intermixed_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    out = Path(args.csv or ("scores.csv" if args.plot else "-"))
    with one_line_errors(), locked_beside(out):
        from cry_modules.inference.score import score  # imports torch

        n_failed = score(args)
    if n_failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
