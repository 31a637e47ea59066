"""Options of the command that detects events, read before torch is imported."""

from cry_modules.inference.options import CAUTION
from cry_modules.pretrained.named import add_encoder_source
from data_prep.annotations.formats import FORMATS
from data_prep.files.arguments import Arguments
from data_prep.files.option_values import (
    Number,
    path as a_path,
)

#: How channels are searched: mixed, or each of two microphones.
CHANNELS = ("mix", "each")
_SHARE = {"type": Number(0, 1), "metavar": "X"}
_SECONDS = {"type": Number(0, 86_400), "metavar": "S"}
_STEP = {"type": Number(0.01, 86_400), "metavar": "S"}
_PATH = {"type": a_path}
_FORMATS = ", ".join(FORMATS)
#: Options, how their values are read, and their help.
_OPTIONS = (
    ("--out", {"required": True, "metavar": "DIR"}, "folder for the results"),
    ("--detected", {"metavar": "CLASS"},
     "class whose events are found, or several, joined by commas (default: the "
     "last, positive one)"),
    ("--threshold", {"metavar": "X"},
     "score that opens an event, 0 to 1, or a threshold.json that this command "
     "wrote (default: that of the model's validation)"),
    ("--low_threshold", _SHARE,
     "score that keeps it open (default: half the odds of --threshold)"),
    ("--least_s", _SECONDS, "shortest event, seconds (default: 0)"),
    ("--bridge_s", _SECONDS,
     "longest gap within an event, seconds (default: --edge_s)"),
    ("--window_s", _SECONDS,
     "window of a score, seconds (default: chunk length of training)"),
    ("--hop_s", _STEP,
     "seconds from one window to the next (default: a window): sounds shorter "
     "than it may be missed, and the command takes longer as it shrinks"),
    ("--edge_s", _STEP,
     "grid of onsets and offsets, seconds: windows so far apart are scored "
     "around those that reach the lower threshold (default: an eighth of a "
     "window, at most --hop_s)"),
    ("--target_false_alarms_per_hour",
     {"type": Number(0, 3600), "metavar": "N"},
     "choose the lowest threshold that keeps this on --annotations"),
    ("--annotations", {**_PATH, "metavar": "DIR"},
     "with that: annotations of some of the recordings, a file or a folder, in "
     "any format of data_prep.annotations"),
    ("--annotated_label", {"metavar": "LABEL"},
     "label there of what is detected, or several, joined by commas (default: "
     "the class)"),
    ("--channels", {"choices": CHANNELS, "default": "mix"},
     "mix them, or search each: two microphones"),
    ("--formats", {"metavar": "NAMES"},
     f"also write annotation files, joined by commas: {_FORMATS}"),
    ("--starts", {**_PATH, "metavar": "TABLE"},
     "table of starts: columns recording and start (default: from names such "
     "as 20260312_231500)"),
    ("--time_zone", {"metavar": "ZONE"},
     "zone of those starts, such as Europe/Oslo: where summer time begins or "
     "ends, hours are counted as they elapse"),
    ("--recorder_time_zone", {"metavar": "ZONE"},
     "zone of the recorder's clock, if that is another (AudioMoth: UTC)"),
    ("--no_pictures", {"action": "store_true"},
     "draw no picture of each recording"),
    ("--device", {"default": "cpu"}, "cpu, cuda, cuda:1"),
    ("--precision", {"default": "fp32"}, "fp32 or bf16"),
    ("--trust", {"action": "store_true"},
     "build the model from its hyperparams.yaml, which can run any code"),
)  # fmt: skip


def make_parser() -> Arguments:
    """Parser of the command; parse intermixed, as recordings may follow
    options."""
    parser = Arguments(
        prog="python -m cry_modules.detect",
        description="Find the events of a class, such as crying, in recordings "
        f"of any length. {CAUTION}",
        epilog="Exit status: 0 if every recording was scored, 1 if some could "
        "not be used (failures.csv says why) or the command was interrupted "
        "(run it again to resume), 2 for wrong usage or an unusable model.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="exported folder, results folder of train_cls.py, or Hugging Face "
        "id",
    )
    parser.add_argument(
        "audio",
        metavar="AUDIO",
        nargs="+",
        help="recordings (WAV, FLAC, OGG, MP3), or folders of recordings",
    )
    for name, how, words in _OPTIONS:
        parser.add_argument(name, help=words, **how)
    add_encoder_source(parser)
    return parser
