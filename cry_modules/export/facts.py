"""Facts about a trained model that may be shared: counts, test results and
origin, without a patient, path or date.
"""

import re
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

from cry_modules.architectures import architecture_of
from cry_modules.checkpoints.description import MODEL_FILE, read_description
from cry_modules.checkpoints.encoders import CALIBRATED, EncoderSource
from cry_modules.checkpoints.public import public_encoder
from cry_modules.checkpoints.saved_model import run_settings
from cry_modules.evaluation.columns import SHAREABLE_COLUMNS, is_date
from cry_modules.metrics.figures import shown_in
from data_prep import manifest
from data_prep.files.errors import InputError, require
from data_prep.files.words import count

#: Smaller numbers of patients are withheld, so that nobody can be identified.
FEWEST = 5


#: Entries of ``metrics.json`` that describe an operating point.
_ON_VALIDATION = (
    "n", "n_patients", "sensitivity_at_spec80", "sensitivity_at_spec80_ci95",
    "specificity_at_threshold", "specificity_at_threshold_ci95",
)  # fmt: skip
#: Corpus without a name of its own.
UNNAMED = "an unnamed corpus"
#: Most steps of an origin; guards against a run that names itself.
_MOST_STEPS = 20


def few(n_patients: int) -> Union[int, str]:
    """A number of patients, withheld if it is small."""
    return f"fewer than {FEWEST}" if 0 < n_patients < FEWEST else n_patients


def corpus_facts(run: Path) -> Dict:
    """Name and size of the corpus that a run was trained and tested on."""
    folder = Path(run) / "manifest"
    corpus = manifest.read_corpus(folder)
    if corpus is None:
        raise InputError(
            f"{folder} has no {manifest.CORPUS_FILE}; export a complete "
            "results folder of train_cls.py"
        )
    splits = {}
    # A final model has been trained on all recordings.
    is_final = not (folder / "valid.csv").exists()
    for split in ["train"] if is_final else manifest.SPLITS:
        recordings = manifest.read(folder / f"{split}.csv")
        seconds = sum(recording.seconds for recording in recordings)
        splits[split] = {
            "hours": round(seconds / 3600, 2),
            "classes": _by_class(recordings),
        }
    return {
        "name": shared_name(corpus),
        "synthetic": bool(corpus.get("synthetic")),
        "splits": splits,
    }


def mode_in_words(facts: Dict) -> str:
    """Fine-tuning mode and read-out as on the page of a study.

    Example
    -------
    >>> mode_in_words({"finetune_mode": "linear", "readout": "block3"})
    'linear on blocks'
    """
    mode = facts["finetune_mode"]
    name = {"linear_bn": "linear+BN", "end_to_end": "end to end"}.get(
        mode, mode
    )
    blocks = str(facts.get("readout")).startswith("block")
    return f"{name} on blocks" if blocks else name


def shared_name(corpus: Dict) -> str:
    """Name of a corpus on the card. Without a name of its own it has that of a
    folder, which may be a person's or a hospital's."""
    is_named = corpus.get("is_named", True)
    return corpus.get("name", UNNAMED) if is_named else UNNAMED


def _by_class(recordings) -> Dict:
    patients = {}
    for recording in recordings:
        patients.setdefault(recording.label, []).append(recording.patient_id)
    return {
        label: {"recordings": len(ids), "patients": few(len(set(ids)))}
        for label, ids in sorted(patients.items())
    }


def operating_point(
    metrics: Dict, threshold: Optional[float]
) -> Optional[Dict]:
    """A threshold and the validation results that it was chosen by."""
    if threshold is None:
        return None
    where = "out-of-fold scores" if metrics.get("final") else "validation"
    return {
        "class": metrics["classes"][-1],
        "threshold": threshold,
        "rule": f"lowest score with 80 % specificity on {where}",
        "valid": _shareable(metrics["valid"]["recording"], _ON_VALIDATION),
    }


def figures_of_test(metrics: Dict) -> Dict:
    """Test results by recording and by patient, as on the card."""
    names = ["n", "n_patients", "majority_accuracy"]
    for name in shown_in("card"):
        names += [name, f"{name}_ci95"]
    figures = {
        unit: _shareable(block, names)
        for unit, block in metrics["test"].items()
    }
    if "n_patients" not in figures["patient"]:
        del figures["patient"]["n"]  # the same number
    return figures


