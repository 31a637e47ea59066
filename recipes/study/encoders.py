"""Encoders that a study compares: a new one is one row of ``ENCODERS``.

Self-supervised ones exist with each objective: ``simclr_byol`` is ``simclr``
trained with BYOL instead of NT-Xent. What others have trained is named as
``--encoder_source`` names it: ``speech_embedding``, ``hear:MODULE``, a Hugging
Face id or a path.
"""

import hashlib
import re
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

#: Self-supervised objectives and their names in labels. Not read from
#: cry_modules.objectives: that imports torch, for seconds. A test compares.
OBJECTIVES = {
    "nt_xent": "SimCLR",
    "vicreg": "VICReg",
    "barlow_twins": "Barlow Twins",
    "byol": "BYOL",
    "masked_spectrogram": "masked spectrogram",
}
#: The paper's, with which encoders need no ending.
NT_XENT = "nt_xent"
#: Stages of encoders that no self-supervised objective trains.
WITHOUT_OBJECTIVE = (None, "supervised")


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
    objective: str = NT_XENT  # of the stages that have no labels
    outside: bool = False  # trained by others: only read, by the linear probe


class Encoders(dict):
    """Encoders by name; ``NAME_OBJECTIVE`` is ``NAME`` with that objective, and
    a source that others have trained is its own name."""

    def __missing__(self, name: str) -> Encoder:
        if is_outside(name):
            label = Path(name).name if Path(name).exists() else name
            module, _, weights = name.removeprefix("hear:").partition(":")
            if name.startswith("hear:"):  # without the folder of its weights
                label = (
                    "hear:" + module + f":{Path(weights).name}" * bool(weights)
                )
            return Encoder(label, None, name, tables=(1, 2), outside=True)
        base, objective = parts_of(name)
        row, title = self.get(base), OBJECTIVES[objective]
        known = row is not None and row.stage not in WITHOUT_OBJECTIVE
        if not known or objective == NT_XENT:
            raise KeyError(name)
        label = row.label.replace(OBJECTIVES[NT_XENT], title)
        return row._replace(
            label=label[0].upper() + label[1:],
            options=(*row.options, f"--objective={objective}"),
            objective=objective, control_of=(), mapped=False,
        )  # fmt: skip


#: Encoders by the name that settings and folders have for them.
ENCODERS = Encoders({
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
})  # fmt: skip
#: The encoder that the paper proposes.
PROPOSED = "adapt_replay"
#: Modes of fine-tuning that are also trained with fewer labels.
FEW_LABELS_MODES = ("linear_blocks", "linear_bn", "end_to_end")


def is_outside(name: str) -> bool:
    """Check whether a name is the source of an encoder that others have trained.

    Example
    -------
    >>> [
    ...     is_outside(n)
    ...     for n in ("simclr", "hear:a.b", "speechbrain/cnn14-esc50")
    ... ]
    [False, True, True]
    """
    return re.fullmatch(r"speech_embedding|hear:.+|.*/.+", name) is not None


def folder_name(encoder: str) -> str:
    """Name of an encoder in the paths of its runs.

    Example
    -------
    >>> folder_name("adapt_all"), folder_name("hear:a.b:/c/d.pt")
    ('adapt_all', 'hear_a.b__c_d.pt-abc044f3')
    """
    plain = re.sub(r"[^\w.-]", "_", encoder)
    digest = hashlib.sha256(encoder.encode()).hexdigest()[:8]
    return plain if plain == encoder else f"{plain}-{digest}"


def parts_of(name: str) -> Tuple[str, str]:
    """Encoder and objective of a name.

    Example
    -------
    >>> parts_of("adapt_all_vicreg"), parts_of("simclr"), parts_of("supervised")
    (('adapt_all', 'vicreg'), ('simclr', 'nt_xent'), ('supervised', 'nt_xent'))
    """
    for objective in OBJECTIVES:
        if name.endswith(f"_{objective}") and name not in ENCODERS:
            return name.removesuffix(f"_{objective}"), objective
    return name, NT_XENT


def with_objective(encoder: str, objective: str) -> str:
    """Name of an encoder with an objective, if one trains it."""
    none = ENCODERS[encoder].stage in WITHOUT_OBJECTIVE or objective == NT_XENT
    return encoder if none else f"{encoder}_{objective}"


def pretraining_of(encoder: str) -> str:
    """Name of the encoder that an adaptation starts from."""
    return with_objective("simclr", ENCODERS[encoder].objective)


def table_rows(table: int, among: Sequence[str] = ()) -> List[str]:
    """Names of the encoders of a table of the report, controls last: of all
    encoders that need no ending, or of these."""
    among = among or [*ENCODERS]
    names = [name for name in among if table in ENCODERS[name].tables]
    controls = [name for name in names if ENCODERS[name].control]
    return [n for n in names if n not in controls] + controls[::-1]


def adapted() -> List[str]:
    """Names of the encoders that are adapted to cries."""
    return [name for name, encoder in ENCODERS.items() if encoder.cries]
