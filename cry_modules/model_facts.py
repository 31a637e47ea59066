"""What may be told of a trained model: counts, figures and where it comes
from, without a patient, a path or a date.

Authors
 * The contributors of cry-ssl 2026
"""

from pathlib import Path
from typing import Dict, List, Optional, Union

from cry_modules.experiment import settings as plain_settings
from data_prep import manifest
from data_prep.errors import InputError

#: Fewer patients than this are not counted out, so that nobody is told by
#: being the only one.
FEWEST = 5

#: Of a block of ``metrics.json``, what an operating point is known by.
_ON_VALIDATION = (
    "n", "n_patients", "sensitivity_at_spec80", "sensitivity_at_spec80_ci95",
    "specificity_at_threshold", "specificity_at_threshold_ci95",
)  # fmt: skip


def counted(n: int, n_patients: int) -> Union[int, str]:
    """A number of recordings, unless they are of few patients.

    Arguments
    ---------
    n : int
        The number.
    n_patients : int
        Whose they are.

    Returns
    -------
    int or str

    Example
    -------
    >>> counted(30, 6), counted(30, 4), counted(0, 0)
    (30, 'of fewer than 5 patients', 0)
    """
    if n_patients >= FEWEST or n == 0:
        return n
    return f"of {_few(n_patients)} patients"


def _few(n_patients: int) -> Union[int, str]:
    """A number of patients, unless they are few."""
    few = 0 < n_patients < FEWEST
    return f"fewer than {FEWEST}" if few else n_patients


def corpus_facts(run: Path) -> Dict:
    """Name and size of the corpus that a run was trained and tested on.

    Arguments
    ---------
    run : pathlib.Path
        Results folder of ``train_cls.py``.

    Returns
    -------
    dict
        ``name``, ``synthetic``, and of each split the hours, and recordings
        and patients by class.

    Raises
    ------
    InputError
        The run's manifests are gone.
    """
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
            "recordings": counted(len(own), n_patients),
            "patients": _few(n_patients),
        }
    return found


def operating_point(metrics: Dict) -> Optional[Dict]:
    """The chosen threshold and the validation figures behind it.

    Arguments
    ---------
    metrics : dict
        ``metrics.json``.

    Returns
    -------
    dict or None
        None where there is none: of three classes, say.
    """
    threshold = metrics["test"]["recording"]["threshold"]
    if threshold is None:
        return None
    block = metrics["valid"]["recording"]
    return {
        "class": metrics["classes"][-1],
        "threshold": threshold,
        "rule": "lowest score with 80 % specificity on validation",
        "valid": {name: block[name] for name in _ON_VALIDATION},
    }


def subgroup_facts(metrics: Dict) -> Dict:
    """Recordings, patients and AUC of the test split by subgroup.

    Arguments
    ---------
    metrics : dict
        ``metrics.json``.

    Returns
    -------
    dict
        By column, by group.
    """
    return {
        column: {
            group: {
                "recordings": counted(block["n"], block["n_patients"]),
                "patients": _few(block["n_patients"]),
                "auc": block.get("auc"),
                "auc_ci95": block.get("auc_ci95"),
            }
            for group, block in found["groups"].items()
        }
        for column, found in (metrics.get("subgroups") or {}).items()
    }


def origin(source: Optional[str]) -> List[str]:
    """How an encoder came to be, step by step, the first one first.

    Arguments
    ---------
    source : str or None
        Its ``encoder_source``.

    Returns
    -------
    list of str

    Example
    -------
    >>> origin(None), origin("no/such/folder")
    (['random weights'], ['an encoder whose run is not here any more'])
    """
    if source in (None, "", "null"):
        return ["random weights"]
    if source == "random_calibrated":
        return ["random weights with BatchNorm statistics of the corpus"]
    path = Path(source) / "hyperparams.yaml"
    if path.is_file():
        return _step(path)
    if not Path(source).exists() and source.count("/") == 1:
        if not source.startswith((".", "results/")):
            return [f"{source} of the Hugging Face hub"]
    return ["an encoder whose run is not here any more"]


def _step(path: Path) -> List[str]:
    found = plain_settings(path.read_text(encoding="utf-8"))
    corpus = manifest.read_corpus(path.parent / "manifest") or {}
    name = corpus.get("name", "an unnamed corpus")
    if corpus.get("synthetic"):
        name += " (synthetic)"
    if "cry_folder" not in found:
        how = "supervised" if "finetune_mode" in found else "SimCLR"
        return [*_before(found), f"{how} pre-training on {name}"]
    replayed = manifest.read_corpus(path.parent / "manifest/replay")
    step = f"SimCLR adaptation on {name}"
    if replayed is not None:
        step += f", with replay of {replayed['name']}"
    return [*_before(found), step]


def _before(found) -> List[str]:
    source = found.get("encoder_source")
    return [] if source in (None, "", "null") else origin(source)