def _shareable(block, names) -> Dict:
    """Entries of a block. The number of all patients is withheld with that of
    a class, which would follow from it."""
    counts = [entry["n_patients"] for entry in block["per_class"].values()]
    withheld = {"n_patients"} if any(0 < n < FEWEST for n in counts) else ()
    return {n: block[n] for n in names if n in block and n not in withheld}


def subgroup_facts(metrics: Dict, named: Sequence[str] = ()) -> Dict:
    """Recordings, patients and AUC of the test split, by subgroup.

    Only of columns that say little about a person, and of those ``named``: the
    values of another may be examiners, or rooms.
    """
    subgroups = metrics.get("subgroups") or {}
    for column in named:
        require(
            column in subgroups,
            f"--subgroups names {column!r}, by which the run was not evaluated",
            f"it has {', '.join(subgroups) or 'none'}",
        )
    return {
        column: {
            group: {
                "recordings": block["n"],
                "patients": few(block["n_patients"]),
                "auc": block.get("auc"),
                "auc_ci95": block.get("auc_ci95"),
            }
            for group, block in entry["groups"].items()
        }
        for column, entry in subgroups.items()
        if (column in named or column.lower() in SHAREABLE_COLUMNS)
        and not any(map(_holds_date, entry["groups"]))
    }


def _holds_date(group: str) -> bool:
    """Check whether a group, such as ``[2024-05-06, 2024-06-07)``, has a date."""
    return any(map(is_date, re.split(r"[][(),]", group)))


def origin(source: Optional[str], steps: int = 0) -> List[str]:
    """History of an encoder in words, one entry for each training, the earliest
    first, without names of files and folders."""
    kind = EncoderSource(source or None).kind
    if kind == "random":
        return ["random weights"]
    if kind == CALIBRATED:
        return ["random weights with BatchNorm statistics of the corpus"]
    if kind == "pretrained":
        return [architecture_of(source)]
    folder = _folder_of(Path(source))
    if folder is not None and steps < _MOST_STEPS:
        if (folder / MODEL_FILE).is_file():
            return _of_exported(folder)
        return _of_run(folder, steps + 1)
    known = public_encoder(Path(source).name) or public_encoder(source)
    return ["another encoder"] if known is None else [known.name]


def _folder_of(path: Path) -> Optional[Path]:
    """The exported or results folder that a path is, or is in."""
    for folder in (path, *path.parents[:3]):
        if (folder / MODEL_FILE).is_file() or _is_run(folder):
            return folder
    return None


def _is_run(folder: Path) -> bool:
    try:
        return bool(run_settings(folder))
    except InputError:
        return False


def _of_exported(folder: Path) -> List[str]:
    description = read_description(folder)
    how = f"{description['finetune_mode']} training on {_in_words(description['corpus'])}"
    return [*description["origin"], how]


def _in_words(corpus: Dict) -> str:
    name = shared_name(corpus)
    return f"{name} (synthetic)" if corpus.get("synthetic") else name


def _corpus(folder: Path) -> str:
    """Name and number of training recordings of the corpus of a manifest."""
    name, table = _in_words(manifest.read_corpus(folder) or {}), "train.csv"
    if not (folder / table).is_file():
        return name
    return f"{name}, {count(len(manifest.read(folder / table)), 'recording')}"


def _of_run(folder: Path, steps: int) -> List[str]:
    settings = run_settings(folder)
    name = _corpus(folder / "manifest")
    source = settings.get("encoder_source")
    is_random = EncoderSource(source or None).kind == "random"
    before = [] if is_random else origin(source, steps)
    if "finetune_mode" in settings:
        mode = settings["finetune_mode"]
        return [*before, f"supervised training on {name} ({mode})"]
    if "cry_folder" not in settings:
        return [*before, f"SimCLR pre-training on {name}"]
    step = f"SimCLR adaptation on {name}"
    replayed = folder / "manifest/replay"
    if manifest.read_corpus(replayed) is not None:
        step += f", with replay of {_corpus(replayed)}"
    return [*before, step]
