"""Options of the commands that score recordings, read before torch is imported.

``python -m cry_modules.inference`` and the ``run_onnx.py`` of an exported model
share most of them.
"""

import argparse
from typing import Optional

from cry_modules.pretrained.named import add_encoder_source
from data_prep.audio.decode import LONGEST_S
from data_prep.files.arguments import Arguments

#: Accompanies every score.
CAUTION = (
    "For research only. Not a medical device: a score is not a finding about "
    "an infant, and must not decide on an infant's care."
)


def scoring_parser(
    model: str,
    model_help: str,
    prog: Optional[str] = None,
) -> Arguments:
    """Parser of the shared arguments; parse them intermixed, since recordings
    may follow options."""
    parser = Arguments(
        prog=prog,
        description=f"Score recordings with a trained classifier. {CAUTION}",
        epilog="Exit status: 0 if every recording has scores, 1 if some could "
        "not be used (the column error says why) or the command was "
        "interrupted, 2 for wrong usage or an unusable model.",
    )
    parser.add_argument("model", metavar=model, help=model_help)
    parser.add_argument(
        "audio",
        metavar="AUDIO",
        nargs="+",
        help="recordings (WAV, FLAC, OGG, MP3), or folders of recordings",
    )
    parser.add_argument(
        "--csv", help="file for the table (default: print the table)"
    )
    parser.add_argument(
        "--longest_s",
        type=float,
        help="split longer recordings into windows and average their "
        f"log-odds, seconds (default: {LONGEST_S:g}, with --detector the "
        "chunk length of training)",
    )
    parser.add_argument(
        "--detector",
        metavar="MODEL2",
        help="model of cries and other sounds that is asked first: windows in "
        "which it finds no cry get no score, and do not count",
    )
    parser.add_argument(
        "--detected",
        metavar="CLASS",
        help="with --detector: its class whose windows are scored (default: "
        "its last, positive one)",
    )
    return parser


def make_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = scoring_parser(
        "MODEL",
        "exported folder, results folder of train_cls.py, or Hugging Face id",
        "python -m cry_modules.inference",
    )
    parser.add_argument(
        "--plot",
        action="store_true",
        help="write the scores over time of each recording, as csv and "
        "picture, to a folder named after the table",
    )
    parser.add_argument(
        "--window_s",
        type=float,
        help="window of the scores over time, seconds (default: chunk length "
        "of training)",
    )
    parser.add_argument(
        "--hop_s",
        type=float,
        help="seconds from one window to the next (default: half a window)",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--precision", default="fp32", help="fp32 or bf16")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="build the model from its hyperparams.yaml, which can run any "
        "code",
    )
    add_encoder_source(parser)
    return parser
