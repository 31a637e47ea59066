"""Draw two views of recordings: what the encoder is taught to ignore.

> python -m cry_modules.views results/small_simclr/2022/manifest/train.csv \\
>     --data_folder data/vggsound --out views.png

Settings of the yaml file may be changed as in training (``--chunk_s 2.0
--n_masks 0``).
"""

import sys
from typing import List, Optional, Sequence, Tuple

from data_prep.files.arguments import Arguments
from data_prep.files.atomic import messages_to
from data_prep.files.errors import one_line_errors

#: Options of this command; others are settings of the yaml file.
_OPTIONS = (
    "--help", "--data_folder", "--hparams", "--n", "--epoch", "--out", "--",
)  # fmt: skip


def _split(argv: Sequence[str]) -> Tuple[List[str], List[str]]:
    """Separate the arguments of the command from settings of the yaml file and
    their values."""
    own, settings, words = [], [], iter(argv)
    for word in words:
        is_own = word.partition("=")[0] in _OPTIONS or not word.startswith("--")
        (own if is_own else settings).append(word)
        if not is_own and "=" not in word:
            settings += [value for value in [next(words, None)] if value]
    return own, settings


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command line."""
    parser = Arguments(
        prog="python -m cry_modules.views",
        description=__doc__.split("\n")[0],
        epilog="Other options are settings of the yaml file.",
    )
    parser.add_argument(
        "manifest", metavar="MANIFEST", help="such as <run>/manifest/train.csv"
    )
    parser.add_argument(
        "--data_folder",
        default=".",
        help="folder that the manifest's paths start from",
    )
    parser.add_argument(
        "--hparams",
        default="hparams/small_simclr.yaml",
        help="yaml file of a SimCLR training",
    )
    parser.add_argument("--n", type=int, default=4, help="recordings")
    parser.add_argument(
        "--epoch", type=int, default=1, help="0: chunks of validation"
    )
    parser.add_argument("--out", default="views.png", help="the picture")
    own, settings = _split(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(own)
    with one_line_errors():
        # Imports torch, which takes seconds.
        from cry_modules.figures.views import draw_manifest

        draw_manifest(args, [args.hparams, *settings])
        print(f"picture in {args.out}", file=messages_to(args.out))


if __name__ == "__main__":
    main()
