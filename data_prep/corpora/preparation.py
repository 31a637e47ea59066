"""What all preparers do around their corpus: look first, go on, report."""

import json
import logging
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from data_prep import manifest
from data_prep.audio.audits import (
    Audits,
    audit_corpus,
    stop_if_too_many,
    write_rejected,
)
from data_prep.corpora.copies import report_copies
from data_prep.corpora.counts import write_counts
from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError
from data_prep.files.journal import stamp
from data_prep.files.tables import write_text
from data_prep.manifest import Recording

logger = logging.getLogger(__name__)


def require_folder(folder: str, option: str, holds: str) -> Path:
    """The data folder, or one line with both cures.

    Example
    -------
    >>> require_folder("data/no", "--data_folder", "a corpus")
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: data/no does not exist; link the real corpus there or pass the folder that holds it by --data_folder (a corpus), or type `make demo-data` for the synthetic stand-in
    """
    if Path(folder).is_dir():
        return Path(folder)
    if Path(folder).exists():
        raise InputError(f"{folder} is a file; pass the folder that holds it")
    if not option.startswith("-"):
        raise InputError(f"{folder} does not exist; pass {holds}")
    raise InputError(
        f"{folder} does not exist; link the real corpus there or pass the "
        f"folder that holds it by {option} ({holds}), or type `make demo-data` "
        "for the synthetic stand-in"
    )


def require_out(save_folder: Path, root: Path) -> Path:
    """The folder to write to: a new one, or one of ours.

    Example
    -------
    >>> require_out(Path("data"), Path("data"))
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: data is the data folder itself, whose tables would be replaced; pass another folder to write to
    """
    if Path(save_folder).resolve() == Path(root).resolve():
        raise InputError(
            f"{save_folder} is the data folder itself, whose tables would be "
            "replaced; pass another folder to write to"
        )
    return make_folder(save_folder)


def once(
    save_folder: Path, options: Dict, sources: List[Path], prepare: Callable
) -> None:
    """Prepare, unless the same was already prepared from the same files.

    Example
    -------
    >>> tmp = Path(getfixture("tmpdir"))
    >>> once(tmp, {"a": 1}, [], lambda: print("prepared"))
    prepared
    >>> once(tmp, {"a": 1}, [], lambda: print("prepared"))
    """
    stamps = [[str(p), stamp(p)] for p in sources]
    key = json.dumps([options, stamps], sort_keys=True, default=str)
    done = Path(save_folder) / manifest.PREPARED_FILE
    if done.is_file() and done.read_text(encoding="utf-8") == key:
        logger.info("Manifests in %s are up to date.", save_folder)
        return
    for folder in Path(save_folder).parents[:2]:
        if list(folder.glob("save/CKPT*")):
            raise InputError(
                f"the corpus or its options changed since the run in {folder} "
                "began; pass another --output_folder, or delete that one"
            )
    # What is half replaced must not pass for prepared.
    done.unlink(missing_ok=True)
    prepare()
    write_text(done, key)


def audit(
    recordings: List[Recording],
    root: Path,
    save_folder: Path,
    left_out: Sequence[Tuple[str, str, str]] = (),
) -> Audits:
    """Read all audio, fill in the durations and list what cannot be used."""
    rejected_csv = Path(save_folder) / "rejected.csv"
    paths = [rec.wav for rec in recordings]
    audits = audit_corpus(paths, root, save_folder)
    patient_of = {rec.wav: rec.patient_id for rec in recordings}
    write_rejected(audits, patient_of, left_out, rejected_csv)
    stop_if_too_many(audits, rejected_csv)
    for rec in recordings:
        rec.duration = rec.stop = audits.files[rec.wav].duration
    if audits.n_rejected:
        logger.warning(
            "%d audio files cannot be used; see %s",
            audits.n_rejected,
            rejected_csv,
        )
    return audits


def finish(
    splits: Dict[str, List[Recording]],
    audits: Audits,
    root: Path,
    save_folder: Path,
    corpus: Dict,
    classes: Optional[Sequence[str]] = None,
) -> None:
    """Write the manifests, the paper's table and the list of copies."""
    save_folder = Path(save_folder)
    manifest.write(splits, save_folder, root, corpus, classes)
    logger.info("Prepared:\n%s", write_counts(splits, save_folder))
    copies = report_copies(
        audits.copies, splits, save_folder / "duplicates.csv"
    )
    if copies:
        logger.warning("%s", copies)


def require_classes(
    splits: Dict[str, List[Recording]],
    classes: List[str],
    cure: str,
    least: int = 1,
) -> None:
    """Every class must be there to train with; no split may be empty.

    Validation and test may lack a class, with a warning that says what cannot
    be computed then.

    Example
    -------
    >>> require_classes({"train": []}, ["hunger", "pain"], "add some")
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: train is empty: class 'hunger' has no recording in it; add some
    """
    for split, recordings in splits.items():
        present = {rec.label for rec in recordings}
        missing = [label for label in classes if label not in present]
        if not recordings:
            raise InputError(
                f"{split} is empty: class {classes[0]!r} has no recording in "
                f"it; {cure}"
            )
        if missing and (split == "train" or len(present) < least):
            raise InputError(
                f"class {missing[0]!r} has no recording in {split}; {cure}"
            )
        if missing:
            logger.warning(
                "no recording of %s in %s: %s",
                in_words([repr(label) for label in missing]),
                split,
                _cannot_be_computed(split, len(present)),
            )


def _cannot_be_computed(split: str, n_present: int) -> str:
    if n_present > 1:
        return "its figures are over the other classes"
    if split == "valid":
        return "no AUC to choose a model by, and no threshold"
    return "no AUC"


def in_words(names: Sequence[str], most: int = 10) -> str:
    """Names in a message: the first ones, and how many more there are.

    Example
    -------
    >>> in_words("abcde", most=3)
    'a, b, c and 2 more'
    """
    text = ", ".join(names[:most])
    if len(names) <= most:
        return text
    return f"{text} and {len(names) - most} more"


def corpus_of(root: Path, otherwise: str) -> Dict:
    """What the data folder says it is, else a neutral name.

    Example
    -------
    >>> corpus_of(Path("clinic"), "clinic's cries")
    {'name': "clinic's cries", 'synthetic': False}
    """
    found = manifest.read_corpus(root)
    return found or {"name": otherwise, "synthetic": False}
