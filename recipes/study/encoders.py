"""The encoders that a study compares, and the tables that they are rows of."""

from typing import NamedTuple


class Encoder(NamedTuple):
    """What a classifier begins with: its name in tables and figures, and
    whether it is a control for the others."""

    label: str
    control: bool = False


#: Encoders of a study, by the name that settings and folders have for them.
ENCODERS = {
    "random": Encoder("from scratch"),
    "random_calibrated": Encoder("random, BatchNorm calibrated", True),
    "supervised": Encoder("supervised on generic sounds"),
    "simclr": Encoder("SimCLR on generic sounds"),
    "adapt_control": Encoder("SimCLR, more steps without cries", True),
    "adapt_labelled": Encoder("SimCLR + labelled cries"),
    "adapt_all": Encoder("SimCLR + all cries"),
    "adapt_replay": Encoder("SimCLR + all cries + replay"),
}
#: Rows of the tables; controls stand below a line.
TABLE_1 = ("random", "supervised", "simclr", "random_calibrated")
TABLE_2 = (
    "simclr", "adapt_labelled", "adapt_all", "adapt_replay", "adapt_control",
    "random_calibrated",
)  # fmt: skip
#: Encoders whose embeddings of cries are drawn as maps.
MAPPED = ("simclr", "adapt_replay")
#: The figure: who is trained on few labels, and how.
FEW_LABELS = ("supervised", "adapt_replay")
FEW_LABELS_MODES = ("linear_bn", "end_to_end")

#: Encoders that no run trains: the value of the option encoder_source.
UNTRAINED = {
    "random": "null",
    "random_calibrated": "random_calibrated",
}
#: Adapted encoder: the stage whose options it has, its cries, whether its
#: steps are on generic audio alone.
ADAPTED = {
    "adapt_labelled": ("adapt", "labelled", False),
    "adapt_all": ("adapt", "all", False),
    "adapt_replay": ("adapt_replay", "all", False),
    "adapt_control": ("adapt_replay", "all", True),
}
