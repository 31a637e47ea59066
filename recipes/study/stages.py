"""Stages of a study: each is a public command whose options the study's file
may set."""

from functools import cache, partial
from pathlib import Path
from typing import Any, Dict, Sequence

from cry_modules.checkpoints.settings import LISTS, RANGES, TEXTS, setting
from data_prep.files import option_values
from data_prep.files.yaml_text import composed
from recipes.study.encoders import ENCODERS, NT_XENT, OBJECTIVES, Encoder
from recipes.study.values import (
    check,
    check_known,
    check_mapping,
    check_numbers,
)

#: Modes of fine-tuning, with their names in tables and figures: the paper's,
#: and the linear probe on the output of blocks, with frequency kept. Not read
#: from finetune.FINETUNE_MODES: that imports torch, for seconds. A test compares.
MODE_NAMES = {
    "linear": "linear",
    "linear_blocks": "linear on blocks",
    "linear_bn": "linear+BN",
    "end_to_end": "end to end",
}
MODES = tuple(MODE_NAMES)
#: Modes that leave the encoder as it is: they differ in where it is read.
PROBES = ("linear", "linear_blocks")
#: Keys of ``stages``. Each stage is a public command; its settings are options
#: of that command.
STAGES = ("simclr", "supervised", "adapt", "adapt_replay", *MODES)
#: Stages by the key of what one objective changes in their options.
OF_OBJECTIVES = {
    f"{stage}_{objective}": stage
    for stage in ("simclr", "adapt", "adapt_replay")
    for objective in OBJECTIVES
    if objective != NT_XENT
}
#: Options of stages that a study need not give.
STAGE_DEFAULTS = {
    "linear_blocks": {"readout": "block2+block3", "solver": "lbfgs"}
}
HPARAMS = Path(__file__).resolve().parents[2] / "hparams"
#: Options of SpeechBrain that a stage may set.
_SPEECHBRAIN_OPTIONS = {
    "precision", "eval_precision", "device", "compile", "num_workers",
    "grad_accumulation_factor", "max_grad_norm", "noprogressbar",
}  # fmt: skip
#: Options that the study itself sets.
_STUDY_OPTIONS = {
    "seed", "width", "data_folder", "cry_folder", "replay_folder", "classes",
    "output_folder", "encoder_source", "recordings_csv", "label_column",
    "label_fraction", "other_labels", "folds", "fold_column", "test_fold",
    "valid_fold", "nuisance", "controls", "figures", "exclude", "excluded",
    "exclude_folder", "control", "finetune_mode", "patient_column",
    "path_column",
}  # fmt: skip


def check_stages(
    given: Any, encoders: Sequence[Encoder], modes: Sequence[str]
) -> Dict[str, Dict]:
    """Options of all stages; those that the study runs must be complete.

    ``simclr_byol`` has those of ``simclr`` and its own, which win.
    """
    needed = {encoder.stage for encoder in encoders}
    several = {encoder.objective for encoder in encoders} != {NT_XENT}
    needed |= {"simclr", *modes}
    given = check_mapping("stages", given)
    check_known("stages", given, [*STAGES, *OF_OBJECTIVES])
    stages: Dict[str, Dict] = {}
    for name in (*STAGES, *(key for key in OF_OBJECTIVES if key in given)):
        key, stage = f"stages: {name}", OF_OBJECTIVES.get(name)
        own = given.get(name) or {}
        valid = isinstance(own, dict)
        check(valid, key, own, "it must hold options by name")
        options = {**STAGE_DEFAULTS.get(name, {}), **own}
        for option in options:
            free = option not in _STUDY_OPTIONS
            check(free, key, option, "the study sets it; remove it")
            free = option != "objective" or not (several or stage)
            check(free, key, option, "objectives sets it; remove it")
            free = option != "yaml" or not stage
            check(free, key, option, f"{stage} sets it; remove it")
        if stage:
            options = {**stages[stage], **options}
        if name in needed or options:
            _check_options(name, key, options)
        stages[name] = options
    return stages


def _check_options(name, key, options) -> None:
    """Each must be a key of the stage's yaml file or a SpeechBrain option."""
    file = options.get("yaml")
    if name in MODES:
        file = hparams_of("neuro", name)
    path = HPARAMS / f"{file}.yaml"
    own_yaml = name not in MODES or "yaml" not in options
    check(own_yaml, key, "yaml", "task and mode decide it; remove it")
    # By name: a recipe elsewhere could run any code.
    files = sorted(p.stem for p in HPARAMS.glob("*.yaml"))
    cure = f"use one of {', '.join(files)}"
    check(file in files, f"{key}: yaml", file, cure)
    known = {*plain_settings(path), *_SPEECHBRAIN_OPTIONS, "yaml"}
    for option, value in options.items():
        cure = f"{path.name} has no such option"
        check(option in known, key, option, cure)
        if option in ("number_of_epochs", "chunk_s"):
            check_numbers(f"{key}: {option}", [value], float, 0)
        if option in RANGES:
            option_values.convert(
                f"{key}: {option}", RANGES[option], _as_text(value)
            )
        elif option in TEXTS:
            if option in LISTS and isinstance(value, str):
                value = [value]  # as an option that is typed once
            option_values.convert(
                f"{key}: {option}", partial(setting, option), value
            )


def method_in_words(encoder: str, mode: str) -> str:
    """Name of an encoder read by a mode, in tables and sentences."""
    return f"{ENCODERS[encoder].label}, {MODE_NAMES[mode]}"


def hparams_of(task: str, mode: str) -> str:
    """Name of the yaml file of a mode: all probes have that of ``linear``."""
    return f"{task}_{'linear' if mode in PROBES else mode}"


def _as_text(value) -> str:
    """A value of a stage as it is typed."""
    return "null" if value is None else str(value)


@cache
def plain_settings(path: Path) -> Dict[str, Any]:
    """Values of a yaml file as text, by key, without building objects."""
    nodes = composed(Path(path).read_text("utf-8")).value
    return {key.value: node.value for key, node in nodes}
