"""What may be told of a trained model: counts, figures and where it comes
from, without a patient, a path or a date.
"""

from pathlib import Path
from typing import Dict, List, Optional, Union

from ruamel.yaml.error import YAMLError

from cry_modules.checkpoints.description import MODEL_FILE, read_description
from cry_modules.checkpoints.encoders import CALIBRATED, EncoderSource
from cry_modules.checkpoints.front_end import YAML_FILE
from cry_modules.checkpoints.public import public_encoder
from cry_modules.checkpoints.settings import plain_settings
from cry_modules.metrics.figures import shown_in
from data_prep import manifest
from data_prep.files.errors import InputError

#: Fewer patients than this are not counted out, so that nobody is told by
#: being the only one.
FEWEST = 5

#: Of a block of ``metrics.json``, what an operating point is known by.
_ON_VALIDATION = (
    "n", "n_patients", "sensitivity_at_spec80", "sensitivity_at_spec80_ci95",
    "specificity_at_threshold", "specificity_at_threshold_ci95",
)  # fmt: skip
#: An encoder that is made of others', step by step, has no more steps.
_MOST_STEPS = 20


def few(n_patients: int) -> Union[int, str]:
    """A number of patients, unless they are few.

    Example
    -------
    >>> few(6), few(4), few(0)
    (6, 'fewer than 5', 0)
    """
    return f"fewer than {FEWEST}" if 0 < n_patients < FEWEST else n_patients


def corpus_facts(run: Path) -> Dict:
    """Name and size of the corpus that a run was trained and tested on."""
    folder = Path(run) / "manifest"
    about = manifest.read_corpus(folder)
    if about is None:
        raise InputError(
            f"{folder} has no {manifest.CORPUS_FILE}; export the folder that "
            "train_cls.py left, whole"
        )
    splits = {}
    for split in manifest.SPLITS:
        recordings = manifest.read(folder / f"{split}.csv")
        seconds = sum(recording.seconds for recording in recordings)
        splits[split] = {
            "hours": round(seconds / 3600, 2),
            "classes": _by_class(recordings),
        }
    return {
        "name": about["name"],
        "synthetic": bool(about.get("synthetic")),
        "splits": splits,
    }


def _by_class(recordings) -> Dict:
    found = {}
    for label in sorted({recording.label for recording in recordings}):
        own = [rec for rec in recordings if rec.label == label]
        n_patients = len({rec.patient_id for rec in own})
        found[label] = {
            "recordings": len(own),
            "patients": few(n_patients),
        }
    return found


def operating_point(
    metrics: Dict, threshold: Optional[float]
) -> Optional[Dict]:
    """The threshold and the validation figures behind it."""
    if threshold is None:
        return None
    return {
        "class": metrics["classes"][-1],
        "threshold": threshold,
        "rule": "lowest score with 80 % specificity on validation",
        "valid": _chosen(metrics["valid"]["recording"], _ON_VALIDATION),
    }


def figures_of_test(metrics: Dict) -> Dict:
    """Figures of the test split by recording and by patient."""
    names = ["n", "n_patients", "majority_accuracy"]
    for name in shown_in("card"):
        names += [name, f"{name}_ci95"]
    found = {u: _chosen(block, names) for u, block in metrics["test"].items()}
    if "n_patients" not in found["patient"]:
        del found["patient"]["n"]  # the same number
    return found


def _chosen(block, names) -> Dict:
    """Some of a block's figures. How many patients there are in all tells how
    many a class has, whose number is not to be told, by the other's."""
    of_class = [found["n_patients"] for found in block["per_class"].values()]
    hidden = {"n_patients"} if any(0 < n < FEWEST for n in of_class) else ()
    return {n: block[n] for n in names if n in block and n not in hidden}


def subgroup_facts(metrics: Dict) -> Dict:
    """Recordings, patients and AUC of the test split by subgroup."""
    return {
        column: {
            group: {
                "recordings": block["n"],
                "patients": few(block["n_patients"]),
                "auc": block.get("auc"),
                "auc_ci95": block.get("auc_ci95"),
            }
            for group, block in found["groups"].items()
        }
        for column, found in (metrics.get("subgroups") or {}).items()
    }


def origin(source: Optional[str], steps: int = 0) -> List[str]:
    """How an encoder came to be, step by step, the first one first. Names of
    files and folders are not told.

    Example
    -------
    >>> origin(None), origin("no/such/folder"), origin("Ubenwa/sb-cssl-vgg-sup")
    (['random weights'], ['another encoder'], ['Ubenwa/sb-cssl-vgg-sup'])
    """
    kind = EncoderSource(source).kind
    if kind == "random":
        return ["random weights"]
    if kind == CALIBRATED:
        return ["random weights with BatchNorm statistics of the corpus"]
    folder = _folder_of(Path(source))
    if folder is not None and steps < _MOST_STEPS:
        if (folder / MODEL_FILE).is_file():
            return _of_exported(folder)
        return _of_run(folder, steps + 1)
    known = public_encoder(Path(source).name) or public_encoder(source)
    return ["another encoder"] if known is None else [known.name]


def _folder_of(path: Path) -> Optional[Path]:
    """The exported or results folder that a path is, or lies in."""
    for folder in (path, *path.parents[:3]):
        if (folder / MODEL_FILE).is_file() or _is_run(folder):
            return folder
    return None


def _is_run(folder: Path) -> bool:
    """Whether a train script of ours left it."""
    try:
        text = (folder / YAML_FILE).read_text(encoding="utf-8")
        return {"width", "chunk_s"} <= set(plain_settings(text))
    except (OSError, ValueError, YAMLError, AttributeError):
        return False


def _of_exported(folder: Path) -> List[str]:
    about = read_description(folder)
    how = f"{about['finetune_mode']} training on {_corpus(about['corpus'])}"
    return [*about["origin"], how]


def _corpus(about: Dict) -> str:
    name = about.get("name", "an unnamed corpus")
    return f"{name} (synthetic)" if about.get("synthetic") else name


def _of_run(folder: Path, steps: int) -> List[str]:
    found = plain_settings((folder / YAML_FILE).read_text(encoding="utf-8"))
    name = _corpus(manifest.read_corpus(folder / "manifest") or {})
    source = found.get("encoder_source")
    is_random = EncoderSource(source).kind == "random"
    before = [] if is_random else origin(source, steps)
    if "finetune_mode" in found:
        mode = found["finetune_mode"]
        return [*before, f"supervised training on {name} ({mode})"]
    if "cry_folder" not in found:
        return [*before, f"SimCLR pre-training on {name}"]
    step = f"SimCLR adaptation on {name}"
    replayed = manifest.read_corpus(folder / "manifest/replay")
    if replayed is not None:
        step += f", with replay of {_corpus(replayed)}"
    return [*before, step]
