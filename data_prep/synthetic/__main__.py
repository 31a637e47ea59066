"""Write synthetic corpora in the form of VGGSound and of a clinical database."""

import sys
import time
from collections import Counter
from typing import Optional, Sequence

from data_prep.files.arguments import Arguments
from data_prep.files.errors import one_line_errors
from data_prep.synthetic.corpora import PARTS, make_corpus
from data_prep.synthetic.plan import SCALES


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Parse the command line and write the corpora; return the exit status."""
    parser = Arguments(
        prog="python -m data_prep.synthetic", description=__doc__
    )
    parser.add_argument("out", help="folder of vggsound/ and cry/")
    parser.add_argument(
        "--scale",
        choices=sorted(SCALES),
        default="demo",
        help="size of the corpora (default: demo)",
    )
    parser.add_argument(
        "--part",
        choices=("all", *PARTS),
        default="all",
        help="corpus to write (default: all)",
    )
    parser.add_argument("--seed", default=1234, help="seed of all sounds")
    parser.add_argument("--workers", type=int, help="default: all cores")
    args = parser.parse_args(arguments)
    with one_line_errors():
        return _write(args)


def _write(args) -> int:
    """Write the corpora and print one line; return the exit status."""
    began = time.monotonic()
    try:
        made = make_corpus(**vars(args))
    except RuntimeError as error:  # a killed worker
        print(f"error: {error}; run again to resume", file=sys.stderr)
        return 1
    total = Counter()
    for counts in made.values():
        total.update(counts)
    each = ", ".join(f"{c['files']} {p} files" for p, c in made.items())
    spent = time.monotonic() - began
    print(
        f"synthetic corpus in {args.out} ({args.scale}, seed {args.seed}): "
        f"{each}, {total['hours']:.2f} h, in {spent:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
