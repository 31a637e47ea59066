"""Choices of a study by the size of its data, each with its reason."""

import json
import re
from statistics import median
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from data_prep.corpora.folds import FOLD
from data_prep.corpora.stratify import split_patients, strata
from data_prep.files.errors import require
from data_prep.files.yaml_text import BOOLEANS
from recipes.study.encoders import PROPOSED
from recipes.study.survey import Cries, Folder

#: Values of a study's yaml file and the reason for each, by setting.
Proposal = Dict[str, Tuple[Any, str]]

#: Folds, and the fewest patients of a class in each.
_MOST_FOLDS, _FEWEST_FOLDS, _IN_A_FOLD = 5, 3, 2
#: Fewest patients of the rarest class to train with, for a share of the labels.
_TO_TRAIN = 3
#: Steps of pre-training: with fewer, encoders learn little (see hparams).
_FEWEST_STEPS, _MOST_STEPS = 600, 4000
_EPOCHS, _MOST_EPOCHS, _FEWEST_EPOCHS = 100, 400, 20
#: Below this, masks do harm (hparams/small_simclr.yaml).
_EPOCHS_FOR_MASKS = 60
_BATCH, _SMALLEST_BATCH = 32, 8
#: Chunks of one recording must differ: at most this share of the median.
_CHUNK_S, _CHUNK_SHARE, _SHORTEST_CHUNK_S = 1.0, 0.64, 0.32
_TRAINED = 0.9  # share of the recordings that encoders are trained on


class Request(NamedTuple):
    """Requests of the user: width, seeds, and the place of the results."""

    width: int
    n_seeds: int
    output_folder: str


class Choice(NamedTuple):
    """Number of folds (or True: those of the table; False: its split), the
    number of patients of the rarest class to train with, and the reason."""

    folds: Any
    n_to_train: float
    why: str


def choose_folds(cries: Cries) -> Choice:
    """Choose folds by the number of patients of the rarest class."""
    rarest = cries.rarest
    n = len(cries.patients[rarest])
    if FOLD in cries.columns:
        values = {cells[FOLD] for _, cells in cries.rows}
        share = max(0.0, 1 - 2 / len(values))
        return Choice(True, n * share, f"the table's own column {FOLD!r}")
    if "split" in cries.columns:
        return Choice(False, 0.0, "the table's own column 'split'")
    numbers = range(_MOST_FOLDS, _FEWEST_FOLDS - 1, -1)
    fewest = {folds: _fewest(cries, folds) for folds in numbers}
    enough = [k for k in numbers if fewest[k] > _IN_A_FOLD]
    folds = enough[0] if enough else _FEWEST_FOLDS
    require(
        fewest[folds] >= _IN_A_FOLD,
        f"{cries.table}: {n} patient{'s' * (n != 1)} of "
        f"{cries.named['patient_id']} with {cries.label_column} {rarest!r}, and "
        f"folds need {_FEWEST_FOLDS * _IN_A_FOLD} or more of each class, two "
        "to train, two to validate and two to test",
        "add patients, or empty the labels of that class",
    )
    whose = f"{rarest}, the rarest class"
    if len({len(p) for p in cries.patients.values()}) == 1:
        whose = "each class"
    why = f"{n} patients of {whose}; {fewest[folds]} or more of each class in a fold"
    return Choice(folds, n * (1 - 2 / folds), why)


def _fewest(cries: Cries, folds: int) -> int:
    """Fewest patients of a class in a fold, as ``cry_tables`` makes them."""
    shares = {str(fold): 1 / folds for fold in range(folds)}
    fold_of = split_patients(strata(cries.listed), shares, seed=0)
    return min(
        sum(fold_of[patient] == fold for patient in patients)
        for patients in cries.patients.values()
        for fold in shares
    )


def choose_fractions(n_to_train: float) -> List[float]:
    """Shares of the labels that leave enough patients of the rarest class."""
    shares = (0.25, 0.5)
    return [s for s in shares if s * n_to_train >= _TO_TRAIN] + [1.0]


def choose_chunk(median_s: float) -> float:
    """Length of chunks that differ within a recording of the median length."""
    chunk = round(_CHUNK_SHARE * median_s - 0.005, 2)  # rounded down
    return min(_CHUNK_S, max(_SHORTEST_CHUNK_S, chunk))


