"""Find the events of a class, such as crying, in recordings of any length.

    python -m cry_modules.detect MODEL AUDIO... --out DIR

Exit status: 0 if every recording was scored, 1 if some could not be used
(``failures.csv`` says why) or the command was interrupted, 2 for wrong usage or
an unusable model.
"""

import logging
from typing import Optional, Sequence

from cry_modules.detect.options import make_parser
from data_prep.audio.folder import refuse_recordings
from data_prep.files.errors import one_line_errors


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    # Intermixed: recordings may follow options.
    args = make_parser().parse_intermixed_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with one_line_errors():
        refuse_recordings(args.model, "MODEL AUDIO")
        from cry_modules.detect.run import detect  # imports torch

        n_failed = detect(args)
    if n_failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
