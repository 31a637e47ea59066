"""Encoders that a study compares: a new one is one row of ``ENCODERS``."""

from typing import List, NamedTuple, Optional, Tuple


class Encoder(NamedTuple):
    """An encoder that classifiers start from."""

    label: str  # in tables and figures
    #: Key of `stages` in the study's yaml file whose options train it.
    stage: Optional[str] = None
    source: str = "null"  # value of encoder_source if no stage trains it
    #: Cries that SimCLR is adapted to, `labelled` or `all`.
    cries: Optional[str] = None
    options: Tuple[str, ...] = ()  # further options of the training command
    tables: Tuple[int, ...] = (2,)  # 1: pre-training, 2: adaptation
    control: bool = False  # in italics, below the other rows
    control_of: Tuple[str, ...] = ()  # encoders that it is compared with
    few_labels: bool = False  # whether fewer labels are studied, too
    mapped: bool = False  # whether its embeddings of cries are drawn


#: Encoders by the name that settings and folders have for them.
ENCODERS = {
    "random": Encoder("from scratch", tables=(1,)),
    "random_calibrated": Encoder(
        "random, BatchNorm calibrated", source="random_calibrated",
        tables=(1, 2), control=True, control_of=("simclr", "adapt_replay"),
    ),
    "supervised": Encoder(
        "supervised on generic sounds", "supervised", tables=(1,),
        few_labels=True,
    ),
    "simclr": Encoder(
        "SimCLR on generic sounds", "simclr", tables=(1, 2), mapped=True
    ),
    "adapt_control": Encoder(
        "SimCLR, more steps without cries", "adapt_replay", cries="all",
        options=("--control=True",), control=True,
        control_of=("adapt_replay", "adapt_all"),
    ),
    "adapt_labelled": Encoder(
        "SimCLR + labelled cries", "adapt", cries="labelled"
    ),
    "adapt_all": Encoder("SimCLR + all cries", "adapt", cries="all"),
    "adapt_replay": Encoder(
        "SimCLR + all cries + replay", "adapt_replay", cries="all",
        few_labels=True, mapped=True,
    ),
}  # fmt: skip
#: The encoder that the paper proposes.
PROPOSED = "adapt_replay"
#: Modes of fine-tuning that are also trained with fewer labels.
FEW_LABELS_MODES = ("linear_blocks", "linear_bn", "end_to_end")


def table_rows(table: int) -> List[str]:
    """Names of the encoders of a table of the report, controls last."""
    names = [n for n, encoder in ENCODERS.items() if table in encoder.tables]
    controls = [name for name in names if ENCODERS[name].control]
    return [n for n in names if n not in controls] + controls[::-1]


def trained_by(stage: str) -> List[str]:
    """Names of the encoders that a stage of the study trains."""
    return [
        name for name, encoder in ENCODERS.items() if encoder.stage == stage
    ]


def adapted() -> List[str]:
    """Names of the encoders that are adapted to cries."""
    return [name for name, encoder in ENCODERS.items() if encoder.cries]