def choose_epochs(steps: int) -> int:
    """Epochs of pre-training, by the number of steps in each."""
    if steps * _EPOCHS < _FEWEST_STEPS:
        return min(_MOST_EPOCHS, -(-_FEWEST_STEPS // steps))
    return max(_FEWEST_EPOCHS, min(_EPOCHS, _MOST_STEPS // steps))


def _stages(sounds: Folder, n_cries: float, cries_s: float) -> Proposal:
    """Options of the trainings: as many steps of adaptation as before it."""
    n_sounds, n_cries = int(_TRAINED * sounds.n), int(_TRAINED * n_cries)
    problem = f"--sounds {sounds.root} has {sounds.n} sounds, which leaves "
    problem += f"{n_sounds} to train with, and a batch needs {_SMALLEST_BATCH}"
    require(n_sounds >= _SMALLEST_BATCH, problem, "add some")
    batch = min(_BATCH, n_sounds, max(n_cries, _SMALLEST_BATCH))
    steps = n_sounds // batch
    epochs = choose_epochs(steps)
    common = {} if batch == _BATCH else {"batch_size": batch}
    if epochs < _EPOCHS_FOR_MASKS:
        common["n_masks"] = 0

    def training(yaml, number, median_s):
        options = {"yaml": yaml, "number_of_epochs": number}
        options["warmup_epochs"] = number // 10
        chunk = choose_chunk(median_s)
        shorter = {} if chunk == _CHUNK_S else {"chunk_s": chunk}
        return {**options, **shorter, **common}

    total = steps * epochs
    replayed = max(1, round(total / max(1, n_cries // (batch // 2))))
    alone = max(1, round(total / max(1, n_cries // batch)))
    shortest_s = min(sounds.median_s, cries_s)
    fewer = {"bootstrap_draws": 500}
    supervised = training("small_supervised", epochs, sounds.median_s)
    for name in ("warmup_epochs", "n_masks"):
        supervised.pop(name, None)
    return {
        "simclr": (
            training("small_simclr", epochs, sounds.median_s),
            f"{steps} steps an epoch",
        ),
        "supervised": (supervised, "as many epochs"),
        "adapt": (training("small_adapt", alone, cries_s), "as many steps"),
        "adapt_replay": (
            training("small_adapt_replay", replayed, shortest_s),
            "as many steps: half of each batch are cries",
        ),
        "linear": (fewer, ""),
        "linear_blocks": (fewer, ""),
        "linear_bn": ({"number_of_epochs": 20, "chunk_s": 2.0, **fewer}, ""),
    }


def propose(
    cries: Cries,
    sounds: Folder,
    unlabelled: Optional[Folder],
    supervised: bool,
    request: Request,
) -> Proposal:
    """Settings of a study, in the order of its yaml file."""
    folds = choose_folds(cries)
    classes = cries.classes
    hours = f"{sum(cries.seconds) / 3600:.2g} hours"
    seeds = [*range(1, request.n_seeds + 1)]
    encoders = ["random_calibrated", "simclr", PROPOSED]
    if supervised:
        encoders.insert(1, "supervised")
    n_cries, cries_s = len(cries.rows), median(cries.seconds)
    n_cries *= 1 - 2 / folds.folds if type(folds.folds) is int else 0.6
    if unlabelled is not None:
        n_cries = unlabelled.n - len(unlabelled.copies)
        cries_s = unlabelled.median_s
    if int(_TRAINED * n_cries) < _SMALLEST_BATCH:
        encoders.remove(PROPOSED)
    has_site = "site" in cries.columns
    task = {"label_column": cries.label_column, "classes": classes}
    task["hparams"] = "neuro" if len(classes) == 2 else "trigger"
    name = re.sub(r"[\W_]+", "_", cries.label_column.lower()).strip("_")
    title = f"{cries.label_column} of {cries.n_patients} patients"
    return {
        "title": (title, ""),
        "output_folder": (request.output_folder, "runs, logs and report.html"),
        "cries": (str(cries.root.resolve()), f"{len(cries.rows)} recordings, {hours}"),
        "recordings_csv": (str(cries.table.resolve()), "read as it is"),
        "patient_column": (cries.named["patient_id"], f"{cries.n_patients} patients"),
        "path_column": (cries.named["path"], "relative to cries"),
        "generic": (str(sounds.root.resolve()), _of_sounds(sounds, supervised)),
        "unlabelled": _of_unlabelled(unlabelled),
        "folds": (folds.folds, folds.why),
        "nuisance": ("site", "embeddings should not predict it") if has_site else (None, "no column site"),
        "tasks": ({name or "task": task}, "the positive class last"),
        "encoders": (encoders, "more: adapt_all, adapt_control"),
        "modes": (["linear", "linear_blocks"], "more: linear_bn, the paper's best"),
        "width": (request.width, "64 is the paper's, for a GPU"),
        "seeds": (seeds, "of the classifiers"),
        "pretraining_seeds": (seeds, "three or more for an interval over encoders"),
        "fractions": (choose_fractions(folds.n_to_train), f"of the labels; {_TO_TRAIN} patients of each class or more"),
        "stages": (_stages(sounds, n_cries, cries_s), "a file of hparams/ and any of its options"),
    }  # fmt: skip


def _of_sounds(sounds: Folder, supervised: bool) -> str:
    labels = "with" if supervised else "without"
    return f"{sounds.n} sounds {labels} labels, median {sounds.median_s:.1f} s"


def _of_unlabelled(unlabelled: Optional[Folder]) -> Tuple[Optional[str], str]:
    if unlabelled is None:
        return None, "so adaptation hears the training folds only, one for each"
    why = f"{unlabelled.n} cries of other infants: one adaptation for all folds"
    return str(unlabelled.root.resolve()), why


def as_yaml(proposal: Proposal, heading: str) -> str:
    """Text of a study's yaml file, a line a setting with its reason."""
    lines = [f"# {heading}"]
    for name, (value, why) in proposal.items():
        if name != "stages":
            lines.append(_line(name, value, why))
            continue
        lines.append(_line(name, "", why).replace(' ""', ""))
        lines += [
            "  " + _line(stage, options, reason)
            for stage, (options, reason) in value.items()
        ]
    return "\n".join(lines) + "\n"


def _line(name: str, value: Any, why: str) -> str:
    return f"{name}: {_flow(value)}" + (f" # {why}" if why else "")


def _flow(value: Any) -> str:
    """A value as it is typed in yaml, on one line."""
    if isinstance(value, dict):
        inside = ", ".join(f"{k}: {_flow(v)}" for k, v in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, str):
        is_plain = re.fullmatch(r"[A-Za-z/][\w./ -]*\w", value)
        words = (*BOOLEANS, "null", "y", "n")
        if is_plain and value.isascii() and value.lower() not in words:
            return value
    return "True" if value is True else json.dumps(value, ensure_ascii=False)


def settings_of(proposal: Proposal) -> Dict[str, Any]:
    """Settings without their reasons, as read from the yaml file."""
    values = {name: value for name, (value, _) in proposal.items()}
    stages = {name: options for name, (options, _) in values["stages"].items()}
    return {**values, "stages": stages}
