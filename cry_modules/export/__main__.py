"""Export a trained model to a folder that others can use.

python -m cry_modules.export results/neuro_linear_bn/2022 OUT --onnx
"""

import sys
from pathlib import Path
from typing import Optional, Sequence

from cry_modules.evaluation.columns import SHAREABLE_COLUMNS
from cry_modules.pretrained.named import add_encoder_source
from data_prep.files.arguments import Arguments
from data_prep.files.errors import one_line_errors


def make_parser() -> Arguments:
    """Options of the command."""
    parser = Arguments(
        prog="python -m cry_modules.export",
        description="Export a trained model to a folder that others can use.",
    )
    parser.add_argument(
        "results", metavar="RESULTS", help="results folder of train_cls.py"
    )
    parser.add_argument("out", metavar="OUT", help="folder to write")
    parser.add_argument("--name", help="name of the model on its card")
    parser.add_argument(
        "--corpus_name",
        help="name of the corpus (default: that in its corpus.json)",
    )
    parser.add_argument(
        "--subgroups",
        help="columns of the run's subgroups to name on the card, separated by "
        f"commas, besides {', '.join(SHAREABLE_COLUMNS)}",
    )
    parser.add_argument(
        "--licence",
        default="unknown",
        help="licence of the weights by its Hugging Face name, such as "
        "cc-by-nc-4.0 (default: unknown)",
    )
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="also write model.onnx, and run_onnx.py, which needs no torch",
    )
    parser.add_argument(
        "--int8", action="store_true", help="also write model_int8.onnx"
    )
    add_encoder_source(parser)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = make_parser().parse_args(argv)
    options = {k: v for k, v in vars(args).items() if k != "encoder_source"}
    with one_line_errors():
        from cry_modules.export.folder import export  # imports torch

        description = export(**options)
    if args.licence == "unknown":
        print(
            "warning: without --licence, the card says that nobody may use "
            "the weights without asking",
            file=sys.stderr,
        )
    size = sum(path.stat().st_size for path in Path(args.out).iterdir())
    print(
        f"done: {description['name']} in {args.out}, {len(description['files']) + 3} files "
        f"of {size / 1e6:.1f} MB. It names the corpus "
        f"{description['corpus']['name']!r}: read README.md before sharing it"
    )


if __name__ == "__main__":
    main()
