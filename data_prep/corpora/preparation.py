"""Steps shared by all preparations: check, prepare once, audit, report.

A preparation reads the table or the file names of its corpus, calls ``audit``
to decode all audio, assigns recordings to splits, and calls ``write_prepared``
to write the manifests. ``prepare_once`` skips all of it if nothing has changed.
"""

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
from data_prep.files.errors import InputError, require
from data_prep.files.journal import stamp
from data_prep.files.lock import locked
from data_prep.files.tables import write_text
from data_prep.manifest import Recording

logger = logging.getLogger(__name__)


def require_folder(folder: str, option: str, holds: str) -> Path:
    """Check that a data folder exists; `option`, `holds` go in messages."""
    if Path(folder).is_dir():
        return Path(folder)
    require(
        not Path(folder).exists(),
        f"{folder} is a file",
        "pass the folder that holds it",
    )
    if not option.startswith("-"):
        raise InputError(f"{folder} does not exist; pass {holds}")
    raise InputError(
        f"{folder} does not exist; link the real corpus there or pass the "
        f"folder that holds it by {option} ({holds}), or run `make demo-data` "
        "for the synthetic corpus"
    )


def require_out(save_folder: Path, root: Path) -> Path:
    """Create the folder to write to, which must not be the data folder."""
    require(
        Path(save_folder).resolve() != Path(root).resolve(),
        f"{save_folder} is the data folder itself, whose tables would be "
        "replaced",
        "pass another folder to write to",
    )
    return make_folder(save_folder)


def check_share(valid_share: float) -> None:
    """Check that `valid_share` is between 0 and 1."""
    require(
        0 < valid_share < 1,
        f"valid_share is {valid_share}",
        "it must be above 0 and below 1",
    )


def prepare_once(
    save_folder: Path, options: Dict, sources: List[Path], prepare: Callable
) -> None:
    """Run `prepare`, unless its result for these options and sources exists."""
    with locked(save_folder):
        _prepare_once(save_folder, options, sources, prepare)


def _prepare_once(save_folder, options, sources, prepare):
    stamps = [[str(p), stamp(p)] for p in sources]
    key = json.dumps([options, stamps], sort_keys=True, default=str)
    done = Path(save_folder) / manifest.PREPARED_FILE
    if done.is_file() and done.read_text(encoding="utf-8") == key:
        logger.info("Manifests in %s are up to date.", save_folder)
        return
    for folder in Path(save_folder).parents[:2]:
        require(
            not list(folder.glob("save/CKPT*")),
            "the corpus or its options changed since the run in "
            f"{folder} began",
            "pass another --output_folder, or delete that one",
        )
    # Half-replaced manifests must not count as prepared.
    done.unlink(missing_ok=True)
    prepare()
    write_text(done, key)


def audit(
    recordings: List[Recording],
    root: Path,
    save_folder: Path,
    left_out: Sequence[Tuple[str, str, str]] = (),
) -> Audits:
    """Audit all recordings, set durations and write ``rejected.csv``."""
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


def write_prepared(
    splits: Dict[str, List[Recording]],
    audits: Audits,
    root: Path,
    save_folder: Path,
    corpus_name: str,
    classes: Optional[Sequence[str]] = None,
) -> None:
    """Write the manifests, the paper's table and the list of copies.

    `corpus_name` is used unless the data folder has a ``corpus.json``.
    """
    save_folder = Path(save_folder)
    corpus = corpus_of(root, corpus_name)
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
    """Check that no split is empty and that train has every class.

    Validation and test may lack a class, with a warning, but must have `least`
    classes.
    """
    for split, recordings in splits.items():
        require(
            bool(recordings),
            f"{split} is empty: class {classes[0]!r} has no recording in it",
            cure,
        )
        present = {rec.label for rec in recordings}
        missing = [label for label in classes if label not in present]
        if missing and (split == "train" or len(present) < least):
            raise InputError(
                f"class {missing[0]!r} has no recording in {split}; {cure}"
            )
        if missing:
            consequence = "no AUC"
            if len(present) > 1:
                consequence = "metrics are over the other classes"
            elif split == "valid":
                consequence = "no AUC to choose a model by, and no threshold"
            logger.warning(
                "no recording of %s in %s: %s",
                shortened_list([repr(label) for label in missing]),
                split,
                consequence,
            )


def shortened_list(names: Sequence[str], most: int = 10) -> str:
    """List up to `most` names, and count the others."""
    text = ", ".join(names[:most])
    if len(names) <= most:
        return text
    return f"{text} and {len(names) - most} more"


def corpus_of(root: Path, otherwise: str) -> Dict:
    """Description of the corpus by its ``corpus.json``, else by a given name.

    Example
    -------
    >>> corpus_of(Path("clinic"), "clinic's cries")
    {'name': "clinic's cries", 'synthetic': False}
    """
    corpus = manifest.read_corpus(root)
    return corpus or {"name": otherwise, "synthetic": False}
