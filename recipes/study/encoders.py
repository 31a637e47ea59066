"""Encoders that a study compares: a new one is one row of ``ENCODERS``."""

from typing import List, NamedTuple, Optional, Tuple


class Encoder(NamedTuple):
    """An encoder that classifiers start from.

    Arguments
    ---------
    label : str
        Name in tables and figures.
    stage : str or None
        Key of ``stages`` in the study's yaml file whose options train it;
        None if it is not trained.
    source : str
        Value of ``encoder_source`` if it is not trained.
    cries : str or None
        Cries that SimCLR is adapted to, ``labelled`` or ``all``; None if it
        is not an adapted encoder.
    options : tuple of str
        Further options of its training command.
    tables : tuple of int
        Tables that have a row for it: 1, pre-training; 2, adaptation.
    control : bool
        Whether it is a control: in italics, below the other rows.
    control_of : tuple of str
        Encoders that it is compared with in the table of controls.
    few_labels : bool
        Whether classifiers on it are also trained with fewer labels.
    mapped : bool
        Whether the page has a map of its embeddings of cries.
    """

    label: str
    stage: Optional[str] = None
    source: str = "null"
    cries: Optional[str] = None
    options: Tuple[str, ...] = ()
    tables: Tuple[int, ...] = (2,)
    control: bool = False
    control_of: Tuple[str, ...] = ()
    few_labels: bool = False
    mapped: bool = False


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
FEW_LABELS_MODES = ("linear_bn", "end_to_end")


def table_rows(table: int) -> List[str]:
    """Encoders of a table, controls last.

    Example
    -------
    >>> table_rows(1)
    ['random', 'supervised', 'simclr', 'random_calibrated']
    """
    names = [n for n, encoder in ENCODERS.items() if table in encoder.tables]
    controls = [name for name in names if ENCODERS[name].control]
    return [n for n in names if n not in controls] + controls[::-1]


def trained_by(stage: str) -> List[str]:
    """Encoders that a stage trains."""
    return [
        name for name, encoder in ENCODERS.items() if encoder.stage == stage
    ]


def adapted() -> List[str]:
    """Encoders that are adapted to cries."""
    return [name for name, encoder in ENCODERS.items() if encoder.cries]
